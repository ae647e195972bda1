"""Peak memory of a second-order step: it grows with the chunk, not with the meta-batch.

    .venv/bin/python scripts/bench/memory.py [OVERRIDE ...]      e.g. backbone=resnet12 episode.train.queries=5

Each row is a process of its own, on one thread, that makes two steps of MAML on the embedded glyphs. Beside the peak
stands what the process took before the first step, and what trainer.chunk=auto reckons with: three times what the
graph of a task keeps. Exits with 1 where four times the meta-batch takes a fifth more, or twice the chunk no more.
"""

import argparse
import json
import resource
import subprocess
import sys

ROWS = [(8, 1), (8, 2), (8, 4), (8, 8), (32, 4), (32, 8)]  # meta-batch, chunk
MB = 2**20


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.row:
        print(json.dumps(measured(*map(int, asked.row.split(",")), asked.overrides)))
        return 0
    took: dict[tuple[int, int], float] = {}
    print("meta-batch  chunk  before  peak  step  reckoned (MB)")
    for tasks, chunk in ROWS:
        command = [sys.executable, __file__, f"--row={tasks},{chunk}", *asked.overrides]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        took[tasks, chunk] = step = row["peak"] - row["before"]
        reckoned = 3 * row["kept"] * chunk
        before, most, own, guess = (size / MB for size in (row["before"], row["peak"], step, reckoned))
        print(
            f"{tasks:>10} {chunk:>6} {before:>7.0f} {most:>5.0f} {own:>5.0f} {guess:>9.0f}",
            flush=True,
        )
    flat = all(took[32, chunk] < 1.2 * took[8, chunk] for chunk in (4, 8))
    grows = took[8, 8] > 1.5 * took[8, 4] > 1.5 * took[8, 2]
    print("grows with the chunk, not with the meta-batch" if flat and grows else "NOT as it should be")
    return int(not (flat and grows))


def measured(tasks: int, chunk: int, overrides: list[str]) -> dict[str, float]:
    from metacli import build
    from metacli.chunk import kept_by
    from metacli.config.compose import composed, values_of
    from metacli.config.validate import validate
    from metacli.experiment import assemble
    from metacli.parts import moved, part_of, total

    sizes = [f"trainer.meta_batch={tasks}", f"trainer.chunk={chunk}", "device.name=cpu", "device.threads=1"]
    config, _ = composed(["paradigm=maml", *sizes, *overrides])
    experiment = assemble(validate(values_of(config)))
    learner, source = experiment.learner, experiment.data.sources["train"]
    sampler = source.sampler(build.episode_shape(experiment.config.episode.train))
    learner.train()
    before = peak()
    for step in range(2):
        episode = source.episode(sampler, seed=0, step=step, tasks=tasks)
        total((part_of(learner, part, tasks) for part in episode.chunks(chunk)), moved(learner))
        learner.zero_grad()
    highest = peak()
    return {
        "before": before,
        "peak": highest,
        "kept": kept_by(lambda: learner.meta_loss(next(episode.chunks(1)))),
    }


def peak() -> float:
    """Bytes resident at most so far; macOS counts in bytes, Linux in KB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
