"""Writes the references from the code: python docs/generate.py. A test says whether they are up to date."""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from typer.models import ArgumentInfo  # noqa: E402

from captioner import errors  # noqa: E402
from captioner.cli.app import app  # noqa: E402
from captioner.cli.examples import split_docstring  # noqa: E402
from captioner.cli.usage import value_of  # noqa: E402
from captioner.config import Config  # noqa: E402
from captioner.data.formats.files import broken  # noqa: E402
from captioner.registry import DECODERS, FORMATS  # noqa: E402

_NAMED = {("decoder", "type"): DECODERS, ("dataset", "format"): FORMATS}
_WRITTEN = "This page is written by [generate.py](generate.py) from {}; mend that, not this."
_BROKEN = inspect.signature(broken).parameters["remedy"].default
_HELPERS = {"counted": "*number* {1}s", "nearest": ", did you mean ...?"}
_REASONS = {"strerror": "reason", "error": "reason", "problem": "what"}
_TYPES = {"string": "text", "boolean": "`true` or `false`", "null": "nothing", "object": "keys and values"}


def references() -> dict[str, str]:
    """The name of each page, and its text."""
    return {
        "config-reference.md": config_reference(),
        "command-reference.md": command_reference(),
        "error-reference.md": error_reference(),
        "files.md": files(),
    }


def config_reference() -> str:
    """Every setting: its type, default and description."""
    schema = Config.model_json_schema()
    lines = ["# Settings", "", _WRITTEN.format("[config.py](../captioner/config.py)"), ""]
    lines += [
        "A config is a YAML file of the sections below; `--set section.key=value` overrides any of them, on every"
    ]
    lines += [
        "command that reads a config. Of a trained model, `caption` and `serve` take `sampling`, `training.device` and",
        "`training.precision`, `evaluate` and `compare` also `dataset` and `features`. Keys in bold must be given.",
        "",
    ]
    for section, field in Config.model_fields.items():
        if section == "version":
            continue
        assert inspect.isclass(field.annotation)
        described = schema["$defs"][field.annotation.__name__]
        lines += [f"## {section}", "", described["description"], "", "| key | type | default | |", "|---|---|---|---|"]
        for key, value in described["properties"].items():
            required = key in described.get("required", [])
            names = _NAMED.get((section, key))
            kind = _alternatives(names) if names else shown_type(value)
            default = "" if required else f"`{_yaml(value.get('default'))}`"
            title = f"**`{key}`**" if required else f"`{key}`"
            lines.append(_row(title, kind, default, value["description"]))
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def shown_type(schema: dict[str, Any]) -> str:
    """A JSON schema in words: ``whole number above 0``."""
    if "anyOf" in schema:
        return " or ".join(shown_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return _alternatives(schema["enum"])
    if schema["type"] == "array":
        return f"list of {shown_type(schema['items'])}s"
    if schema["type"] == "object" and "propertyNames" in schema:
        return (
            f"{shown_type(schema['additionalProperties'])} for each of {_alternatives(schema['propertyNames']['enum'])}"
        )
    kind = {"integer": "whole number", "number": "number"}.get(schema["type"], _TYPES.get(schema["type"], "?"))
    signs = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "up to"}
    bounds = [f"{word} {schema[sign]:g}" for sign, word in signs.items() if sign in schema]
    return " ".join([kind, ", ".join(bounds)]).strip()


def command_reference() -> str:
    """Every command with its arguments and options, as ``--help`` tells them."""
    lines = ["# Commands", "", _WRITTEN.format("[captioner/cli](../captioner/cli)"), ""]
    lines += [
        "`captioner COMMAND --help` shows the same. `--debug`, anywhere, shows the traceback of an error. The exit"
    ]
    lines += ["status is 0: done; 1: failed; 2: usage or config error; 3: some inputs failed; 130: Ctrl-C.", ""]
    for command in app.registered_commands:
        function = inspect.unwrap(command.callback)  # type: ignore[arg-type]
        name = command.name or function.__name__
        text, examples = split_docstring(function)
        found = list(parameters(function))
        usage = "".join(f" {written.strip('`*')}" for is_argument, written, *_ in found if is_argument)
        lines += [f"## {name}", "", *text.splitlines(), "", "```"]
        lines += [f"captioner {name} [OPTIONS]{usage}", *examples, "```", ""]
        lines += ["| | | default |", "|---|---|---|", *(_row(*cells) for _, *cells in found), ""]
    return "\n".join(lines).rstrip() + "\n"


