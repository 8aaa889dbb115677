"""The machine: processor, GPU, memory, disk and Java, asked without torch where that is possible."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioner.doctor.finding import Finding
from captioner.files import readable_size

_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""What makes matrix products fast, as Linux names it; the last two are of ARM."""
_LITTLE_MEMORY, _LITTLE_DISK, _NO_DISK = 2e9, 5e9, 2e8
_PATIENCE = 300
"""Seconds after which a program that was asked something counts as hanging."""


def run_probe() -> dict[str, Any] | str:
    """What ``captioner.doctor.probe`` prints, or the last line with which it failed."""
    command = [sys.executable, "-m", "captioner.doctor.probe"]
    status, out, err = ask(command)
    if status == 0:
        answer: dict[str, Any] = json.loads(out)
        return answer
    if status is not None and status < 0:
        return f"the process was ended by signal {-status}"
    return next(iter(reversed(err.strip().splitlines())), "no answer")


def ask(command: Sequence[str]) -> tuple[int | None, str, str]:
    """Run a program: its status, ``None`` if there is none, and what it writes."""
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, "", str(error)
    return finished.returncode, finished.stdout, finished.stderr


def check_cpu(rates: dict[str, float], cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    """Its name, cores, features, and measured matrix rates in GFLOP/s where there are any."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    features = [feature for feature in _FEATURES if flags and feature in flags[1].split()]
    parts = [name[1] if name else platform.processor() or platform.machine(), f"{_cores()} cores", *features]
    shown = ", ".join(parts)
    if rates:
        shown += "; matrix products: " + ", ".join(f"{rate:,.0f} GFLOP/s in {kind}" for kind, rate in rates.items())
    return Finding("processor", "ok", shown)


def check_gpu(probed: dict[str, Any] | None) -> Finding:
    """Whether there is one, and whether torch can use it."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    status, out, err = ask(query)
    if status is None:
        found = probed and probed["gpu"]
        return Finding("GPU", "ok" if found else "note", found or "none: the processor is used")
    if status != 0:
        said = next(iter((out + err).strip().splitlines()), f"status {status}")
        return Finding("GPU", "warning", f"nvidia-smi fails: {said}", "mend NVIDIA's driver, then look again")
    name, memory, driver = (part.strip() for part in out.splitlines()[0].split(","))
    shown = f"{name}, {memory}, driver {driver}"
    if probed is None:
        return Finding("GPU", "note", f"{shown}; torch cannot say whether it can use it")
    if probed["gpu"]:
        rates = ", ".join(f"{rate:,.0f} GFLOP/s in {kind}" for kind, rate in probed["gpu_rates"].items())
        return Finding("GPU", "ok", f"{shown}; matrix products: {rates}")
    if probed["cuda"] is None:
        from captioner.doctor.packages import MEND

        return Finding("GPU", "warning", f"{shown}; not used: this torch is a build for the CPU", MEND)
    text = f"{shown}; not used: torch was built for CUDA {probed['cuda']}, which this driver may be too old for"
    return Finding("GPU", "warning", text, "install a newer driver, or a torch for an older CUDA")


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> Finding:
    """How much there is, and how much of it is free."""
    try:
        sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", meminfo.read_text(), re.M)}
        total, free = sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, KeyError):
        return Finding("memory", "note", "cannot be asked here")
    shown = f"{readable_size(free)} of {readable_size(total)} free"
    if free < _LITTLE_MEMORY:
        return Finding("memory", "warning", shown, "close other programs, or set a smaller training.batch_size")
    return Finding("memory", "ok", shown)


def check_disk(folder: Path) -> Finding:
    """Whether runs and features fit, and may be written."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", "error", f"{folder} cannot be used: {error.strerror}", "choose another folder")
    shown = f"{readable_size(free)} free in {folder.absolute()}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "error", f"{folder.absolute()} may not be written to", "choose another folder")
    if free < _NO_DISK:
        return Finding("disk", "error", shown, "free some space, or work in another folder")
    if free < _LITTLE_DISK:
        return Finding("disk", "warning", shown, "free some space: pictures and features may need more")
    return Finding("disk", "ok", shown)


def check_java() -> Finding:
    """Only the official implementations of some metrics ask for it."""
    status, out, err = ask(["java", "-version"])
    if status != 0:
        return Finding("Java", "note", "none: only official METEOR and SPICE need it")
    return Finding("Java", "ok", (err or out).splitlines()[0])


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
