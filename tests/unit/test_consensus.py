"""Consensus: the caption that agrees most with all likely ones, against agreement of every two computed at length."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.util import ngrams
from transition_decoder import TransitionDecoder, random_tables, rules

from captioner.config import SamplingConfig
from captioner.sampling import Hypothesis, sample
from captioner.sampling.consensus import most_agreed_first

captions = st.lists(st.integers(4, 9), max_size=8).map(tuple)
searches = st.lists(
    st.builds(Hypothesis, captions, st.floats(-40, -0.1), st.booleans()),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.words,
)


def cosine(one: tuple[int, ...], other: tuple[int, ...], size: int) -> float:
    counted = [list(ngrams(words, size)) for words in (one, other)]
    kinds = sorted({*counted[0], *counted[1]})
    a, b = (np.array([grams.count(kind) for kind in kinds], float) for grams in counted)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) if all(map(len, counted)) else 0.0


def agreement(one: Hypothesis, several: list[Hypothesis]) -> float:
    """With every caption in turn, each by its probability to the power of 0.3."""
    similar = [sum(cosine(one.words, other.words, size) for size in (1, 2, 3, 4)) / 4 for other in several]
    return sum(math.exp(0.3 * other.log_prob) * value for other, value in zip(several, similar, strict=True))


@given(searches)
def test_it_is_the_sum_of_the_agreements_with_each(several: list[Hypothesis]) -> None:
    ordered = most_agreed_first(several)
    assert sorted(ordered, key=several.index) == several
    total = sum(math.exp(0.3 * one.log_prob) for one in several)
    values = [agreement(one, several) / total for one in ordered]
    assert all(earlier >= later - 1e-9 for earlier, later in pairwise(values))
    assert most_agreed_first(several[::-1]) == ordered or min(-np.diff(values)) < 1e-9


def test_two_that_say_nearly_the_same_outvote_a_likelier_one() -> None:
    odd = Hypothesis((4, 5, 6, 7, 8), -9.0, True)
    alike = [Hypothesis((10, 11, 12, 13, 14), -9.5, True), Hypothesis((10, 11, 12, 13, 15), -9.6, True)]
    assert most_agreed_first([odd, *alike])[0] == alike[0]
    sure = Hypothesis(odd.words, -1.0, True)
    assert most_agreed_first([sure, *alike])[0] == sure


@pytest.mark.parametrize("number", [1, 3])
def test_sampling_by_it_orders_what_a_beam_finds(number: int) -> None:
    tables = random_tables(12, 9, seed=1)
    settings = {"beam_size": 6, "max_length": 8}
    beams = sample(TransitionDecoder(), tables, rules(8), SamplingConfig(**settings), captions=6)
    config = SamplingConfig(method="consensus", **settings)
    found = sample(TransitionDecoder(), tables, rules(8), config, captions=number)
    assert found == [most_agreed_first(several)[:number] for several in beams]
    assert any(several[0] != chosen[0] for several, chosen in zip(beams, found, strict=True))
