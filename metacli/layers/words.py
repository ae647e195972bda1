"""States of words, out of those of their tokens: a word has that of its first one."""

from torch import Tensor, nn

from metacli.episode import Inputs


def word_states(backbone: nn.Module, inputs: Inputs) -> Tensor:
    """[T, N, L, H], zeros for what is no word or has no token.

    inputs: `x` [T, P, S] tokens of the pieces of each task's sentences, −1 = padding, and `places` [T, N, L] of the
    words' first tokens among the P·S of a task, −1 = none; or `states` that were computed before, which are returned.
    """
    if "states" in inputs:
        return inputs["states"]
    ids, places = inputs["x"], inputs["places"]
    real = (ids >= 0).any(2)  # [T, P]
    found: Tensor = backbone.network.states(ids[real])  # type: ignore[operator, union-attr]
    states = found.new_zeros(*ids.shape, found.shape[-1])
    states[real] = found
    flat = states.flatten(1, 2)
    index = places.clamp(min=0).flatten(1).unsqueeze(-1).expand(-1, -1, flat.shape[-1])
    chosen = flat.gather(1, index).unflatten(1, places.shape[1:])
    return chosen * (places >= 0).unsqueeze(-1)
