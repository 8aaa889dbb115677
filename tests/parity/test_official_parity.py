"""``--official`` gives what COCO's own evaluation gives. Needs Java; SPICE's models are not asked for."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pycocoevalcap", reason="pycocoevalcap, the implementation to agree with, is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="java is not on the PATH"),
    # pycocoevalcap leaves its programs' ends open.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

CAPTIONS = {
    3: "A dog runs in w. grass",
    "x.jpg": "Two men ride bicycles down the street!",
    12: "",
    8: "Café d'été, man's 犬",
}
REFERENCES = {
    3: ["A dog is running through the grass.", "The brown dog runs - fast."],
    "x.jpg": ["Two men on bikes.", "People (cyclists) in the street", "2 cyclists"],
    12: ["Nothing to see"],
    8: ["A café in summer.", "the man's dog"],
}


def test_it_is_what_coco_s_own_evaluation_gives(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pycocoevalcap import eval as coco
    from pycocoevalcap.spice import spice

    class NoSpice:
        def __init__(self) -> None:
            raise OSError("no network")

    monkeypatch.setattr(spice, "Spice", NoSpice)
    found, known = tmp_path / "p.json", tmp_path / "r.json"
    found.write_text(json.dumps([{"image_id": key, "caption": text} for key, text in CAPTIONS.items()]))
    annotations = [{"image_id": key, "caption": text} for key, several in REFERENCES.items() for text in several]
    known.write_text(json.dumps({"annotations": annotations}))
    rows = tmp_path / "rows.jsonl"
    finished = cli(
        "evaluate", "--predictions", found, "--references", known, "--official", "--json", "--per-image", rows
    )
    assert finished.status == 0
    assert "warning: no SPICE: OSError: no network" in finished.err
    scores = json.loads(finished.out)

    class Captions:
        """The little that the evaluation asks of pycocotools' COCO."""

        def __init__(self, texts: dict[Any, list[str]]) -> None:
            self.imgToAnns = {key: [{"caption": text} for text in several] for key, several in texts.items()}

        def getImgIds(self) -> list[Any]:  # noqa: N802
            return list(self.imgToAnns)

    class Zero:
        def method(self) -> str:
            return "SPICE"

        def compute_score(self, known: Any, spoken: Any) -> tuple[float, list[float]]:
            return 0.0, [0.0] * len(known)

    monkeypatch.setattr(coco, "Spice", Zero)
    expected = coco.COCOEvalCap(Captions(REFERENCES), Captions({key: [text] for key, text in CAPTIONS.items()}))
    expected.evaluate()
    capsys.readouterr()
    expected.eval.pop("SPICE")
    assert {name: scores[name] for name in expected.eval} == pytest.approx(expected.eval, abs=1e-6)
    for row in map(json.loads, rows.read_text().splitlines()):
        other = expected.imgToEval[row["image_id"]]
        other.pop("SPICE")
        assert {name: row[name] for name in other} == pytest.approx(other, abs=1e-6)
