"""The folder of a sweep, and the table over its runs."""
