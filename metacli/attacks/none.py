"""No attack: training and evaluation on the inputs as they are."""


def none() -> None:
    return None
