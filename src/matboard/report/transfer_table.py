"""The transfer table: arranged for reading, as a terminal table and as CSV.

Rows are models (the source, targets sharing its encoder, targets with another), columns are
conditions (baselines first).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from matboard.report.results import (
    GROUPS,
    Cell,
    Condition,
    Group,
    Model,
    Results,
    TaskFacts,
    parse_results,
)

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

REFERENCE = "full"  # the condition that colours and marks are relative to
MARKS = {"better": "▲", "worse": "▼", "undecided": ""}
STYLES = {"better": "bold blue", "worse": "bold yellow", "undecided": ""}


@dataclass(frozen=True)
class Row:
    """One model's cells, one for each condition; None where nothing was measured."""

    model: Model
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Section:
    """The models of one group, and their means where every model has a value."""

    group: Group
    rows: tuple[Row, ...]
    means: tuple[float | None, ...]


@dataclass(frozen=True)
class Block:
    """The table of one task."""

    task: TaskFacts
    conditions: tuple[Condition, ...]
    sections: tuple[Section, ...]

    @property
    def same_n(self) -> int | None:
        """The number of test samples, where all cells share it."""
        counts = {
            cell.n
            for section in self.sections
            for row in section.rows
            for cell in row.cells
            if cell
        }
        return counts.pop() if len(counts) == 1 else None


@dataclass(frozen=True)
class Means:
    """Means over the model–task pairs of one group that were measured under every condition."""

    group: Group
    metric: str
    pairs: int
    values: tuple[float, ...]


def ordered_conditions(results: Results, scorer: str) -> tuple[Condition, ...]:
    """Baselines first, then methods; only those that were measured with this scorer."""
    measured = {cell.condition for cell in results.cells if cell.scorer == scorer}
    return tuple(c for c in (*results.baselines, *results.methods) if c.name in measured)


def blocks(results: Results, scorer: str) -> list[Block]:
    """One block a task, tasks and models in the results' order; empty groups and tasks are left
    out.
    """
    conditions, cells = ordered_conditions(results, scorer), results.by_place(scorer)
    arranged = []
    for task in results.tasks:
        sections = tuple(
            section
            for group in GROUPS
            if (section := _section(results, group, task, conditions, cells)).rows
        )
        if sections:
            arranged.append(Block(task, conditions, sections))
    return arranged


def _section(
    results: Results,
    group: Group,
    task: TaskFacts,
    conditions: tuple[Condition, ...],
    cells: dict[tuple[str, str, str], Cell],
) -> Section:
    rows = [
        Row(model, tuple(cells.get((model.name, task.name, c.name)) for c in conditions))
        for model in results.group(group)
    ]
    rows = [row for row in rows if any(row.cells)]
    columns = ([value_of(cell) for cell in column] for column in zip(*(row.cells for row in rows)))
    return Section(group, tuple(rows), tuple(_mean(column) for column in columns))


def _mean(column: list[float | None]) -> float | None:
    known = [value for value in column if value is not None]
    return fmean(known) if len(known) == len(column) else None


def value_of(cell: Cell | None) -> float | None:
    """The cell's value, None where there is no cell."""
    return cell.value if cell else None


def group_means(results: Results, scorer: str) -> list[Means]:
    """Means over models and tasks, one line for each group and metric."""
    conditions, cells = ordered_conditions(results, scorer), results.by_place(scorer)
    lines = []
    for group in GROUPS:
        for metric in dict.fromkeys(task.metric for task in results.tasks):
            pairs = [
                (m.name, t.name)
                for m in results.group(group)
                for t in results.tasks
                if t.metric == metric
            ]
            rows = [[value_of(cells.get((*pair, c.name))) for c in conditions] for pair in pairs]
            full = [[v for v in row if v is not None] for row in rows if None not in row]
            if full:
                lines.append(Means(group, metric, len(full), tuple(map(fmean, zip(*full)))))
    return lines


def transfer_table_text(results: Mapping[str, Any]) -> Table:
    """The transfer table for a terminal: values, 95 % intervals, and marks against the full
    picture.

    Args:
        results: what ``results.json`` holds.

    Raises:
        RunError: they do not follow the schema.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    parsed = parse_results(results)
    columns = (*parsed.baselines, *parsed.methods)
    caption = (
        "95 % intervals below · ▲ better, ▼ worse than the full picture without a prompt (paired,"
        " 95 %)"
    )
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption=caption,
        caption_justify="left",
    )
    table.add_column("model", overflow="fold")
    for condition in columns:
        table.add_column(condition.name, justify="right", no_wrap=True)
    for scorer in parsed.scorers:
        for block in blocks(parsed, scorer):
            n = f", n={block.same_n}" if block.same_n else ""
            table.add_section()
            table.add_row(
                Text.assemble(
                    (block.task.name, "bold"), (f"\n{block.task.metric} by {scorer}{n}", "dim")
                )
            )
            for section in block.sections:
                table.add_row(Text(parsed.group_titles[section.group], style="italic dim"))
                for row in section.rows:
                    by_name = {cell.condition: cell for cell in row.cells if cell}
                    table.add_row(
                        Text(f"  {row.model.name}"),
                        *(_text_cell(by_name.get(c.name), block) for c in columns),
                    )
    return table


def _text_cell(cell: Cell | None, block: Block) -> Text:
    from rich.text import Text

    if cell is None or cell.value is None:
        return Text("–", style="dim")
    difference = cell.against(REFERENCE)
    decision = difference.decision if difference else "undecided"
    text = Text(f"{cell.value:.3f}{MARKS[decision] or ' '}", style=STYLES[decision])
    if cell.low is not None and cell.high is not None:
        text.append(f"\n{_short(cell.low)}–{_short(cell.high)} ", style="not bold dim")
    if block.same_n is None:
        text.append(f"\nn={cell.n} ", style="not bold dim")
    return text


def _short(value: float) -> str:
    """``.57``: six conditions fit a terminal of 80 columns."""
    return f"{value:.2f}".removeprefix("0")


def transfer_table_csv(results: Mapping[str, Any]) -> str:
    """One line a cell, with its interval, seeds and paired differences; numbers as in
    ``results.json``, nothing rounded.

    Raises:
        RunError: the results do not follow the schema.
    """
    parsed = parse_results(results)
    groups = {model.name: model.group for model in parsed.models}
    kinds = {condition.name: condition.kind for condition in parsed.conditions}
    baselines = [condition.name for condition in parsed.baselines]
    parts = ("value", "low", "high")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fixed = [
        "task",
        "metric",
        "model",
        "group",
        "condition",
        "kind",
        "scorer",
        "n",
        *parts,
        "seeds",
        "unparsable",
    ]
    writer.writerow(
        fixed + [f"versus_{baseline}_{part}" for baseline in baselines for part in parts]
    )
    for cell in parsed.cells:
        seeds = " ".join(str(seed) for seed in cell.seeds)
        line: list[object] = [
            cell.task,
            cell.metric,
            cell.model,
            groups[cell.model],
            cell.condition,
            kinds[cell.condition],
            cell.scorer,
        ]
        line += [cell.n, cell.value, cell.low, cell.high, seeds, cell.unparsable]
        differences = (cell.against(baseline) for baseline in baselines)
        writer.writerow(
            line + [getattr(d, part) if d else None for d in differences for part in parts]
        )
    return out.getvalue()
