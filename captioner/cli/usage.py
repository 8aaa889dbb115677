"""How typer reads and explains the words of a command line, told in our way: errors in two lines, help for people."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import ParameterInfo

from captioner.errors import UsageError, nearest

_Refusal: Any = typer.BadParameter.__base__
"""What typer raises for words that do not go; it has had several addresses, but was always this one's parent."""


def name_values(command: Callable[..., Any]) -> None:
    """Say what the values of ``command``'s parameters are called in help, where they do not say so themselves."""
    # As written: before Python 3.11, get_type_hints adds an Optional where the default is None.
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        hint = parameter.annotation
        for info in get_args(hint)[1:]:
            if isinstance(info, ParameterInfo) and info.metavar is None:
                value, several = value_of(get_args(hint)[0])
                argument = name.upper() + "..." * several
                info.metavar = argument if isinstance(info, typer.models.ArgumentInfo) else placeholder(value)


def value_of(kind: Any) -> tuple[Any, bool]:
    """The type of one value of a parameter's annotation, and whether it takes several."""
    if get_origin(kind) in (UnionType, Union):
        kind = get_args(kind)[0]  # The other one is None.
    return (get_args(kind)[0], True) if get_origin(kind) is list else (kind, False)


def placeholder(value: Any) -> str:
    """What stands for an option's value in help; nothing for a flag, which has none."""
    if get_origin(value) is Literal:
        return "|".join(get_args(value))
    if hasattr(value, "__members__"):  # An enum.
        return "|".join(str(one.value) for one in value.__members__.values())
    return {bool: "", Path: "FILE", int: "NUMBER", float: "NUMBER"}.get(value, "TEXT")


class _Plain:
    """Help without the types of a program: of flags nothing, of arguments their names."""

    def get_params(self, context: Any) -> list[Any]:
        params: list[Any] = super().get_params(context)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):  # Also those that typer adds itself.
                param.metavar = ""
            elif param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: None  # Its name says it, and its description.
        return params

    def collect_usage_pieces(self, context: Any) -> list[str]:
        arguments = [one for one in self.get_params(context) if one.param_type_name == "argument"]
        return ["[OPTIONS]", *(one.metavar if one.required else f"[{one.metavar}]" for one in arguments)]


class Command(_Plain, TyperCommand):
    """A command of ours."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        """As typer does, but what does not go is a ``UsageError``."""
        with _explained(context):
            return super().parse_args(context, args)


class Group(_Plain, TyperGroup):
    """All our commands."""

    def collect_usage_pieces(self, context: Any) -> list[str]:
        """Of all commands."""
        return ["[OPTIONS]", "COMMAND", "..."]

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        """As typer does; where there are no words at all, it shows help."""
        if not args:
            return super().parse_args(context, args)
        with _explained(context):
            return super().parse_args(context, args)

    def resolve_command(self, context: Any, args: list[str]) -> Any:
        """The command of that name. Raises ``UsageError`` with the nearest one where there is none."""
        if args[0] not in self.commands:
            problem = f"there is no command '{args[0]}'{nearest(args[0], list(self.commands))}"
            raise UsageError(problem, "'captioner --help' lists all commands")
        return super().resolve_command(context, args)


@contextmanager
def _explained(context: Any) -> Iterator[None]:
    try:
        yield
    except _Refusal as refusal:
        raise _explain(refusal, context) from None


def _explain(refusal: Any, context: Any) -> UsageError:
    """The remedy is the parameter's own help, or where all help is."""
    all_help = f"'{context.command_path} --help' lists all options"
    options = {name: one for one in context.command.get_params(context) for name in one.opts}
    given = getattr(refusal, "option_name", "")
    if given and given not in options:
        like = [name for name in options if nearest(given.lstrip("-"), [name.lstrip("-")])]  # Dashes are no likeness.
        return UsageError(f"there is no option '{given}'{nearest(given, like)}", all_help)
    param = options[given] if given else getattr(refusal, "param", None)
    if param is None:
        message = refusal.format_message().rstrip(".")
        takes = [_written(one)[1] for name, one in options.items() if name.startswith("--") and one.metavar]
        if "extra argument" in message and takes:
            all_help = f"values follow their option: {', '.join(takes)}; {all_help}"
        return UsageError(message[:1].lower() + message[1:], all_help)
    name, written = _written(param)
    option_help = f"{written}: {param.help.rstrip('.')}"
    if given and param.is_flag:
        return UsageError(f"{name} takes no value", option_help)
    if given:
        return UsageError(f"{name} needs a value", option_help)
    if not refusal.message:
        return UsageError(f"{name} is missing", option_help)
    return UsageError(f"{name}: {_said(refusal)}", option_help)


def _written(param: Any) -> tuple[str, str]:
    """A parameter's name, without and with what stands for its value."""
    if param.param_type_name == "argument":
        return param.metavar, param.metavar
    return param.opts[0], f"{param.opts[0]} {param.metavar}".strip()


def _said(refusal: Any) -> str:
    """What is wrong with a value, and which one it is, where pydantic has read it."""
    message = refusal.message.removeprefix("Value error, ").partition(", unable to parse")[0].rstrip(".")
    message = message.replace("Input should be", "expected").replace("a valid integer", "a whole number")
    message = message.replace("a valid ", "a ")
    if other := re.fullmatch("[Dd]ir(?:ectory)? ('.*' is a file)|[Ff]ile ('.*' is a )directory", message):
        message = other[1] or f"{other[2]}folder"
    found = refusal.__cause__.errors()[0]["input"] if hasattr(refusal.__cause__, "errors") else None
    return message if found is None or repr(found) in message else f"{message}, found {found}"
