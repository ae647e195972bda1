"""No features: the backbone sees the images as they are."""


def none() -> None:
    """Nothing to build."""
