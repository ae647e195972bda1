"""Texts with classes, and episodes of them: tokenised once, as one integer tensor, an episode is an index gather.

A data set holds texts; which tokens they are is the backbone's to say. `tokenised` joins the two, before episodes are
drawn. Padding is −1, which no vocabulary has.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from metacli.data.table import SPLITS, Description, Labelled, leaked
from metacli.errors import UserError
from metacli.files import cache_folder, digest, load_arrays, save_arrays

if TYPE_CHECKING:  # a mistake in a config is answered sooner without it
    import numpy as np


class Tokens(NamedTuple):
    """ids [R, L] int32, −1 after the last token of a text · cut: of so many texts only the beginning is there."""

    ids: "np.ndarray"
    cut: int


class Tokenizer(Protocol):
    """What a backbone for text brings. fingerprint: changes with anything that changes a token."""

    fingerprint: str
    max_length: int

    def texts(self, texts: Sequence[str]) -> Tokens:
        """With the model's special tokens; at most `max_length` of them."""


@dataclass(frozen=True, kw_only=True)
class Texts(Labelled):
    """A labelled set of texts in memory, which are the names of its items. tokens [R, L]: none before `tokenised`."""

    tokens: "np.ndarray"
    form: ClassVar = "text"

    @property
    def shape(self) -> tuple[int]:
        """Of one item as a learner gets it, [L]."""
        return (self.tokens.shape[1],)

    @property
    def counts(self) -> dict[str, Any]:
        kept = super().counts
        return {"texts": kept.pop("items"), **kept}

    def tokenised(self, tokenizer: Tokenizer) -> "Texts":
        """With tokens, from the cache where they are there."""
        tokens = _tokens(self.items, tokenizer)
        notes = self.notes
        if tokens.cut:
            notes += (
                f"texts longer than {tokenizer.max_length} tokens, of which only the beginning is read: {tokens.cut}"
                f" of {len(self.items)} (backbone.max_length)",
            )
        return replace(self, tokens=tokens.ids, notes=notes)


def texts_table(
    texts: Sequence[str],
    labels: Sequence[int],
    classes: Sequence[str],
    splits: Mapping[str, "np.ndarray"],
    parts: Mapping[str, "np.ndarray"],
    notes: tuple[str, ...] = (),
    outside: Mapping[str, "np.ndarray"] | None = None,
) -> Texts:
    """Not tokenised yet; see `Texts`."""
    import numpy as np

    return Texts(
        items=tuple(texts),
        labels=np.asarray(labels, np.int64),
        classes=tuple(classes),
        splits=splits,
        parts=parts,
        notes=notes + _twins(texts, labels, classes) + leaked("texts", texts, parts),
        outside=outside or {},
        tokens=np.empty((len(texts), 0), np.int32),
    )


def described(table: Texts) -> Description:
    """What building has counted, where it takes no longer than reading."""
    splits = {}
    for split in SPLITS:
        counts = Counter(table.labels[table.rows(split)].tolist())
        splits[split] = {table.classes[c]: counts[c] for c in table.splits[split].tolist()}
    return Description(shape=(), splits=splits, outside=bool(table.outside))


def _tokens(texts: Sequence[str], tokenizer: Tokenizer) -> Tokens:
    key = digest("\n".join(texts).encode(), tokenizer.fingerprint.encode())
    path = cache_folder() / f"tokens-{key}.safetensors"
    found = load_arrays(path)
    if found is not None:
        arrays, about = found
        return Tokens(arrays["ids"], int(about["cut"]))
    tokens = tokenizer.texts(texts)
    with contextlib.suppress(UserError):  # where the cache cannot be written they are not kept
        save_arrays(path, {"ids": tokens.ids}, {"cut": str(tokens.cut)})
    return tokens


def _twins(texts: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> tuple[str, ...]:
    """A note on texts that stand in two classes: no answer to them can be right."""
    first: dict[str, int] = {}
    pairs = [
        (row, first[text])
        for row, text in enumerate(texts)
        if labels[first.setdefault(text, row)] != labels[row] and min(labels[row], labels[first[text]]) >= 0
    ]
    if not pairs:
        return ()
    row, twin = pairs[0]
    one, other = classes[labels[twin]], classes[labels[row]]
    return (f'texts that stand in two classes: {len(pairs)}, the first "{texts[row]}" in {one} and {other}',)
