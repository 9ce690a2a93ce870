"""The table of a stream, arranged for reading, in the terminal and as CSV. Controls stand apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.report.rows import rows_csv
from matboard.report.words import MARKS, STYLES, duration, fixed, size
from matboard.results.parts import Decision, Difference, Interval
from matboard.results.stream import (
    KINDS,
    Kind,
    Learner,
    Outcome,
    StreamResults,
    Summary,
)

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

KIND_TITLES: dict[Kind, str] = {
    "prompt": "prompted learners",
    "baseline": "baselines",
    "control": "controls: no prompt is learned",
}
SIGNS = "†‡§¶‖#"  # of footnotes; doubled where there are more


@dataclass(frozen=True)
class LearnerRow:
    """One learner; ``number`` names it in the plane, ``signs`` lead to its footnotes."""

    number: int
    learner: Learner
    summary: Summary
    reference: bool
    signs: str

    @property
    def name(self) -> str:
        """Its name with the signs of its footnotes."""
        return self.learner.name + self.signs

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
    def decision(self) -> Decision:
        """On accuracy."""
        return self.accuracy.decision if self.accuracy else "undecided"

    @property
    def forgets(self) -> Decision:
        """On forgetting; less is better."""
        return self.forgetting.turned.decision if self.forgetting else "undecided"


@dataclass(frozen=True)
class LearnerTable:
    """Groups of rows by kind, and footnotes: sign → flag."""

    groups: tuple[tuple[str, tuple[LearnerRow, ...]], ...]
    footnotes: dict[str, str]

    @property
    def rows(self) -> tuple[LearnerRow, ...]:
        """All rows in order."""
        return tuple(row for _, rows in self.groups for row in rows)

    def row(self, learner: str) -> LearnerRow:
        """One learner's row."""
        return next(row for row in self.rows if row.learner.name == learner)


def arrange(results: StreamResults) -> LearnerTable:
    """Prompted learners, baselines, controls; flags become footnotes."""
    arranged = ordered(results.learners)
    flags = dict.fromkeys(flag for learner in arranged for flag in learner.flags)
    signs = {}
    for place, flag in enumerate(flags):
        times, which = divmod(place, len(SIGNS))
        signs[flag] = SIGNS[which] * (1 + times)
    summaries = {summary.learner: summary for summary in results.summary}
    groups: dict[Kind, list[LearnerRow]] = {}
    for number, learner in enumerate(arranged, start=1):
        row = LearnerRow(
            number,
            learner,
            summaries.get(learner.name, Summary(learner=learner.name)),
            learner.name == results.reference,
            " ".join(signs[flag] for flag in learner.flags),
        )
        groups.setdefault(learner.kind, []).append(row)
    titled = tuple((KIND_TITLES[kind], tuple(rows)) for kind, rows in groups.items())
    return LearnerTable(titled, {sign: flag for flag, sign in signs.items()})


def ordered(learners: Sequence[Learner]) -> list[Learner]:
    """In the order of the page: by kind, then as in the file."""
    return sorted(learners, key=lambda learner: KINDS.index(learner.kind))


def by_seed(outcomes: Sequence[Outcome], learner: str) -> list[Outcome]:
    """One learner's outcomes."""
    mine = [outcome for outcome in outcomes if outcome.learner == learner]
    return sorted(mine, key=lambda outcome: outcome.seed)


def fewest_seeds(learners: Sequence[Learner], outcomes: Sequence[Outcome]) -> int:
    """The smallest number of seeds behind any learner that was measured."""
    counts = [len(by_seed(outcomes, learner.name)) for learner in learners]
    return min((count for count in counts if count), default=0)


