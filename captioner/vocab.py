"""The vocabulary: which words a model knows, and the number of each."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from captioner.errors import CheckpointError

PAD, START, END, UNKNOWN = range(4)
"""Indices of the special tokens, the same in every vocabulary."""

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")

_VERSION = 1


@dataclass(frozen=True)
class Coverage:
    """How much of some captions a vocabulary knows."""

    tokens: int
    """Words in the captions, repetitions included."""
    unknown_tokens: int
    """Those among them that are not in the vocabulary."""
    dropped: list[tuple[str, int]]
    """The commonest unknown words with their counts, commonest first."""

    @property
    def unknown_rate(self) -> float:
        """Share of unknown tokens, 0 to 1; 0 when there are no tokens."""
        return self.unknown_tokens / self.tokens if self.tokens else 0.0


class Vocabulary:
    """Words and their indices: the four specials first, then the words, commonest first.

    A word spelled like a special is never taken for one: it is treated as any word that is not in the list.
    """

    def __init__(self, counts: dict[str, int], min_count: int) -> None:
        """Take the words of ``counts`` in their order; ``min_count`` records how they were chosen."""
        self.counts = counts
        self.min_count = min_count
        self.words: tuple[str, ...] = (*SPECIALS, *counts)
        """Every entry by index, the specials included."""
        self._index = {word: index for index, word in enumerate(counts, start=len(SPECIALS))}

    @classmethod
    def build(cls, captions: Iterable[Sequence[str]], min_count: int) -> "Vocabulary":
        """Keep the words that occur at least ``min_count`` times, commonest first and ties by alphabet."""
        counts = Counter(word for caption in captions for word in caption)
        for special in SPECIALS:
            del counts[special]
        kept = [(word, count) for word, count in counts.items() if count >= min_count]
        kept.sort(key=lambda entry: (-entry[1], entry[0]))
        return cls(dict(kept), min_count)

    def __len__(self) -> int:
        """Entries, the specials included: V."""
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._index

    def encode(self, words: Iterable[str]) -> list[int]:
        """Indices of the words, ``UNKNOWN`` for those not in the vocabulary. Adds no specials."""
        index = self._index
        return [index.get(word, UNKNOWN) for word in words]

    def decode(self, indices: Iterable[int]) -> list[str]:
        """Words up to the first ``END``, without ``PAD`` and ``START``. Accepts T indices in [0, V).

        Raises:
            IndexError: an index is V or more.
        """
        decoded: list[str] = []
        for index in indices:
            if index == END:
                break
            if index not in (PAD, START):
                decoded.append(self.words[index])
        return decoded

    def coverage(self, captions: Iterable[Sequence[str]], *, commonest: int = 20) -> Coverage:
        """Count what of the captions is known, and the ``commonest`` words that are not."""
        counts = Counter(word for caption in captions for word in caption)
        unknown = sorted(
            ((word, count) for word, count in counts.items() if word not in self._index),
            key=lambda entry: (-entry[1], entry[0]),
        )
        return Coverage(
            tokens=sum(counts.values()),
            unknown_tokens=sum(count for _, count in unknown),
            dropped=list(islice(unknown, commonest)),
        )

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ when any word or its index differs; counts do not matter."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads back, the same for the same vocabulary."""
        document = {
            "version": _VERSION,
            "min_count": self.min_count,
            "fingerprint": self.fingerprint,
            "counts": self.counts,
        }
        return json.dumps(document, ensure_ascii=False, indent=0)

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read what :meth:`to_json` wrote.

        Raises:
            CheckpointError: the text is damaged, or of another version of the format.
        """
        remedy = "Restore the vocabulary file that was saved with the model, or build a new one and train again."
        try:
            document = json.loads(text)
            version = document["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError("The vocabulary file is damaged: it is not a vocabulary in JSON.", remedy) from error
        if version != _VERSION:
            raise CheckpointError(
                f"The vocabulary file has format version {version}; this captioner reads version {_VERSION}.",
                "Use the version of captioner that wrote it, or build the vocabulary again.",
            )
        try:
            counts = {str(word): int(count) for word, count in document["counts"].items()}
            vocabulary = cls(counts, int(document["min_count"]))
            damaged = vocabulary.fingerprint != document["fingerprint"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                "The vocabulary file is damaged: an entry is missing or malformed.", remedy
            ) from error
        if damaged:
            raise CheckpointError("The vocabulary file is damaged: its words do not match its fingerprint.", remedy)
        return vocabulary


def empty_vocabulary(min_count: int) -> tuple[str, str]:
    """What is wrong where no word is kept, and what to do."""
    problem = f"no word occurs {min_count} times in the training captions, so the vocabulary would be empty"
    return problem, "lower vocab.min_count: --set vocab.min_count=1"
