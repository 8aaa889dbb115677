"""METEOR, SPICE and the official tokeniser: pycocoevalcap's programs, which need Java; slow, and what papers report.

METEOR: Denkowski and Lavie 2014, https://aclanthology.org/W14-3348. SPICE: Anderson et al. 2016,
https://arxiv.org/abs/1607.08822.
"""

import io
import math
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any

from captioner.evaluation.evaluator import Evaluation
from captioner.evaluation.metrics import Scores, score
from captioner.evaluation.references import ImageId
from captioner.events import Listener, Note, Warned

_Texts = Mapping[ImageId, Sequence[str]]
_Program = Callable[[_Texts, _Texts], tuple[float, dict[ImageId, float]]]
"""References and captions, as tokens -> the corpus's score and the images' own."""
_ENVIRONMENT = {
    # Whatever the machine's language: captions in UTF-8, and decimal points. All versions of Java read this.
    "JAVA_TOOL_OPTIONS": "-Dfile.encoding=UTF-8 -Duser.language=en",
    # SPICE looks into classes that Java has closed since version 9; version 8 does not read this.
    "JDK_JAVA_OPTIONS": " ".join(f"--add-opens=java.base/java.{part}=ALL-UNNAMED" for part in ("lang", "math", "util")),
}
_PATIENCE = 30.0  # Seconds to wait for the host of SPICE's models.


def score_officially(evaluations: Sequence[Evaluation], listener: Listener) -> list[Evaluation]:
    """The same captions scored on the official tokens, with METEOR and SPICE by the programs of their authors.

    What cannot be had is left out of all, and the listener is warned of it in a line that says how to get it.
    """
    try:
        if lacking := _lacking():
            raise _Failed(lacking)
        listener(Note("official scores: Java takes a minute or two"))
        programs: dict[str, _Program] = {"METEOR": _meteor, "SPICE": _spice}
        found = [_score(evaluation, programs, listener) for evaluation in evaluations]
        return [replace(each, scores=_without(each.scores, {"METEOR", "SPICE"} - programs.keys())) for each in found]
    except _Failed as failure:
        listener(Warned(f"no METEOR and no SPICE, and tokens by {evaluations[0].tokenizer}: {failure}"))
        return list(evaluations)


class _Failed(Exception):
    """One of the programs did; the text says why."""


def _score(evaluation: Evaluation, programs: dict[str, _Program], listener: Listener) -> Evaluation:
    """By those of the ``programs`` that work; others are warned of and taken out."""
    assert evaluation.references is not None
    texts = {"references": evaluation.references.texts, "captions": _alone(evaluation.captions)}
    known, spoken = (_tokenize(several) for several in texts.values())
    scores = score(
        {image_id: caption.split() for image_id, (caption,) in spoken.items()},
        {image_id: [caption.split() for caption in captions] for image_id, captions in known.items()},
    )
    for name, compute in list(programs.items()):
        try:
            corpus, per_image = compute(known, spoken)
        except _Failed as failure:
            listener(Warned(f"no {name}: {failure}{_SPICE_REMEDY if name == 'SPICE' else ''}"))
            del programs[name]
            continue
        scores = Scores(
            {**scores.corpus, name: corpus},
            {key: {**values, name: per_image[key]} for key, values in scores.per_image.items()},
            scores.bleu_statistics,
        )
    tokenizer = f"PTBTokenizer of Stanford CoreNLP 3.4.1, by pycocoevalcap {version('pycocoevalcap')}"
    return replace(evaluation, scores=scores, tokenizer=tokenizer)


def _without(scores: Scores[ImageId], names: set[str]) -> Scores[ImageId]:
    def left(values: Mapping[str, float]) -> dict[str, float]:
        return {name: value for name, value in values.items() if name not in names}

    return replace(
        scores,
        corpus=left(scores.corpus),
        per_image={key: left(values) for key, values in scores.per_image.items()},
    )


_SPICE_REMEDY = (
    "; it needs a network once, for 400 MB of models from nlp.stanford.edu, a writable folder of pycocoevalcap, "
    "and 8 GB of memory"
)


def _lacking() -> str:
    try:
        version("pycocoevalcap")
    except PackageNotFoundError:
        return "pycocoevalcap is not installed; pip install 'captioner[coco]'"
    if shutil.which("java") is None:
        return "Java is not installed; for example: apt install default-jre-headless"
    return ""


def _alone(captions: Mapping[ImageId, str]) -> dict[ImageId, list[str]]:
    return {image_id: [caption] for image_id, caption in captions.items()}


def _tokenize(texts: _Texts) -> dict[ImageId, list[str]]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    # The tokeniser reads a caption a line, and there are more line ends than pycocoevalcap knows.
    lines = {key: [{"caption": " ".join(text.split())} for text in several] for key, several in texts.items()}
    tokens: dict[ImageId, list[str]] = _run(lambda: PTBTokenizer().tokenize(lines))
    if {key: len(several) for key, several in tokens.items()} != {key: len(several) for key, several in lines.items()}:
        raise _Failed("the official tokeniser ended early; 'java -version' shows whether Java works")
    return tokens


def _meteor(known: _Texts, spoken: _Texts) -> tuple[float, dict[ImageId, float]]:
    from pycocoevalcap.meteor.meteor import Meteor

    def compute() -> tuple[float, list[float]]:
        meteor = Meteor()
        with meteor.meteor_p:  # Closes what its own end leaves open.
            try:
                corpus, per_image = meteor.compute_score(known, spoken)
            finally:
                meteor.meteor_p.kill()
        return corpus, per_image

    corpus, per_image = _run(compute)
    return corpus, dict(zip(known, per_image, strict=True))


def _spice(known: _Texts, spoken: _Texts) -> tuple[float, dict[ImageId, float]]:
    from pycocoevalcap.spice.spice import Spice

    # It wants numbers of one kind to sort by.
    numbers = dict(enumerate(known))
    of_numbers = [{number: list(texts[key]) for number, key in numbers.items()} for texts in (known, spoken)]
    _, details = _run(lambda: Spice().compute_score(*of_numbers))
    per_image = {key: float(details[number]["All"]["f"]) for number, key in numbers.items()}
    return math.fsum(per_image.values()) / len(per_image), per_image


def _run(compute: Callable[[], Any]) -> Any:
    """What a program computes; raises ``_Failed`` with its last words."""
    patience = socket.getdefaulttimeout()
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    socket.setdefaulttimeout(_PATIENCE)
    with tempfile.TemporaryFile() as words:
        try:
            with _into(words):
                return compute()
        except Exception as error:  # These are other people's programs, and fail in many ways.
            words.seek(0)
            said = [line for line in words.read().decode(errors="replace").splitlines() if line.strip()]
            java = f" ({said[-1].strip()[:200]})" if said else ""
            raise _Failed(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{java}") from error
        finally:
            socket.setdefaulttimeout(patience)
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


@contextmanager
def _into(file: IO[bytes]) -> Iterator[None]:
    """All that this process and those it starts write to either output goes to ``file``."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    printed = io.TextIOWrapper(file, write_through=True)
    try:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        with redirect_stdout(printed):
            yield
    finally:
        printed.detach()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
