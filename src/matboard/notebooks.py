"""How things look in a notebook: small HTML tables that take a notebook's own colours, light or
dark, and nothing from anywhere else.
"""

from __future__ import annotations

import html
import math
import sys
from collections.abc import Iterable, Sequence

LONGEST = 40
"""Letters of a name in a table's margin."""
CELL = "text-align:right;padding:.25em .6em"
SHADE = "background:rgba(76,143,209,{share:.2f})"
"""Of a value in [0, 1]: half of a full blue at most, so that ink of either kind can be read."""
NOTE = "opacity:.7;font-size:smaller"


def escaped(text: str) -> str:
    """Text as HTML shows it, cut where it is long."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return html.escape(cut)


def noted(text: str, note: str) -> str:
    """HTML of a text, and a smaller one below it."""
    return f'{html.escape(text)}<br><span style="{NOTE}">{html.escape(note)}</span>'


def table(caption: str, heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML cells; the first of each row names it."""
    top = "".join(f'<th style="{CELL}">{escaped(head)}</th>' for head in heads)
    return _table(caption, top, ("".join(_row(row)) for row in rows))


def shaded(
    caption: str,
    corner: str,
    names: Sequence[str],
    columns: Sequence[str],
    values: Iterable[Iterable[float | None]],
) -> str:
    """A table of values in [0, 1], each as dark as it is large; None and NaN stay empty."""
    heads = [corner, *columns]
    top = "".join(f'<th style="{CELL}">{escaped(head)}</th>' for head in heads)
    rows = []
    for name, line in zip(names, values, strict=True):
        cells = "".join(map(_shade, line))
        rows.append(f'<th style="{CELL}">{escaped(name)}</th>{cells}')
    return _table(caption, top, rows)


def shows_bars() -> bool:
    """Whether somebody is looking: a terminal or a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel") or sys.stderr.isatty()


def _table(caption: str, top: str, rows: Iterable[str]) -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    head = f'<caption style="text-align:left">{html.escape(caption)}</caption>'
    return (
        f'<div style="overflow-x:auto"><table>{head}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(cells: Sequence[str]) -> Iterable[str]:
    first, *others = cells
    yield f'<th style="{CELL}">{first}</th>'
    for cell in others:
        yield f'<td style="{CELL}">{cell}</td>'


def _shade(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "<td></td>"
    shade = SHADE.format(share=value / 2)
    return f'<td style="{CELL};{shade}">{value:.2f}</td>'
