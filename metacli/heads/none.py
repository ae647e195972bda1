"""No head beside the one that the paradigm has of its own."""


def none() -> None:
    """Nothing to build."""
