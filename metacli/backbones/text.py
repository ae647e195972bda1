"""A pretrained encoder of texts: any of the Hugging Face hub, or of a folder, with a fast tokenizer.

Its last states are averaged over the tokens of a text (Reimers & Gurevych, "Sentence-BERT", EMNLP 2019), or taken at
the first one. Texts of similar length go through it together, so that little padding is computed.

    metacli train dataset=clinc150 backbone=minilm paradigm=nearest_centroid
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.errors import UserError
from metacli.layers.plain import Plain, add_low_rank
from metacli.layers.rounded import Rounded
from metacli.layers.tokens import placed
from metacli.pretrained.huggingface import encoder

Pooling = Literal["mean", "cls"]

TOGETHER = 16  # texts in one pass of the network


def text_encoder(*, model: str, weights: str, pooling: Pooling, max_length: int, lora: int) -> Plain:
    """x [T, N, L] int64, the ids of tokens, −1 = padding, or displaced (layers/tokens.py) -> [T, N, D]. lora: rank, 0
    for none."""
    network, _ = encoder(model, weights)
    config: Any = network.config
    most = getattr(config, "max_position_embeddings", max_length)
    if max_length > most:
        raise UserError(
            f"backbone.max_length={max_length}: {model} takes at most {most} tokens",
            f"backbone.max_length={most}",
        )
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # type: ignore[assignment]
    if lora:
        add_low_rank(network, lora)
    words: Any = network.get_input_embeddings()  # type: ignore[operator]
    return Plain(Pooled(network, pooling), features=config.hidden_size, words=words.embedding_dim)


class Pooled(Rounded):
    """x [N, L] ids, −1 = padding, or displaced -> [N, D]"""

    def __init__(self, network: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.network = network
        self.pooling = pooling

    def extra_repr(self) -> str:
        return f"pooling={self.pooling}{self.said()}"

    def forward(self, x: Tensor) -> Tensor:
        lengths = (placed(x)[0] >= 0).sum(1)
        order = lengths.argsort(stable=True)
        parts = [self._pooled(x[part, : int(lengths[part[-1]])]) for part in order.split(TOGETHER)]
        return torch.cat(parts)[order.argsort()]

    def states(self, ids: Tensor) -> Tensor:
        """Of every token, before pooling: [N, L] -> [N, L, D]; zeros at padding that no text of them reaches."""
        length = int((ids >= 0).sum(1).max())
        return F.pad(self._states(ids[:, :length]), (0, 0, 0, ids.shape[1] - length))

    def _states(self, x: Tensor) -> Tensor:
        ids, by = placed(x)
        tokens = {"input_ids": ids.clamp(min=0)}
        if by is not None:
            tokens = {"inputs_embeds": self.network.get_input_embeddings()(ids.clamp(min=0)) + by}  # type: ignore[operator]
        with self.rounding(ids):
            found = self.network(**tokens, attention_mask=(ids >= 0).long())
        return self.exact(found.last_hidden_state)

    def _pooled(self, x: Tensor) -> Tensor:
        states, (ids, _) = self._states(x), placed(x)
        if self.pooling == "cls":
            return states[:, 0]
        counted = (ids >= 0).unsqueeze(2).to(states.dtype)
        return (states * counted).sum(1) / counted.sum(1)
