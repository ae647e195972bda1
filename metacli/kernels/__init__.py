"""Task-batched mathematics, closed under differentiation. Only layers import from here."""
