"""Tags of words by what the words of a support set are: class means, and nearest words.

States of words are [T, N, L, H], and flat [T, M, H] for the M = N·L words of a task. A tag that no word of the support
set has (I-TYPE, where every entity is of one word) cannot be answered: its logit is ABSENT.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State
from metacli.heads.centroid import negative_squared_distance
from metacli.layers.words import word_states
from metacli.objectives import ABSENT


def tag_counts(support: Examples, tags: int, dtype: torch.dtype) -> Tensor:
    """[T, M, K] one-hot; zeros where a word does not count."""
    labels, counted = (part.flatten(1) for part in (support.labels, support.mask))
    return F.one_hot(labels.clamp(min=0), tags).to(dtype) * counted.unsqueeze(-1)


def tag_means(states: Tensor, support: Examples, tags: int) -> tuple[Tensor, Tensor]:
    """The mean state of each tag's words [T, K, H], zeros without any, and which tags have some [T, K]."""
    labels = tag_counts(support, tags, states.dtype)
    counts = labels.sum(1)  # [T, K]
    return labels.transpose(1, 2) @ states.flatten(1, 2) / counts.clamp(min=1).unsqueeze(-1), counts > 0


def nearest_words(states: Tensor, known: Tensor, labels: Tensor) -> Tensor:
    """−min over a tag's words of ‖h − h_i‖². [T, M, H], known [T, S, H], their one-hot labels [T, S, K] -> [T, M, K]"""
    return nearest_of_tags(negative_squared_distance(states, known), labels)


def nearest_of_tags(near: Tensor, labels: Tensor) -> Tensor:
    """The largest of each tag. near [T, M, S], one-hot labels [T, S, K] -> [T, M, K]"""
    scores = [
        near.masked_fill(labels[:, None, :, tag] == 0, ABSENT).amax(2) for tag in range(labels.shape[2])
    ]
    return torch.stack(scores, 2)


def nearest_answers(backbone: nn.Module, support: Examples, tags: int, *, normalise: bool) -> Predictor:
    """State: `words` [T, S, H] of the support set, and their tags `labels` [T, S, K]."""

    def states_of(inputs: Inputs) -> Tensor:
        states = word_states(backbone, inputs)  # [T, N, L, H]
        return F.normalize(states, dim=-1) if normalise else states

    def answer(state: State, inputs: Inputs) -> Tensor:
        states = states_of(inputs)
        found = nearest_words(states.flatten(1, 2), state["words"], state["labels"])
        return found.unflatten(1, states.shape[1:3])

    words = states_of(support.inputs).flatten(1, 2)
    return Predictor(answer, {"words": words, "labels": tag_counts(support, tags, words.dtype)})
