"""Captions that copy, stutter or are all alike are told from those that do not, by figures one can check by hand."""

import pytest

from captioner.evaluation.diversity import collapse, measure, others, repeats_itself

words = str.split

LIKELY = (
    "likely cause: too little training, too few pictures to learn from, too high a learning rate, "
    "pictures that are prepared otherwise than in training, or pictures that are nearly the same"
)


def test_every_figure() -> None:
    captions = [words("a dog runs"), words("a dog runs"), words("a cat and a cat"), words("two blorps sit here")]
    references = [words("a dog runs fast"), words("the cat and two sit here")]
    found = measure(captions, references, training={("a", "dog", "runs"), ("no", "dogs")})
    assert found.distinct_caption_ratio == 3 / 4
    assert found.novel_caption_ratio == 2 / 4
    assert found.mean_length == 15 / 4
    assert found.repetition_rate == 1 / 4
    assert found.unknown_word_rate == 1 / 15
    assert found.collapse is None


def test_copies_are_not_counted_where_the_training_captions_are_not_known() -> None:
    assert measure([words("a dog")], [words("a dog")]).novel_caption_ratio is None
    assert measure([words("a dog")], [words("a dog")], training=set()).novel_caption_ratio == 1


def test_captions_that_another_picture_does_not_change() -> None:
    swapped = [(words("a dog"), words("a dog")), (words("a dog"), words("a cat")), ([], []), ([], words("a dog"))]
    assert measure([words("a dog")], [words("a dog")], swapped=swapped).unchanged_when_swapped == 2 / 4
    assert measure([words("a dog")], [words("a dog")]).unchanged_when_swapped is None


@pytest.mark.parametrize("count", [2, 3, 128])
def test_every_picture_is_exchanged_for_another_one(count: int) -> None:
    assert sorted(others(count)) == list(range(count))
    assert all(own != other for own, other in enumerate(others(count)))


def test_captions_without_words() -> None:
    found = measure([[], []], [words("a dog")])
    assert (found.distinct_caption_ratio, found.mean_length) == (1 / 2, 0)
    assert (found.repetition_rate, found.unknown_word_rate) == (0, 0)


@pytest.mark.parametrize(
    ("caption", "stutters"),
    [
        ("a dog dog runs", True),
        ("a man sits at a table at a table", True),
        ("a dog in the water in the water", True),
        ("a dog and a dog are playing", True),
        ("a white and white dog", True),
        ("a man in a red shirt looks at a man in a red hat", True),
        ("", False),
        ("dog", False),
        ("and and", True),
        ("a dog and a cat", False),
        ("a brown dog and a black dog", False),
        ("a man in a red shirt and a man in a blue shirt", False),
        ("a man in front of a car in front of a house", False),
        ("a girl and a boy and a dog", False),
    ],
)
def test_which_captions_repeat_themselves(caption: str, stutters: bool) -> None:
    assert repeats_itself(words(caption)) is stutters


def of_their_own(count: int) -> list[list[str]]:
    return [["caption", str(number)] for number in range(count)]


def test_a_collapse_names_the_caption_and_the_likely_cause() -> None:
    captions = [*of_their_own(20), *[words("a man in a shirt")] * 1480]
    assert collapse(captions) == (
        "captions hardly differ from picture to picture: 1,480 of 1,500 pictures get 'A man in a shirt'; " + LIKELY
    )


def test_captions_without_words_are_a_collapse_too() -> None:
    assert collapse([[]] * 30) == (
        "captions hardly differ from picture to picture: 30 of 30 pictures get an empty caption; " + LIKELY
    )


def test_a_few_captions_that_come_again_are_no_collapse() -> None:
    """Of 100 pictures, 31 with one caption make 465 of 4,950 pairs, and 32 make 496."""
    assert collapse([*of_their_own(69), *[["same"]] * 31]) is None
    assert collapse([*of_their_own(68), *[["same"]] * 32]) is not None
    assert collapse([["one"], ["two"], ["three"]] * 10) is not None


STUTTER = (
    "captions repeat themselves: 11 of 20 do, such as 'A dog dog 0'; likely cause: too little training; "
    "sampling.no_repeat_ngram: 2 forbids most of it"
)
UNKNOWN = (
    "75% of the captions' words are in no reference; likely cause: references of other pictures or in another language "
    "than the captions; check that they belong together"
)


def stuttering(count: int) -> list[list[str]]:
    return [["a", "dog", "dog", str(number)] for number in range(count)]


def test_captions_that_repeat_themselves_are_warned_of() -> None:
    assert collapse([*stuttering(11), *of_their_own(9)]) == STUTTER
    assert collapse([*stuttering(10), *of_their_own(10)]) is None


def test_words_that_no_reference_has_are_warned_of() -> None:
    captions = [["a", "dog", "is", str(number)] for number in range(20)]
    assert measure(captions, [words("a cat")]).collapse == UNKNOWN
    assert measure(captions, [words("a dog")]).collapse is None


def test_all_that_is_wrong_is_told() -> None:
    captions = [words("a dog dog runs")] * 20
    found = measure(captions, [words("a cat")]).collapse
    assert found is not None
    assert [part.split(";")[0] for part in found.split("; besides, ")] == [
        "captions hardly differ from picture to picture: 20 of 20 pictures get 'A dog dog runs'",
        "captions repeat themselves: 20 of 20 do, such as 'A dog dog runs'",
        "75% of the captions' words are in no reference",
    ]


def test_of_few_pictures_nothing_is_said() -> None:
    assert collapse([]) is None
    assert collapse([["same", "same"]] * 19, unknown_word_rate=1.0) is None
    assert collapse([["same"]] * 20) is not None