def parameters(function: Callable[..., Any]) -> Iterator[tuple[bool, str, str, str]]:
    """Of a command: whether each is an argument, how it is written (bold if it must be), what it does, its default."""
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if not get_args(parameter.annotation):  # What typer passes in itself.
            continue
        kind, info = get_args(parameter.annotation)[:2]
        required = parameter.default is inspect.Parameter.empty
        value, several = value_of(kind)
        if isinstance(info, ArgumentInfo):
            written = f"`{info.metavar if required else f'[{info.metavar}]'}`"
        else:
            # In Annotated, typer takes the first word of an option for its default, and later for its name.
            options = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
            options = options or [f"--{name.replace('_', '-')}"]
            suffix = (
                "" if value is bool else f" {info.metavar}".replace("|", "/")
            )  # A table's cells are between such lines.
            written = ", ".join(f"`{option}{suffix}`" for option in options) + (" (repeatable)" if several else "")
            written = f"**{written}**" if required else written
        default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
        default = "" if required or default in (None, False, "", []) else f"`{default}`"
        yield isinstance(info, ArgumentInfo), written, info.help or "", default


def error_reference() -> str:
    """Every message that captioner's code can show, by class."""
    lines = ["# Messages", "", _WRITTEN.format("all messages in [captioner](../captioner)"), ""]
    lines += [
        "The name in brackets at the end of an error is the section here that lists it; search that for the message's",
        "words. What stands in *italics* differs from case to case. Symptoms without a message of their own are in",
        "[troubleshooting.md](troubleshooting.md).",
        "",
    ]
    found = sorted(set(messages()), key=lambda one: (one[1].strip("*").lower(), one))
    for name, kind in _classes():
        of_kind = [(problem, remedy, file) for other, problem, remedy, file in found if other == name]
        if not of_kind:
            continue
        text = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
        lines += [f"## {name}", "", f"{text} Exit status {kind.exit_status}.", ""]
        lines += ["| message | what to do | raised in |", "|---|---|---|"]
        lines += [
            _row(problem, remedy, f"[{file.split('/')[-1]}](../captioner/{file})") for problem, remedy, file in of_kind
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def files() -> str:
    """Every module and what its first line says it is for, folder by folder."""
    package = DOCS.parent / "captioner"
    lines = ["# Files", "", _WRITTEN.format("the first lines of all modules in [captioner](../captioner)"), ""]
    for folder in sorted({path.parent for path in package.rglob("*.py")}):
        lines += [f"## {folder.relative_to(DOCS.parent).as_posix()}", "", "| file | what it is for |", "|---|---|"]
        for path in sorted(folder.glob("*.py")):
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            link = f"[{path.name}](../{path.relative_to(DOCS.parent).as_posix()})"
            lines.append(_row(link, said.split("\n\n")[0].replace("``", "`")))
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def messages() -> Iterator[tuple[str, str, str, str]]:
    """Class, message, remedy and file of each place in the code that makes an error."""
    names = {name for name, _ in _classes()}
    package = DOCS.parent / "captioner"
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            known = {
                target.id: node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(function):
                name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                if not isinstance(node, ast.Call) or name not in {*names, "broken"} or not node.args:
                    continue
                parts = [template(part, known) for part in node.args]
                if name == "broken":  # What is wrong in a line of a file.
                    name, parts = "DatasetError", [f"*path*:*line*: {parts[2]}", *(parts[3:] or [_BROKEN])]
                problem, remedy = (*parts, "")[:2]
                if re.search(r"[a-z]{2}", re.sub(r"\*.*?\*", "", problem)):
                    yield name, problem, remedy, path.relative_to(package).as_posix()


def template(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """An expression that makes a text -> the text, with what is not constant in italics."""
    if isinstance(node, ast.Constant):
        return re.sub(r"([*_<|\\])", r"\\\1", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part, known) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return template(node.value, known)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left, known) + template(node.right, known)
    if isinstance(node, ast.IfExp):
        either = [template(part, known) for part in (node.body, node.orelse)]
        return "/".join(filter(None, either))
    if isinstance(node, ast.Name) and node.id in known:
        return template(known[node.id], {})
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _HELPERS:
        return _HELPERS[node.func.id].format(*(template(part, {}) for part in node.args))
    functions = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    values = [one for one in ast.walk(node) if isinstance(one, ast.Attribute | ast.Name) and one not in functions]
    name = next((one.attr if isinstance(one, ast.Attribute) else one.id for one in values), "...")
    return f"*{_REASONS.get(name, name).strip('_').replace('_', ' ').lower()}*"


def _classes() -> list[tuple[str, type[errors.CaptionerError]]]:
    kinds = [(name, kind) for name, kind in vars(errors).items() if inspect.isclass(kind)]
    return [(name, kind) for name, kind in kinds if issubclass(kind, errors.CaptionerError)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace(' | ', ' / ') for cell in cells)} |"


def _alternatives(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _yaml(value: Any) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


if __name__ == "__main__":
    for page, content in references().items():
        (DOCS / page).write_text(content, encoding="utf-8")
