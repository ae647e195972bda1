"""Networks and weights that others have trained: where they lie, how they are read, what their items look like."""
