"""Help, completion and near misses: what a person meets who does not know the commands yet."""

import os
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer

from captioner.cli.app import app
from captioner.cli.examples import split_docstring

GROUP = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)  # type: ignore[attr-defined]


def run_captioner(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    return subprocess.run(
        [sys.executable, "-c", "from captioner.cli.app import main; main()", *words],
        capture_output=True, text=True, check=False, env={**kept, "COLUMNS": "200", **environment},
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_it_understands(name: str) -> None:
    command = GROUP.commands[name]  # type: ignore[attr-defined]
    examples = [line for line in (command.epilog or "").split("\n\n") if line.startswith("$ ")]
    assert examples, f"the docstring of captioner {name} ends in no 'Example: captioner {name} ...'"
    for example in examples:
        # What the shell would make of pipes is not for the command to understand.
        program, called, *words = shlex.split(example.removeprefix("$ ").rpartition("|")[2])
        assert (program, called) == ("captioner", name)
        command.make_context(name, list(words))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command = GROUP.commands[name]  # type: ignore[attr-defined]
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name}"
    assert command.help.endswith(".")


def test_help_ends_in_examples(cli: Any) -> None:
    lines = [line.strip() for line in cli("compare", "--help").out.splitlines() if line.strip()]
    at = lines.index("Examples:")
    assert lines[at + 1] == "$ captioner compare runs/first runs/second --gallery differences.html"
    assert lines[at + 2] == "$ captioner compare a.json b.json --references captions_val2014.json"
    assert at + 3 == len(lines)


def test_examples_are_taken_from_docstrings() -> None:
    def command() -> None:
        """Do it.

        At once.

        Examples: captioner do
        this; captioner do that
        """

    assert split_docstring(command) == ("Do it.\n\nAt once.", ["captioner do this", "captioner do that"])


REFUSALS = {
    "trian": ("there is no command 'trian', did you mean 'train'?", "'captioner --help' lists all commands"),
    "help lnt": ("there is no command 'lnt', did you mean 'lint'?", "'captioner --help' lists all commands"),
    "--bogus": ("there is no option '--bogus'", "'captioner --help' lists all options"),
    "caption x --modle y": (
        "there is no option '--modle', did you mean '--model'?",
        "'captioner caption --help' lists all options",
    ),
    "caption x --zzzzzz": ("there is no option '--zzzzzz'", "'captioner caption --help' lists all options"),
    "lint": ("--config is missing", "--config FILE: YAML file, as examples/ has them"),
    "lint --config": ("--config needs a value", "--config FILE: YAML file, as examples/ has them"),
    "lint --quiet=yes": ("--quiet takes no value", "--quiet: Show warnings and errors only"),
    "lint --config x extra": (
        "got unexpected extra argument(s) (extra)",
        "values follow their option: --config FILE, --set KEY=VALUE; 'captioner lint --help' lists all options",
    ),
    "compare a": ("B is missing", "B: The other one, of the same kind as A"),
    "serve --model x --port abc": (
        "--port: expected a whole number, found abc",
        "--port NUMBER: Port; 0 takes a free one",
    ),
    "caption x --model y --min-confidence 30": (
        "--min-confidence: expected less than or equal to 1, found 30",
        "--min-confidence NUMBER: List captions of less confidence for review; 0.3 is 30 %",
    ),
    "caption x --model y --engine foo": (
        "--engine: 'foo' is not one of 'local', 'ray'",
        "--engine local|ray: What does the work: this computer or a Ray cluster",
    ),
}


@pytest.mark.parametrize("line", REFUSALS)
def test_words_that_do_not_go(cli: Any, line: str) -> None:
    finished = cli(*line.split())
    problem, remedy = REFUSALS[line]
    assert (finished.status, finished.err, finished.out) == (2, f"error: {problem}\n       {remedy}\n", "")


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_names_values_as_people_do(cli: Any, name: str) -> None:
    shown = cli(*name.split(), "--help")
    assert not re.search(r"<\w+|\[[a-z]+\]\.\.\.|[{}]|list\[", shown.out), shown.out
    assert cli("help", *name.split()).out == shown.out


EXAMPLES = {
    **{"lint": "dataset.root=FOLDER", "vocab": "vocab.min_count=3", "preprocess": "features.path=FOLDER"},
    **{"train": "training.epochs=5", "evaluate": "dataset.root=FOLDER", "compare": "dataset.root=FOLDER"},
    **{"caption": "sampling.max_length=12", "serve": "sampling.max_length=12"},
}


def test_set_names_a_key_that_has_an_effect() -> None:
    options = {name: {one.opts[0]: one for one in GROUP.commands[name].params} for name in COMMANDS}  # type: ignore[attr-defined]
    found = {name: known["--set"].help for name, known in options.items() if "--set" in known}
    assert found == {name: f"Set a config value, such as {example}; repeatable." for name, example in EXAMPLES.items()}


def test_usage_lines(cli: Any) -> None:
    usages = {name: cli(name, "--help").out.split("\n")[1].strip() for name in COMMANDS}
    assert usages["caption"] == "Usage: captioner caption [OPTIONS] INPUTS..."
    assert usages["compare"] == "Usage: captioner compare [OPTIONS] A B"
    assert usages["doctor"] == "Usage: captioner doctor [OPTIONS] [FOLDER]"
    assert usages["train"] == "Usage: captioner train [OPTIONS]"


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "captioner co", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "captioner co"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "captioner co", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shells_complete_commands(shell: str, environment: dict[str, str]) -> None:
    finished = run_captioner(**environment, _CAPTIONER_COMPLETE=f"complete_{shell}")
    assert "compare" in finished.stdout, finished.stderr
    assert "train" not in finished.stdout


def test_shells_complete_options() -> None:
    words = {"COMP_WORDS": "captioner train --re", "COMP_CWORD": "2"}
    finished = run_captioner(**words, _CAPTIONER_COMPLETE="complete_bash")
    assert finished.stdout.split() == ["--resume"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell: str) -> None:
    finished = run_captioner("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert finished.returncode == 0, finished.stderr
    assert f"complete_{shell}" in finished.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals there")
@pytest.mark.parametrize("words", [["--help"], ["train", "--config", "none.yaml"]], ids=str)
def test_colours_are_for_terminals_that_want_them(words: list[str]) -> None:
    piped = run_captioner(*words)
    assert piped.stdout or piped.stderr
    assert "\x1b" not in piped.stdout + piped.stderr
    coloured = re.compile(r"\x1b\[(?:\d+;)*3[0-7]m")
    assert coloured.search(on_terminal(words))
    assert not coloured.search(on_terminal(words, NO_COLOR="1"))


def on_terminal(words: list[str], **environment: str) -> str:
    """What the command writes where both its outputs are a terminal."""
    import pty

    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    command = [sys.executable, "-c", "from captioner.cli.app import main; main()", *words]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**kept, "TERM": "xterm-256color", **environment}):
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so that the other end is closed.
                break
            if not part:
                break
            written += part
    os.close(ours)
    return written.decode()
