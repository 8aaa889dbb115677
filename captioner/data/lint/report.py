"""What lint found: findings with their severity, and statistics, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from captioner.data.formats.reading import named
from captioner.errors import DatasetError

Severity = Literal["error", "warning", "note"]
"""``error``: training would fail or be wrong. ``warning``: worth mending. ``note``: worth knowing."""

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")

_EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, however often it is."""

    kind: str
    """A fixed name, for programs; docs/lint.md lists them."""
    severity: Severity
    count: int
    message: str
    remedy: str
    examples: tuple[str, ...]
    """The first ten names or captions that have it."""

    @classmethod
    def of(cls, kind: str, severity: Severity, names: Sequence[str], problem: str, remedy: str) -> "Finding":
        """A finding that all ``names`` have; its message ends with the first three of them."""
        message = f"{problem}: {named(names)}"
        return cls(kind, severity, len(names), message, remedy, tuple(names[:_EXAMPLES]))

    @classmethod
    def of_error(cls, kind: str, error: DatasetError, names: Sequence[str] = ()) -> "Finding":
        """The finding that is the error with which training would stop."""
        return cls(kind, "error", max(1, len(names)), error.problem, error.remedy, tuple(names[:_EXAMPLES]))


@dataclass(frozen=True)
class Report:
    """All findings, worst first, and what was counted on the way."""

    findings: tuple[Finding, ...]
    statistics: dict[str, Any]
    """As docs/lint.md describes them; without what could not be counted."""

    @classmethod
    def of(cls, findings: Sequence[Finding], statistics: dict[str, Any]) -> "Report":
        """Sort the findings by severity."""
        return cls(tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity))), statistics)

    @property
    def wrong(self) -> bool:
        """Whether training would fail or be wrong."""
        return any(finding.severity == "error" for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """Findings of that severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "wrong": self.wrong,
            "findings": [asdict(finding) for finding in self.findings],
            "statistics": self.statistics,
        }
