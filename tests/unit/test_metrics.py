"""The metrics give the figures one can work out by hand, and name the images they cannot score."""

import math

import pytest

from captioner.errors import DatasetError
from captioner.evaluation.metrics import METRICS, CiderScorer, score

words = str.split

REFERENCES = {
    1: [words("a dog runs on the grass"), words("a brown dog is running")],
    2: [words("two people ride bikes"), words("people on bikes")],
    3: [words("a red bus on the street"), words("a bus")],
}
CANDIDATES = {1: words("a dog runs on the grass"), 2: words("two dogs"), 3: []}


def test_caption_equal_to_a_reference_scores_one_and_an_empty_one_nothing() -> None:
    scores = score(CANDIDATES, REFERENCES)
    assert list(scores.corpus) == list(METRICS)
    assert list(scores.per_image) == [1, 2, 3]
    assert scores.per_image[1]["Bleu_4"] == pytest.approx(1)
    assert scores.per_image[1]["ROUGE_L"] == 1
    assert scores.per_image[3] == dict.fromkeys(METRICS, 0.0)


def test_bleu_pools_counts_over_the_corpus() -> None:
    """Seven of eight words match; eight words stand against 6 + 3 + 2 of the nearest references."""
    scores = score(CANDIDATES, REFERENCES)
    assert scores.corpus["Bleu_1"] == pytest.approx(7 / 8 * math.exp(1 - 11 / 8))
    assert scores.per_image[2]["Bleu_1"] == pytest.approx(1 / 2 * math.exp(1 - 3 / 2))


def test_bleu_counts_a_repeated_word_as_often_as_a_reference_has_it() -> None:
    """The example of Papineni et al. 2002, section 2.1."""
    references = {1: [words("the cat is on the mat"), words("there is a cat on the mat")]}
    assert score({1: ["the"] * 7}, references).corpus["Bleu_1"] == pytest.approx(2 / 7)


def test_rouge_follows_the_order_of_words() -> None:
    """The example of Lin 2004, section 3.1: both captions have three words of four, one has them in order."""
    reference = [words("police killed the gunman")]
    scores = score(
        {1: words("police kill the gunman"), 2: words("the gunman kill police")}, {1: reference, 2: reference}
    )
    assert scores.per_image[1]["ROUGE_L"] == pytest.approx(3 / 4)
    assert scores.per_image[2]["ROUGE_L"] == pytest.approx(2 / 4)
    assert scores.corpus["ROUGE_L"] == pytest.approx(5 / 8)


def test_cider_of_the_reference_itself_is_ten() -> None:
    references = {1: [words("a dog runs fast")], 2: [words("two cats sleep here")]}
    scores = score({1: words("a dog runs fast"), 2: words("two dogs sleep here")}, references)
    assert scores.per_image[1]["CIDEr"] == pytest.approx(10)
    assert 0 < scores.per_image[2]["CIDEr"] < 10
    assert scores.corpus["CIDEr"] == pytest.approx(5 + scores.per_image[2]["CIDEr"] / 2)


def test_cider_of_a_single_image_is_zero() -> None:
    assert score({1: ["a", "dog"]}, {1: [["a", "dog"]]}).corpus["CIDEr"] == 0


def test_scorer_gives_the_same_as_score_for_any_selection_of_captions() -> None:
    expected = {key: values["CIDEr"] for key, values in score(CANDIDATES, REFERENCES).per_image.items()}
    for remember in (0, 1, 3):
        scorer = CiderScorer(REFERENCES, remember=remember)
        assert scorer.score([(3, []), (1, CANDIDATES[1]), (1, [])]) == [0, expected[1], 0]
        assert scorer.score(CANDIDATES.items()) == list(expected.values())


@pytest.mark.parametrize(
    ("candidates", "references", "problem"),
    [
        ({}, REFERENCES, "Images with references but without a caption: 1, 2, 3."),
        (
            {str(key): ["a", "dog"] for key in REFERENCES},
            REFERENCES,
            "Image ids are numbers on one side and texts on the other: 1, 2, 3.",
        ),
        (
            {1: []},
            {key: [["a"]] for key in range(1, 7)},
            "Images with references but without a caption: 2, 3, 4 and 2 more.",
        ),
        ({"a": [], "b": []}, {"a": [["a"]]}, "Images with a caption but without references: b."),
        ({"a": []}, {"a": []}, "Images without a reference caption: a."),
        ({}, {}, "There are no captions to score."),
    ],
)
def test_images_that_do_not_match_are_named(
    candidates: dict[object, list[str]], references: dict[object, list[list[str]]], problem: str
) -> None:
    with pytest.raises(DatasetError) as refusal:
        score(candidates, references)
    assert refusal.value.problem == problem
    assert refusal.value.remedy


def test_scorer_refuses_an_image_it_has_no_references_for() -> None:
    with pytest.raises(DatasetError) as refusal:
        CiderScorer(REFERENCES).score([(9, ["a"])])
    assert refusal.value.problem == "No reference captions for image 9."
