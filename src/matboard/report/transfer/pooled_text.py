"""Gains over several models and tasks at once, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

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
        yield _shown(f"{GAINS}, {over}", table.gains, table)
        if table.pairs:
            yield _shown(f"{PAIRS}, {over}", table.pairs, table)


def _shown(title: str, rows: Sequence[PooledRow], table: PooledTable) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        title=Text(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    shown.add_column("")
    for group, (_, models) in zip(table.groups, table.heads, strict=True):
        head = Text(f"{HEADS[group]}\n{plural(models, 'model')}")
        shown.add_column(head, justify="right")
    several = len({row.scorer for row in rows}) > 1
    for row in rows:
        name = Text(row.label)
        if several:
            name.append(f"\nby {row.scorer}", style="dim")
        cells = [_cell(row.contrasts.get(group)) for group in table.groups]
        shown.add_row(name, *cells)
    return shown


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
        ends = f"{signed(found.low, 2)} to {signed(found.high, 2)}"
        text.append(f"\n{ends} ", style="not bold dim")
    if contrast.against is None and contrast.unparsable:
        text.append(f"\n?{percent(contrast.unparsable)} ", style="not bold dim")
    return text
