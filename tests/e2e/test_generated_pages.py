"""The references in docs/ are what the code says now, and say everything."""

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest

from captioner import errors
from captioner.config import Config

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    found: dict[str, str] = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))["references"]()
    return found


@pytest.mark.parametrize("page", ["config-reference.md", "command-reference.md", "error-reference.md", "files.md"])
def test_pages_are_up_to_date(page: str, pages: dict[str, str]) -> None:
    assert (REPOSITORY / "docs" / page).read_text() == pages[page], "run: python docs/generate.py"


def test_every_setting_is_there_and_described(pages: dict[str, str]) -> None:
    for section, field in Config.model_fields.items():
        if section == "version":
            continue
        assert isinstance(field.annotation, type)
        text = pages["config-reference.md"].partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        for key, setting in field.annotation.model_fields.items():
            (row,) = [line for line in text.splitlines() if line.startswith((f"| `{key}` |", f"| **`{key}`** |"))]
            assert " ".join(str(setting.description).split()) in row.split(" | ")[3]
            assert "?" not in row.split(" | ")[1]
    assert "| `seed` | whole number from 0, below 9.22337e+18 | `1` |" in pages["config-reference.md"]
    assert "| `warmup_steps` | whole number from 0 | `200` |" in pages["config-reference.md"]
    assert "| `format`** | `coco`" in pages["config-reference.md"].replace("**`format`", "`format`")


def test_every_command_is_there_with_its_options(pages: dict[str, str], cli: Any) -> None:
    from captioner.cli.app import app

    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    assert names == [line[3:] for line in pages["command-reference.md"].splitlines() if line.startswith("## ")]
    for name in names:
        text = pages["command-reference.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        shown = {word.strip(",│") for word in cli(name, "--help").out.split() if word.startswith("--")} - {"--help"}
        assert not {option for option in shown if option.rstrip("│") not in text}


def test_every_message_is_there(pages: dict[str, str]) -> None:
    """Each constant problem of an error, found in another way than the page finds it."""
    text = pages["error-reference.md"].replace("\\", "")
    seen = 0
    for path in (REPOSITORY / "captioner").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                first = node.exc.args[0]
                if ast.unparse(node.exc.func) in vars(errors):
                    parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                    for part in parts:
                        if isinstance(part, ast.Constant) and len(part.value.strip()) > 12:
                            assert " ".join(part.value.split()) in " ".join(text.split()), (path.name, part.value)
                            seen += 1
    assert seen > 150
