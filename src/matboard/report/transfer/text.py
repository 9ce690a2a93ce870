"""The transfer table in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from matboard.report.terminal import Line, fitted
from matboard.report.transfer.pooled_text import pooled_text
from matboard.report.transfer.references import Comparison
from matboard.report.transfer.table import GROUP_TITLES, Table, TaskBlock, arrange
from matboard.report.words import MARKS, STYLES, percent
from matboard.results.transfer import Cell, Condition, TransferResults

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

CAPTION = (
    "95 % intervals below · ▲ better, ▼ worse than the best baseline of that model"
    " (paired, 95 %)"
)
UNPARSABLE = "?: share of generated answers that name no candidate"
TOO_FEW = "few: too few test samples for an interval"


def transfer_table_text(results: TransferResults) -> Group:
    """The transfer table for a terminal: values, 95 % intervals, and marks against each model's
    best baseline. One table a geometry, and more where its learned prompts do not fit 80 columns.
    """
    from rich.console import Group
    from rich.text import Text

    tables = [arrange(results, scorer) for scorer in results.scorers]
    parts: list[RichTable | Text] = []
    for title, baselines, methods in _geometries(tables):
        shown = [*baselines, *methods]
        lines: list[Line] = []
        for table in tables:
            lines += _lines(table, shown, Comparison(results, table.scorer))
        heads = ["model", *(one.baseline or one.name for one in shown)]
        parts += fitted(heads, lines, always=len(baselines), title=title)
    if not parts:
        return Group(
            Text("Nothing was measured: there is no model, or no task.", style="dim")
        )
    parts += pooled_text(results)
    few = any(cell.too_few for cell in results.cells)
    silent = any(cell.unparsable for cell in results.cells)
    also = dict.fromkeys(name for cell in results.cells for name in cell.also)
    told = [f"{_brief(name)}: {name}" for name in also]
    captions = [CAPTION, *[TOO_FEW] * few, *[UNPARSABLE] * silent, *told]
    parts.append(Text("\n".join(captions), style="dim italic"))
    return Group(*parts)


def _geometries(
    tables: Sequence[Table],
) -> Iterator[tuple[str, list[Condition], list[Condition]]]:
    """The baselines and learned prompts that stand beside each other, and a title where there are
    several geometries.
    """
    columns: dict[str | None, dict[str, Condition]] = {}
    for table in tables:
        for condition in table.conditions:
            columns.setdefault(condition.geometry, {})[condition.name] = condition
    full = list(columns.pop(None, {}).values())
    for geometry, by_name in columns.items():
        baselines = [c for c in by_name.values() if c.role == "baseline"]
        methods = [c for c in by_name.values() if c.role != "baseline"]
        title = str(geometry) if len(columns) > 1 else ""
        yield title, [*full, *baselines], methods
    if full and not columns:
        yield "", full, []


def _lines(
    table: Table, conditions: Sequence[Condition], comparison: Comparison
) -> Iterator[Line]:
    from rich.text import Text

    for block in table.blocks:
        task = (block.task.name, "bold")
        facts = Text.assemble(task, (f"\n{_facts(block, table)}", "dim"))
        yield Line(facts, section=True)
        for group in block.groups:
            yield Line(Text(GROUP_TITLES[group.group], style="italic dim"))
            for row in group.rows:
                by_name = {
                    cell.condition: cell for cell in row.cells if cell is not None
                }
                cells = [by_name.get(condition.name) for condition in conditions]
                texts = tuple(_cell(cell, block, comparison) for cell in cells)
                yield Line(Text(f"  {row.model.name}"), texts)


def _facts(block: TaskBlock, table: Table) -> str:
    n = f", n={block.same_n}" if block.same_n else ""
    return f"{block.metric} by {table.scorer}{n}"


def _cell(cell: Cell | None, block: TaskBlock, comparison: Comparison) -> Text:
    from rich.text import Text

    if cell is None or cell.value is None:
        return Text("failed" if cell is not None and cell.failed else "–", style="dim")
    difference = None
    if cell.condition not in comparison.kinds:
        difference = comparison.against(cell, "best")
    decision = difference.decision if difference else "undecided"
    text = Text(f"{cell.value:.3f}{MARKS[decision] or ' '}", style=STYLES[decision])
    if cell.low is None or cell.high is None:
        text.append("\nfew ", style="not bold dim")
    else:
        text.append(f"\n{_short(cell.low)}–{_short(cell.high)} ", style="not bold dim")
    for name, value in cell.also.items():
        if value is not None:
            text.append(f"\n{_brief(name)} {_short(value)} ", style="not bold dim")
    if cell.unparsable:
        text.append(f"\n?{percent(cell.unparsable)} ", style="not bold dim")
    if block.same_n is None:
        text.append(f"\nn={cell.n} ", style="not bold dim")
    return text


def _brief(metric: str) -> str:
    """``acc``: a cell has room for some eight letters."""
    return metric[:3]


def _short(value: float) -> str:
    """``.57``: six conditions fit a terminal of 80 columns."""
    return f"{value:.2f}".removeprefix("0")
