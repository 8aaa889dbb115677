"""Overlays and strips, pixel by pixel where that can be said in advance."""

import numpy as np
import torch
from PIL import Image

from captioner.pages.overlays import overlay, strip

RED = torch.tensor([200, 40, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 64, 64)


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(np.asarray(image)[y, x].tolist())


def test_an_overlay_is_in_colour_where_a_word_looks() -> None:
    image = overlay(RED, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert image.size == (64, 64)
    luminance = 200 * 0.299 + 40 * 0.587  # ITU-R 601-2, as Pillow's documentation says of its mode L.
    grey = round(0.35 * luminance)
    assert pixel(image, 4, 4) == pixel(image, 60, 60) == (200, 40, 0)
    for found in (pixel(image, 60, 4), pixel(image, 4, 60)):
        assert len(set(found)) == 1
        assert abs(found[0] - grey) <= 1
    red, green, blue = pixel(overlay(RED, torch.full((7, 7), 0.5)), 30, 30)
    assert abs(red - (200 + grey) / 2) <= 1
    assert abs(green - (40 + grey) / 2) <= 1
    assert abs(blue - grey / 2) <= 1


def test_a_strip_has_a_tile_for_the_picture_and_one_for_each_word() -> None:
    words = ["a", "dog", "runs", "through", "the", "antidisestablishmentarianism", "of", "grass"]
    maps = torch.full((8, 2, 2), 0.25)
    maps[1] = torch.tensor([[0.26, 0.24], [0.25, 0.25]])  # Hardly anything, and shown from grey to colour.
    image = strip(RED, words, maps, side=100)
    assert image.size == (700, 230)
    assert pixel(image, 50, 50) == (200, 40, 0)
    assert pixel(image, 205, 5) == (200, 40, 0)
    assert len(set(pixel(image, 295, 5))) == 1
    assert len(set(pixel(image, 105, 50))) == 1  # A word that looks everywhere alike looks nowhere in particular.
    labels = [np.asarray(image)[101:114, 100 * number : 100 * number + 100].max() for number in range(7)]
    assert [label > 200 for label in labels] == [False, *[True] * 6]
    gaps = np.asarray(image)[101:115, [0, 199, 299, 399, 499, 599, 699]]
    assert not gaps.any()  # The longest word stays within its tile.
    assert np.asarray(image)[216:229, 0:100].max() > 200
    assert not np.asarray(image)[116:, 200:].any()


def test_a_strip_of_no_words() -> None:
    image = strip(RED, [], torch.zeros(0, 2, 2), side=40)
    assert image.size == (40, 46)
    assert pixel(image, 20, 20) == (200, 40, 0)
