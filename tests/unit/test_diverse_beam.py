"""Diverse beam search, against a slow search of one picture with plain lists."""

import pytest
from torch import Tensor
from transition_decoder import END, PAD, START, UNKNOWN, TransitionDecoder, random_tables, rules, scores_after

from captioner.sampling import Hypothesis
from captioner.sampling.beam import beam_search

Beginning = tuple[float, tuple[int, ...]]


def searched(
    tables: Tensor, size: int, groups: int, strength: float, longest: int = 8, penalty: float = 1.0
) -> list[list[Hypothesis]]:
    return beam_search(
        TransitionDecoder(),
        tables,
        rules(longest),
        beam_size=size,
        groups=groups,
        diversity=strength,
        length_penalty=penalty,
    )


def slowly(
    table: Tensor, size: int, groups: int, strength: float, longest: int, penalty: float
) -> list[tuple[tuple[int, ...], float]]:
    """A. Vijayakumar et al., arXiv 1610.02424, algorithm 1, one beginning and one word at a time."""
    width = size // groups
    beams: list[list[Beginning]] = [[(0.0, ())] for _ in range(groups)]
    ended: list[list[tuple[float, tuple[int, ...], bool]]] = [[] for _ in range(groups)]
    for _ in range(longest):
        taken: list[int] = []
        for group in range(groups):
            if len(ended[group]) >= width:
                beams[group] = []
            candidates = []
            for total, words in beams[group]:
                scores = scores_after(table, words).tolist()
                for word in range(len(scores)):
                    if word not in (PAD, START, UNKNOWN):
                        after = total + scores[word]
                        candidates.append((after - strength * taken.count(word), after, (*words, word)))
            candidates.sort(key=lambda one: -one[0])
            for _, total, words in candidates[:width]:
                if words[-1] == END:
                    ended[group].append((total, words[:-1], True))
            beams[group] = [(total, words) for _, total, words in candidates if words[-1] != END][:width]
            taken += [words[-1] for _, words in beams[group]]
    found: dict[tuple[int, ...], tuple[float, float]] = {}
    for group in range(groups):
        if len(ended[group]) < width:
            ended[group] += [(total, words, False) for total, words in beams[group]]
        ranked = [(total / (len(words) + done) ** penalty, words, total) for total, words, done in ended[group]]
        for value, words, total in sorted(ranked, key=lambda one: -one[0])[:width]:
            found.setdefault(words, (value, total))
    order = sorted(found, key=lambda words: -found[words][0])
    return [(words, found[words][1]) for words in order]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("size", "groups"), [(3, 3), (4, 2), (6, 3), (6, 2), (5, 1)])
@pytest.mark.parametrize("strength", [0.0, 0.5, 3.0])
def test_it_finds_what_a_slow_search_finds(seed: int, size: int, groups: int, strength: float) -> None:
    tables = random_tables(4, 11, seed=seed, end_bonus=1.0)
    for penalty in (0.0, 1.0):
        for table, found in zip(tables, searched(tables, size, groups, strength, 6, penalty), strict=True):
            wanted = slowly(table, size, groups, strength, 6, penalty)
            assert [one.words for one in found] == [words for words, _ in wanted]
            assert [one.log_prob for one in found] == pytest.approx([total for _, total in wanted], abs=1e-4)


def test_without_strength_each_group_is_the_same_plain_beam() -> None:
    tables = random_tables(10, 12, seed=1)
    assert [[one.words for one in several] for several in searched(tables, 6, 3, 0.0)] == [
        [one.words for one in several] for several in searched(tables, 2, 1, 0.0)
    ]


def test_with_great_strength_no_two_groups_begin_alike() -> None:
    tables = random_tables(10, 12, seed=2, end_bonus=-30.0)
    for several in searched(tables, 4, 4, 100.0):
        assert len(several) == 4
        assert len({one.words[:1] for one in several}) == 4


def test_more_strength_gives_captions_that_share_fewer_words() -> None:
    tables = random_tables(60, 20, seed=3)
    different = [
        sum(len({word for one in several for word in one.words}) for several in searched(tables, 5, 5, strength))
        for strength in (0.0, 0.5, 2.0)
    ]
    assert different[0] < different[1] < different[2]


def test_all_pictures_at_once_is_each_alone() -> None:
    tables = random_tables(12, 12, seed=4, end_bonus=1.0)
    together = searched(tables, 6, 3, 0.7)
    alone = [searched(tables[place : place + 1], 6, 3, 0.7)[0] for place in range(12)]
    assert [[one.words for one in several] for several in together] == [
        [one.words for one in several] for several in alone
    ]
