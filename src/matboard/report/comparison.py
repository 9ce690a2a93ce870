"""Several runs side by side: in a terminal, and as rows for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from matboard.report.rows import rows_csv
from matboard.report.words import MARKS, STYLES, fixed, signed
from matboard.results.comparison import Beside, ComparedRow, RunComparison, Side
from matboard.results.parts import Decision, Interval

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

OTHERS = 2
"""Runs beside the first in one table: they fit a terminal of 80 columns."""
NAME = 10
"""Letters of a run's name in one line of its column's head."""
FORGETTING = "forgetting"
COLUMNS = (
    "task",
    "metric",
    "scorer",
    "model",
    "untouched",
    "against_run",
    "against_condition",
    "against_n",
    "against_seeds",
    "against_value",
    "against_low",
    "against_high",
    "run",
    "condition",
    "n",
    "seeds",
    "value",
    "low",
    "high",
    "difference_value",
    "difference_low",
    "difference_high",
    "decision",
    "paired_samples",
    "paired_seeds",
    "why",
)


def comparison_text(found: RunComparison) -> Group:
    """For a terminal: one table for each condition of the first run and each task, and more where
    it stands beside many.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[Table | Text] = []
    alone = len(found.runs) == 1
    for (condition, *_), rows in groupby(found.rows, _block):
        parts += _tables(condition, list(rows), alone=alone)
    parts.append(Text("\n".join(_captions(found)), style="dim italic"))
    return Group(*parts)


def comparison_csv(found: RunComparison) -> str:
    """The rows as CSV; see `comparison_rows`."""
    return rows_csv(comparison_rows(found), COLUMNS)


def comparison_rows(found: RunComparison) -> list[dict[str, object]]:
    """One row for each cell and the one of the first run that it is compared with; nothing
    rounded.
    """
    rows = []
    for row in found.rows:
        for other in row.others:
            said = (
                *(row.task, row.metric, row.scorer, row.model, row.untouched),
                *_of_side(row.reference),
                *_of_side(other.side),
                *(other.difference.value, other.difference.low, other.difference.high),
                *(_decision(row, other), other.samples, other.seeds, other.why),
            )
            rows.append(dict(zip(COLUMNS, said, strict=True)))
    return rows


def _of_side(side: Side) -> Iterator[object]:
    value = side.value
    yield from (side.run, side.condition, value.n, side.seeds)
    yield from (value.value, value.low, value.high)


def _decision(row: ComparedRow, other: Beside) -> Decision:
    """Less forgetting is better."""
    less = row.metric == FORGETTING
    return (other.difference.turned if less else other.difference).decision


def _block(row: ComparedRow) -> tuple[str, str, str, str]:
    return row.reference.condition, row.task, row.metric, row.scorer


def _tables(
    condition: str, rows: Sequence[ComparedRow], *, alone: bool
) -> Iterator[Table | Text]:
    """The rows of one task, beside `OTHERS` at a time; ``alone``: all are conditions of one run."""
    from rich.text import Text

    wide = dict.fromkeys(_place(other) for row in rows for other in row.others)
    heads = {place: _head(condition, *place, alone=alone) for place in wide}
    own = _head(condition, rows[0].reference.run, condition, alone=alone)
    for start in range(0, len(wide), OTHERS):
        shown = list(wide)[start : start + OTHERS]
        title = Text(f"{condition} · {rows[0].task}", style="bold")
        title.append(f" · {_facts(rows[0])}", style="not bold")
        for place in shown:
            for words in _pairings(heads[place], place, rows):
                title.append(f"\n{words}", style="not bold dim")
        yield title
        table = _empty_table([own, *(heads[place] for place in shown)], rows)
        for row in rows:
            _fill(table, row, shown)
        yield table


def _place(other: Beside) -> tuple[str, str]:
    return other.side.run, other.side.condition


def _head(against: str, run: str, condition: str, *, alone: bool) -> str:
    """What a column is called: the run, and the condition where that is another one."""
    if alone:
        return condition
    return run if condition == against else f"{run}: {condition}"


def _empty_table(heads: Sequence[str], rows: Sequence[ComparedRow]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("model", overflow="fold")
    if any(row.untouched is not None for row in rows):
        table.add_column("full", justify="right", no_wrap=True)
    for place, head in enumerate(heads):
        table.add_column(Text(head), justify="right", overflow="fold", max_width=NAME)
        if place:
            table.add_column("difference", justify="right", no_wrap=True)
    return table


def _fill(table: Table, row: ComparedRow, shown: Sequence[tuple[str, str]]) -> None:
    from rich.text import Text

    others = {_place(other): other for other in row.others}
    cells = [Text(row.model)]
    if len(table.columns) != 2 + 2 * len(shown):
        cells.append(Text(fixed(row.untouched), style="dim"))
    cells.append(_value(row.reference.value))
    for place in shown:
        other = others.get(place)
        cells += [Text("–"), Text("–")] if other is None else _both(row, other)
    table.add_row(*cells)


def _facts(row: ComparedRow) -> str:
    by = f" by {row.scorer}" if row.scorer else ""
    return f"{row.metric}{by}, n={row.reference.value.n}"


def _pairings(
    head: str, place: tuple[str, str], rows: Sequence[ComparedRow]
) -> Iterator[str]:
    """How a column is compared with the first run's; with the models where they differ in it."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for other in row.others:
            if _place(other) == place:
                found.setdefault(_pairing(head, other), []).append(row.model)
    for words, models in found.items():
        yield words if len(found) == 1 else f"{words} ({', '.join(models)})"


def _pairing(head: str, other: Beside) -> str:
    if other.samples is None:
        return f"{head}: unpaired, n={other.side.value.n}; {other.why}"
    return f"{head}: paired, n={other.samples}{'; ' if other.why else ''}{other.why}"


def _value(value: Interval) -> Text:
    from rich.text import Text

    text = Text(fixed(value.value))
    if value.low is None or value.high is None:
        return text.append("\nfew", style="dim")
    ends = f"{_short(fixed(value.low, 2))}–{_short(fixed(value.high, 2))}"
    return text.append(f"\n{ends}", style="dim")


def _both(row: ComparedRow, other: Beside) -> list[Text]:
    from rich.text import Text

    found = other.difference
    decision = _decision(row, other)
    mark = MARKS[decision] or " "
    text = Text(f"{signed(found.value)}{mark}", style=STYLES[decision])
    if found.low is None or found.high is None:
        text.append("\nfew ", style="not bold dim")
    else:
        ends = f"{_short(signed(found.low, 2))} {_short(signed(found.high, 2))} "
        text.append(f"\n{ends}", style="not bold dim")
    return [_value(other.side.value), text]


def _short(number: str) -> str:
    """``+.02``: two runs beside the first fit a terminal of 80 columns."""
    return number.replace("0.", ".", 1)


def _captions(found: RunComparison) -> Iterator[str]:
    first = found.rows[0].reference.run
    if len(found.runs) == 1:
        first = found.rows[0].reference.condition
    yield f"differences: minus {first} · 95 % intervals below · ▲ better, ▼ worse (95 %)"
    others = [other for row in found.rows for other in row.others]
    values = [
        *(row.reference.value for row in found.rows),
        *(other.side.value for other in others),
        *(other.difference for other in others),
    ]
    if any(one.too_few for one in values):
        yield "few: too few samples for an interval"
    for note in found.notes:
        yield f"note: {note}"
