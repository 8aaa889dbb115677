"""The log of a run as one HTML page of curves that needs nothing else: no network, no script."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from captioner.pages.charts import STYLE, Series, Svg, line_chart

Row = dict[str, float | int | str]

_CHARTS: Final = (
    ("Loss (nats per word)", {"loss": "training"}),
    ("Validation: CIDEr", {"val_CIDEr": ""}),
    ("Validation: BLEU and ROUGE-L", {f"val_Bleu_{n}": f"BLEU-{n}" for n in (1, 2, 3, 4)} | {"val_ROUGE_L": "ROUGE-L"}),
    ("Validation: perplexity", {"val_perplexity": ""}),
    ("Learning rate", {"learning_rate": ""}),
    ("Speed (captions/s)", {"captions_per_second": ""}),
)
"""Title, and for each key of the log's rows its name in the legend. Keys that are in none have a chart of their own."""
_NOT_DRAWN: Final = {"epoch", "step", "tokens_per_second", "padding"}
_TABLE: Final = {
    "epoch": "epoch",
    "loss": "loss",
    "val_perplexity": "perplexity",
    "val_Bleu_4": "BLEU-4",
    "val_CIDEr": "CIDEr",
    "learning_rate": "learning rate",
}

_PAGE_STYLE: Final = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 80rem;
  background: light-dark(#fdfdfb, #191918); color: light-dark(#1c1c1a, #ecece6); }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; margin: .5rem 0; }
main { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
.scroll { overflow-x: auto; margin-top: 1.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid light-dark(#dcdcd6, #3a3a36); }
tr.best { font-weight: 600; background: light-dark(#eef4fa, #22303c); }
"""


def curves_page(name: str, rows: Sequence[Row]) -> str:
    """The page of the run called ``name`` after the epochs ``rows``."""
    best = max(rows, key=lambda row: _number(row, "val_CIDEr", -math.inf))
    last = rows[-1]
    said = (
        f"{len(rows)} {'epoch' if len(rows) == 1 else 'epochs'}; the best validation CIDEr, "
        f"{_text(best, 'val_CIDEr')}, was in epoch {best['epoch']}; the loss is {_text(last, 'loss')} now."
    )
    charts = "\n".join(f"<section>{chart}</section>" for chart in curves(rows, _number(best, "epoch", 0)))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}: training</title>\n<style>\n{_PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(name)}</h1>\n<p>{said}</p>\n<main>\n{charts}\n</main>\n"
        f'<div class="scroll"><table>\n{_table(rows, best)}\n</table></div>\n</body>\n</html>\n'
    )


def curves(rows: Sequence[Row], best_epoch: float) -> Iterator[Svg]:
    """A chart for each figure of a run's log; ``best_epoch`` is marked."""
    known = {key for _, names in _CHARTS for key in names} | _NOT_DRAWN
    numeric = [key for key, value in rows[-1].items() if isinstance(value, int | float)]
    others = [(key.replace("_", " "), {key: ""}) for key in numeric if key not in known]
    epochs = [_number(row, "epoch", 0) for row in rows]
    for title, names in (*_CHARTS, *others):
        series = [
            Series(name, [_number(row, key, math.nan) for row in rows]) for key, name in names.items() if key in numeric
        ]
        if series:
            yield line_chart(title, epochs, series, x_label="epoch", mark=best_epoch)


def _table(rows: Sequence[Row], best: Row) -> str:
    shown = {key: title for key, title in _TABLE.items() if key in rows[-1]}
    lines = ["<thead><tr>" + "".join(f"<th>{title}</th>" for title in shown.values()) + "</tr></thead>"]
    for row in rows:
        cells = "".join(f"<td>{_text(row, key)}</td>" for key in shown)
        lines.append(f'<tr class="best">{cells}</tr>' if row is best else f"<tr>{cells}</tr>")
    return "\n".join(lines)


def _number(row: Row, key: str, missing: float) -> float:
    value = row.get(key, missing)
    return missing if isinstance(value, str) else value


def _text(row: Row, key: str) -> str:
    value = row.get(key, "")
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
