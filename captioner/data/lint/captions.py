"""What is wrong with captions: lengths, duplicates, scripts, and words that the vocabulary would not hold."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from captioner.config import Config
from captioner.data.formats.reading import SPLITS, Entry, counted
from captioner.data.lint.report import Finding, Severity
from captioner.data.lint.scripts import UNSPACED, has_mixed_word, is_damaged, scripts
from captioner.events import Listener, Progress
from captioner.text import tokenize
from captioner.vocab import Vocabulary, empty_vocabulary

LONG: Final = 50
"""Words above which a caption is hardly one sentence: the longest of Flickr8k has 36."""
UNREACHABLE_SHARE: Final = 0.05
"""Share of training captions longer than ``sampling.max_length``; Flickr8k has 1.6 % above 20 words."""
DUPLICATE_SHARE: Final = 0.01
"""Share of captions that repeat another of their picture; Flickr8k has 0.04 %."""
UNKNOWN_SHARE: Final = 0.1
"""Share of a split's words that are not in the vocabulary; Flickr8k has 3 %."""

_EVERY = 2000  # Pictures between two events.


@dataclass
class CaptionFacts:
    """What one pass over the captions counts and collects; names are ``picture: caption``."""

    pictures: Counter[str] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    words: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """For each split how often each word occurs."""
    lengths: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """For each split how many captions have how many words."""
    scripts: Counter[str] = field(default_factory=Counter)
    """Captions with letters of each script."""
    by_script: dict[str, list[str]] = field(default_factory=dict)
    """Captions with letters of each script but Latin."""
    named: dict[str, list[str]] = field(default_factory=dict)
    """Captions by the kind of finding that they belong to."""

    def add(self, kind: str, entry: Entry, caption: str) -> None:
        """Collect a caption under ``kind``."""
        self.named.setdefault(kind, []).append(_shown(entry, caption))


def _shown(entry: Entry, caption: str) -> str:
    """Short, and without characters that would do something to a terminal."""
    short = caption if len(caption) <= 60 else f"{caption[:57]}..."
    return f"{entry.name}: " + "".join(sign if sign.isprintable() else "\ufffd" for sign in short)


def read_captions(entries: Sequence[Entry], listener: Listener) -> CaptionFacts:
    """Tokenise each caption once."""
    facts = CaptionFacts()
    for number, entry in enumerate(entries, 1):
        split = entry.split or "train"
        facts.pictures[split] += 1
        facts.captions[split] += len(entry.captions)
        words, lengths = facts.words[split], facts.lengths[split]
        seen: set[tuple[str, ...]] = set()
        for caption in entry.captions:
            tokens = tuple(tokenize(caption))
            words.update(tokens)
            lengths[len(tokens)] += 1
            _sort(facts, entry, caption, tokens, seen)
        if number % _EVERY == 0 or number == len(entries):
            listener(Progress("captions", number, len(entries), "pictures"))
    return facts


def _sort(facts: CaptionFacts, entry: Entry, caption: str, tokens: tuple[str, ...], seen: set[tuple[str, ...]]) -> None:
    if not tokens:
        facts.add("wordless-captions", entry, caption)
    elif len(tokens) > LONG:
        facts.add("long-captions", entry, caption)
    if tokens and tokens in seen:
        facts.add("duplicate-captions", entry, caption)
    seen.add(tokens)
    for script in scripts(caption):
        facts.scripts[script] += 1
        if script != "Latin":
            facts.by_script.setdefault(script, []).append(_shown(entry, caption))
    if has_mixed_word(caption):
        facts.add("mixed-scripts", entry, caption)
    if is_damaged(caption):
        facts.add("damaged-captions", entry, caption)


_ALWAYS: Final[dict[str, tuple[Severity, str, str]]] = {
    "wordless-captions": (
        "error",
        "without a word",
        "write or delete them: the model would learn to say nothing",
    ),
    "long-captions": (
        "warning",
        f"of more than {LONG} words",
        "shorten them to a sentence: one long caption pads its whole batch",
    ),
    "mixed-scripts": (
        "warning",
        "with a word that mixes scripts which look alike",
        "spell it in one script: to the vocabulary it is another word",
    ),
    "damaged-captions": (
        "warning",
        "with control characters or wrongly decoded text",
        "save the captions file as UTF-8 from its original",
    ),
}


def caption_findings(facts: CaptionFacts, vocabulary: Vocabulary, config: Config) -> Iterable[Finding]:
    """All findings about captions."""
    for kind, (severity, what, remedy) in _ALWAYS.items():
        if names := facts.named.get(kind):
            yield Finding.of(kind, severity, names, f"{counted(len(names), 'caption')} {what}", remedy)
    yield from _scripts(facts)
    yield from _shares(facts, config)
    yield from _vocabulary(facts, vocabulary, config)


