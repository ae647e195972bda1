"""Outer-loop optimisation beside torch's own optimizers."""
