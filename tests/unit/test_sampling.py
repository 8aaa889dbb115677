"""Greedy and beam search find what an exhaustive search finds, one picture at a time or all at once."""

import itertools

import pytest
import torch
from torch import Tensor
from transition_decoder import END, PAD, START, UNKNOWN, TransitionDecoder, random_tables, rules, scores_after

from captioner.config import SamplingConfig
from captioner.sampling import Hypothesis, sample
from captioner.sampling.beam import beam_search
from captioner.sampling.sampler import greedy


def searched(tables: Tensor, beam: int, longest: int, penalty: float = 1.0) -> list[list[Hypothesis]]:
    return beam_search(TransitionDecoder(), tables, rules(longest), beam_size=beam, length_penalty=penalty)


def walked(tables: Tensor, longest: int) -> list[Hypothesis]:
    return [one for (one,) in greedy(TransitionDecoder(), tables, rules(longest))]


def log_prob_of(table: Tensor, words: tuple[int, ...], finished: bool) -> float:
    sequence = (*words, END) if finished else words
    return float(sum(scores_after(table, sequence[:step])[word] for step, word in enumerate(sequence)))


def every_caption(table: Tensor, longest: int, penalty: float) -> list[tuple[float, tuple[int, ...], bool]]:
    """All captions of up to ``longest`` words with their rank value: ended ones, and those cut at ``longest``."""
    words = [word for word in range(table.shape[1]) if word not in (PAD, START, END, UNKNOWN)]
    found = []
    for length in range(longest + 1):
        for caption in itertools.product(words, repeat=length):
            if length < longest:
                found.append((log_prob_of(table, caption, True) / (length + 1) ** penalty, caption, True))
            else:
                found.append((log_prob_of(table, caption, False) / length**penalty, caption, False))
    return sorted(found, key=lambda entry: -entry[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_what_exhaustive_search_finds(seed: int, penalty: float) -> None:
    """With three words and captions of up to four, 121 beams drop nothing, and the search ends only with the length."""
    tables = random_tables(2, 7, seed=seed)
    for table, found in zip(tables, searched(tables, 121, 4, penalty), strict=True):
        wanted = every_caption(table, 4, penalty)
        assert len(found) == len(wanted) == 1 + 3 + 9 + 27 + 81
        values = {(words, finished): value for value, words, finished in wanted}
        ranked = [one.log_prob / (len(one.words) + one.finished) ** penalty for one in found]
        assert ranked == pytest.approx([value for value, _, _ in wanted], abs=1e-5)
        assert ranked == pytest.approx([values.pop((one.words, one.finished)) for one in found], abs=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    tables = random_tables(9, 11, seed=seed)
    for longest in (1, 3, 8):
        by_beam = [several[0] for several in searched(tables, 1, longest)]
        by_greed = walked(tables, longest)
        assert [(one.words, one.finished) for one in by_beam] == [(one.words, one.finished) for one in by_greed]
        assert [one.log_prob for one in by_beam] == pytest.approx([one.log_prob for one in by_greed], abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_all_pictures_at_once_is_each_alone(seed: int, beam: int) -> None:
    tables = random_tables(8, 12, seed=seed, end_bonus=1.0)
    together = searched(tables, beam, 10)
    for number, several in enumerate(together):
        (alone,) = searched(tables[number : number + 1], beam, 10)
        assert [one.words for one in several] == [one.words for one in alone]
        assert [one.log_prob for one in several] == pytest.approx([one.log_prob for one in alone], abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_greedy_at_once_is_each_alone(seed: int) -> None:
    tables = random_tables(8, 12, seed=seed, end_bonus=1.0)
    together = walked(tables, 10)
    alone = [walked(table.unsqueeze(0), 10)[0] for table in tables]
    assert [one.words for one in together] == [one.words for one in alone]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beam", [1, 3, 6])
def test_log_prob_is_the_sum_over_the_words_and_the_end(seed: int, beam: int) -> None:
    tables = random_tables(5, 10, seed=seed)
    for table, several in zip(tables, searched(tables, beam, 7), strict=True):
        for one in several:
            assert one.log_prob == pytest.approx(log_prob_of(table, one.words, one.finished), abs=1e-4)
    for table, one in zip(tables, walked(tables, 7), strict=True):
        assert one.log_prob == pytest.approx(log_prob_of(table, one.words, one.finished), abs=1e-4)


def test_the_best_come_first_and_none_twice() -> None:
    for several in searched(random_tables(6, 10, seed=0), 5, 8, 0.7):
        assert 1 <= len(several) <= 5
        values = [one.log_prob / (len(one.words) + one.finished) ** 0.7 for one in several]
        assert values == sorted(values, reverse=True)
        assert len({one.words for one in several}) == len(several)


@pytest.mark.parametrize("beam", [1, 4])
def test_a_decoder_that_never_ends_still_gives_its_best(beam: int) -> None:
    tables = random_tables(3, 9, seed=1, end_bonus=-torch.inf)
    for table, several in zip(tables, searched(tables, beam, 6), strict=True):
        assert len(several) == beam
        for one in several:
            assert (len(one.words), one.finished) == (6, False)
            assert one.log_prob == pytest.approx(log_prob_of(table, one.words, False), abs=1e-4)
    assert [(len(one.words), one.finished) for one in walked(tables, 6)] == [(6, False)] * 3


@pytest.mark.parametrize("beam", [1, 4])
def test_a_decoder_that_ends_at_once_gives_empty_captions(beam: int) -> None:
    tables = random_tables(3, 9, seed=1, end_bonus=50.0)
    assert [several[0].words for several in searched(tables, beam, 6)] == [()] * 3
    assert [(one.words, one.finished) for one in walked(tables, 6)] == [((), True)] * 3


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_special_words_are_never_produced(method: str) -> None:
    tables = random_tables(6, 9, seed=2)
    tables[:, :, [PAD, START, UNKNOWN]] += 20.0  # Likeliest by far, and yet not allowed.
    config = SamplingConfig.model_validate({"method": method, "beam_size": 4, "max_length": 6})
    for several in sample(TransitionDecoder(), tables, rules(6), config):
        for one in several:
            assert not {PAD, START, END, UNKNOWN} & set(one.words)


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_no_caption_is_longer_than_allowed(longest: int) -> None:
    tables = random_tables(6, 9, seed=3, end_bonus=-1.0)
    for several in searched(tables, 4, longest):
        assert max(len(one.words) for one in several) <= longest
    assert max(len(one.words) for one in walked(tables, longest)) <= longest


def test_a_larger_penalty_of_length_favours_longer_captions() -> None:
    tables = random_tables(40, 9, seed=4)
    lengths = [
        sum(len(several[0].words) for several in searched(tables, 30, 5, penalty)) for penalty in (0.0, 1.0, 2.0)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


def test_a_beam_wider_than_the_vocabulary_works() -> None:
    several = searched(random_tables(2, 5, seed=5), 20, 3)  # One word beside the specials.
    assert [sorted(one.words for one in found) for found in several] == [[(), (4,), (4, 4), (4, 4, 4)]] * 2


def test_pictures_that_are_done_leave_the_search() -> None:
    tables = random_tables(6, 9, seed=6)
    tables[:4, :, END] += 50.0
    decoder = TransitionDecoder()
    greedy(decoder, tables, rules(5))
    assert decoder.images_seen[0] == 6
    assert max(decoder.images_seen[1:]) <= 2


def test_sample_follows_the_settings() -> None:
    tables = random_tables(3, 9, seed=7)
    by_greed = sample(TransitionDecoder(), tables, rules(5), SamplingConfig(method="greedy", max_length=5))
    assert by_greed == [[one] for one in walked(tables, 5)]
    settings = SamplingConfig(method="beam", beam_size=3, max_length=5, length_penalty=0.5)
    assert sample(TransitionDecoder(), tables, rules(5), settings, captions=3) == searched(tables, 3, 5, 0.5)


def test_the_same_search_gives_the_same_captions() -> None:
    tables = random_tables(4, 9, seed=8)
    assert searched(tables, 4, 6) == searched(tables, 4, 6)
