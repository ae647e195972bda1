"""What a supervised fine-tuning step of metacli takes beyond the encoder's own forward and backward pass, and in bf16.

    METACLI_DATA=DIR .venv/bin/python scripts/bench/encoder.py [--steps 12] [--threads 1]

Of an epoch on WNUT-17 (pretrain=tagger) and one on CLINC150 (pretrain=supervised) some batches, evenly spaced. Each
goes through metacli's whole step (batch, loss, backward, AdamW) in fp32 and bf16, and through the plain transformers
model, forward and backward, padded to the longest of the batch; all of them in turn, so that what else the machine
does is shared by all. The encoder is MiniLM.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import metacli  # first: sets how OpenMP waits

assert metacli.__version__

import torch  # noqa: E402
from torch import nn  # noqa: E402

from metacli import build, stages  # noqa: E402
from metacli.config.compose import composed, values_of  # noqa: E402
from metacli.config.validate import validate  # noqa: E402
from metacli.console import Console  # noqa: E402
from metacli.pretrained.huggingface import encoder  # noqa: E402
from metacli.rundir import RunFolder  # noqa: E402
from metacli.runtime import prepare, resolve_threads  # noqa: E402
from metacli.trainer import Plan, Trainer  # noqa: E402

CPU = torch.device("cpu")
CASES = {
    "tagger on wnut17": ["dataset=wnut17", "paradigm=nnshot", "pretrain=tagger", "dataset.tags=bio"],
    "supervised on clinc150": [
        "dataset=clinc150",
        "backbone=minilm",
        "paradigm=nearest_centroid",
        "pretrain=supervised",
        "optimizer@pretrain.optimizer=finetuning",
        "pretrain.batch=64",
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    prepare(CPU, resolve_threads(asked.threads))
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; seconds of {asked.steps} batches")
    for name, overrides in CASES.items():
        works, per_epoch = contenders(overrides)
        took = dict.fromkeys(works, 0.0)
        steps = [per_epoch * place // asked.steps for place in range(asked.steps)]
        for warm, step in [(True, steps[-1]), *zip(itertools.repeat(False), steps)]:
            for kind, work in works.items():
                started = time.perf_counter()
                work(step)
                took[kind] += 0.0 if warm else time.perf_counter() - started
        own = took["encoder, forward and backward"]
        print(name)
        for kind, seconds in took.items():
            print(f"  {kind:32} {seconds:7.2f}  {seconds / own:5.2f} of the encoder's own")


def contenders(overrides: list[str]) -> tuple[dict[str, Callable[[int], object]], int]:
    """What can be done with the batch of a step, and the batches of an epoch."""
    works: dict[str, Callable[[int], object]] = {}
    for precision in ("fp32", "bf16"):
        config = validate(values_of(composed([*overrides, f"device.precision={precision}"])[0]))
        data = build.build_data(config, CPU)
        learner = build.build_learner(config, data.table, CPU)
        classifier, how = build.build_classifier(config, learner.spec, CPU), config.pretrain
        batches = stages.BATCHES[learner.spec.kind](
            data.sources["train"], size=how.batch, held_out=0.0, seed=0, purpose="pretrain"
        )
        trainer = Trainer(
            learner=classifier,
            optimizer=build.optimizer_for(how.optimizer, classifier, batches.per_epoch),
            episodes=batches.batch,
            validate=list,
            plan=Plan(
                steps=batches.per_epoch,
                meta_batch=1,
                chunk=1,
                val_every=1,
                log_every=1,
                patience=0,
                clip=0.0,
                **build.rate(how.optimizer),
                seed=0,
                metric="accuracy",
            ),
            run=RunFolder(Path()),
            console=Console(live=False),
        )
        works[f"metacli's step, {precision}"] = trainer._step
    network, _ = encoder(config.backbone.model, config.backbone.weights)
    network.eval()

    def own(step: int) -> None:
        x = batches.batch(step).query.inputs["x"][0]
        passed(network, x[:, : int((x >= 0).sum(1).max())])

    return {"encoder, forward and backward": own, **works}, batches.per_epoch


def passed(network: nn.Module, ids: torch.Tensor) -> None:
    network.zero_grad(set_to_none=True)
    found = network(input_ids=ids.clamp(min=0), attention_mask=(ids >= 0).long())
    found.last_hidden_state.square().mean().backward()


if __name__ == "__main__":
    main()
