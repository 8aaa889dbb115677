"""What captions may not be: one mechanism, against a slow reference, and never broken by any sampler."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transition_decoder import END, PAD, START, UNKNOWN, TransitionDecoder, random_tables, rules, scores_after

from captioner.config import SamplingConfig
from captioner.constraints import BAD_ENDINGS, rules_of
from captioner.errors import ConfigError
from captioner.sampling import Hypothesis, Rules, sample
from captioner.sampling.beam import beam_search
from captioner.vocab import Vocabulary

METHODS: list[dict[str, Any]] = [
    {"method": "greedy"},
    {"method": "beam", "beam_size": 3},
    {"method": "diverse_beam", "beam_size": 4, "beam_groups": 2},
    {"method": "consensus", "beam_size": 3},
    {"method": "sample", "temperature": 2.0},
]


def may_follow(word: int, before: tuple[int, ...], rule: Rules) -> bool:
    """Whether ``word`` may come after the words ``before``, said in the plainest way."""
    if word in rule.never:
        return False
    if word == rule.end:
        return len(before) >= rule.min_length and not (before and before[-1] in rule.never_last)
    if len(before) + 1 == rule.max_length and word in rule.never_last:
        return False
    return not repeats((*before, word), rule.no_repeat_ngram)


def repeats(words: tuple[int, ...], size: int) -> bool:
    grams = [words[start : start + size] for start in range(len(words) - size + 1)]
    return size > 0 and len(set(grams)) < len(grams) and grams[-1] in grams[:-1]


def obeys(caption: Hypothesis, rule: Rules) -> bool:
    sequence = (*caption.words, rule.end) if caption.finished else caption.words
    return all(may_follow(word, sequence[:place], rule) for place, word in enumerate(sequence))


any_rules = st.builds(
    lambda longest, shortest, gram, banned, last: Rules(
        start=START,
        end=END,
        max_length=longest,
        never=(PAD, START, UNKNOWN, *banned),
        never_last=tuple(last),
        min_length=min(shortest, longest),
        no_repeat_ngram=gram,
    ),
    st.integers(1, 8),
    st.integers(0, 8),
    st.integers(0, 4),
    st.sets(st.integers(4, 6), max_size=2),
    st.sets(st.integers(5, 7), max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(rule=any_rules, data=st.data())
def test_log_probs_are_those_of_a_slow_reference(rule: Rules, data: st.DataObject) -> None:
    """Few words, so that beginnings repeat themselves and some have nothing left that may follow."""
    words = 8
    length = data.draw(st.integers(0, rule.max_length - 1))
    row = st.lists(st.integers(4, words - 1), min_size=length, max_size=length)
    beginnings = data.draw(st.lists(row, min_size=1, max_size=4))
    scores = torch.randn(len(beginnings), words, generator=torch.Generator().manual_seed(length))
    found = rule.log_probs(scores, torch.tensor(beginnings, dtype=torch.int64).view(len(beginnings), length))
    free = torch.log_softmax(scores.double(), dim=1)
    for before, got, plain in zip(beginnings, found.tolist(), free.tolist(), strict=True):
        allowed = {word for word in range(words) if may_follow(word, tuple(before), rule)} or {END}
        assert {word for word in range(words) if got[word] > -torch.inf} == allowed
        assert [got[word] for word in sorted(allowed)] == pytest.approx(
            [plain[word] for word in sorted(allowed)], abs=1e-5
        )


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method["method"]))
@settings(max_examples=40, deadline=None)
@given(rule=any_rules, seed=st.integers(0, 1000))
def test_no_sampler_ever_breaks_a_rule(method: dict[str, Any], rule: Rules, seed: int) -> None:
    """With so many words there is always one that may follow."""
    tables = random_tables(5, 24, seed=seed, rows=3)
    config = SamplingConfig.model_validate(method)
    captions = 1 if config.method == "greedy" else 3
    for several in sample(TransitionDecoder(), tables, rule, config, captions=captions):
        assert several
        assert [one for one in several if not obeys(one, rule)] == []


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_all_that_is_allowed(seed: int) -> None:
    rule = rules(4, min_length=2, no_repeat_ngram=2, never_last=(5,))
    (table,) = tables = random_tables(1, 7, seed=seed)
    wanted = {}
    for length in range(5):
        for words in itertools.product((4, 5, 6), repeat=length):
            caption = Hypothesis(words, 0.0, length < 4)
            if obeys(caption, rule):
                sequence = (*words, END) if caption.finished else words
                wanted[words] = sum(float(scores_after(table, sequence[:at])[word]) for at, word in enumerate(sequence))
    (found,) = beam_search(TransitionDecoder(), tables, rule, beam_size=121)
    assert {one.words: one.log_prob for one in found} == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method["method"]))
def test_where_nothing_may_follow_the_caption_ends(method: dict[str, Any]) -> None:
    """One word beside the specials, which may not be repeated, and captions of at least three."""
    rule = rules(6, min_length=3, no_repeat_ngram=1)
    for several in sample(
        TransitionDecoder(), random_tables(3, 5, seed=0), rule, SamplingConfig.model_validate(method)
    ):
        assert [(one.words, one.finished) for one in several] == [((4,), True)]


def vocabulary() -> Vocabulary:
    return Vocabulary(dict.fromkeys(("dog", "a", "runs", "with", "cat"), 9), 1)


def test_settings_become_rules_over_indices() -> None:
    plain = rules_of(vocabulary(), SamplingConfig(max_length=9))
    assert plain == Rules(start=START, end=END, max_length=9, never=(PAD, START, UNKNOWN))
    config = SamplingConfig(min_length=2, no_repeat_ngram=3, banned_words=["cat", "dog"], bad_endings="forbid")
    assert rules_of(vocabulary(), config) == Rules(
        start=START,
        end=END,
        max_length=20,
        never=(PAD, START, UNKNOWN, 8, 4),
        never_last=(5, 7),
        min_length=2,
        no_repeat_ngram=3,
    )


def test_bad_endings_are_words_as_the_vocabulary_has_them() -> None:
    assert {"a", "the", "of", "with"} <= set(BAD_ENDINGS)
    assert len(set(BAD_ENDINGS)) == len(BAD_ENDINGS)
    assert all(word.islower() and word.isalpha() for word in BAD_ENDINGS)


def test_banned_words_that_are_not_in_the_vocabulary_are_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as refused:
        rules_of(vocabulary(), SamplingConfig(banned_words=["dogs", "cat", "zeppelin", "<end>"]))
    assert refused.value.problem.splitlines() == [
        "sampling.banned_words: 'dogs' is not in the model's vocabulary, did you mean 'dog'?",
        "sampling.banned_words: 'zeppelin' is not in the model's vocabulary",
        "sampling.banned_words: '<end>' is not in the model's vocabulary",
    ]
    assert refused.value.remedy == (
        "a word that is not in the vocabulary is never produced: leave it out, or name the one you mean"
    )
