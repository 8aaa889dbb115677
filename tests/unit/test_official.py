"""What cannot be had of the official scores is named in a line, and the rest still runs. No Java is needed here."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from captioner.evaluation import official
from captioner.evaluation.evaluator import Evaluation, score_captions
from captioner.evaluation.official import score_officially
from captioner.evaluation.references import ImageId, References
from captioner.events import Event, Note, Warned
from captioner.text import tokenize

CAPTIONS: dict[ImageId, str] = {7: "A dog runs.", "b": "Two men\u2028on bikes"}
REFERENCES: dict[ImageId, list[str]] = {7: ["A dog is running.", "The dog runs"], "b": ["Two men ride bikes."]}
WITHOUT = "no METEOR and no SPICE, and tokens by captioner-ptb-1: "


def evaluation() -> Evaluation:
    words = {key: tokenize(text) for key, text in CAPTIONS.items()}
    return score_captions(words, References("r.json", REFERENCES), CAPTIONS, {"method": "file", "name": "p.json"})


def told(run: Any) -> list[Event]:
    events: list[Event] = []
    assert [run] == score_officially([run], events.append)
    return events


def test_without_java_the_scores_stay_and_a_line_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    said = "Java is not installed; for example: apt install default-jre-headless"
    assert told(evaluation()) == [Warned(WITHOUT + said)]


def test_without_pycocoevalcap_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(official, "version", version)
    said = "pycocoevalcap is not installed; pip install 'captioner[coco]'"
    assert told(evaluation()) == [Warned(WITHOUT + said)]


class Programs:
    """Stand-ins for the programs: they say noise, and fail when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed")
        from pycocoevalcap.spice import spice
        from pycocoevalcap.tokenizer import ptbtokenizer

        self.failing: set[str] = set()
        self.spice_of: list[Any] = []
        monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/java")
        monkeypatch.setattr(official, "_meteor", self.meteor)
        monkeypatch.setattr(ptbtokenizer.PTBTokenizer, "tokenize", lambda _, texts: self.tokenize(texts))
        monkeypatch.setattr(spice, "Spice", lambda: self)

    def check(self, name: str) -> None:
        print("noise of", name)
        if name in self.failing:
            raise OSError(f"{name} has no network")

    def tokenize(self, texts: Mapping[ImageId, Sequence[Mapping[str, str]]]) -> dict[ImageId, list[str]]:
        self.check("tokeniser")
        assert all(len(one["caption"].splitlines()) == 1 for several in texts.values() for one in several)
        return {key: [one["caption"].lower() for one in several] for key, several in texts.items()}

    def meteor(self, known: Any, spoken: Any) -> tuple[float, dict[ImageId, float]]:
        return 0.25, dict.fromkeys(known, 0.2)

    def compute_score(self, known: Any, spoken: Any) -> tuple[float, list[Any]]:
        self.check("SPICE")
        self.spice_of = [known, spoken]
        return math.nan, [{"All": {"f": 0.5}}, {"All": {"f": 0.25}}]


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(monkeypatch)


def test_scores_by_the_official_tokens(programs: Programs, capfd: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = []
    found = score_officially([evaluation()], events.append)[0]
    assert events == [Note("official scores: Java takes a minute or two")]
    assert capfd.readouterr() == ("", "")
    scores = found.to_json()
    assert (scores["METEOR"], scores["SPICE"]) == (0.25, 0.375)
    assert list(scores)[6:8] == ["METEOR", "SPICE"]
    assert scores["tokenizer"].startswith("PTBTokenizer of Stanford CoreNLP 3.4.1, by pycocoevalcap 1.")
    assert [row["SPICE"] for row in found.image_rows()] == [0.5, 0.25]
    assert [row["METEOR"] for row in found.image_rows()] == [0.2, 0.2]
    # By these tokens "runs." is no "runs", nor "bikes" "bikes.".
    assert scores["Bleu_1"] == pytest.approx((2 + 2) / 7, rel=1e-6)
    assert programs.spice_of == [
        {0: ["a dog is running.", "the dog runs"], 1: ["two men ride bikes."]},
        {0: ["a dog runs."], 1: ["two men on bikes"]},
    ]


def test_without_spice_s_models_there_is_no_spice(programs: Programs) -> None:
    programs.failing.add("SPICE")
    events: list[Event] = []
    found = score_officially([evaluation()], events.append)[0].to_json()
    assert found["METEOR"] == 0.25
    assert "SPICE" not in found
    assert events[1:] == [
        Warned(
            "no SPICE: OSError: SPICE has no network (noise of SPICE); it needs a network once, for 400 MB of models "
            "from nlp.stanford.edu, a writable folder of pycocoevalcap, and 8 GB of memory"
        )
    ]


def test_what_fails_once_is_not_tried_again(programs: Programs) -> None:
    programs.failing.add("SPICE")
    events: list[Event] = []
    found = score_officially([evaluation(), evaluation()], events.append)
    assert [list(each.scores.corpus)[-1] for each in found] == ["METEOR", "METEOR"]
    assert [type(event) for event in events] == [Note, Warned]


def test_what_fails_later_is_taken_from_all(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def meteor(known: Any, spoken: Any) -> Any:
        calls.append(known)
        if len(calls) == 2:
            programs.failing.add("SPICE")  # Which has worked for the first.
        return programs.meteor(known, spoken)

    monkeypatch.setattr(official, "_meteor", meteor)
    found = score_officially([evaluation(), evaluation()], lambda _: None)
    assert programs.spice_of
    assert [list(each.scores.corpus)[-1] for each in found] == ["METEOR", "METEOR"]
    assert all("SPICE" not in row for each in found for row in each.image_rows())


def test_a_tokeniser_that_fails_or_ends_early_changes_nothing(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.failing.add("tokeniser")
    failed = "OSError: tokeniser has no network (noise of tokeniser)"
    assert told(evaluation())[1:] == [Warned(WITHOUT + failed)]
    monkeypatch.setattr(programs, "tokenize", lambda texts: {7: ["a dog"]})
    early = "the official tokeniser ended early; 'java -version' shows whether Java works"
    assert told(evaluation())[1:] == [Warned(WITHOUT + early)]


def test_nothing_of_it_stays_in_the_environment(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1g")
    before = dict(os.environ)
    score_officially([replace(evaluation())], lambda _: None)
    assert dict(os.environ) == before
