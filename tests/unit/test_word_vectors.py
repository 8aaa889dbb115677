"""Word vectors are read as their makers write them, cut down to the vocabulary, and end in the decoder."""

import gzip
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from captioner.checkpoint.reading import load_checkpoint
from captioner.configfile import load_config
from captioner.data.word_vectors import load_word_vectors
from captioner.errors import Interrupted, ModelError
from captioner.events import Event, Note, Progress, ignore
from captioner.experiment import Experiment
from captioner.vocab import Vocabulary

VOCABULARY = Vocabulary({"dog": 6, "cat": 3, "é": 2, ".": 1}, min_count=1)
GLOVE = "the 0.5 0.5 0.5\ndog 1 -2e0 3.5\n. . . 9 9 9\né 4 5 6\n"
FILES = {
    "glove": GLOVE,
    "word2vec": "4 3\n" + GLOVE,
    "fastText": "4 3\n" + GLOVE.replace("\n", " \n"),
    "windows": GLOVE.replace("\n", "\r\n"),
    "without an end": GLOVE.rstrip(),
    "tabs": GLOVE.replace(" ", "\t").replace(".\t.\t.", ". . ."),
    "tabs after words": GLOVE.replace("dog ", "dog\t").replace("é ", "é\t"),
    "empty lines": "\n4 3\n\n" + GLOVE + " \n\n",
    "byte-order mark": "\ufeff" + GLOVE.removeprefix("the 0.5 0.5 0.5\n"),
    "byte-order mark and counts": "\ufeff4 3\n" + GLOVE,
    "twice": GLOVE + "dog 7 7 7\n",
    "other characters": GLOVE + "a\u2028b 1 2 3\nc\u00a0d 1 2 3\n",
}


