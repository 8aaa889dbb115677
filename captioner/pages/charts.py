"""Charts as inline SVG, without a library or a display: lines, bars, and how well confidence is calibrated.

Colours come from :data:`STYLE`, which a page includes once, so that charts follow it into the dark and onto paper.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple, Protocol

_WIDTH, _HEIGHT = 400, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 390, 50, 214
"""Edges of the plot, in the units of the drawing: pixels of a phone, more on a wide screen. Left of it 0.00005 fits."""
_NAMES = 4
"""Where title and legend begin."""
_LETTER = 7  # Width of one at the font's size, on average.
_COLOURS = 6

STYLE = """\
.chart { --c0: #1f6fb4; --c1: #c8500b; --c2: #2b8a3e; --c3: #8a3fb0; --c4: #8c6d00; --c5: #b3246b;
  --ink: #1c1c1a; --faint: #5f5f5a; --rule: #dcdcd6; display: block; width: 100%; height: auto; max-width: 40rem;
  font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; break-inside: avoid; }
@media (prefers-color-scheme: dark) { .chart { --c0: #6cb2f0; --c1: #ff9a5c; --c2: #7fd08f; --c3: #cf9bf0;
  --c4: #e0c050; --c5: #f28cba; --ink: #ecece6; --faint: #a3a39b; --rule: #3a3a36; } }
@media print { .chart { --c0: #1f6fb4; --c1: #c8500b; --c2: #2b8a3e; --c3: #8a3fb0; --c4: #8c6d00; --c5: #b3246b;
  --ink: #000; --faint: #444; --rule: #ccc; print-color-adjust: exact; } }
.chart text { fill: var(--faint); } .chart .name { fill: var(--ink); font-weight: 600; font-size: 13px; }
.chart .rule { stroke: var(--rule); } .chart .ideal { stroke: var(--faint); stroke-dasharray: 4 4; }
.chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; } .chart .middle { text-anchor: middle; }
.chart .end { text-anchor: end; }
""" + "".join(
    f".chart .s{number} {{ stroke: var(--c{number}); }} .chart .f{number} {{ fill: var(--c{number}); }}\n"
    for number in range(_COLOURS)
)
"""CSS that a page with charts needs, in ``<style>``."""

Point = tuple[float, float]


class Svg(str):
    """Markup that a template with autoescape takes as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


class Series(NamedTuple):
    """What one colour shows."""

    name: str
    """In the legend; an empty one has no place there."""
    values: Sequence[float]
    """One for each x; what is not finite leaves a gap."""


class Bin(Protocol):
    """Captions of about the same confidence."""

    @property
    def confidence(self) -> float:
        """Their mean, 0 to 1."""

    @property
    def accuracy(self) -> float:
        """Share of them that were right."""

    @property
    def captions(self) -> int:
        """How many they are."""


def line_chart(
    title: str,
    xs: Sequence[float],
    series: Sequence[Series],
    *,
    x_label: str = "",
    from_zero: bool = False,
    mark: float | None = None,
) -> Svg:
    """Lines over the numbers ``xs``, such as epochs. ``mark`` is the x of an upright line, such as the best epoch."""
    finite = [value for each in series for value in each.values if math.isfinite(value)]
    x_axis, y_axis = _Axis.across(xs), _Axis.up([*finite, 0] if from_zero else finite)
    parts = [_frame(x_axis.ticks(), y_axis.ticks(), x_label), _legend([each.name for each in series])]
    if mark is not None:
        parts.append(_rule(x_axis(mark), _TOP, x_axis(mark), _BOTTOM, "ideal"))
    for number, each in enumerate(series):
        colour = number % _COLOURS
        points = list(zip(xs, each.values, strict=True))
        for run in _finite_runs(points):
            path = " ".join(f"{x_axis(x):.1f},{y_axis(y):.1f}" for x, y in run)
            parts.append(f'<polyline class="line s{colour}" points="{path}"/>')
        parts += [
            f'<circle class="f{colour}" cx="{x_axis(x):.1f}" cy="{y_axis(y):.1f}" r="2.5">'
            f"<title>{escape(each.name)} {_number(x)}: {y:.4g}</title></circle>"
            for x, y in points
            if math.isfinite(y)
        ]
    return _svg(title, parts, empty=not finite)


def bar_chart(title: str, labels: Sequence[str], series: Sequence[Series], *, x_label: str = "") -> Svg:
    """Bars from zero: for each label, one of each series beside the others. Of many labels, some are written."""
    finite = [value for each in series for value in each.values if math.isfinite(value)]
    y_axis = _Axis.up([*finite, 0])
    step = (_RIGHT - _LEFT) / max(1, len(labels))
    longest = max(map(len, labels), default=0)
    every = max(1, math.ceil((longest * _LETTER + 6) / step))
    ticks = [(_LEFT + (place + 0.5) * step, label) for place, label in enumerate(labels) if place % every == 0]
    parts = [_frame(ticks, y_axis.ticks(), x_label), _legend([each.name for each in series])]
    width = 0.8 * step / max(1, len(series))
    for number, each in enumerate(series):
        for place, (label, value) in enumerate(zip(labels, each.values, strict=True)):
            if math.isfinite(value):
                left, top, foot = _LEFT + (place + 0.1) * step + number * width, y_axis(value), y_axis(0)
                parts.append(
                    f'<rect class="f{number % _COLOURS}" x="{left:.1f}" y="{min(top, foot):.1f}" width="{width:.1f}" '
                    f'height="{abs(foot - top):.1f}"><title>{escape(f"{each.name} {label}".strip())}: {value:.4g}'
                    "</title></rect>"
                )
    return _svg(title, parts, empty=not finite)


def reliability_diagram(title: str, bins: Iterable[Bin], *, x_label: str = "confidence") -> Svg:
    """How right captions are against how sure the model was; on the dashed line both are the same.

    The larger a point, the more captions it stands for (Niculescu-Mizil and Caruana 2005, "Predicting Good
    Probabilities With Supervised Learning", figure 1).
    """
    known = sorted((each for each in bins if each.captions), key=lambda each: each.confidence)
    x_axis, y_axis = _Axis.across([0.0, 0.5, 1.0]), _Axis.up([0, 1])
    parts = [_frame(x_axis.ticks(), y_axis.ticks(), x_label), _rule(_LEFT, _BOTTOM, _RIGHT, _TOP, "ideal")]
    path = " ".join(f"{x_axis(each.confidence):.1f},{y_axis(each.accuracy):.1f}" for each in known)
    parts.append(f'<polyline class="line s0" points="{path}"/>')
    most = max((each.captions for each in known), default=1)
    parts += [
        f'<circle class="f0" cx="{x_axis(each.confidence):.1f}" cy="{y_axis(each.accuracy):.1f}" '
        f'r="{2 + 6 * math.sqrt(each.captions / most):.1f}"><title>{each.captions:,} captions: {escape(x_label)} '
        f"{each.confidence:.2f}, right {each.accuracy:.2f}</title></circle>"
        for each in known
    ]
    return _svg(title, parts, empty=not known)


class _Axis(NamedTuple):
    """Numbers -> places in the drawing."""

    low: float
    high: float
    start: float
    end: float
    step: float
    """Between two labels."""

    @classmethod
    def across(cls, xs: Sequence[float]) -> "_Axis":
        """From the first x to the last; between whole numbers no others are labelled."""
        low, high = _bounds(xs)
        step = _round_step(high - low, 8)
        return cls(low, high, _LEFT, _RIGHT, max(1, step) if all(x == int(x) for x in xs) else step)

    @classmethod
    def up(cls, values: Sequence[float]) -> "_Axis":
        """From a round number below all values to one above."""
        low, high = _bounds(values)
        step = _round_step(high - low, 4)
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        return cls(low, high, _BOTTOM, _TOP, step)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of round numbers."""
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        # As many digits as tell one from the next.
        digits = max(0, -math.floor(math.log10(self.step) + 1e-9))
        largest = math.floor(math.log10(max(abs(self.low), abs(self.high))) + 1e-9)
        form = f",.{digits}f" if digits < 6 else f".{digits + largest + 1}g"
        return [(self(number * self.step), format(number * self.step, form)) for number in range(first, last + 1)]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0), max(values, default=1)
    return (low, high) if low < high else (low - abs(low) / 2, high + abs(high) / 2 + (high == 0))


def _round_step(span: float, most: int) -> float:
    """1, 2 or 5 times a power of ten, at least a part of ``most`` of the span."""
    rough = span / most
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _finite_runs(points: Iterable[Point]) -> list[list[Point]]:
    runs: list[list[Point]] = [[]]
    for x, y in points:
        if math.isfinite(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _rule(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _frame(x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]], x_label: str) -> str:
    parts = [_rule(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "rule")]
    for y, label in y_ticks:
        parts += [
            _rule(_LEFT, y, _RIGHT, y, "rule"),
            f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{escape(label)}</text>',
        ]
    parts += [f'<text class="middle" x="{x:.1f}" y="{_BOTTOM + 16}">{escape(label)}</text>' for x, label in x_ticks]
    middle = (_LEFT + _RIGHT) / 2
    return "".join(parts) + f'<text class="middle" x="{middle}" y="{_BOTTOM + 36}">{escape(x_label)}</text>'


def _legend(names: Sequence[str]) -> str:
    parts, left = [], float(_NAMES)
    for number, name in enumerate(names):
        if name:
            parts.append(
                f'<rect class="f{number % _COLOURS}" x="{left:.1f}" y="27" width="10" height="10"/>'
                f'<text x="{left + 14:.1f}" y="36">{escape(name)}</text>'
            )
            left += 26 + _LETTER * len(name)
    return "".join(parts)


def _svg(title: str, parts: Iterable[str], *, empty: bool) -> Svg:
    body = (
        f'<text class="middle" x="{_WIDTH / 2}" y="{_HEIGHT / 2}">nothing to show</text>' if empty else "".join(parts)
    )
    return Svg(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text class="name" x="{_NAMES}" y="15">{escape(title)}</text>{body}</svg>'
    )
