"""The built-in data set: true captions, and the same pictures everywhere."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes_reader import Caption

from captioner.data.shapes.captions import captions
from captioner.data.shapes.dice import Dice
from captioner.data.shapes.drawing import draw
from captioner.data.shapes.scenes import SIDE, scene

GOLDEN = {
    0: "30563135bd41f025",
    1: "52dfe2013832d8e1",
    2: "6c541ce132b30843",
    3: "694d85861cb515e7",
    4: "081eb6277f9e2521",
    5: "8ed0aebb753a2b79",
    6: "650374fadc70d6fa",
    7: "0fc194754b0db8f9",
}


def digest(index: int) -> str:
    drawn = scene(1, index)
    return hashlib.sha256(draw(drawn).tobytes() + "\n".join(captions(drawn)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("index", GOLDEN)
def test_pictures_and_captions_never_change(index: int) -> None:
    """Where they must, raise ``_VERSION`` in shapes.py, so that sets on disk are not mistaken for the new ones."""
    assert digest(index) == GOLDEN[index]


class TestCaptions:
    @pytest.mark.parametrize("start", range(0, 120, 20))
    def test_they_are_true(self, start: int) -> None:
        for index in range(start, start + 20):
            pixels = draw(scene(1, index))
            for caption in captions(scene(1, index)):
                Caption(pixels, caption)

    @pytest.mark.slow
    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 2**31), st.integers(0, 10**6))
    def test_they_are_true_for_any_seed(self, seed: int, index: int) -> None:
        for caption in captions(scene(seed, index)):
            Caption(draw(scene(seed, index)), caption)

    def test_the_reader_sees_what_is_wrong(self) -> None:
        """Each picture refutes the captions of nearly every other one: the reader above is no rubber stamp."""
        refuted = 0
        for index in range(60):
            try:
                Caption(draw(scene(1, index)), captions(scene(1, index + 1))[0])
            except AssertionError:
                refuted += 1
        assert refuted >= 59

    def test_five_different_ones_of_4_to_14_words(self) -> None:
        for index in range(1000):
            found = captions(scene(1, index))
            assert len(set(found)) == 5
            assert all(4 <= len(caption.split()) <= 14 for caption in found)

    def test_the_vocabulary_is_small_and_lower_case(self) -> None:
        words = Counter(
            word for index in range(2400) for caption in captions(scene(1, index)) for word in caption.split()
        )
        assert 40 <= len(words) <= 70
        assert all(word.isalpha() and word.islower() for word in words)
        assert min(words.values()) >= 20

    def test_pictures_differ(self) -> None:
        texts = Counter(captions(scene(1, index))[0] for index in range(1000))
        assert len(texts) > 700
        assert max(texts.values()) <= 8

    @pytest.mark.parametrize("template", range(5))
    def test_a_model_that_sees_everything_scores_high(self, template: int) -> None:
        from pycocoevalcap.cider.cider import Cider

        references = {index: captions(scene(1, index)) for index in range(7, 2000, 10)}
        answers = {index: [texts[template]] for index, texts in references.items()}
        assert Cider().compute_score(references, answers)[0] > 6


class TestScene:
    @settings(deadline=None)
    @given(st.integers(), st.integers(0, 10**9))
    def test_all_is_inside_and_nothing_touches_unless_it_must(self, seed: int, index: int) -> None:
        drawn = scene(seed, index)
        things = [thing for group in drawn.groups for thing in group]
        for thing in things:
            assert thing.radius + 4 <= min(thing.x, thing.y)
            assert max(thing.x, thing.y) <= SIDE - thing.radius - 4
        if drawn.relation not in ("around", "behind"):
            for number, thing in enumerate(things):
                for other in things[:number]:
                    apart = max(abs(thing.x - other.x), abs(thing.y - other.y))
                    assert apart >= thing.radius + other.radius + 3

    def test_dice_are_fair_and_the_same_everywhere(self) -> None:
        assert [Dice("a").below(1000) for _ in range(2)] == [Dice("a").below(1000)] * 2
        dice = Dice("a")
        assert [dice.below(100) for _ in range(20)] == [
            64,
            68,
            97,
            34,
            61,
            37,
            9,
            8,
            52,
            22,
            23,
            19,
            61,
            24,
            72,
            57,
            37,
            27,
            51,
            59,
        ]
        counts = Counter(dice.between(1, 6) for _ in range(6000))
        assert set(counts) == set(range(1, 7))
        assert min(counts.values()) > 900
        assert sorted(dice.pick_several("abc", 3)) == ["a", "b", "c"]
