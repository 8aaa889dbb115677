"""Processes that torchrun starts share work, talk, and tell once when one of them dies; alone, one does it all."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import processes

PROGRAM = """\
import json, os, signal, sys, time
from captioner import processes
from captioner.errors import CaptionerError

def talk(folder):
    letters = "abcdefg"
    mine = [letter.upper() for letter in processes.share(letters)]
    with processes.first_before_others():
        if processes.is_first():
            time.sleep(0.3)
            open(folder + "/made", "w").close()
        assert os.path.exists(folder + "/made")
    return {
        "ranks": processes.gather(processes.rank()),
        "of first": processes.of_first([processes.rank(), "first"]),
        "totals": processes.totals(1, 0.5 * processes.rank()),
        "merged": list(processes.merge(processes.gather(mine))),
    }

def die(folder):
    if processes.rank() == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    processes.barrier()

def die_while_others_compute(folder):
    if processes.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)

def fail(folder):
    if processes.rank() == 1:
        raise CaptionerError("the second one fails", "for a reason")
    processes.barrier()

try:
    with processes.only_first_prints():
        print("said by", processes.rank())
        with processes.joined():
            found = globals()[sys.argv[1]](sys.argv[2])
            with open(f"{sys.argv[2]}/{processes.rank()}.json", "w") as file:
                json.dump(found, file)
except CaptionerError as error:
    if processes.tells_error():
        print("told:", error.problem)
    sys.exit(error.exit_status)
"""
LOST = "another process of this job has died"
ENDED = "torchrun has ended this job: another of its processes has died, or it was told to"


def torchrun(folder: Path, *words: object, number: int = 2) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
    return subprocess.run(
        [*command, str(program), *map(str, words)], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.mark.slow
def test_they_talk(tmp_path: Path) -> None:
    finished = torchrun(tmp_path, "talk", tmp_path, number=3)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "said by 0\n"
    for rank in range(3):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == {
            "ranks": [0, 1, 2],
            "of first": [0, "first"],
            "totals": [3.0, 1.5],
            "merged": list("ABCDEFG"),
        }


@pytest.mark.slow
@pytest.mark.parametrize("dying", [0, 1])
def test_a_death_is_told_once_and_ends_the_job(tmp_path: Path, dying: int) -> None:
    finished = torchrun(tmp_path, "die", tmp_path, dying, number=3)
    assert finished.returncode == 1
    # Who waits for the dead one may be told so by torchrun, too, and first.
    assert finished.stdout in {f"said by 0\ntold: {problem}\n" for problem in (LOST, ENDED)}


@pytest.mark.slow
def test_a_death_is_told_by_those_who_wait_for_nobody(tmp_path: Path) -> None:
    finished = torchrun(tmp_path, "die_while_others_compute", tmp_path)
    assert finished.returncode == 1
    assert finished.stdout == f"said by 0\ntold: {ENDED}\n"


@pytest.mark.slow
def test_an_error_of_one_is_told_by_that_one(tmp_path: Path) -> None:
    finished = torchrun(tmp_path, "fail", tmp_path, number=3)
    assert finished.returncode == 1
    assert finished.stdout == "said by 0\ntold: the second one fails\n"


def test_alone_one_does_it_all(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")  # Of another launcher.
    monkeypatch.setenv("RANK", "3")
    assert (processes.rank(), processes.count(), processes.is_first(), processes.restarts()) == (0, 1, True, 0)
    with processes.joined(), processes.only_first_prints(), processes.first_before_others():
        processes.barrier()
        print("heard")
    assert capsys.readouterr().out == "heard\n"
    assert processes.gather("x") == ["x"]
    assert processes.of_first("x") == "x"
    assert processes.totals(1, 2.5) == [1, 2.5]
    assert processes.share("abc") == "abc"
    assert processes.tells_error()


def test_nobody_waits_for_processes_that_have_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "job"), ("WORLD_SIZE", "8"), ("RANK", "3")):
        monkeypatch.setenv(name, value)
    assert (processes.rank(), processes.count(), processes.started(), processes.is_first()) == (0, 1, 8, False)
    assert processes.gather("x") == ["x"]
    assert processes.share("abc") == "abc"


@given(st.lists(st.one_of(st.none(), st.integers())), st.integers(1, 9))
def test_shares_merge_into_the_whole(items: list[int | None], number: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "count", lambda: number)
        shares = []
        for rank in range(number):
            patch.setattr(processes, "rank", lambda: rank)
            shares.append(processes.share(items))
    assert list(processes.merge(shares)) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_other_commands_are_refused_under_torchrun(cli: Any, monkeypatch: pytest.MonkeyPatch, tiny_file: Path) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "job"), ("WORLD_SIZE", "2"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    result = cli("vocab", "--config", tiny_file)
    assert (result.status, result.err) == (
        2,
        "error: captioner vocab is work for one process\n       run it without torchrun\n",
    )
    monkeypatch.setenv("RANK", "1")
    assert cli("vocab", "--config", tiny_file) == type(result)(2, "", "")


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from captioner.errors import UsageError

    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "4")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"^4 processes on a machine with 2 GPUs\n"), processes.joined():
        pass
