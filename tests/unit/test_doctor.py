"""The doctor names what is wrong with simulated machines, and finds a sound one healthy."""

import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rich.console

import captioner.doctor
from captioner.cli import console
from captioner.doctor.belongings import check_model, find_belongings
from captioner.doctor.finding import Finding
from captioner.doctor.machine import check_cpu, check_disk, check_gpu, check_java, check_memory
from captioner.doctor.packages import MEND, check_pair, check_python, check_requirements, explain_import, find_build

NMS = "RuntimeError: operator torchvision::nms does not exist"


def install(folder: Path, name: str, version: str, written: str | None = None, *requires: str) -> Path:
    """A package as pip leaves it: metadata, and a ``version.py`` if there is something to be ``written`` there."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {one}" for one in requires)]) + "\n")
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("")
    if written is not None:
        (folder / name / "version.py").write_text(written)
    return folder


def pair(folder: Path) -> Finding:
    return check_pair(find_build("torch", [str(folder)]), find_build("torchvision", [str(folder)]))


CPU = "__version__ = '2.6.0+cpu'\ncuda: Optional[str] = None\n"
CUDA = "__version__ = '0.21.0+cu124'\ngit_version = 'x'\n"


def test_a_torch_for_the_cpu_beside_a_torchvision_for_cuda(tmp_path: Path) -> None:
    install(tmp_path, "torch", "2.6.0+cpu", CPU)
    install(tmp_path, "torchvision", "0.21.0", CUDA, "numpy", "torch (==2.6.0)", "scipy ; extra == 'scipy'")
    assert pair(tmp_path) == Finding(
        "torch",
        "error",
        "torch 2.6.0+cpu and torchvision 0.21.0+cu124 are no pair: one is for the CPU, the other for CUDA (cu124)",
        "pip install --upgrade --force-reinstall torch torchvision",
    )


def test_a_build_that_only_its_cuda_names(tmp_path: Path) -> None:
    install(tmp_path, "torch", "2.6.0", "__version__ = '2.6.0'\ncuda: Optional[str] = '12.4'\n")
    install(tmp_path, "torchvision", "0.21.0", "__version__ = '0.21.0+cpu'\n")
    assert pair(tmp_path).text == (
        "torch 2.6.0+cu124 and torchvision 0.21.0+cpu are no pair: one is for CUDA (cu124), the other for the CPU"
    )


@pytest.mark.parametrize(
    ("torch", "wanted"), [("2.7.0", "==2.6.0"), ("2.13.1", ">=2.14.0"), ("2.16", ">=2.14,<2.16"), ("2.6.0", "!=2.6.0")]
)
def test_a_torchvision_for_another_torch(torch: str, wanted: str, tmp_path: Path) -> None:
    install(tmp_path, "torch", torch)
    install(tmp_path, "torchvision", "0.21.0", None, f"torch{wanted}")
    assert pair(tmp_path) == Finding(
        "torch",
        "error",
        f"torch {torch} and torchvision 0.21.0 are no pair: this torchvision is for torch {wanted}",
        MEND,
    )


@pytest.mark.parametrize("wanted", ["==2.6", "==2.6.0", ">=2.5,<3", "(==2.6.0)", "~=2.6", ""])
def test_a_pair(wanted: str, tmp_path: Path) -> None:
    install(tmp_path, "torch", "2.6.0+cpu", CPU)
    install(tmp_path, "torchvision", "0.21.0+cpu", "__version__ = '0.21.0+cpu'\n", f"torch {wanted}")
    assert pair(tmp_path) == Finding("torch", "ok", "torch 2.6.0+cpu and torchvision 0.21.0+cpu")


def test_packages_that_are_not_there(tmp_path: Path) -> None:
    assert pair(tmp_path).remedy == "pip install torch torchvision"
    install(tmp_path, "torch", "2.6.0")
    assert pair(tmp_path) == Finding("torch", "error", "torchvision not installed", "pip install torchvision")


def test_requirements_and_extras(tmp_path: Path) -> None:
    extra = ("jinja2>=3.1; extra == 'report'", 'onnx>=1.16 ; extra == "export"', "ruff; extra == 'dev'")
    needs = ("torch>=2.6", "rich>=13.0", *extra, 'ray[data]>=2.51; extra == "ray"')
    (missing,) = check_requirements([str(tmp_path)])
    assert missing == Finding(
        "packages", "note", "captioner is not installed, only run from its folder", "pip install ."
    )
    install(tmp_path, "captioner", "0.1.0", None, *needs)
    install(tmp_path, "torch", "2.5.1+cpu")
    install(tmp_path, "jinja2", "3.1.4")
    wrong, extras = check_requirements([str(tmp_path)])
    assert wrong == Finding(
        "packages", "error", "missing, or too old: torch>=2.6, rich>=13.0", "pip install 'torch>=2.6' 'rich>=13.0'"
    )
    assert extras == Finding("extras", "note", "report; there are also export", "pip install 'captioner[export]'")
    install(tmp_path, "onnx", "1.17.0")
    assert list(check_requirements([str(tmp_path)]))[1] == Finding("extras", "note", "report, export")


def test_what_a_failed_import_says() -> None:
    found = explain_import(NMS)
    assert found.text == f"torch and torchvision are builds for different platforms ({NMS})"
    assert found.remedy == MEND
    other = explain_import("the process was ended by signal 4")
    assert other.text == "torch and torchvision cannot be imported: the process was ended by signal 4"


def test_an_old_python() -> None:
    assert check_python((3, 9, 1)).text == "3.9.1, and 3.10 or newer is needed"
    assert check_python((3, 12, 0)).state == "ok"


def test_processor_and_memory(tmp_path: Path) -> None:
    cpuinfo, meminfo = tmp_path / "cpuinfo", tmp_path / "meminfo"
    cpuinfo.write_text("processor : 0\nmodel name\t: A Fast One\nflags\t\t: fpu avx avx2 amx_bf16 amx_tile\n")
    shown = check_cpu({"float32": 185.4, "bfloat16": 876.0}, cpuinfo).text
    assert shown.startswith("A Fast One, ")
    assert shown.endswith("cores, avx2, amx_bf16; matrix products: 185 GFLOP/s in float32, 876 GFLOP/s in bfloat16")
    meminfo.write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    1000000 kB\n")
    assert check_memory(meminfo) == Finding(
        "memory", "warning", "1.0 GB of 16.4 GB free", "close other programs, or set a smaller training.batch_size"
    )
    assert check_memory(tmp_path / "none").state == "note"


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((1e8, "error"), (1e9, "warning"), (1e11, "ok")):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: Usage(free))
        assert check_disk(tmp_path).state == state
    monkeypatch.undo()
    assert check_disk(tmp_path / "none").text == f"{tmp_path}/none cannot be used: No such file or directory"


class Usage:
    def __init__(self, free: float) -> None:
        self.free = free


def program(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


@pytest.mark.parametrize(
    ("script", "probed", "state", "text"),
    [
        ("exit 9", None, "warning", "nvidia-smi fails: status 9"),
        ("echo Driver/library version mismatch; exit 18", None, "warning", "nvidia-smi fails: Driver/library version"),
        (
            "echo 'H200, 143771 MiB, 550.54'",
            {"gpu": None, "cuda": None},
            "warning",
            "this torch is a build for the CPU",
        ),
        ("echo 'H200, 143771 MiB, 470.1'", {"gpu": None, "cuda": "12.4"}, "warning", "torch was built for CUDA 12.4"),
        (
            "echo 'H200, 143771 MiB, 550.54'",
            {"gpu": "H200", "cuda": "12.4", "gpu_rates": {"bfloat16": 7e5}},
            "ok",
            "H200, 143771 MiB, driver 550.54; matrix products: 700,000 GFLOP/s in bfloat16",
        ),
    ],
)
def test_gpus(script: str, probed: Any, state: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "nvidia-smi", script, monkeypatch)
    found = check_gpu(probed)
    assert found.state == state
    assert text in found.text


def test_no_gpu_and_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_gpu(None) == Finding("GPU", "note", "none: the processor is used")
    assert check_java() == Finding("Java", "note", "none: only official METEOR and SPICE need it")
    program(tmp_path / "bin", "java", "echo 'openjdk version \"17\"' >&2", monkeypatch)
    assert check_java() == Finding("Java", "ok", 'openjdk version "17"')


def test_what_lies_in_a_folder(tiny_file: Path, tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "captions_train2017.json").write_text("{}")
    for name, target in (("drawn", shapes), ("run", tiny_run), ("features", tiny_file.parent / "features")):
        (tmp_path / name).mkdir()
        for one in target.iterdir():
            (tmp_path / name / one.name).symlink_to(one)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.json").write_text("[]")
    for own in ("captions.csv", "captions.csv.manifest"):  # What captioner has written itself is no data set.
        (tmp_path / "other" / own).write_text("")
    for name in ("holiday/beach.JPG", "holiday/beach.txt", "snaps/a.jpg", "snaps/notes.txt"):  # The latter no caption.
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = [(one.part, one.text.removeprefix(f"{tmp_path}/")) for one in find_belongings(tmp_path)]
    features = [text for part, text in found if part == "features"]
    assert features[0].startswith("features (mobilenet_v3_small, 4 positions of 576, ")
    assert [one for one in found if one[0] != "features"] == [
        ("data", "coco (dataset.format: coco)"),
        ("data", "drawn (dataset.format: shapes)"),
        ("data", "holiday (dataset.format: folder)"),
    ]
    assert {one.text for one in find_belongings(tiny_run)} == {str(tiny_run / "best"), str(tiny_run / "last")}
    assert [one.text for one in find_belongings(tmp_path / "none")] == [f"{tmp_path}/none is no folder"]
    (tmp_path / "photos").mkdir()
    (nothing,) = find_belongings(tmp_path / "photos")
    assert (nothing.state, nothing.text) == (
        "note",
        f"{tmp_path}/photos holds neither captions nor features nor a model",
    )


def test_models(tiny_run: Path, tmp_path: Path) -> None:
    best, last = check_model(tiny_run)
    assert best.state == last.state == "ok"
    assert best.text.startswith(f"{tiny_run}/best is whole: mobilenet_v3_small, attention, ")
    (missing,) = check_model(tmp_path)
    assert (missing.state, missing.text) == ("error", f"{tmp_path} holds no checkpoint")
    for file in (tiny_run / "best").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    decoder = next(tmp_path.glob("decoder-*"))
    decoder.write_bytes(decoder.read_bytes()[:-1] + b"?")
    (damaged,) = check_model(tmp_path)
    assert (damaged.state, damaged.text) == ("error", f"{decoder} is damaged")


def test_the_command(cli: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sound = {"gpu": None, "cuda": None, "rates": {"float32": 1.0, "bfloat16": 2.0}, "gpu_rates": {}}
    monkeypatch.setattr(captioner.doctor, "run_probe", lambda: sound)
    healthy = cli("doctor", "--model", tiny_run)
    assert healthy.status == 0, healthy.out
    assert healthy.err.splitlines() == ["nothing must be mended"]
    assert healthy.rows[0] == ["", "part", "found", "what to do"]
    parts = [row[1] for row in healthy.rows[1:]]
    assert parts[:7] == ["Python", "packages", "extras", "torch", "processor", "GPU", "memory"]
    assert parts[7:] == ["disk", "Java", "model", "model"]

    monkeypatch.setattr(captioner.doctor, "run_probe", lambda: NMS)
    broken = cli("doctor", "--json")
    assert broken.status == 1
    answer = json.loads(broken.out)
    assert answer["healthy"] is False
    assert [one for one in answer["findings"] if one["state"] == "error"] == [vars(explain_import(NMS))]


def test_on_a_narrow_terminal_commands_stay_whole(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the table, each alone on its line, so that it can be copied."""
    command = "pip install 'captioner[coco,export,heic,report,serve,spacy,tensorboard]' && captioner doctor"
    findings = [Finding("Python", "ok", "3.12"), Finding("extras", "note", "none", command), Finding("GPU", "ok", "no")]
    monkeypatch.setattr(captioner.doctor, "examine", lambda *_: iter(findings))
    shown = io.StringIO()
    wide = partial(rich.console.Console, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(console, "RichConsole", lambda **options: wide(**{**options, "file": shown}))
    assert cli("doctor").status == 0
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) == len(command) > 80
    assert lines[lines.index("# extras") :] == ["# extras", command, "", "nothing must be mended"]
    assert "what to do" not in shown.getvalue()


@pytest.mark.slow
def test_a_torchvision_that_cannot_be_imported(tmp_path: Path) -> None:
    """The whole command, in an environment that is broken as real ones are."""
    install(tmp_path, "torchvision", "0.21.0", CUDA)
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    command = [sys.executable, "-m", "captioner", "doctor", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert finished.returncode == 1, finished.stderr
    (wrong,) = [one for one in json.loads(finished.stdout)["findings"] if one["state"] == "error"]
    assert wrong["part"] == "torch"
    assert wrong["remedy"] == MEND


@pytest.mark.slow
def test_the_probe_measures() -> None:
    from captioner.doctor.machine import run_probe

    probed = run_probe()
    assert isinstance(probed, dict), probed
    assert probed["rates"]["float32"] > 0.1
    assert probed["rates"]["bfloat16"] > 0.1