def mean_forgetting(
    results: StreamResults, learner: str, definition: str
) -> float | None:
    """Mean over seeds; None where a seed lacks it."""
    outcomes = by_seed(results.outcomes, learner)
    values = [outcome.forgetting.get(definition) for outcome in outcomes]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def continual_table_text(results: StreamResults) -> Table:
    """The table of a stream for a terminal: values, 95 % intervals, and marks against the
    reference.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    arranged = arrange(results)
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption=Text("\n".join(_caption(results, arranged)), style="dim"),
        caption_justify="left",
    )
    table.add_column("learner", overflow="fold")
    for heading in ("accuracy", "forgetting", "avg. incr.", "kept", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for title, rows in arranged.groups:
        table.add_section()
        table.add_row(Text(title, style="italic dim"))
        for row in rows:
            table.add_row(*_texts(row))
    return table


def _caption(results: StreamResults, table: LearnerTable) -> list[str]:
    lines = [
        f"95 % intervals below · ▲ better, ▼ worse than {results.reference} (paired, 95 %)",
        f"forgetting: {results.forgetting_name}; less is better",
    ]
    if any(s.accuracy.too_few or s.forgetting.too_few for s in results.summary):
        lines.append("few: too few test samples for an interval")
    return lines + [f"{sign} {flag}" for sign, flag in table.footnotes.items()]


def _texts(row: LearnerRow) -> list[str | Text]:
    from rich.text import Text

    signs = f" {row.signs}" if row.signs else ""
    reference = " (reference)" if row.reference else ""
    kept = row.learner.state_bytes
    seconds = row.summary.seconds
    return [
        Text(f"  {row.learner.name}{signs}{reference}"),
        _cell(row.summary.accuracy, row.decision),
        _cell(row.summary.forgetting, row.forgets),
        _cell(row.summary.average_incremental_accuracy, "undecided"),
        "–" if kept is None else size(kept),
        "–" if seconds is None else duration(seconds),
    ]


def _cell(interval: Interval, decision: Decision) -> Text:
    from rich.text import Text

    if interval.value is None:
        return Text("–", style="dim")
    text = Text(
        f"{fixed(interval.value)}{MARKS[decision] or ' '}", style=STYLES[decision]
    )
    if interval.low is None or interval.high is None:
        text.append("\nfew ", style="not bold dim")
    else:
        text.append(
            f"\n{_short(interval.low)}–{_short(interval.high)} ", style="not bold dim"
        )
    return text


def _short(value: float) -> str:
    return fixed(value).replace("0.", ".", 1)


def continual_table_csv(results: StreamResults) -> str:
    """The rows as CSV; see `continual_table_rows`."""
    return rows_csv(continual_table_rows(results), _heads(results))


def continual_table_rows(results: StreamResults) -> list[dict[str, object]]:
    """One row a learner, with intervals, seeds, every named forgetting and paired differences;
    nothing rounded.
    """
    heads = _heads(results)
    return [
        dict(zip(heads, _line(results, row), strict=True))
        for row in arrange(results).rows
    ]


def _heads(results: StreamResults) -> list[str]:
    parts = ("value", "low", "high")
    heads = ["learner", "method", "kind", "n", "seeds"]
    for quantity in ("accuracy", "forgetting", "average_incremental_accuracy"):
        heads += [f"{quantity}_{part}" for part in parts]
    for quantity in ("accuracy", "forgetting"):
        heads += [f"versus_{results.reference}_{quantity}_{part}" for part in parts]
    heads += [f"forgetting_{name}" for name in FORGETTINGS]
    return [*heads, "parameters", "state_bytes", "seconds"]


def _line(results: StreamResults, row: LearnerRow) -> list[object]:
    learner = row.learner
    summary = row.summary
    outcomes = by_seed(results.outcomes, learner.name)
    seeds = [outcome.accuracy for outcome in outcomes]
    line: list[object] = [
        learner.name,
        learner.method,
        learner.kind,
        summary.accuracy.n,
        seeds,
    ]
    intervals = [
        summary.accuracy,
        summary.forgetting,
        summary.average_incremental_accuracy,
        row.accuracy or Difference(),
        row.forgetting or Difference(),
    ]
    for interval in intervals:
        line += [interval.value, interval.low, interval.high]
    line += [mean_forgetting(results, learner.name, name) for name in FORGETTINGS]
    return [*line, learner.parameters, learner.state_bytes, summary.seconds]
