"""The vocabulary numbers words the same way every time, and refuses a file it cannot trust."""

import json

import pytest

from captioner.errors import CheckpointError
from captioner.vocab import END, PAD, START, UNKNOWN, Coverage, Vocabulary

CAPTIONS = [["a", "dog", "runs"], ["a", "cat", "runs"], ["a", "bird"], []]


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.build(CAPTIONS, min_count=1)


def test_specials_come_first_then_words_by_count_then_alphabet(vocabulary: Vocabulary) -> None:
    assert vocabulary.words == ("<pad>", "<start>", "<end>", "<unk>", "a", "runs", "bird", "cat", "dog")
    assert (PAD, START, END, UNKNOWN) == (0, 1, 2, 3)
    assert len(vocabulary) == 9


def test_order_of_captions_does_not_matter(vocabulary: Vocabulary) -> None:
    assert Vocabulary.build(reversed(CAPTIONS), min_count=1).words == vocabulary.words


def test_rare_words_are_left_out_and_encoded_as_unknown() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, min_count=2)
    assert vocabulary.words[4:] == ("a", "runs")
    assert vocabulary.encode(["a", "dog", "runs"]) == [4, UNKNOWN, 5]
    assert "dog" not in vocabulary
    assert "a" in vocabulary


def test_nothing_in_gives_the_specials_alone() -> None:
    assert len(Vocabulary.build([], min_count=1)) == 4
    assert Vocabulary.build([], min_count=1).encode(["a"]) == [UNKNOWN]


def test_decoding_ends_at_the_end_and_skips_padding(vocabulary: Vocabulary) -> None:
    indices = [START, *vocabulary.encode(["a", "dog", "sings"]), END, 4, PAD, PAD]
    assert vocabulary.decode(indices) == ["a", "dog", "<unk>"]
    assert vocabulary.decode([]) == []


def test_word_spelled_like_a_special_is_unknown() -> None:
    vocabulary = Vocabulary.build([["<end>", "<pad>", "a"]] * 3, min_count=1)
    assert vocabulary.words[4:] == ("a",)
    assert vocabulary.encode(["<end>", "<start>", "a"]) == [UNKNOWN, UNKNOWN, 4]
    assert "<end>" not in vocabulary


def test_json_keeps_words_counts_and_threshold(vocabulary: Vocabulary) -> None:
    read = Vocabulary.from_json(vocabulary.to_json())
    assert read.words == vocabulary.words
    assert read.counts == {"a": 3, "runs": 2, "bird": 1, "cat": 1, "dog": 1}
    assert read.min_count == 1
    assert read.to_json() == vocabulary.to_json()


def test_json_keeps_words_of_any_script() -> None:
    vocabulary = Vocabulary.build([["犬", "café", '"', "\\"]], min_count=1)
    assert Vocabulary.from_json(vocabulary.to_json()).words == vocabulary.words


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "The vocabulary file is damaged: it is not a vocabulary in JSON."),
        ("[1, 2]", "The vocabulary file is damaged: it is not a vocabulary in JSON."),
        ("{}", "The vocabulary file is damaged: it is not a vocabulary in JSON."),
        ('{"version": 9}', "The vocabulary file has format version 9; this captioner reads version 1."),
        ('{"version": 1}', "The vocabulary file is damaged: an entry is missing or malformed."),
        (
            '{"version": 1, "min_count": 1, "fingerprint": "", "counts": ["a"]}',
            "The vocabulary file is damaged: an entry is missing or malformed.",
        ),
    ],
)
def test_file_that_is_no_vocabulary_is_refused(text: str, problem: str) -> None:
    with pytest.raises(CheckpointError) as refusal:
        Vocabulary.from_json(text)
    assert refusal.value.problem == problem
    assert refusal.value.remedy


def test_file_with_a_lost_word_is_refused(vocabulary: Vocabulary) -> None:
    document = json.loads(vocabulary.to_json())
    del document["counts"]["runs"]
    with pytest.raises(CheckpointError) as refusal:
        Vocabulary.from_json(json.dumps(document))
    assert refusal.value.problem == "The vocabulary file is damaged: its words do not match its fingerprint."


def test_fingerprint_follows_the_words_and_not_their_counts(vocabulary: Vocabulary) -> None:
    assert Vocabulary.build(CAPTIONS * 2, min_count=2).fingerprint == vocabulary.fingerprint
    assert Vocabulary.build(CAPTIONS, min_count=2).fingerprint != vocabulary.fingerprint
    assert vocabulary.fingerprint == "294239d107c5"


def test_coverage_counts_unknown_words_and_names_the_commonest() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, min_count=2)
    coverage = vocabulary.coverage([["a", "dog", "and", "a", "dog"], ["cat"]])
    assert coverage == Coverage(tokens=6, unknown_tokens=4, dropped=[("dog", 2), ("and", 1), ("cat", 1)])
    assert coverage.unknown_rate == pytest.approx(4 / 6)
    assert vocabulary.coverage([["x", "y", "y"]], commonest=1).dropped == [("y", 2)]
    assert vocabulary.coverage([]).unknown_rate == 0.0
