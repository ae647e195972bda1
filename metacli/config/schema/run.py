"""trainer, device, report and run: what has no choice of components."""

from typing import Annotated, Literal

from pydantic import Field

from metacli.config.schema.values import Amount, Chunk, Count, Folder, Natural, Node, Number, Threads


class Trainer(Node):
    steps: Count
    meta_batch: Count
    chunk: Chunk
    val_every: Count
    log_every: Count
    patience: Natural
    clip: Amount


class Device(Node):
    name: Annotated[
        str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, mps, cuda or cuda:N")
    ]
    threads: Threads
    workers: Threads
    processes: Annotated[int, Field(ge=1, le=1024), Number] = 1
    precision: Literal["fp32", "bf16"] = "fp32"


class Report(Node):
    split: Literal["test", "val"]


class Run(Node):
    root: Annotated[str, Field(min_length=1)]
    name: Annotated[
        str, Field(pattern=r"^\w[\w.=,+-]*$", description="a folder name: letters, digits and _.=,+-")
    ]
    init_from: Folder | None
