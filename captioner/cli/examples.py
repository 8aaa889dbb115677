"""A command's docstring -> its help text, and its examples, which help shows at the end, a line each."""

import re
from collections.abc import Callable
from inspect import getdoc

from rich.markup import escape

_EXAMPLES = re.compile(r"^Examples?: (.*)\Z", re.DOTALL | re.MULTILINE)


def split_docstring(command: Callable[..., None]) -> tuple[str, list[str]]:
    """The text before ``Example:`` or ``Examples:``, and the commands after it, which semicolons separate."""
    text = getdoc(command) or ""
    found = _EXAMPLES.search(text)
    if found is None:
        return text, []
    return text[: found.start()].strip(), [" ".join(each.split()) for each in found[1].split(";")]


def epilog(examples: list[str]) -> str | None:
    """The end of a command's help. Typer makes each paragraph a line."""
    return "\n\n".join(["Examples:", *(f"$ {escape(each)}" for each in examples)]) if examples else None
