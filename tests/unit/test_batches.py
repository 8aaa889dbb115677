"""Batches hold every word once, in an order that the seed and the epoch decide, and errors reach their reader."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from captioner.batch import PAD, ROUND, Batch, pack_captions
from captioner.data.batches import Batches, read_ahead

START, END = 1, 2
words = st.lists(st.integers(4, 50), max_size=9)
captions_of_images = st.lists(st.lists(words, min_size=1, max_size=5), min_size=1, max_size=6)


def unpacked(batch: Batch) -> list[tuple[int, list[int], list[int]]]:
    """Each row's picture, inputs and targets, without the padding after its end."""
    counted = batch.targets != PAD
    rows, inputs, targets = (part[counted].tolist() for part in (batch.rows, batch.inputs, batch.targets))
    return [
        (
            image,
            [word for place, word in zip(rows, inputs, strict=True) if place == row],
            [word for place, word in zip(rows, targets, strict=True) if place == row],
        )
        for row, image in enumerate(batch.image_of.tolist())
    ]


@settings(deadline=None)
@given(captions_of_images)
def test_every_word_is_predicted_once(captions: list[list[list[int]]]) -> None:
    batch = pack_captions(torch.zeros(len(captions), 1, 1), captions, start=START, end=END)
    found = Counter((image, *targets) for image, _, targets in unpacked(batch))
    assert found == Counter((image, *one, END) for image, several in enumerate(captions) for one in several)
    for _, inputs, targets in unpacked(batch):
        assert inputs == [START, *targets[:-1]]
    total = sum(len(one) + 1 for several in captions for one in several)
    assert batch.words == total
    assert len(batch.inputs) == len(batch.targets) == sum(batch.active)
    assert all(count % ROUND == 0 or count == len(batch.image_of) for count in batch.active)
    assert list(batch.active) == sorted(batch.active, reverse=True)
    assert batch.active[0] == len(batch.image_of)


@settings(deadline=None)
@given(captions_of_images)
def test_the_layout_is_torch_s_own(captions: list[list[list[int]]]) -> None:
    batch = pack_captions(torch.zeros(len(captions), 1, 1), captions, start=START, end=END)
    rows = [torch.tensor(targets) for _, _, targets in unpacked(batch)]
    packed = torch.nn.utils.rnn.pack_sequence(rows)
    assert torch.equal(packed.data, batch.targets[batch.targets != PAD])
    for running, computed in zip(packed.batch_sizes.tolist(), batch.active, strict=True):
        assert running <= computed < running + ROUND
    assert torch.equal(batch.steps, torch.cat([torch.full((n,), t) for t, n in enumerate(batch.active)]))


class Numbered:
    """Pictures that are their own number; a mirror image is its negative."""

    def __init__(self, view_bits: int = 0) -> None:
        self.view_bits = view_bits
        self.reads: list[list[int]] = []

    def read(self, indices: Sequence[int], mirrored: Sequence[int] | None = None) -> Tensor:
        self.reads.append(list(indices))
        signs = [-1 if mirrored and mirrored[place] else 1 for place in range(len(indices))]
        numbers = [sign * (index + 1) for sign, index in zip(signs, indices, strict=True)]
        return torch.tensor(numbers, dtype=torch.float16).view(-1, 1, 1)


CAPTIONS = [
    [[100 + image, *range(4, 5 + (image * 7 + number) % 6)] for number in range(1 + image % 3)] for image in range(23)
]
"""The first word of a caption names its picture."""


def batches_of(seed: int = 1, batch_size: int = 4, pictures: Numbered | None = None) -> Batches:
    return Batches(CAPTIONS, pictures or Numbered(), batch_size=batch_size, seed=seed)


def contents(batches: Iterator[Batch]) -> list[tuple[list[float], list[tuple[int, list[int], list[int]]]]]:
    return [(batch.images.flatten().tolist(), unpacked(batch)) for batch in batches]


