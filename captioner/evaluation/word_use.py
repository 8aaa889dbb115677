"""Which words a model says that nobody said of the picture, and which it leaves out, by class of word.

No tagger is asked: colours, numbers, people and places come from the short English lists below, and the references
show the rest. An action is a word in "-ing" that they have, or one in "-s" or plain that goes with it, unless they
often put an article or a colour before it ("runs" and "run" go with "running", but "a bike" is a thing). A thing is
what stands, most often, where a noun ends: before an action, a preposition, "and" or the end of a caption. Other words
are not counted. Words are compared as they are written, so that "dogs" is not "dog"; forms of an action are one word.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from captioner.evaluation.references import ImageId

Words = Sequence[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PEOPLE = _words(
    "man men woman women boy boys girl girls child children kid kids baby babies person people lady ladies guy guys "
    "toddler adult adults couple family crowd player players"
)
COLOURS = _words(
    "red orange yellow green blue purple pink brown black white grey gray tan blond blonde gold golden silver"
)
NUMBERS = _words("one two three four five six seven eight nine ten several many both few group")
PLACES = _words(
    "in on at over under above below behind beside near through into onto across along around between by against "
    "inside outside down up off out towards toward past next front top"
)
CLASSES = ("people", "things", "actions", "colours", "numbers", "places")

_FUNCTION = _words(
    "a an the and or of to with for from is are was were be been being while as who that which it its his her their "
    "they he she him them this these those there some other another 's has have very not together away about someone "
    "something whilst back"
)
_NOUN_ENDS = PLACES | _words("and or of with from is are was were while as who that which for to 's has have")
_NO_VERBS = _words(
    "building ceiling clothing during evening king morning nothing railing ring something spring string thing wedding "
    "swing wing anything everything"
)
_ARTICLES = COLOURS | _words("a an the his her its their")
_ENDING_SHARE, _ARTICLE_SHARE = 0.5, 0.3
"""Of a thing's places in the references, those where a noun ends; of a noun's, those after an article or a colour."""


@dataclass(frozen=True)
class WordUse:
    """How a word is used, in pictures."""

    word: str
    said: int
    """The caption has it."""
    unsupported: int
    """The caption has it, and no reference."""
    wanted: int
    """More than half of the references have it."""
    missed: int
    """More than half of the references have it, and the caption has not."""


@dataclass(frozen=True)
class ClassUse:
    """All words of a class."""

    name: str
    words: tuple[WordUse, ...]

    def share(self, part: str, whole: str) -> float | None:
        """Such as ``unsupported`` of what was ``said``, 0 to 1; None of nothing."""
        total = sum(getattr(word, whole) for word in self.words)
        return sum(getattr(word, part) for word in self.words) / total if total else None

    def worst(self, part: str, number: int) -> list[WordUse]:
        """The words most often ``unsupported``, or ``missed``."""
        found = sorted(self.words, key=lambda word: (-getattr(word, part), word.word))
        return [word for word in found[:number] if getattr(word, part)]


def word_use(captions: Mapping[ImageId, Words], references: Mapping[ImageId, Sequence[Words]]) -> list[ClassUse]:
    """Use of each class's words over the captions of all pictures, by what their references say."""
    classes = _Classes(words for several in references.values() for words in several)
    counts = {part: Counter[tuple[str, str]]() for part in ("said", "unsupported", "wanted", "missed")}
    for key, caption in captions.items():
        said = set(classes.of(caption))
        known = Counter(found for words in references[key] for found in set(classes.of(words)))
        wanted = {found for found, times in known.items() if 2 * times > len(references[key])}
        counts["said"].update(said)
        counts["unsupported"].update(said - known.keys())
        counts["wanted"].update(wanted)
        counts["missed"].update(wanted - said)
    words: dict[str, list[WordUse]] = {name: [] for name in CLASSES}
    for name, word in counts["said"].keys() | counts["wanted"].keys():
        words[name].append(WordUse(word, *(counts[part][name, word] for part in counts)))
    return [ClassUse(name, tuple(sorted(words[name], key=lambda use: use.word))) for name in CLASSES]


class _Classes:
    """What the references show of their words."""

    def __init__(self, references: Iterable[Words]) -> None:
        several = [list(words) for words in references]
        times = Counter(word for words in several for word in words)
        after_article = Counter(word for words in several for before, word in pairwise(words) if before in _ARTICLES)
        self._nouns = {word for word, count in after_article.items() if count > _ARTICLE_SHARE * times[word]}
        self._endings = {word for word in times if word.endswith("ing") and len(word) > 4} - _NO_VERBS
        ends = _NOUN_ENDS | {word for word in times if self._action(word)}
        as_noun = Counter(
            word for words in several for word, after in zip(words, [*words[1:], "and"], strict=True) if after in ends
        )
        things = {word for word, count in as_noun.items() if count > _ENDING_SHARE * times[word]}
        # "Dressed" and "covered" stand there too.
        self._things = {word for word in things - _FUNCTION if not word.endswith("ed") or len(word) < 6}

    def of(self, words: Words) -> Iterator[tuple[str, str]]:
        """The class and word of each that has a class."""
        for word in words:
            for name, closed in (("people", PEOPLE), ("colours", COLOURS), ("numbers", NUMBERS), ("places", PLACES)):
                if word in closed:
                    yield name, word
                    break
            else:
                if action := self._action(word):
                    yield "actions", action
                elif word in self._things:
                    yield "things", word

    def _action(self, word: str) -> str:
        """The "-ing" form of a word, if the references have it: runs -> running, ride -> riding."""
        if word in self._endings:
            return word
        stem = word.removesuffix("s")
        if len(stem) < 3 or stem in self._nouns:
            return ""
        forms = [f"{stem}ing", f"{stem}{stem[-1]}ing", *([f"{stem[:-1]}ing"] if stem.endswith("e") else [])]
        return next((form for form in forms if form in self._endings), "")
