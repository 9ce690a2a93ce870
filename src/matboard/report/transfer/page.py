"""The page of a transfer study: what its template shows, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matboard.report.figures import Drawing
from matboard.report.html import render_template, table_files
from matboard.report.run_folder import RunFolder
from matboard.report.transfer.as_csv import transfer_table_csv, transfer_table_rows
from matboard.report.transfer.cards import example_cards, prompt_cards
from matboard.report.transfer.differences import draw_differences
from matboard.report.transfer.inside import NOTE, inside_view
from matboard.report.transfer.learning import learning
from matboard.report.transfer.pooled import marked, pooled_tables, unparsable
from matboard.report.transfer.references import WORDS, Comparison
from matboard.report.transfer.shade import Shade
from matboard.report.transfer.table import GROUP_TITLES, Table, arrange
from matboard.report.transfer.tally import ScoreLine, score_card
from matboard.report.transfer.unfinished import UNFINISHED, so_far_words
from matboard.report.transfer.verdict import verdict
from matboard.report.transfer.views import study_views
from matboard.report.words import MARKS, looks_decided
from matboard.results.transfer import (
    GROUPS,
    Cell,
    Group,
    Scorer,
    TaskFacts,
    TransferResults,
)

UNJUDGED = "This run learned a prompt and judged none: its results.json holds no transfer table."


def render_transfer(run: RunFolder, results: TransferResults | None) -> str:
    """The page as text; without results, what the run left so far."""
    cards = prompt_cards(run, results)
    return render_template(
        "transfer.html.j2",
        run,
        nothing=UNJUDGED if run.finished else UNFINISHED,
        unfinished=so_far_words(run),
        command=run.command or "matboard fit config.yaml",
        prompts=cards,
        inside_note=NOTE,
        **inside_view(run),
        **learning(run, results),
        **(_measured(run, results) if results else {"results": None}),
    )


def _measured(run: RunFolder, results: TransferResults) -> dict[str, Any]:
    return {
        "title": results.title or None,
        "results": results,
        "table_files": table_files(
            transfer_table_csv(results), transfer_table_rows(results)
        ),
        "verdict": verdict(results),
        "views": study_views(results),
        "pooled": pooled_tables(results),
        "marked": marked,
        "unparsable": unparsable,
        "looks_decided": looks_decided,
        "tables": [table_view(results, scorer) for scorer in results.scorers],
        "shade": Shade(results),
        "groups": GROUP_TITLES,
        "references": WORDS,
        "marks": MARKS,
        "encoders": len({model.encoder for model in results.models if model.encoder}),
        "failures": failures(results),
        "few": any(cell.too_few for cell in results.cells),
        "examples": example_cards(run, results),
    }


@dataclass(frozen=True)
class TableView:
    """A table and what is drawn and counted beside it.

    Attributes:
        others: what other scorers measured in the same places.
    """

    table: Table
    comparison: Comparison
    scores: list[ScoreLine]
    differences: list[tuple[TaskFacts, list[Drawing]]]
    others: list[Comparison]

    def beside(self, cell: Cell) -> list[Cell]:
        """What other scorers say in a cell's place."""
        place = (cell.model, cell.task, cell.condition)
        found = [other.cells.get(place) for other in self.others]
        return [other for other in found if other and other.value is not None]

    @property
    def groups(self) -> list[Group]:
        """The groups of which anything was compared."""
        return [g for g in GROUPS if any(line.tallies[g].total for line in self.scores)]

    @property
    def few(self) -> bool:
        """Whether any pair of the score card had too few samples to tell."""
        return any(
            tally.too_few for line in self.scores for tally in line.tallies.values()
        )


def table_view(results: TransferResults, scorer: Scorer) -> TableView:
    """Arrange and draw what one scorer measured."""
    comparison = Comparison(results, scorer)
    plain = [task for task in results.tasks if task.corruption is None]
    drawn = [  # corrupted ones have a panel of their own: there may be 75
        (task, draw_differences(comparison, task.name))
        for task in plain or results.tasks[:1]
    ]
    return TableView(
        arrange(results, scorer),
        comparison,
        score_card(comparison),
        [(task, drawings) for task, drawings in drawn if drawings],
        [Comparison(results, other) for other in results.scorers if other != scorer],
    )


def failures(results: TransferResults) -> list[str]:
    """A sentence for every reason why cells have no value, and how many it holds for."""
    counts: dict[str, list[str]] = {}
    for cell in results.cells:
        if cell.failed:
            counts.setdefault(cell.failed, []).append(f"{cell.model} · {cell.task}")
    return [
        f"{', '.join(dict.fromkeys(where))}: {why}" for why, where in counts.items()
    ]
