"""Random sampling draws what it should as often as it should, and the same for a picture wherever it stands."""

import math
from collections import Counter

import pytest
import torch
from decoder_cases import build, features
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transition_decoder import END, PAD, START, UNKNOWN, TransitionDecoder, random_tables, rules, scores_after

from captioner.sampling import Hypothesis
from captioner.sampling.noise import _pick, gumbel, key_of
from captioner.sampling.sampler import draw, greedy, sharpened


def drawn(
    tables: Tensor, longest: int = 8, captions: int = 1, numbers: list[int] | None = None, **others: float
) -> list[list[Hypothesis]]:
    pictures = torch.tensor(numbers or range(len(tables)))
    return draw(TransitionDecoder(), tables, rules(longest), pictures=pictures, captions=captions, **others)  # type: ignore[arg-type]


def words_of(found: list[list[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[one.words for one in several] for several in found]


def shaped_slowly(log_probs: list[float], temperature: float, top_k: int, top_p: float) -> list[float]:
    """Probabilities to draw by, one word at a time: by decreasing probability, until either bound is reached."""
    tempered = [math.exp(value / temperature) for value in log_probs]
    order = sorted(range(len(tempered)), key=lambda word: -tempered[word])
    kept = order[: top_k or None]
    mass, total, nucleus = 0.0, sum(tempered[word] for word in kept), []
    for word in kept:
        if mass / total >= top_p:
            break
        nucleus.append(word)
        mass += tempered[word]
    return [tempered[word] / mass if word in nucleus else 0.0 for word in range(len(tempered))]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.2, 3.0),
    top_k=st.integers(0, 14),
    top_p=st.floats(0.05, 0.999) | st.sampled_from([1.0, 1e-300]),
)
def test_what_is_left_to_draw_from(seed: int, temperature: float, top_k: int, top_p: float) -> None:
    log_probs = torch.randn(3, 12, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(dim=1)
    found = sharpened(log_probs, temperature=temperature, top_k=top_k, top_p=top_p).softmax(dim=1)
    for got, row in zip(found.tolist(), log_probs.tolist(), strict=True):
        assert got == pytest.approx(shaped_slowly(row, temperature, top_k, top_p), abs=1e-5)


def test_words_as_likely_as_the_last_one_kept_are_kept() -> None:
    log_probs = torch.tensor([[0.4, 0.2, 0.2, 0.2]]).log()
    assert (sharpened(log_probs, temperature=1.0, top_k=2, top_p=1.0) > -torch.inf).sum() == 4
    assert (sharpened(log_probs, temperature=1.0, top_k=0, top_p=0.5) > -torch.inf).sum() == 4


SETTINGS = [(1.0, 0, 1.0), (0.5, 0, 1.0), (2.0, 0, 1.0), (1.0, 2, 1.0), (1.0, 0, 0.7), (1.5, 3, 0.8)]


def exact(table: Tensor, longest: int, shape: tuple[float, int, float]) -> dict[tuple[tuple[int, ...], bool], float]:
    """Every caption's probability of being drawn."""
    found: dict[tuple[tuple[int, ...], bool], float] = {}

    def follow(words: tuple[int, ...], probability: float) -> None:
        if len(words) == longest:
            found[words, False] = probability
            return
        log_probs = scores_after(table, words)
        log_probs[[PAD, START, UNKNOWN]] = -torch.inf
        for word, share in enumerate(shaped_slowly(log_probs.tolist(), *shape)):
            if word == END and share:
                found[words, True] = probability * share
            elif share:
                follow((*words, word), probability * share)

    follow((), 1.0)
    return found


@pytest.mark.parametrize("shape", SETTINGS, ids=str)
@pytest.mark.parametrize("of_one_picture", [False, True])
def test_captions_are_drawn_as_often_as_their_probability_says(
    shape: tuple[float, int, float], of_one_picture: bool
) -> None:
    """Pearson's chi-square; were all well, it would exceed the bound, four deviations, once in thousands of seeds."""
    count = 6000
    (table,) = tables = random_tables(1, 7, seed=3)
    options = dict(zip(("temperature", "top_k", "top_p"), shape, strict=True))
    found = drawn(tables, 3, count, **options) if of_one_picture else drawn(tables.expand(count, -1, -1), 3, **options)
    seen = Counter((one.words, one.finished) for several in found for one in several)
    expected = exact(table, 3, shape)
    assert sum(expected.values()) == pytest.approx(1.0)
    assert set(seen) <= set(expected)
    common = {caption: share * count for caption, share in expected.items() if share * count >= 5}
    cells = [(seen[caption], wanted) for caption, wanted in common.items()]
    cells.append((count - sum(one for one, _ in cells), max(1.0, count - sum(wanted for _, wanted in cells))))
    statistic = sum((one - wanted) ** 2 / wanted for one, wanted in cells)
    freedom = len(cells) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("seed", range(4))
def test_each_draw_is_the_one_computed_alone(seed: int) -> None:
    """All rows at once against one at a time: the same noise, and the words that it makes the highest."""
    tables = random_tables(6, 12, seed=seed, end_bonus=1.0)
    for number, (table, several) in enumerate(zip(tables, drawn(tables, 9, 4, seed=seed), strict=True)):
        alone = []
        for key in key_of(seed, torch.tensor([number]), 4):
            words: tuple[int, ...] = ()
            total = 0.0
            finished = False
            while len(words) < 9 and not finished:
                log_probs = scores_after(table, words)
                log_probs[[PAD, START, UNKNOWN]] = -torch.inf
                word = int((log_probs + gumbel(key.view(1), len(words), 12)[0]).argmax())
                total += float(log_probs[word])
                finished = word == END
                words = words if finished else (*words, word)
            alone.append((words, finished, total))
        alone.sort(key=lambda one: -one[2] / (len(one[0]) + one[1]))
        assert [(one.words, one.finished) for one in several] == [one[:2] for one in alone]
        assert [one.log_prob for one in several] == pytest.approx([one[2] for one in alone], abs=1e-4)


@pytest.mark.parametrize("kind", ["attention", "lstm-first"])
def test_a_picture_s_captions_are_the_same_in_any_batch_and_order(kind: str) -> None:
    decoder, given = build(kind), features(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(5))

    def of(places: Tensor) -> list[list[tuple[int, ...]]]:
        return words_of(draw(decoder, given[places], rules(7), pictures=places, captions=3, top_p=0.9))

    together = of(torch.arange(40))
    assert [together[place] for place in order.tolist()] == of(order)
    assert together == [several for part in torch.arange(40).split(7) for several in of(part)]
    assert len({tuple(several) for several in together}) > 30


def test_numbers_seeds_and_draws_all_make_a_difference() -> None:
    same = random_tables(1, 30, seed=1).expand(50, -1, -1)
    assert len({tuple(several) for several in words_of(drawn(same))}) > 45
    assert words_of(drawn(same, seed=1)) != words_of(drawn(same, seed=2))
    assert words_of(drawn(same[:1], numbers=[17])) == [words_of(drawn(same))[17]]
    many = words_of(drawn(same, captions=5))
    assert all(one[0] in several for one, several in zip(words_of(drawn(same)), many, strict=True))
    assert sum(len(set(several)) == 5 for several in many) > 40


def test_a_low_temperature_is_greedy() -> None:
    tables = random_tables(20, 15, seed=2)
    assert words_of(drawn(tables, temperature=1e-4)) == words_of(greedy(TransitionDecoder(), tables, rules(8)))


def test_the_log_probability_is_the_model_s() -> None:
    tables = random_tables(10, 12, seed=4)
    for table, (one,) in zip(tables, drawn(tables, temperature=3.0, top_k=4), strict=True):
        sequence = (*one.words, END) if one.finished else one.words
        log_prob = sum(float(scores_after(table, sequence[:at])[word]) for at, word in enumerate(sequence))
        assert one.log_prob == pytest.approx(log_prob, abs=1e-4)


def test_bits_are_splitmix64_s() -> None:
    """The first outputs of the generator's reference code for the seed 0."""
    bits = _pick(torch.zeros(3, dtype=torch.int64), torch.arange(3))
    assert [value % (1 << 64) for value in bits.tolist()] == [
        0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F,
    ]  # fmt: skip


def test_noise_is_gumbel_s() -> None:
    """Moments within five standard errors, and no correlation from row to row, step to step or word to word."""
    keys = key_of(2**63 - 1, torch.arange(40), 5)
    noise = torch.stack([gumbel(keys, step, 1000) for step in range(5)]).double()
    count = noise.numel()
    deviation = math.pi / math.sqrt(6)
    assert float(noise.mean()) == pytest.approx(0.5772156649, abs=5 * deviation / math.sqrt(count))
    assert float(noise.std()) == pytest.approx(deviation, rel=5 * 1.05 / math.sqrt(count))
    standard = (noise - noise.mean()) / noise.std()
    for dimension in range(3):
        shifted = standard.roll(1, dimension)
        assert abs(float((standard * shifted).mean())) < 5 / math.sqrt(count)
    assert len(noise.unique()) > 0.97 * count
