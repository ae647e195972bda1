"""attack: how items are perturbed, in training and in the report."""

from typing import Literal

from metacli.config.schema.values import Amount, Count, Named, Rate, Several


class Attack(Named):
    pass


class Perturbation(Attack):
    epsilon: Rate
    train_on: Literal["none", "query", "support", "both"]
    episodes: Several


class PGD(Perturbation):
    step: Rate
    steps: Count
    eval_steps: Count
    restarts: Count


class FreeLB(Perturbation):
    start: Amount
    step: Rate
    steps: Count