def test_an_epoch_has_every_caption_once_beside_its_picture() -> None:
    batches = batches_of()
    all_of_them = list(batches.epoch(1))
    assert len(batches) == len(all_of_them) == 6
    assert sorted(len(batch.images) for batch in all_of_them) == [3, 4, 4, 4, 4, 4]
    seen = Counter()
    for batch in all_of_them:
        numbers = [int(number) - 1 for number in batch.images.flatten()]
        for image, _, targets in unpacked(batch):
            assert targets[0] == 100 + numbers[image]
            seen[tuple(targets[:-1])] += 1
        for place, number in enumerate(numbers):  # An image's captions come together.
            assert int((batch.image_of == place).sum()) == len(CAPTIONS[number])
    assert seen == Counter(tuple(one) for several in CAPTIONS for one in several)


def test_the_order_depends_on_the_seed_and_the_epoch_only() -> None:
    assert contents(batches_of().epoch(3)) == contents(batches_of().epoch(3))
    after_others = batches_of()
    list(after_others.epoch(1))
    torch.manual_seed(99)
    assert contents(after_others.epoch(3)) == contents(batches_of().epoch(3))
    assert contents(batches_of().epoch(3)) != contents(batches_of().epoch(4))
    assert contents(batches_of(seed=1).epoch(3)) != contents(batches_of(seed=2).epoch(3))


@pytest.mark.parametrize("skip", range(7))
@pytest.mark.parametrize("mirrored", [False, True])
def test_skipping_goes_on_where_the_epoch_was_left(skip: int, mirrored: bool) -> None:
    whole = contents(batches_of(pictures=Numbered(mirrored)).epoch(2))
    pictures = Numbered(mirrored)
    assert contents(batches_of(pictures=pictures).epoch(2, skip=skip)) == whole[skip:]
    assert len(pictures.reads) == 6 - skip  # What is skipped is not even read.


def test_either_view_is_drawn_by_chance() -> None:
    batches = batches_of(pictures=Numbered(view_bits=1))
    views = [
        number < 0 for epoch in range(1, 21) for batch in batches.epoch(epoch) for number in batch.images.flatten()
    ]
    assert 0.4 < sum(views) / len(views) < 0.6


def test_captions_of_like_length_share_a_batch() -> None:
    captions = [[[4] * (1 + image % 20)] for image in range(400)]
    batches = list(Batches(captions, Numbered(), batch_size=20, seed=1).epoch(1))
    places = sum(len(batch.active) * batch.active[0] for batch in batches)
    assert sum(batch.words for batch in batches) / places > 0.9
    lengths = [len(batch.active) for batch in batches]
    assert lengths != sorted(lengths)  # The batches themselves come in a random order.


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "read ahead"}


def test_reading_ahead_gives_everything_in_order() -> None:
    assert list(read_ahead(lambda: iter(range(50)))) == list(range(50))
    assert list(read_ahead(lambda: iter(()))) == []


def test_what_reads_ahead_leaves_the_threads_to_what_computes() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(read_ahead(lambda: (torch.get_num_threads() for _ in range(1)))) == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not threads()


@pytest.mark.parametrize("error", [ValueError("bad picture"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_errors_reach_the_reader_after_what_came_before(error: BaseException) -> None:
    def make() -> Iterator[int]:
        yield from range(5)
        raise error

    seen: list[int] = []
    with pytest.raises(type(error)) as caught:
        seen.extend(read_ahead_into(seen, make))
    assert caught.value is error
    assert seen == list(range(5))
    assert not threads()


def read_ahead_into(seen: list[int], make: object) -> list[int]:
    for item in read_ahead(make):  # type: ignore[arg-type]
        seen.append(item)
    return []


def test_a_reader_that_stops_early_ends_the_thread() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    reader = read_ahead(make, ahead=2)
    assert next(reader) == 0
    reader.close()
    assert not threads()
    assert len(made) < 10


def test_an_error_of_the_pictures_reaches_the_training_loop() -> None:
    class Broken(Numbered):
        def read(self, indices: Sequence[int], mirrored: Sequence[int] | None = None) -> Tensor:
            if len(self.reads) == 2:
                raise OSError("disk gone")
            return super().read(indices, mirrored)

    with pytest.raises(OSError, match="disk gone"):
        list(batches_of(pictures=Broken()).epoch(1))
    assert not threads()
