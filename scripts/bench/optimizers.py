"""What a step of the optimizers without a learning rate costs, in steps of Adam, on the parameters of Conv4.

    .venv/bin/python scripts/bench/optimizers.py [--repeat 40]

Processor time of the one thread, so that what else the machine does matters less; with random gradients, after the
first steps, in which experts come and go, and with as much room for experts as a training of that length makes.
"""

import argparse
import statistics
import time

import metacli  # first: sets how OpenMP waits

assert metacli.__version__

import torch  # noqa: E402
from torch.optim import Adam, Optimizer  # noqa: E402

from metacli.letters import size  # noqa: E402
from metacli.optim.adaptive_metagrad import AdaptiveMetaGrad  # noqa: E402
from metacli.optim.domain import InDomain  # noqa: E402
from metacli.optim.metagrad import MetaGrad  # noqa: E402
from metacli.runtime import prepare  # noqa: E402

FIRST = 150  # steps that are not counted
SHAPES = [(64, 9), *[(64, 576)] * 3, *[(64,)] * 12, (5, 64), (5,)]
STEPS = (600, 20_000, 60_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=40)
    asked = parser.parse_args()
    prepare(torch.device("cpu"), 1)
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    count = sum(parameter.numel() for parameter in parameters)
    adam = milliseconds(Adam(parameters), parameters, asked.repeat)
    print(f"{count} parameters, 1 thread, torch {torch.__version__}; Adam: {adam:.2f} ms a step")
    for steps in STEPS:
        for optimizer in built(parameters, steps):
            took = milliseconds(optimizer, parameters, asked.repeat, steps)
            name, kept = type(optimizer).__name__, size(optimizer.memory(steps))
            print(f"{name:16} {steps:6} steps: {took:6.2f} ms, {took / adam:5.1f} of Adam, {kept}")


def built(parameters: list[torch.nn.Parameter], steps: int) -> tuple[InDomain, InDomain]:
    alike = {"params": parameters, "radius": 0.5, "variant": "coordinate", "sketch": 11, "per_task": False}
    metagrad = MetaGrad(**alike, grad_bound=0.6, horizon=steps)  # type: ignore[arg-type]
    return metagrad, AdaptiveMetaGrad(**alike, prior=0.5, experts=20, wake="current", grid="pow2")  # type: ignore[arg-type]


def milliseconds(
    optimizer: Optimizer, parameters: list[torch.nn.Parameter], repeat: int, steps: int = 0
) -> float:
    """The median step. steps: how many there will have been."""
    took = []
    for number in range(FIRST + repeat):
        generator = torch.Generator().manual_seed(number)
        for parameter in parameters:
            parameter.grad = 0.02 + 0.1 * torch.randn(parameter.shape, generator=generator)
        before = time.thread_time()
        optimizer.step()
        took.append(time.thread_time() - before)
        if steps and not number:
            optimizer.state[parameters[0]]["step"] = steps
    return 1000 * statistics.median(took[FIRST:])


if __name__ == "__main__":
    main()