def written(folder: Path, text: str | bytes, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def loaded(source: object, size: int = 3, seed: int = 1, listener: Any = ignore) -> Tensor:
    return load_word_vectors(str(source), VOCABULARY, size, seed, listener)


def refusal(source: object, size: int = 3) -> tuple[str, str]:
    with pytest.raises(ModelError) as caught:
        loaded(source, size)
    return caught.value.problem, caught.value.remedy


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_is_read(tmp_path: Path, text: str, packed: bool) -> None:
    path = written(tmp_path, gzip.compress(text.encode()), "v.gz") if packed else written(tmp_path, text)
    vectors = loaded(path)
    assert vectors.shape == (8, 3)
    assert vectors[VOCABULARY.encode(["dog"])[0]].tolist() == [1, -2, 3.5]
    assert vectors[VOCABULARY.encode(["é"])[0]].tolist() == [4, 5, 6]
    assert vectors[VOCABULARY.encode(["."])[0]].tolist() != [9, 9, 9]  # That token is ". . .".


def test_how_much_was_found_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    path = written(tmp_path, GLOVE)
    loaded(path, listener=events.append)
    size = path.stat().st_size
    assert events == [
        Progress("reading word vectors", size, size, "bytes"),
        Note("word vectors: 2 of 4 words have one (50.0%), 66.7% of their occurrences in the training captions"),
    ]


def test_words_without_a_vector_are_as_long_as_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{word} {' '.join(map(str, 0.3 * rng.normal(size=5000)))}" for word in ("dog", "cat")]
    path = written(tmp_path, "\n".join(lines))
    vectors = loaded(path, 5000)
    for index in (*range(4), *VOCABULARY.encode(["é", "."])):
        assert vectors[index].std() == pytest.approx(0.3, rel=0.05)
    assert torch.equal(vectors, loaded(path, 5000))
    assert not torch.equal(vectors, loaded(path, 5000, seed=2))


TEXT = "give vectors as text, as GloVe, word2vec and fastText write them"


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("the 1 2 3 4\n", "the vectors in {p} have 4 numbers, and decoder.embedding_size is 3", "4"),
        ("2007 1 2\n", "the vectors in {p} have 2 numbers, and decoder.embedding_size is 3", "2"),
        (". . . 1 2\n", "the vectors in {p} have 2 numbers, and decoder.embedding_size is 3", "2"),
        ("9 300\nthe 1 2 3\n", "the vectors in {p} have 300 numbers, and decoder.embedding_size is 3", "300"),
        ("a b\n", "{p} holds no word vectors: its first line does not end in numbers", TEXT),
        (GLOVE + "cat 1 2\n", "{p}:5: expected a word and 3 numbers, found 'cat 1 2'", ""),
        (GLOVE + "bird 1 2\n", "{p}:5: expected a word and 3 numbers, found 'bird 1 2'", ""),
        (GLOVE + "cat 1 2 x3\n", "{p}:5: expected a word and 3 numbers, found 'cat 1 2 x3'", ""),
        (GLOVE + "cat 1 2 nan\n", "{p}:5: expected a word and 3 numbers, found 'cat 1 2 nan'", ""),
        ("1 3\n" + "\x01" * 50, "{p}:2: expected a word and 3 numbers, found '" + r"\x01" * 40 + "'...", ""),
        (
            "the 1 2 3\n",
            "{p} has a vector for none of the 4 words of the vocabulary",
            "give vectors of the captions' language, whose words are in lower case",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, problem: str, remedy: str) -> None:
    path = written(tmp_path, text)
    remedy = f"--set decoder.embedding_size={remedy}" if remedy.isdigit() else remedy
    assert refusal(path) == (problem.format(p=path), remedy or f"{TEXT}, or download the file again")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == (
        f"there is no file of word vectors at {tmp_path}/none",
        "set decoder.word_vectors to a file of GloVe, word2vec or fastText, as text, or to spacy:PIPELINE",
    )
    assert refusal(tmp_path) == (f"cannot read {tmp_path}: Is a directory", "give the path of a file that you may read")
    whole = gzip.compress(GLOVE.encode() * 1000)
    for name, damaged in (("a.gz", GLOVE.encode()), ("b.gz", whole[:-20]), ("c.gz", whole[:40] + b"??" + whole[42:])):
        path = written(tmp_path, damaged, name)
        assert refusal(path) == (f"{path} is damaged: it does not unpack", "download it again")


class TestSpacy:
    @pytest.fixture(autouse=True)
    def spacy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A module that has two pipelines, of which the small one has no vectors."""
        known = {"dog": [1.0, 2.0, 3.0], "é": [4.0, 5.0, 6.0]}
        vocab = SimpleNamespace(
            vectors_length=3, has_vector=known.__contains__, get_vector=lambda word: np.array(known[word], np.float32)
        )

        def load(name: str) -> SimpleNamespace:
            if name == "en_md":
                return SimpleNamespace(vocab=vocab)
            if name == "en_sm":
                return SimpleNamespace(vocab=SimpleNamespace(vectors_length=0))
            raise OSError(f"[E050] Can't find model '{name}'.")

        module = ModuleType("spacy")
        module.load = load  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "spacy", module)

    def test_vectors_of_a_pipeline(self) -> None:
        events: list[Event] = []
        vectors = loaded("spacy:en_md", listener=events.append)
        assert vectors[VOCABULARY.encode(["dog"])[0]].tolist() == [1, 2, 3]
        assert vectors[VOCABULARY.encode(["é"])[0]].tolist() == [4, 5, 6]
        (event,) = events
        assert isinstance(event, Note)
        assert event.text.startswith("word vectors: 2 of 4 words have one")

    def test_what_is_missing_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert refusal("spacy:en_md", 5) == (
            "the vectors in spacy:en_md have 3 numbers, and decoder.embedding_size is 5",
            "--set decoder.embedding_size=3",
        )
        assert refusal("spacy:en_sm") == (
            "spaCy's en_sm has no vectors",
            "take a larger pipeline, such as en_core_web_md",
        )
        assert refusal("spacy:en_xl") == (
            "spaCy has no pipeline 'en_xl' here",
            "python -m spacy download en_xl",
        )
        monkeypatch.setitem(sys.modules, "spacy", None)
        assert refusal("spacy:en_md") == ("spacy is not installed", "pip install 'captioner[spacy]'")


class TestTraining:
    @pytest.fixture
    def vectors(self, tmp_path: Path) -> Path:
        words = ("a", "red", "blue", "circle", "square")
        return written(tmp_path, "".join(f"{word} {' '.join([str(n / 10)] * 24)}\n" for n, word in enumerate(words)))

    @pytest.mark.parametrize("kind", ["attention", "lstm", "transformer"])
    @pytest.mark.parametrize("tuned", [True, False])
    def test_the_decoder_begins_with_them(
        self, tiny_file: Path, tmp_path: Path, vectors: Path, kind: str, tuned: bool
    ) -> None:
        """Kept or tuned, perhaps scaled; with them gone, the checkpoint still loads and the run still resumes."""
        settings = [
            f"decoder.word_vectors={vectors}", f"decoder.tune_word_vectors={str(tuned).lower()}",
            f"decoder.type={kind}", "training.epochs=2",
        ]  # fmt: skip
        experiment = Experiment(load_config(tiny_file, settings), ignore)

        def stop(event: Event) -> None:
            if isinstance(event, Progress) and event.task.startswith("epoch 2"):
                trainer._interrupted.set()

        trainer = experiment.trainer(tmp_path / "run", resume=False)
        trainer.listener = stop
        begun = trainer.model.decoder.embedding.weight.detach().clone()
        red = experiment.vocabulary.encode(["red"])[0]
        assert begun[red].std() < 1e-7
        if kind == "transformer":  # Whose output layer they are.
            assert begun.square().mean().sqrt() == pytest.approx(24**-0.5)
        else:
            assert begun[red].tolist() == pytest.approx([0.1] * 24)
        with pytest.raises(Interrupted):
            trainer.fit()
        vectors.unlink()
        moved = load_config(tiny_file, [f"decoder.word_vectors={tmp_path}/moved", *settings[1:]])
        Experiment(moved, ignore).trainer(tmp_path / "run", resume=True).fit()
        ended = load_checkpoint(tmp_path / "run" / "last").model.decoder.embedding.weight
        assert torch.equal(ended, begun) == (not tuned)
        assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2

    @pytest.mark.parametrize("kind", ["attention", "lstm", "transformer"])
    @pytest.mark.parametrize("length", [1e-2, 75.0])
    def test_vectors_of_any_length_can_be_begun_with(
        self, tiny_file: Path, tmp_path: Path, kind: str, length: float
    ) -> None:
        """Where they are the output layer's matrix too: a word is then about as likely as if they were random."""
        rng = np.random.default_rng(0)
        rows = {word: rng.normal(size=24) for word in ("a", "red", "blue", "circle")}
        lines = [f"{word} {' '.join(map(str, length * row / np.linalg.norm(row)))}" for word, row in rows.items()]
        path = written(tmp_path, "\n".join(lines))
        config = load_config(
            tiny_file, [f"decoder.word_vectors={path}", "decoder.tie_embeddings=true", f"decoder.type={kind}"]
        )
        trainer = Experiment(config, ignore).trainer(tmp_path / "run", resume=False)
        learned = trainer.optimisation.step(next(trainer.batches.epoch(1)))
        guessing = np.log(len(trainer.vocabulary))
        assert learned.loss / learned.words == pytest.approx(guessing, rel=0.5)

    def test_a_wrong_size_is_told_before_anything_is_written(self, tiny_file: Path, tmp_path: Path, cli: Any) -> None:
        path = written(tmp_path, GLOVE)
        finished = cli(
            "train", "--config", tiny_file, "--run", tmp_path / "run", "--quiet",
            "--set", f"decoder.word_vectors={path}",
        )  # fmt: skip
        assert finished.status == 1
        assert finished.err.splitlines() == [
            f"error: the vectors in {path} have 3 numbers, and decoder.embedding_size is 24",
            "       --set decoder.embedding_size=3",
        ]
        assert not (tmp_path / "run").exists()