def empty_splits(facts: CaptionFacts) -> Iterable[Finding]:
    """Splits that training needs and that have no pictures."""
    for split, purpose in (("train", "learn from"), ("val", "validate on")):
        if not facts.pictures[split]:
            message = f"no pictures in the split '{split}', so there is nothing to {purpose}"
            remedy = "put pictures into it, or remove the splits, so that dataset.val_fraction draws them"
            yield Finding("empty-splits", "error", 1, message, remedy, (split,))


def _scripts(facts: CaptionFacts) -> Iterable[Finding]:
    if not facts.by_script:
        return
    main = facts.scripts.most_common(1)[0][0]
    others = {script: names for script, names in sorted(facts.by_script.items()) if script != main}
    if others:
        names = list(dict.fromkeys(name for several in others.values() for name in several))
        which = ", ".join(f"{script} {len(several):,}" for script, several in others.items())
        problem = f"{counted(len(names), 'caption')} with letters that are not {main} ({which})"
        yield Finding.of("other-scripts", "warning", names, problem, "translate or remove them, if they are not meant")
    names = list(dict.fromkeys(name for script in sorted(UNSPACED) for name in facts.by_script.get(script, ())))
    if names:
        problem = f"{counted(len(names), 'caption')} in a script without blanks between words"
        remedy = "put a blank between words: the tokeniser splits at blanks, and takes a phrase for one word"
        yield Finding.of("unspaced-scripts", "warning", names, problem, remedy)


def _shares(facts: CaptionFacts, config: Config) -> Iterable[Finding]:
    """What a few captions may have, and many should not."""
    total = sum(facts.captions.values())
    if names := facts.named.get("duplicate-captions"):
        severity: Severity = "warning" if len(names) > DUPLICATE_SHARE * total else "note"
        problem = f"{counted(len(names), 'caption')} ({len(names) / total:.2%}) said twice of one picture"
        remedy = "write another or delete it: twice the same counts double, and tells nothing new"
        yield Finding.of("duplicate-captions", severity, names, problem, remedy)
    limit, lengths = config.sampling.max_length, facts.lengths["train"]
    longer = sum(count for length, count in lengths.items() if length > limit)
    if longer > UNREACHABLE_SHARE * lengths.total():
        message = f"{longer / lengths.total():.1%} of the training captions are longer than sampling.max_length={limit}"
        remedy = "raise sampling.max_length, or shorten them: the model cannot say what it learns"
        yield Finding("unreachable-lengths", "warning", longer, message, remedy, ())


def _vocabulary(facts: CaptionFacts, vocabulary: Vocabulary, config: Config) -> Iterable[Finding]:
    least = config.vocab.min_count
    if facts.captions["train"] and not vocabulary.counts:
        yield Finding("empty-vocabulary", "error", 1, *empty_vocabulary(least), ())
        return
    rates = unknown_rates(facts, vocabulary)
    high = {split: rate for split, rate in rates.items() if rate > UNKNOWN_SHARE and facts.captions["train"]}
    if high:
        which = ", ".join(f"{rate:.1%} of {split}" for split, rate in high.items())
        message = f"many words are not in the vocabulary at vocab.min_count={least}: {which}"
        lower = f"lower vocab.min_count ('captioner vocab' shows what {least} drops)"
        remedy = f"{lower if least > 1 else 'bring more training pictures'}, or draw the splits anew"
        yield Finding("unknown-words", "warning", len(high), message, remedy, tuple(high))


def unknown_rates(facts: CaptionFacts, vocabulary: Vocabulary) -> dict[str, float]:
    """For each split the share of its words that the vocabulary does not hold, 0 to 1."""
    return {
        split: sum(count for word, count in words.items() if word not in vocabulary) / max(1, words.total())
        for split, words in facts.words.items()
    }


def caption_statistics(facts: CaptionFacts, vocabulary: Vocabulary) -> dict[str, Any]:
    """Pictures, captions and unknown words of each split, and how long captions are."""
    rates = unknown_rates(facts, vocabulary)
    lengths = sum(facts.lengths.values(), Counter[int]())
    return {
        "splits": {
            split: {"pictures": facts.pictures[split], "captions": facts.captions[split], "unknown_rate": rates[split]}
            for split in SPLITS
            if facts.pictures[split]
        },
        "vocabulary": len(vocabulary),
        "caption_lengths": {str(length): lengths[length] for length in sorted(lengths)},
    }
