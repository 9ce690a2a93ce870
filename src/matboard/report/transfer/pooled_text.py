"""Gains over several models and tasks at once, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from matboard.report.terminal import Line, fitted
from matboard.report.transfer.pooled import PooledRow, PooledTable, pooled_tables
from matboard.report.words import MARKS, STYLES, percent, plural, signed
from matboard.results.transfer import Contrast, Pooled, TransferResults

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

HEADS: dict[Pooled, str] = {
    "source": "source",
    "same": "same encoder",
    "other": "another encoder",
    "unknown": "unknown encoder",
    "unseen": "all unseen",
    "untaught": "not learned on",
}
GAINS = "Mean gain over the best baseline of each model"
PAIRS = "One method minus another"


def pooled_text(results: TransferResults) -> Iterator[RichTable]:
    """Over all tasks: gains over the best baseline, and methods against one another."""
    for table in pooled_tables(results)[:1]:
        over = f"{plural(len(results.tasks), 'task')}, {plural(table.seeds, 'seed')}"
        yield from _shown(f"{GAINS}, {over}", table.gains, table)
        if table.pairs:
            yield from _shown(f"{PAIRS}, {over}", table.pairs, table)


def _shown(
    title: str, rows: Sequence[PooledRow], table: PooledTable
) -> list[RichTable]:
    from rich.text import Text

    heads = [""]
    for group, (_, models) in zip(table.groups, table.heads, strict=True):
        heads.append(f"{HEADS[group]}\n{plural(models, 'model')}")
    several = len({row.scorer for row in rows}) > 1
    lines = []
    for row in rows:
        name = Text(row.label)
        if several:
            name.append(f"\nby {row.scorer}", style="dim")
        cells = tuple(_cell(row.contrasts.get(group)) for group in table.groups)
        lines.append(Line(name, cells))
    return fitted(heads, lines, title=title)


def _cell(contrast: Contrast | None) -> Text:
    from rich.text import Text

    if contrast is None:
        return Text("–", style="dim")
    found = contrast.difference
    style = STYLES[found.decision]
    text = Text(f"{signed(found.value)}{MARKS[found.decision] or ' '}", style=style)
    if found.too_few:
        text.append("\nfew ", style="not bold dim")
    else:
        ends = f"{_short(found.low)} to {_short(found.high)}"
        text.append(f"\n{ends} ", style="not bold dim")
    if contrast.against is None and contrast.unparsable:
        text.append(f"\n?{percent(contrast.unparsable)} ", style="not bold dim")
    return text


def _short(value: float | None) -> str:
    """``+.05``: five groups fit a terminal of 80 columns."""
    return signed(value, 2).replace("0.", ".", 1)
