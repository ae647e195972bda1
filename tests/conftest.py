"""What many tests share: the devices of this machine, a small data set made of numbers, and one made of photographs."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metacli.data.table import Table

torch.set_num_threads(1)  # the tensors of the tests are tiny
os.fsync = lambda handle: (
    None
)  # tests end processes, not machines: none need wait until a disk holds what it is given
# Workers of a parallel run set a width; here a terminal has that which a test gives it.
os.environ.pop("COLUMNS", None)

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


def make_table() -> Table:
    """15 classes x 20 images [8, 8, 1]; splits of 9, 3 and 3 classes; rows in no order.

    A class is a pattern of 4 x 4 cells, drawn faintly. Within each cell of 2 x 2 pixels lies strong noise that
    sums to nothing: raw pixels do little better than chance, and to average cells can be learned.
    """
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat(np.arange(15), 20))
    cells = random.choice([-1.0, 1.0], size=(15, 4, 4))[labels] + 0.3 * random.normal(size=(300, 4, 4))
    noise = random.normal(size=(300, 4, 2, 4, 2))
    noise -= noise.mean((2, 4), keepdims=True)
    values = 128 + 10 * cells[:, :, None, :, None] + 35 * noise
    ids = random.permutation(15)
    return Table(
        images=values.clip(0, 255).astype(np.uint8).reshape(-1, 8, 8, 1),
        labels=labels,
        classes=tuple(f"class {c:02d}" for c in range(15)),
        items=tuple(f"images/{row:03d}.png" for row in range(300)),
        splits={"train": np.sort(ids[:9]), "val": np.sort(ids[9:12]), "test": np.sort(ids[12:])},
    )


@pytest.fixture
def table() -> Table:
    return make_table()


@pytest.fixture(scope="session")
def photographs() -> Callable[..., Path]:
    """Make folders of images: `root`/class_00/00.png ..., [10, 10] gray."""

    def make(root: Path, classes: int, each: int = 8) -> Path:
        random = np.random.default_rng(0)
        for label in range(classes):
            pattern = random.integers(0, 256, (10, 10))
            folder = root / f"class_{label:02d}"
            folder.mkdir(parents=True)
            for number in range(each):
                pixels = np.clip(pattern + random.normal(0, 40, (10, 10)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        return root

    return make


@pytest.fixture(scope="session")
def photos(photographs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """15 classes x 8 images."""
    return photographs(tmp_path_factory.mktemp("photos"), 15)


@pytest.fixture(scope="session")
def settings(photos: Path) -> list[str]:
    """Overrides for a run of seconds on `photos`, five classes a split."""
    return [
        "dataset=imagefolder",
        f"dataset.root={photos}",
        "dataset.size=10",
        "dataset.mode=gray",
        "dataset.split_sizes=[5,5,5]",
        "backbone.width=8",
        "episode.train.queries=2",
        "episode.val={ways: 5, shots: 1, queries: 2, count: 6}",
        "episode.test={ways: 5, shots: 1, queries: 2, count: 12}",
        "trainer={steps: 40, meta_batch: 4, chunk: 4, val_every: 10, log_every: 7}",
        "device.threads=1",
    ]


WORDS = [f"word{number}" for number in range(60)]


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers without weights, and its tokenizer, which knows `WORDS` and parts of words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "un", "##known", "##s"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=50)  # as some models have it
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 40,
    }
    (folder / "config.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 15 classes x 8 texts: each has three of four words of its class, and up to four of any."""
    random = np.random.default_rng(0)
    lines = ["text,label"]
    for label in range(15):
        for _ in range(8):
            own = random.choice(WORDS[4 * label : 4 * label + 4], 3, replace=False)
            lines.append(" ".join([*own, *random.choice(WORDS, random.integers(5))]) + f",class {label:02d}")
    file: Path = tmp_path_factory.mktemp("texts") / "sentences.csv"
    file.write_text("\n".join(lines) + "\n")
    return file
