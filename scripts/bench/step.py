"""Training steps a second: metacli's batched tasks against the obvious loop over tasks, alternating in one run.

    .venv/bin/python scripts/bench/step.py [--tasks 32] [--repeat 7]

5-way 1-shot on random 28×28 images, second-order MAML with one inner step, Conv4-64. The loop is what a reader of
the paper would write: torch's own layers, one task at a time, `torch.autograd.grad(create_graph=True)`. Both compute
the same meta-gradient, which is checked first.
"""

import argparse
import statistics
import time

import metacli  # first: sets how OpenMP waits

assert metacli.__version__

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

from metacli.backbones.conv4 import Conv4  # noqa: E402
from metacli.episode import Episode, Examples, TaskSpec  # noqa: E402
from metacli.paradigms.inner_loop import InnerLoop  # noqa: E402
from metacli.paradigms.maml import MAML  # noqa: E402
from metacli.runtime import prepare, resolve_threads, seeded  # noqa: E402

WAYS, INNER_LR = 5, 0.4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--chunk", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=7)
    asked = parser.parse_args()
    prepare(torch.device("cpu"), resolve_threads(0))
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {asked.tasks} tasks; tasks/s median [min-max]"
    )
    for downsample in ("stride", "max_pool"):
        for queries in (1, 5, 15):
            learner = build(downsample)
            episode = random_episode(asked.tasks, queries)
            error = difference(
                gradients(learner, batched, episode, asked.chunk), gradients(learner, looped, episode, 1)
            )
            times: dict[str, list[float]] = {"batched": [], "looped": []}
            for _ in range(asked.repeat):
                for name, work in (("batched", batched), ("looped", looped)):
                    started = time.perf_counter()
                    gradients(learner, work, episode, asked.chunk)
                    times[name].append(asked.tasks / (time.perf_counter() - started))
            shown = "  ".join(
                f"{name} {statistics.median(t):6.1f} [{min(t):.0f}-{max(t):.0f}]" for name, t in times.items()
            )
            ratio = statistics.median(times["batched"]) / statistics.median(times["looped"])
            print(
                f"{downsample:<9}{queries:>3} queries  {shown}  {ratio:.2f}x  gradients differ by {error:.0e}",
                flush=True,
            )


def build(downsample: str) -> MAML:
    with seeded(0, "bench"):
        backbone = Conv4(shape=(1, 28, 28), width=64, depth=4, downsample=downsample, norm="batch")
        return MAML(
            inner=InnerLoop(
                spec=TaskSpec("classify", (1, 28, 28), WAYS),
                backbone=backbone,
                features=backbone.features,
                inner_steps=1,
                inner_eval_steps=1,
                inner_loss_reduction="mean",
                order="second",
                moves_inner=["backbone", "head"],
                moves_outer=["backbone", "head"],
                bn_mode="batch",
            ),
            inner_lr=INNER_LR,
        )


def random_episode(tasks: int, queries: int) -> Episode:
    source = torch.Generator().manual_seed(0)

    def examples(each: int) -> Examples:
        labels = torch.arange(WAYS).repeat_interleave(each).expand(tasks, -1)
        x = torch.rand(tasks, WAYS * each, 1, 28, 28, generator=source)
        return Examples(
            {"x": x}, labels, torch.ones_like(labels, dtype=torch.bool), labels, labels[:, ::each]
        )

    return Episode(examples(1), examples(queries), torch.arange(tasks))


def gradients(learner: MAML, work, episode: Episode, chunk: int) -> list[Tensor]:
    learner.zero_grad(set_to_none=True)
    work(learner, episode, chunk)
    return [parameter.grad for parameter in learner.parameters()]


def batched(learner: MAML, episode: Episode, chunk: int) -> None:
    for part in episode.chunks(chunk):
        (learner.meta_loss(part).sum() / len(episode)).backward()


def looped(learner: MAML, episode: Episode, _: int) -> None:
    downsample = learner.network.get_submodule("backbone").downsample
    named = dict(learner.named_parameters())
    names, start = list(named), list(named.values())

    def loss(values: list[Tensor], examples: Examples, task: int) -> Tensor:
        p = dict(zip(names, values, strict=True))
        x = examples.inputs["x"][task]
        for block in range(4):
            at = f"network.backbone.blocks.{block}."
            x = F.conv2d(
                x,
                p[at + "conv.weight"].permute(0, 3, 1, 2),
                stride=2 if downsample == "stride" else 1,
                padding=1,
            )
            x = F.relu(F.batch_norm(x, None, None, p[at + "norm.weight"], p[at + "norm.bias"], training=True))
            x = x if downsample == "stride" else F.max_pool2d(x, 2)
        x = x.mean((2, 3)) if downsample == "stride" else x.flatten(1)
        return F.cross_entropy(
            F.linear(x, p["network.head.weight"], p["network.head.bias"]), examples.labels[task]
        )

    for task in range(len(episode)):
        inner = torch.autograd.grad(loss(start, episode.support, task), start, create_graph=True)
        adapted = [value - INNER_LR * gradient for value, gradient in zip(start, inner, strict=True)]
        (loss(adapted, episode.query, task) / len(episode)).backward()


def difference(one: list[Tensor], other: list[Tensor]) -> float:
    flat = [torch.cat([gradient.flatten() for gradient in gradients]).double() for gradients in (one, other)]
    return ((flat[0] - flat[1]).norm() / flat[1].norm()).item()


if __name__ == "__main__":
    main()
