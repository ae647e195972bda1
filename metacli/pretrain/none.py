"""No pretraining: the backbone begins with random weights, or with those of an earlier run (run.init_from)."""


def none() -> None:
    """Nothing to build."""
