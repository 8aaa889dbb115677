"""The notebooks run in their order, and are kept without their outputs."""

import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_notebooks_are_kept_without_outputs() -> None:
    import json

    assert [path.stem for path in NOTEBOOKS] == [
        *("1-data", "2-vocabulary", "3-model", "4-training", "5-inference", "6-results")
    ]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Of Jupyter's own workings.
def test_notebooks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))
    shutil.copy(FOLDER / "small.yaml", tmp_path)
    shown = {}
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output.output_type == "error"]
        shown[path.stem] = "".join(
            output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
        )
    assert "'train': 192" in shown["1-data"]
    assert "A man's dog can't swim can it." in shown["2-vocabulary"]
    assert "transformer: " in shown["3-model"]
    assert "'epoch': 4" in shown["4-training"]
    assert "beam\t" in shown["5-inference"]
    assert "CIDEr: " in shown["6-results"]
