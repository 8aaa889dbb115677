"""BLEU, ROUGE-L and CIDEr equal those of pycocoevalcap, of the corpus and of each image."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from captioner.evaluation.metrics import METRICS, score
from captioner.text import tokenize

pytest.importorskip("pycocoevalcap", reason="pycocoevalcap, the implementation to agree with, is not installed")

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

Candidates = Mapping[int, Sequence[str]]
References = Mapping[int, Sequence[Sequence[str]]]


def assert_equal_to_official(candidates: Candidates, references: References) -> None:
    spoken = {key: [" ".join(words)] for key, words in candidates.items()}
    heard = {key: [" ".join(words) for words in references[key]] for key in candidates}
    bleu, bleu_per_image = Bleu(4).compute_score(heard, spoken, verbose=0)
    rouge, rouge_per_image = Rouge().compute_score(heard, spoken)
    cider, cider_per_image = Cider().compute_score(heard, spoken)

    ours = score(candidates, references)
    corpus = [ours.corpus[name] for name in METRICS]
    per_image = np.array([[values[name] for name in METRICS] for values in ours.per_image.values()])
    np.testing.assert_allclose(corpus, [*bleu, rouge, cider], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        per_image, np.array([*bleu_per_image, rouge_per_image, cider_per_image]).T, rtol=0, atol=1e-6
    )


# Few words, so that captions share n-grams; some are punctuation or of other scripts, one is empty.
caption = st.lists(st.sampled_from(["a", "dog", "runs", "'s", "!!", "café", "犬", ""]), max_size=12)
image = st.tuples(caption, st.lists(caption, min_size=1, max_size=5))
# pycocoevalcap itself fails where no reference in the whole set has a word.
images = st.lists(image, min_size=1, max_size=8).filter(
    lambda drawn: any(word for _, references in drawn for reference in references for word in reference)
)


@settings(max_examples=300, deadline=None)
@given(images)
@example([([], [["a"]])])
@example([(["a"], [["a"]])])
@example([(["a"], [[""], ["a"]]), ([], [[], []])])
@example([(["!!", "!!"], [["!!"], ["!!", "'s", "!!"]]), (["!!"], [["a"]])])
@example([(["犬", "café"], [["café", "犬"], ["犬", "café"]]), (["cafe"], [["café"]])])
@example([(["a", "dog"], [["a", "dog"]] * 5), (["dog"], [["a"]])])
@example([(["a"] * 12, [["a"] * 3, ["a"] * 12]), (["dog"], [["dog"]])])
def test_generated_captions(drawn: list[tuple[list[str], list[list[str]]]]) -> None:
    assert_equal_to_official(
        {key: candidate for key, (candidate, _) in enumerate(drawn)},
        {key: references for key, (_, references) in enumerate(drawn)},
    )


@pytest.mark.skipif("CAPTIONER_REAL_DATA" not in os.environ, reason="CAPTIONER_REAL_DATA is not set")
def test_real_captions() -> None:
    """5,000 images of Flickr8k get the first caption of the next image; every tenth gets its own."""
    text = Path(os.environ["CAPTIONER_REAL_DATA"], "flickr8k", "Flickr8k.token.txt").read_text("utf-8")
    captions = [tokenize(line.split("\t", 1)[1]) for line in text.splitlines()[:25_000]]
    references = {start: captions[start + 1 : start + 5] for start in range(0, len(captions), 5)}
    candidates = {key: captions[key if key % 50 == 0 else (key + 5) % len(captions)] for key in references}
    assert_equal_to_official(candidates, references)
