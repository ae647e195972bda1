"""CLINC150: what users ask an assistant, 150 intents of 150 sentences, with queries that are of no intent kept aside.

Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction", EMNLP 2019 (CC BY 3.0).

    metacli train dataset=clinc150 backbone=minilm paradigm=nearest_centroid
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from metacli.data.table import SPLITS, Description, split_classes
from metacli.data.texts import Texts, described, texts_table
from metacli.errors import UserError


class Clinc150:
    """`split_by`: "class" draws `split_sizes` intents by `split_seed`, each with the sentences of all published parts;
    "item" takes the published train, val and test sentences, of the same 150 intents."""

    def __init__(
        self,
        *,
        root: str,
        version: Literal["full", "small", "imbalanced"],
        split_by: Literal["class", "item"],
        split_sizes: Sequence[float],
        split_seed: int,
    ) -> None:
        self.root = root
        self.version = version
        self.split_by = split_by
        self.split_sizes = split_sizes
        self.split_seed = split_seed

    def describe(self) -> Description:
        return described(self._table)

    def build(self) -> Texts:
        return self._table

    @cached_property
    def _table(self) -> Texts:
        import numpy as np

        parts = self._read()
        texts: list[str] = []
        names: list[str | None] = []
        places: dict[str, np.ndarray] = {}
        for place in (*SPLITS, *(f"oos_{split}" for split in SPLITS)):
            start = len(texts)
            texts += [text for text, _ in parts[place]]
            names += [None if place.startswith("oos_") else name for _, name in parts[place]]
            places[place] = np.arange(start, len(texts))
        classes = sorted({name for name in names if name is not None})
        ids: dict[str | None, int] = {name: number for number, name in enumerate(classes)} | {None: -1}
        everything = np.arange(len(classes))
        by_item = self.split_by == "item"
        return texts_table(
            texts,
            [ids[name] for name in names],
            classes,
            dict.fromkeys(SPLITS, everything)
            if by_item
            else split_classes(classes, self.split_sizes, self.split_seed),
            {split: places[split] for split in SPLITS} if by_item else {},
            outside={split: places[f"oos_{split}"] for split in SPLITS},
        )

    def _read(self) -> dict[str, Any]:
        file = Path(self.root) / f"data_{self.version}.json"
        try:
            found = json.loads(file.read_bytes())
            return {place: [(str(text), str(name)) for text, name in rows] for place, rows in found.items()}
        except OSError:
            raise UserError(
                f"dataset.root={self.root}: no data_{self.version}.json there",
                "fetch the folder data/ of github.com/clinc/oos-eval and name it: dataset.root=DIR",
            ) from None
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"dataset.root={file}: damaged: {error}", "fetch it again") from error
