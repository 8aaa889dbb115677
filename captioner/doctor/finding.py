"""What the doctor finds: one fact a finding, with the one command that mends it where something is wrong."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warning", "error"]
"""``error``: it must be mended. ``warning``: it works, but not as it should. ``note``: worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    part: str
    """What was looked at, in a word or two, such as ``torch``."""
    state: State
    text: str
    remedy: str = ""
