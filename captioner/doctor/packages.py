"""Which packages are installed, and whether torch and torchvision are a pair, read as text: imports may well fail.

``import torchvision`` beside a torch of another build ends in ``operator torchvision::nms does not exist``, since its
compiled part does not load; both say in their ``version.py``, and in their metadata, what they were built for.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from captioner.doctor.finding import Finding

MEND = "pip install --upgrade --force-reinstall torch torchvision"
_OLDEST_PYTHON = (3, 10)
_NOT_FOR_EVERYBODY = {"dev", "ray"}
"""Extras for those who change captioner, and for clusters."""
_COMPARISONS = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
}


@dataclass(frozen=True)
class Build:
    """An installed package as its files describe it."""

    version: str
    """Without what follows a plus sign."""
    platform: str
    """``cpu``, or ``cu126`` and the like; empty where nothing says it."""
    requires: tuple[str, ...]
    """Requirements as its metadata has them, such as ``torch==2.6.0``."""


def find_build(name: str, path: Sequence[str] = sys.path) -> Build | None:
    """Read the metadata of ``name``, and its ``version.py`` where it has one; ``None`` if it is not installed."""
    found = _distribution(name, path)
    if found is None:
        return None
    try:
        text = Path(str(found.locate_file(f"{name}/version.py"))).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    written = re.search(r"^__version__.*?=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    version, _, platform = (written[1] if written else found.version).partition("+")
    if not platform and (cuda := re.search(r"^cuda\b.*?=\s*(?:None|['\"]([\d.]+)['\"])\s*$", text, re.MULTILINE)):
        platform = f"cu{cuda[1].replace('.', '')}" if cuda[1] else "cpu"
    return Build(version, platform, tuple(found.requires or ()))


def check_python(version: tuple[int, int, int] = sys.version_info[:3]) -> Finding:
    """Whether this Python is new enough."""
    shown = ".".join(map(str, version))
    if version < _OLDEST_PYTHON:
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        return Finding("Python", "error", f"{shown}, and {oldest} or newer is needed", "make an environment with it")
    return Finding("Python", "ok", f"{shown}, {sys.executable}")


def check_pair(torch: Build | None, torchvision: Build | None) -> Finding:
    """Whether the two fit together, by what they say of themselves."""
    missing = [name for name, build in (("torch", torch), ("torchvision", torchvision)) if build is None]
    if torch is None or torchvision is None:
        return Finding("torch", "error", f"{' and '.join(missing)} not installed", f"pip install {' '.join(missing)}")
    shown = f"torch {_shown(torch)} and torchvision {_shown(torchvision)}"
    wanted = [specifier for name, specifier, _ in map(_parts, torchvision.requires) if name == "torch"]
    if not all(_satisfies(torch.version, specifier) for specifier in wanted):
        return Finding("torch", "error", f"{shown} are no pair: this torchvision is for torch {wanted[0]}", MEND)
    if torch.platform and torchvision.platform and torch.platform != torchvision.platform:
        return Finding("torch", "error", f"{shown} are no pair: one is for {_target(torch)}, {_for(torchvision)}", MEND)
    return Finding("torch", "ok", shown)


def explain_import(problem: str) -> Finding:
    """What to do about the last line of a failed ``import torch, torchvision``."""
    if "torchvision::nms does not exist" in problem:
        text = f"torch and torchvision are builds for different platforms ({problem})"
    else:
        text = f"torch and torchvision cannot be imported: {problem}"
    return Finding("torch", "error", text, MEND)


def check_requirements(path: Sequence[str] = sys.path) -> Iterator[Finding]:
    """Whether all that captioner needs is there and new enough, and which extras are."""
    own = _distribution("captioner", path)
    if own is None:
        yield Finding("packages", "note", "captioner is not installed, only run from its folder", "pip install .")
        return
    wrong: list[str] = []
    extras: dict[str, list[bool]] = {}
    for name, specifier, extra in map(_parts, own.requires or ()):
        found = _distribution(name, path)
        fits = found is not None and _satisfies(found.version.partition("+")[0], specifier)
        if extra:
            extras.setdefault(extra, []).append(fits)
        elif not fits:
            wrong.append(f"{name}{specifier}")
    if wrong:
        quoted = " ".join(f"'{one}'" for one in wrong)
        yield Finding("packages", "error", f"missing, or too old: {', '.join(wrong)}", f"pip install {quoted}")
    else:
        yield Finding("packages", "ok", "all that captioner needs is there")
    there = [extra for extra, fits in extras.items() if all(fits)]
    lacking = [extra for extra in extras if extra not in there and extra not in _NOT_FOR_EVERYBODY]
    shown = ", ".join(there) or "none"
    if lacking:
        command = f"pip install 'captioner[{','.join(lacking)}]'"
        yield Finding("extras", "note", f"{shown}; there are also {', '.join(lacking)}", command)
    else:
        yield Finding("extras", "note", shown)


def _distribution(name: str, path: Sequence[str]) -> Distribution | None:
    return next(iter(Distribution.discover(name=name, path=list(path))), None)


def _parts(requirement: str) -> tuple[str, str, str]:
    """``torch (>=2.6) ; extra == 'x'`` -> its name, its versions and its extra."""
    text, _, marker = requirement.partition(";")
    matched = re.match(r"\s*([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^)]*)\)?", text)
    assert matched
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
    return matched[1], matched[2].replace(" ", ""), extra[1] if extra else ""


def _satisfies(version: str, specifier: str) -> bool:
    """Whether ``2.6.1`` fits ``>=2.6,<3``; what is written in another way counts as fitting."""
    for clause in filter(None, specifier.split(",")):
        matched = re.fullmatch(r"(==|!=|>=|<=|>|<)([\d.]+)", clause)
        if matched:
            wanted, found = _numbers(matched[2]), _numbers(version)
            length = max(len(wanted), len(found))
            left, right = (numbers + (0,) * (length - len(numbers)) for numbers in (found, wanted))
            if not _COMPARISONS[matched[1]](left, right):
                return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    matched = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, matched[0].split("."))) if matched else ()


def _shown(build: Build) -> str:
    return f"{build.version}+{build.platform}" if build.platform else build.version


def _target(build: Build) -> str:
    return "the CPU" if build.platform == "cpu" else f"CUDA ({build.platform})"


def _for(build: Build) -> str:
    return f"the other for {_target(build)}"
