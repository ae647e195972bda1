"""Your own texts: a CSV, TSV or JSONL file, a folder with one folder a class, or a data set of the Hugging Face hub.

metacli train dataset=text dataset.root=tickets.csv dataset.columns.label=topic backbone=minilm
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metacli.data.class_split import split_of_json
from metacli.data.photos import few
from metacli.data.table import SPLITS, Description, split_classes, split_items
from metacli.data.text_files import Columns, Line, existing, texts_of_file, texts_of_folders, texts_of_hub
from metacli.data.texts import Texts, described, texts_table
from metacli.errors import UserError

if TYPE_CHECKING:  # a mistake in a config is answered sooner without it
    import numpy as np


class TextFiles:
    """`root` or `hub` says where they are; `columns_…` which columns hold text, label and split.

    `split_by`: with "class" no class is in two splits, with "item" all splits have all classes and other texts.
    `split`: "seeded" draws by `split_seed` so many classes, or such shares of each class, as `split_sizes` says; "own"
    is what the column, the top folder or the hub says; anything else is a JSON file of classes, as for images.
    Classes of fewer than `min_texts` texts are left out.
    """

    def __init__(
        self,
        *,
        root: str,
        hub: str | None,
        columns_text: str,
        columns_label: str,
        columns_split: str,
        encoding: str,
        split_by: Literal["class", "item"],
        split: str,
        split_sizes: Sequence[float],
        split_seed: int,
        min_texts: int,
    ) -> None:
        self.root = root
        self.hub = hub
        self.columns = Columns(columns_text, columns_label, columns_split)
        self.encoding = encoding
        self.split_by = split_by
        self.split = split
        self.split_sizes = split_sizes
        self.split_seed = split_seed
        self.min_texts = min_texts

    def describe(self) -> Description:
        """Raises UserError where the texts or the split are missing or do not fit together."""
        return described(self._table)

    def build(self) -> Texts:
        return self._table

    @cached_property
    def _table(self) -> Texts:
        import numpy as np

        lines = self._lines()
        counts = Counter(line.label for line in lines)
        small = sorted(label for label, count in counts.items() if count < self.min_texts)
        classes = sorted(counts.keys() - set(small))
        if len(classes) < 2:
            raise UserError(
                f"{self._where}: {len(classes)} classes with dataset.min_texts={self.min_texts} texts",
                "give texts of more classes, or lower dataset.min_texts",
            )
        kept = [line for line in lines if line.label in set(classes)]
        ids = {name: number for number, name in enumerate(classes)}
        labels = np.array([ids[line.label] for line in kept], np.int64)
        splits, parts = self._splits(kept, labels, classes, small)
        notes = (
            (f"classes with fewer than {self.min_texts} texts are left out: {few(small)}",) if small else ()
        )
        return texts_table([line.text for line in kept], labels.tolist(), classes, splits, parts, notes)

    @property
    def _where(self) -> str:
        return f"dataset.hub={self.hub}" if self.hub else f"dataset.root={self.root}"

    def _lines(self) -> list[Line]:
        if bool(self.hub) == bool(self.root):
            raise UserError(
                "dataset.root and dataset.hub are both set" if self.hub else "dataset.root is not set",
                "give dataset.root=texts.csv (or .tsv, .jsonl, a folder), or dataset.hub=NAME, one of them",
            )
        if self.hub:
            return texts_of_hub(self.hub, self.columns)
        path = existing(self.root)
        if path.is_dir():
            return texts_of_folders(path, self.encoding)
        return texts_of_file(path, self.columns, self.encoding)

    def _splits(
        self, lines: Sequence[Line], labels: "np.ndarray", classes: Sequence[str], small: Sequence[str]
    ) -> tuple[dict[str, "np.ndarray"], dict[str, "np.ndarray"]]:
        """Classes of each split, and where they share classes its rows."""
        import numpy as np

        if self.split == "own":
            self._require_split(lines)
        own = {
            split: np.array([row for row, line in enumerate(lines) if line.split == split], np.int64)
            for split in SPLITS
        }
        if self.split_by == "item":
            if self.split not in ("seeded", "own"):
                raise UserError(
                    f"dataset.split={self.split}: a list of classes cannot split the texts of a class",
                    "dataset.split=seeded or own, or dataset.split_by=class",
                )
            rows = own if self.split == "own" else split_items(labels, self.split_sizes, self.split_seed)
            return {split: np.unique(labels[rows[split]]) for split in SPLITS}, rows
        if self.split == "seeded":
            return split_classes(classes, self.split_sizes, self.split_seed), {}
        if self.split == "own":
            members = {split: np.unique(labels[own[split]]) for split in SPLITS}
            self._require_disjoint(members, classes)
            return members, {}
        listed = split_of_json(Path(self.split), [*classes, *small])
        return {
            split: np.array([i for i, name in enumerate(classes) if listed[name] == split], np.int64)
            for split in SPLITS
        }, {}

    def _require_split(self, lines: Sequence[Line]) -> None:
        for line in lines:
            if not line.split:
                raise UserError(
                    f"dataset.split=own: {line.where} is in none of train, val and test",
                    f"write them into the column {self.columns.split}, or set dataset.split=seeded",
                )

    def _require_disjoint(self, members: dict[str, "np.ndarray"], classes: Sequence[str]) -> None:
        first: dict[int, str] = {}
        for split, ids in members.items():
            for c in ids.tolist():
                if first.setdefault(c, split) != split:
                    raise UserError(
                        f"dataset.split=own: class {classes[c]} is in both {first[c]} and {split}",
                        "keep the classes of the splits apart; dataset.split_by=item lets splits share them",
                    )
