"""Stripes: a data set of them, a backbone that suits it, and a method."""
