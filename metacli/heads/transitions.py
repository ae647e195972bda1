"""Abstract transitions between tags, which know of no type, and the most likely tags of a sentence under them.

Yang & Katiyar, "Simple and Effective Few-Shot Named Entity Recognition with Structured Nearest Neighbor Learning",
EMNLP 2020, §3.2. Their tags are O and I; that B is one more kind is ours.
"""

import numpy as np
import torch
from torch import Tensor, nn

from metacli.episode import Inputs, Predictor, State

O, B, I, START = range(4)  # noqa: E741
FLOOR = 1e-6


class AbstractTransitions(nn.Module):
    """Buffer `counts` [4, 2, 4]: of words of each kind after words of each kind; beside it whether the types differ.

    counts[before, same, after]: `before` O, B, I or START; `same` 1 where both are of one type, which O never is.
    Zeros until they are measured, on sentences of meta-train.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Tensor
        self.register_buffer("counts", torch.zeros(4, 2, 4))

    def measure(self, types: np.ndarray, kinds: np.ndarray, first: np.ndarray) -> None:
        """Of the words of all sentences one after another, each [M]: types, −1 outside of entities · O, B or I ·
        whether a sentence begins at it."""
        before = np.where(first, START, np.roll(kinds, 1))
        same = (types == np.roll(types, 1)) & ~first & (types >= 0)
        found = np.bincount((before * 2 + same) * 4 + kinds, minlength=self.counts.numel())
        self.counts.copy_(torch.from_numpy(found).view(self.counts.shape))

    def log_probabilities(self, ways: int, per_class: int, temperature: float) -> Tensor:
        """[1 + K, K] from START and each tag to each tag of an episode; see `Examples` for their order.

        p(kind | kind) is shared by the types that it may be of, raised to the power `temperature` and made to sum to 1.
        """
        counts = self.counts.double().cpu()
        rates = counts / counts.sum((1, 2), keepdim=True).clamp(min=1)
        kinds = [O, *([I] if per_class == 1 else [B, I]) * ways]
        types = [-1, *(way for way in range(ways) for _ in range(per_class))]
        table = torch.empty(1 + len(kinds), len(kinds), dtype=torch.float64)
        for row, (before, own) in enumerate(zip([START, *kinds], [-1, *types], strict=True)):
            for column, (after, other) in enumerate(zip(kinds, types, strict=True)):
                same = own == other and own >= 0
                among = 1 if after == O or same else ways if own < 0 else ways - 1
                table[row, column] = rates[before, int(same), after] / among
        table = table**temperature
        table = table / table.sum(1, keepdim=True).clamp(min=FLOOR)
        return table.clamp(min=FLOOR).log()


def most_likely(found: Predictor, transitions: Tensor) -> Predictor:
    """What `found` scores by word, by sequence: an output is the score of the best one through that word and tag, so
    that the largest outputs are Viterbi's tags. transitions [1 + K, K]: see `log_probabilities`."""
    state = found.state
    like = next(iter(state.values()))
    known = transitions.to(like).expand(len(like), -1, -1)

    def answer(state: State, inputs: Inputs) -> Tensor:
        emissions = found.function(state, inputs).log_softmax(-1)
        return best_through(emissions, state["transitions"][0], inputs["words"])

    return Predictor(answer, state | {"transitions": known})


def best_through(emissions: Tensor, transitions: Tensor, words: Tensor) -> Tensor:
    """The score of the best sequence of tags that has this tag at this word, for every word and tag.

    Its largest entries are the tags that Viterbi's algorithm finds. emissions [T, N, L, K] log-probabilities ·
    transitions [1 + K, K], of which the first is from START · words [T, N, L] bool: others are passed over.
    """
    first, between = transitions[0], transitions[1:]
    length = emissions.shape[2]
    ahead, score, begun = [], torch.zeros_like(emissions[:, :, 0]), torch.zeros_like(words[:, :, 0])
    for place in range(length):
        arrived = torch.where(begun[..., None], (score[..., None] + between).amax(-2), first)
        here = words[:, :, place, None]
        score = torch.where(here, arrived + emissions[:, :, place], score)
        begun = begun | words[:, :, place]
        ahead.append(score)
    behind, rest = [], torch.zeros_like(emissions[:, :, 0])
    for place in reversed(range(length)):
        behind.append(rest)
        onward = (between + (emissions[:, :, place] + rest)[..., None, :]).amax(-1)
        rest = torch.where(words[:, :, place, None], onward, rest)
    return torch.stack(ahead, 2) + torch.stack(behind[::-1], 2)
