"""YAML file and ``--set`` overrides -> ``Config``: strict, with every mistake reported at once and by its line."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from captioner.config import VERSION, Config
from captioner.errors import ConfigError, nearest

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_Path = tuple[str, ...]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read the YAML file at ``path``, apply ``section.key=value`` overrides, and check everything.

    Raises ``ConfigError`` whose problem lists every mistake, each with its line and, for an unknown key, the
    nearest known one.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"cannot read the config {path}: {reason}", _known_examples(path)) from None
    return parse_config(text, str(path), overrides)


def parse_config(text: str, name: str, overrides: Sequence[str] = ()) -> Config:
    """As ``load_config``, for YAML already read from somewhere called ``name``."""
    source = _Source(name)
    values = source.read(text)
    for override in overrides:
        source.override(values, override)
    version = values.get("version", VERSION)
    if version != VERSION and str(version) != str(VERSION):  # Of the same in quotes, validation says what it is.
        raise ConfigError(
            f"{source.where(('version',))}: this config has version {version}, "
            f"and this captioner reads version {VERSION}",
            f"write it anew for version {VERSION} (examples/ shows how), or install the captioner it was made for",
        )
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        source.mistakes += [source.explain(detail) for detail in error.errors()]
    if source.mistakes:
        mistakes = dict.fromkeys(source.mistakes)
        in_file = any(not mistake.startswith("--set ") for mistake in mistakes)
        remedy = (
            f"mend {name} or the --set values, and try again" if in_file else "mend the --set values, and try again"
        )
        raise ConfigError("\n".join(mistakes), remedy)
    return config


def dump_config(config: Config) -> str:
    """The whole config as YAML that ``load_config`` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True)


class _Source:
    """Where each value came from, and what is wrong with any of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[_Path, str] = {}
        self.mistakes: list[str] = []

    def where(self, path: _Path) -> str:
        """The line or override that gave ``path`` its value, or else its nearest section; first, an override below."""
        for key, place in self.places.items():
            if len(key) > len(path) and key[: len(path)] == path and place.startswith("--set "):
                return place
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)

    def read(self, text: str) -> dict[str, Any]:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise ConfigError(f"{self.name}{line}: not valid YAML: {problem}", "mend that line") from None
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(
                f"{self.name}: expected sections such as 'dataset:', found something else", "see examples/"
            )
        try:
            value = self._value(node, ())
        except RecursionError:
            raise ConfigError(f"{self.name}: an alias stands for something that it is in", "write it out") from None
        assert isinstance(value, dict)
        return value

    def _value(self, node: yaml.Node, path: _Path) -> Any:
        if not isinstance(node, yaml.MappingNode):
            try:
                return yaml.SafeLoader("").construct_object(node, deep=True)
            except (yaml.YAMLError, ValueError) as error:  # An unknown tag, or a 30th of February.
                reason = str(error).splitlines()[0]
                self.mistakes.append(f"{self.where(path)}: {'.'.join(path)}: YAML cannot read this value: {reason}")
                return None
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            place = f"{self.name}:{key_node.start_mark.line + 1}"
            if key in result:
                first = self.places[(*path, key)].rsplit(":", 1)[1]
                self.mistakes.append(f"{place}: '{'.'.join((*path, key))}' is given twice (first on line {first})")
                continue
            self.places[(*path, key)] = place
            result[key] = self._value(value_node, (*path, key))
        return result

    def override(self, values: dict[str, Any], override: str) -> None:
        name, equals, text = override.partition("=")
        path = tuple(name.split("."))
        if not equals or not all(path):
            raise ConfigError(f"--set {override}: expected section.key=value", "for example --set training.epochs=5")
        try:
            # Typed on a command line, 1e-4 is meant as a number; in a file it would be text to other readers. Comments,
            # dates and mappings without braces are meant as text.
            value = float(text) if _EXPONENT.fullmatch(text) else yaml.safe_load(text)
            if not isinstance(value, bool | int | float | None) and not text.lstrip().startswith(("[", "{", "'", '"')):
                value = text
        except (yaml.YAMLError, ValueError):
            value = text
        for section in path[:-1]:
            inner = values.setdefault(section, {})
            if not isinstance(inner, dict):
                inner = values[section] = {}
            values = inner
        values[path[-1]] = value
        self.places[path] = f"--set {override}"

    def explain(self, detail: ErrorDetails) -> str:
        """One line for one of pydantic's errors."""
        path = tuple(str(part) for part in detail["loc"] if part in _keys_along(detail["loc"]))
        name, where = ".".join(path), self.where(path)
        if detail["type"] == "extra_forbidden":
            known = sorted(_model_at(path[:-1]).model_fields)
            elsewhere = _in_sections(path[-1])
            hint = f", did you mean '{elsewhere[0]}'?" if elsewhere else nearest(path[-1], known)
            return f"{where}: unknown key '{name}'{hint or ' (known: ' + ', '.join(known) + ')'}"
        if detail["type"] == "missing":
            return f"{where}: '{name}' is missing"
        if detail["type"] == "value_error" and isinstance(detail["input"], dict):
            reason = str(detail["ctx"]["error"])  # Of a whole section, whose values do not go together.
            named = [place for key, place in self.places.items() if key[:-1] == path and key[-1] in reason.split()]
            return f"{max([where, *named], key=lambda place: place.startswith('--set '))}: {name}: {reason}"
        given = detail["input"]
        message = detail["msg"].replace("Input should be", "expected").replace("a valid ", "a ")
        message = (
            message.replace("a integer", "an integer")
            .replace("a boolean", "true or false")
            .removeprefix("Value error, ")
        )
        if detail["type"] in ("model_type", "dict_type"):
            message = "expected keys and values below it"
        hint = " (in quotes it is text)" if detail["type"] == "string_type" and not isinstance(given, dict) else ""
        if isinstance(given, str):
            if _EXPONENT.fullmatch(given):
                hint = f" (YAML reads {given} as text: write {float(given):.1e})"
            elif detail["type"] == "literal_error":
                hint = nearest(given, re.findall(r"'([^']+)'", message))
        return f"{where}: {name}: {message}, found {given!r}{hint}"


def _in_sections(key: str) -> list[str]:
    """The whole names of the keys that are called so in a section."""
    return [f"{section}.{key}" for section in Config.model_fields if key in _keys_of(section)]


def _keys_of(section: str) -> Iterable[str]:
    annotation = Config.model_fields[section].annotation
    return annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else ()


def _model_at(path: _Path) -> type[BaseModel]:
    model: type[BaseModel] = Config
    for key in path:
        annotation = model.model_fields[key].annotation
        assert isinstance(annotation, type)
        model = annotation
    return model


def _keys_along(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    # Below a key of several types (bool or str) pydantic adds the type's name, which is no key of ours.
    return location[:2]


def _known_examples(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path("examples")
    known = sorted(str(other) for other in folder.glob("*.yaml")) if folder.is_dir() else []
    close = nearest(str(path), [other for other in known if other != str(path)])
    return f"give the path of a YAML file{close}" if close else "give the path of a YAML file, as examples/ has them"
