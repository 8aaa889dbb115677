"""Five true captions for each scene of the built-in data set.

Each caption names all that is in the picture, the most salient first or last, so that the five share most of
their phrases: what BLEU and CIDEr can reach on this set then depends on seeing, not on guessing a writer's choice.
"""

from typing import Final

from captioner.data.shapes.scenes import PLACES, Scene, Thing

_BESIDE: Final = "{a} beside {line}"
_TOGETHER: Final = "{a} and {b} on a {ground} background"

_PLACED: Final[dict[str, tuple[str, ...]]] = {
    place: (
        f"{{a}} {place}",
        f"there is {{a}} {place}",
        f"{{a}} {place} of a {{ground}} picture",
        f"{{a}} {place} on a {{ground}} background",
        f"a {{ground}} picture with {{a}} {place}",
    )
    for place in PLACES
}
_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    **_PLACED,
    "left": ("{a} to the left of {b}", "{b} to the right of {a}", "{a} with {b} to its right", _BESIDE, _TOGETHER),
    "right": ("{a} to the right of {b}", "{b} to the left of {a}", "{a} with {b} to its left", _BESIDE, _TOGETHER),
    "above": ("{a} above {b}", "{b} below {a}", "{a} with {b} below it", "{a} over {line}", _TOGETHER),
    "below": ("{a} below {b}", "{b} above {a}", "{a} with {b} above it", "{a} under {line}", _TOGETHER),
    "around": (
        "{b} inside {a}",
        "{a} with {b} inside it",
        "{a} with {b} in the middle",
        "{b} in the middle of {a}",
        "{b} inside {a} on a {ground} background",
    ),
    "behind": (
        "{a} behind {b}",
        "{b} in front of {a}",
        "{b} partly covering {a}",
        "{a} partly behind {b}",
        _TOGETHER,
    ),
    "between across": (
        "{a} between {b} and {c}",
        "{b} and {c} with {a} between them",
        "there is {a} between {b} and {c}",
        "{b} and {c} on either side of {a}",
        "{b} and {a} and {c} in a row",
    ),
    "between down": (
        "{a} between {b} and {c}",
        "{b} and {c} with {a} between them",
        "there is {a} between {b} and {c}",
        "{b} above and {c} below {a}",
        "{b} and {a} and {c} in a column",
    ),
    "row": (
        "{a} in a row",
        "a row of {a}",
        "there are {a} in a row",
        "{a} in a row on a {ground} background",
        "a row of {a} on a {ground} background",
    ),
    "column": (
        "{a} in a column",
        "a column of {a}",
        "there are {a} in a column",
        "{a} in a column on a {ground} background",
        "a column of {a} on a {ground} background",
    ),
}
"""For each relation of a scene: ``{a}``, ``{b}`` and ``{c}`` are its groups, ``{line}`` the second as a line."""

_NUMBERS: Final = {2: "two", 3: "three", 4: "four", 5: "five"}
_PLURALS: Final = {"cross": "crosses"}


def captions(scene: Scene) -> list[str]:
    """The five captions of ``scene``, all different, of 5 to 14 words, in lower case and without punctuation."""
    phrases = dict(zip("abc", map(_phrase, scene.groups), strict=False))
    if "b" in phrases:
        phrases["line"] = phrases["b"]
        if len(scene.groups[1]) > 1:
            line = "column" if scene.relation in ("left", "right") else "row"
            phrases["line"] = f"a {line} of {phrases['b']}"
    return [template.format(ground=scene.background, **phrases) for template in _TEMPLATES[scene.relation]]


def _phrase(group: tuple[Thing, ...]) -> str:
    """``a large striped red circle``, ``three small blue squares``."""
    thing, number = group[0], len(group)
    noun = thing.shape if number == 1 else _PLURALS.get(thing.shape, f"{thing.shape}s")
    texture = "" if thing.texture == "plain" else thing.texture
    words = " ".join(word for word in (thing.size, texture, thing.colour, noun) if word)
    if number > 1:
        return f"{_NUMBERS[number]} {words}"
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"
