"""Abstract transitions, counted by hand; and the best sequence of tags, against every sequence there is."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from metacli.heads.transitions import FLOOR, AbstractTransitions, B, I, O, best_through


def counted(sentences):
    """sentences: kinds and types, say 'O I1 I1 I2'."""
    types, kinds, first = [], [], []
    for sentence in sentences:
        for place, word in enumerate(sentence.split()):
            kinds.append({"O": O, "B": B, "I": I}[word[0]])
            types.append(int(word[1:] or -1))
            first.append(place == 0)
    transitions = AbstractTransitions()
    transitions.measure(*(np.array(column) for column in (types, kinds, first)))
    return transitions


def test_io_transitions_are_shared_by_the_types_that_they_may_lead_to():
    """START: O, I, O. From O: O, I, I of 3. From I: same, other, O, O of 4; the end is none."""
    table = counted(["O O I1 I1 O", "I1 I2 O", "O I2"]).log_probabilities(3, 1, 1.0).exp()
    assert table[0].tolist() == pytest.approx([2 / 3, 1 / 9, 1 / 9, 1 / 9])
    assert table[1].tolist() == pytest.approx([1 / 3, 2 / 9, 2 / 9, 2 / 9])
    assert table[2].tolist() == pytest.approx([2 / 4, 1 / 4, 1 / 8, 1 / 8])
    assert table[4].tolist() == pytest.approx([2 / 4, 1 / 8, 1 / 8, 1 / 4])


def test_the_power_makes_transitions_say_less_and_what_never_was_keeps_a_floor():
    transitions = counted(["O O O I1", "O I1 O"])
    table = transitions.log_probabilities(2, 1, 0.5).exp()
    assert table[1].tolist() == pytest.approx(
        [0.5**0.5 / (0.5**0.5 + 2 * 0.25**0.5)] + [0.25**0.5 / (0.5**0.5 + 1)] * 2
    )
    assert table[2].tolist() == pytest.approx([1, FLOOR, FLOOR])


def test_bio_transitions_tell_a_beginning_from_what_goes_on():
    table = counted(["O B1 I1 I1 O", "B1 B2 I2"]).log_probabilities(2, 2, 1.0).exp()
    # O, B and I of one type, B and I of another; from a B: same I twice, other B once
    assert table[2].tolist() == pytest.approx([FLOOR, FLOOR, 2 / 3, 1 / 3, FLOOR])
    # from an I: same I and O
    assert table[3].tolist() == pytest.approx([1 / 2, FLOOR, 1 / 2, FLOOR, FLOOR])


def test_one_type_has_no_other():
    table = counted(["O I1 I2 I1 O"]).log_probabilities(1, 1, 1.0)
    assert table.shape == (3, 2)
    assert table.isfinite().all()


def test_the_best_sequence_through_every_tag_is_that_of_all_sequences():
    random = torch.Generator().manual_seed(0)
    emissions = torch.randn(2, 2, 4, 3, generator=random, dtype=torch.float64)
    transitions = torch.randn(4, 3, generator=random, dtype=torch.float64)
    words = torch.ones(2, 2, 4, dtype=torch.bool)
    words[0, 1, 2:] = False  # padding
    words[1, 0, 1] = False  # a word that was lost
    found = best_through(emissions, transitions, words)
    for task, number in product(range(2), range(2)):
        places = words[task, number].nonzero().flatten().tolist()
        best = torch.full((4, 3), -torch.inf, dtype=torch.float64)
        for tags in product(range(3), repeat=len(places)):
            score = transitions[0, tags[0]]
            score = score + sum(emissions[task, number, p, tag] for p, tag in zip(places, tags, strict=True))
            score = score + sum(transitions[1 + a, b] for a, b in pairwise(tags))
            for place, tag in zip(places, tags, strict=True):
                best[place, tag] = torch.maximum(best[place, tag], score)
        torch.testing.assert_close(found[task, number][places], best[places])
