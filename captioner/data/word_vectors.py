"""Pretrained word vectors, from a text file or a spaCy pipeline, pruned to a vocabulary.

J. Pennington et al., "GloVe", EMNLP 2014; T. Mikolov et al., arXiv 1301.3781 (word2vec); P. Bojanowski et al.,
"Enriching Word Vectors with Subword Information", TACL 2017 (fastText). All three write a word and its numbers on each
line, with blanks between; word2vec and fastText begin with a line of two counts. Tabs, empty lines and a byte-order
mark, as other programs write them, do no harm.
"""

import codecs
import gzip
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captioner.errors import ModelError
from captioner.events import Listener, Note, Progress
from captioner.vocab import Vocabulary

Vectors = npt.NDArray[np.float32]

_SPACY = "spacy:"
_LINES_BETWEEN_EVENTS = 20_000


def load_word_vectors(source: str, vocabulary: Vocabulary, size: int, seed: int, listener: Listener) -> Tensor:
    """A vector for each entry of ``vocabulary``, (V, E), from a file or ``spacy:PIPELINE``; E = ``size``.

    Entries without one get a random one of ``seed``, as long as the others are on average. Tells ``listener`` how much
    was found. Raises ``ModelError`` when the source is missing, damaged, of another size, or knows none of the words.
    """
    if source.startswith(_SPACY):
        found = _from_spacy(source.removeprefix(_SPACY), vocabulary, size)
    else:
        found = _from_file(Path(source), vocabulary, size, listener)
    counts = vocabulary.counts
    if not found:
        raise ModelError(
            f"{source} has a vector for none of the {len(counts):,} words of the vocabulary",
            "give vectors of the captions' language, whose words are in lower case",
        )
    occurrences = sum(counts[word] for word in found) / sum(counts.values())
    listener(
        Note(
            f"word vectors: {len(found):,} of {len(counts):,} words have one ({len(found) / len(counts):.1%}), "
            f"{occurrences:.1%} of their occurrences in the training captions"
        )
    )
    scale = np.sqrt(np.mean([np.square(vector).mean() for vector in found.values()]))
    vectors = float(scale) * torch.randn(len(vocabulary), size, generator=torch.Generator().manual_seed(seed))
    for index, word in enumerate(vocabulary.words):
        if word in found:
            vectors[index] = torch.from_numpy(found[word])
    return vectors


def _from_file(path: Path, vocabulary: Vocabulary, size: int, listener: Listener) -> dict[str, Vectors]:
    try:
        with path.open("rb") as file:
            return _read(gzip.open(file) if path.suffix == ".gz" else file, file, path, vocabulary, size, listener)
    except FileNotFoundError:
        raise ModelError(
            f"there is no file of word vectors at {path}",
            "set decoder.word_vectors to a file of GloVe, word2vec or fastText, as text, or to spacy:PIPELINE",
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise ModelError(f"{path} is damaged: it does not unpack", "download it again") from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", "give the path of a file that you may read") from None


def _read(
    lines: Iterable[bytes], file: IO[bytes], path: Path, vocabulary: Vocabulary, size: int, listener: Listener
) -> dict[str, Vectors]:
    """Every line's length is checked, but only the vocabulary's are read: a file has millions of them."""
    wanted = {word.encode("utf-8", "surrogateescape"): word for word in vocabulary.counts}
    found: dict[str, Vectors] = {}
    total, begun = path.stat().st_size, False
    for number, ended in enumerate(lines, start=1):
        line = ended.rstrip().replace(b"\t", b" ")
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line:
            continue
        if not begun:
            begun = True
            fields = line.split(b" ")
            header = len(fields) == 2 and all(field.isdigit() for field in fields)
            _check_size(int(fields[1]) if header else _numbers_at_the_end(fields), size, str(path))
            if header:
                continue
        if line.count(b" ") < size:
            raise _broken(path, number, line, size)
        word = wanted.get(line[: line.index(b" ")])
        if word is not None and word not in found:
            token, *numbers = line.rsplit(b" ", size)  # From the right: a token may contain blanks.
            vector = _floats(numbers)
            if vector is None:
                raise _broken(path, number, line, size)
            if b" " not in token:
                found[word] = vector
        if number % _LINES_BETWEEN_EVENTS == 0:
            listener(Progress("reading word vectors", file.tell(), total, "bytes"))
    listener(Progress("reading word vectors", total, total, "bytes"))
    return found


def _numbers_at_the_end(fields: Sequence[bytes]) -> int:
    """How many fields are numbers, counted from the last; the first is a word, whatever it looks like."""
    count = 0
    while count < len(fields) - 1 and _floats([fields[-1 - count]]) is not None:
        count += 1
    return count


def _floats(fields: Sequence[bytes]) -> Vectors | None:
    """The finite numbers that ``fields`` are, or None."""
    try:
        vector = np.array([float(field) for field in fields], dtype=np.float32)
    except ValueError:
        return None
    return vector if np.isfinite(vector).all() else None


def _broken(path: Path, number: int, line: bytes, size: int) -> ModelError:
    start = line.decode("utf-8", "replace")[:40]
    return ModelError(
        f"{path}:{number}: expected a word and {size} numbers, found {start!r}{'...' if len(line) > 40 else ''}",
        "give vectors as text, as GloVe, word2vec and fastText write them, or download the file again",
    )


def _check_size(found: int, wanted: int, source: str) -> None:
    if found == 0:
        raise ModelError(
            f"{source} holds no word vectors: its first line does not end in numbers",
            "give vectors as text, as GloVe, word2vec and fastText write them",
        )
    if found != wanted:
        raise ModelError(
            f"the vectors in {source} have {found} numbers, and decoder.embedding_size is {wanted}",
            f"--set decoder.embedding_size={found}",
        )


def _from_spacy(name: str, vocabulary: Vocabulary, size: int) -> dict[str, Vectors]:
    try:
        import spacy
    except ImportError:
        raise ModelError("spacy is not installed", "pip install 'captioner[spacy]'") from None
    try:
        known = spacy.load(name).vocab
    except OSError:
        raise ModelError(f"spaCy has no pipeline '{name}' here", f"python -m spacy download {name}") from None
    if not known.vectors_length:
        raise ModelError(f"spaCy's {name} has no vectors", "take a larger pipeline, such as en_core_web_md")
    _check_size(known.vectors_length, size, f"{_SPACY}{name}")
    return {
        word: np.asarray(known.get_vector(word), np.float32) for word in vocabulary.counts if known.has_vector(word)
    }
