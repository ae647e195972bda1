"""Feature extractors: images or vectors [T, N, ...] -> features [T, N, D]. `features` is D."""
