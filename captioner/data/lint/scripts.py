"""Which writing systems a caption uses, and whether its characters are damaged."""

import re
import unicodedata
from functools import lru_cache

# A character's script is the first word of its Unicode name, but for those in a family with several names.
_FAMILY = {
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "HIRAGANA": "Han",  # Japanese mixes these three in one word.
    "KATAKANA": "Han",
    "KATAKANA-HIRAGANA": "Han",
    "BOPOMOFO": "Han",
}
# Signs that count as letters without belonging to a script: µ, ª, 𝐀, ｱ.
_NO_SCRIPT = frozenset(
    [
        "MICRO",
        "MASCULINE",
        "FEMININE",
        "MODIFIER",
        "KELVIN",
        "ANGSTROM",
        "OHM",
        "MATHEMATICAL",
        "HALFWIDTH",
        "FULLWIDTH",
    ]
)

UNSPACED = frozenset(["Han", "Thai", "Lao", "Khmer", "Myanmar"])
"""Scripts that put no blanks between words, so that the tokeniser cannot find them."""

_LOOKALIKES = frozenset(["Latin", "Cyrillic", "Greek"])
"""Scripts that share the look of letters: mixed within a word, they make another word that looks the same."""

_WORD = re.compile(r"\w+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff]")


@lru_cache(maxsize=1 << 14)
def script_of(character: str) -> str | None:
    """``Latin``, ``Cyrillic``, ``Han`` and so on; ``None`` for what is no letter of a script."""
    if not unicodedata.category(character).startswith("L"):
        return None
    first = unicodedata.name(character, "").split(" ")[0]
    return None if not first or first in _NO_SCRIPT else _FAMILY.get(first, first.title())


def scripts(text: str) -> frozenset[str]:
    """The scripts of the letters of ``text``."""
    if text.isascii():
        return _LATIN
    return frozenset(script for script in map(script_of, set(text)) if script)


_LATIN = frozenset(["Latin"])


def has_mixed_word(text: str) -> bool:
    """Whether a word mixes letters that look alike, such as a Latin word with a Cyrillic ``о``."""
    return not text.isascii() and any(len(scripts(word) & _LOOKALIKES) > 1 for word in _WORD.findall(text))


def is_damaged(text: str) -> bool:
    """Whether ``text`` holds control characters or the marks of a wrong decoding, such as ``cafÃ©``."""
    if _CONTROL.search(text):
        return True
    if text.isascii():
        return False
    try:
        text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return False
    return True  # What stands there is UTF-8 that was read as Windows text: by chance, hardly any text is.
