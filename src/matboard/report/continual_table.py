"""The table of a continual run: arranged for reading, in the terminal and as CSV. Controls stand
apart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.report.continual_results import (
    KINDS,
    ContinualResults,
    Interval,
    Learner,
    Summary,
    parse_continual,
)
from matboard.report.rendering import duration, signed, size
from matboard.report.results import Difference
from matboard.report.transfer_table import MARKS, STYLES

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

SIGNS = "†‡§¶‖#"  # of footnotes; doubled where there are more


@dataclass(frozen=True)
class Row:
    """One learner; ``number`` names it in the plane, ``signs`` lead to its footnotes."""

    number: int
    learner: Learner
    summary: Summary
    reference: bool
    signs: str

    @property
    def accuracy(self) -> Difference | None:
        """Paired difference to the reference."""
        return self.summary.against.accuracy if self.summary.against else None

    @property
    def forgetting(self) -> Difference | None:
        """Paired difference to the reference; its sign is that of forgetting, so below zero is
        better.
        """
        return self.summary.against.forgetting if self.summary.against else None

    @property
    def decision(self) -> str:
        """On accuracy."""
        return self.accuracy.decision if self.accuracy else "undecided"

    @property
    def forgets(self) -> str:
        """On forgetting; less is better."""
        turned = self.summary.against.forgets if self.summary.against else None
        return turned.decision if turned else "undecided"


@dataclass(frozen=True)
class ContinualTable:
    """Groups of rows by kind, and footnotes: sign → flag."""

    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    footnotes: dict[str, str]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows in order."""
        return tuple(row for _, rows in self.groups for row in rows)


def arrange(results: ContinualResults) -> ContinualTable:
    """Prompted learners, baselines, controls; flags become footnotes."""
    flags = list(dict.fromkeys(flag for learner in results.arranged for flag in learner.flags))
    signs = {
        flag: SIGNS[place % len(SIGNS)] * (1 + place // len(SIGNS))
        for place, flag in enumerate(flags)
    }
    numbers = {learner.name: place for place, learner in enumerate(results.arranged, start=1)}

    def row(learner: Learner) -> Row:
        marks = " ".join(signs[flag] for flag in learner.flags)
        return Row(
            numbers[learner.name],
            learner,
            results.summary_of(learner.name),
            learner.name == results.reference,
            marks,
        )

    groups = tuple(
        (words, tuple(map(row, results.of_kind(kind))))
        for kind, words in KINDS.items()
        if results.of_kind(kind)
    )
    return ContinualTable(groups, {sign: flag for flag, sign in signs.items()})


def continual_table_text(results: Mapping[str, Any]) -> Table:
    """The table of a continual run for a terminal: values, 95 % intervals, and marks against the
    reference.

    Args:
        results: what ``results.json`` holds.

    Raises:
        RunError: they do not follow the schema.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    parsed = parse_continual(results)
    arranged = arrange(parsed)
    caption = [
        f"95 % intervals below · ▲ better, ▼ worse than {parsed.reference or 'the reference'}"
        " (paired, 95 %)"
    ]
    caption += [f"forgetting: {parsed.definition or 'definition not recorded'}; less is better"]
    caption += [f"{sign} {flag}" for sign, flag in arranged.footnotes.items()]
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption=Text("\n".join(caption), style="dim"),
        caption_justify="left",
    )
    table.add_column("learner", overflow="fold")
    for heading in ("accuracy", "forgetting", "avg. incr.", "kept", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for words, rows in arranged.groups:
        table.add_section()
        table.add_row(Text(words, style="italic dim"))
        for row in rows:
            name = Text(
                f"  {row.learner.name}{' ' + row.signs if row.signs else ''}{' (reference)' if row.reference else ''}"
            )
            cells = (
                _cell(row.summary.accuracy, row.decision),
                _cell(row.summary.forgetting, row.forgets),
            )
            kept = "–" if row.learner.state_bytes is None else size(row.learner.state_bytes)
            time = "–" if row.summary.seconds is None else duration(row.summary.seconds)
            table.add_row(
                name,
                *cells,
                _cell(row.summary.average_incremental_accuracy, "undecided"),
                kept,
                time,
            )
    return table


def _cell(interval: Interval, decision: str) -> Text:
    from rich.text import Text

    if interval.value is None:
        return Text("–", style="dim")
    text = Text(
        f"{interval.value:.3f}{MARKS[decision] or ' '}".replace("-", "−"), style=STYLES[decision]
    )
    if interval.low is not None and interval.high is not None:
        text.append(f"\n{_short(interval.low)}–{_short(interval.high)} ", style="not bold dim")
    return text


def _short(value: float) -> str:
    return f"{value:.3f}".replace("-", "−").replace("0.", ".", 1)


def continual_table_csv(results: Mapping[str, Any]) -> str:
    """One line a learner, with intervals, seeds, every named forgetting and paired differences;
    nothing rounded.

    Raises:
        RunError: the results do not follow the schema.
    """
    parsed = parse_continual(results)
    parts = ("value", "low", "high")
    quantities = ("accuracy", "forgetting", "average_incremental_accuracy")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [
        "learner",
        "method",
        "kind",
        "n",
        "seeds",
        *(f"{q}_{part}" for q in quantities for part in parts),
    ]
    heads += [
        f"versus_{parsed.reference or 'reference'}_{q}_{part}"
        for q in quantities[:2]
        for part in parts
    ]
    writer.writerow(
        [
            *heads,
            *(f"forgetting_{name}" for name in FORGETTINGS),
            "parameters",
            "state_bytes",
            "seconds",
        ]
    )
    for learner in parsed.learners:
        summary = parsed.summary_of(learner.name)
        seeds = " ".join(str(outcome.accuracy) for outcome in parsed.seeds_of(learner.name))
        line: list[object] = [learner.name, learner.method, learner.kind, summary.accuracy.n, seeds]
        line += [getattr(getattr(summary, q), part) for q in quantities for part in parts]
        against = [getattr(summary.against, q) if summary.against else None for q in quantities[:2]]
        line += [getattr(d, part) if d else None for d in against for part in parts]
        line += [parsed.mean_forgetting(learner.name, name) for name in FORGETTINGS]
        writer.writerow([*line, learner.parameters, learner.state_bytes, summary.seconds])
    return out.getvalue()


def difference_words(difference: Difference | None) -> str:
    """``+0.021`` or a dash."""
    return "–" if difference is None or difference.value is None else signed(difference.value)
