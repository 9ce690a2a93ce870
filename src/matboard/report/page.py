"""One self-contained HTML page about one run: no script, no network, pictures inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matboard.metrics import generation_correct
from matboard.report import curves, transfer_table
from matboard.report.continual_page import render_continual
from matboard.report.differences import draw_differences
from matboard.report.rendering import command, data_uri, need_libraries, render_template
from matboard.report.results import Cell, Condition, Example, Results, TaskFacts
from matboard.report.run_view import PromptView, RunView, read_run
from matboard.report.svg import Drawing
from matboard.report.verdict import Score, score_card, verdict
from matboard.runs import write_atomically

SPANS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # ends the colour scale may have
SHORT = 56  # characters of a prompt's fact that still reads in one line


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the page of a run folder, finished or not, and return where it lies.

    Args:
        run: a run folder.
        out: the page's file; ``report.html`` in the run folder where None.

    Raises:
        RunError: the folder is no run, or the page cannot be written.
        MatboardError: jinja2 or matplotlib is not installed.
    """
    page = render(read_run(Path(run)))
    out = Path(out) if out else Path(run) / "report.html"
    write_atomically(out, page.encode())
    return out


def render(view: RunView) -> str:
    """The page as text."""
    need_libraries()
    if view.continual is not None:
        return render_continual(view, view.continual)
    methods = [method.name for method in view.results.methods] if view.results else []
    return render_template(
        "page.html.j2",
        view,
        command=command(view) or "matboard fit config.yaml",
        prompts=[
            prompt_card(view.folder, prompt)
            for prompt in sorted(view.prompts, key=lambda prompt: _place(prompt, methods))
        ],
        **_learning(view, methods),
        **(_measured(view.results, view.folder) if view.results else {"results": None}),
    )


def _place(prompt: PromptView, methods: list[str]) -> tuple[int, str]:
    """Prompts stand in the order of the table's columns."""
    method = curves.method_of(prompt.name)
    return methods.index(method) if method in methods else len(methods), prompt.name


def _learning(view: RunView, methods: list[str]) -> dict[str, Any]:
    drawings = [curves.draw_panel(panel) for panel in curves.panels(view.curves, methods)]
    return {
        "learning": drawings,
        "learners": curves.learners(view.curves, methods) if len(view.curves) > 1 else {},
    }


def _measured(results: Results, folder: Path) -> dict[str, Any]:
    return {
        "results": results,
        "verdict": verdict(results),
        "tables": [table_view(results, scorer) for scorer in results.scorers],
        "shade": Shade(results),
        "groups": results.group_titles,
        "marks": transfer_table.MARKS,
        "examples": example_cards(folder, results),
    }


@dataclass(frozen=True)
class TableView:
    """Everything measured with one scorer, arranged for the page."""

    scorer: str
    conditions: tuple[Condition, ...]
    blocks: list[transfer_table.Block]
    means: list[transfer_table.Means]
    scores: list[Score]
    differences: list[tuple[TaskFacts, list[Drawing]]]
    seeds: dict[str, int]

    @property
    def first_method(self) -> int:
        """Where the learned prompts' columns begin."""
        return sum(condition.kind != "method" for condition in self.conditions)

    def reference(self, values: Sequence[float | None]) -> float | None:
        """The full picture's value among one row's values."""
        return next(
            (v for c, v in zip(self.conditions, values) if c.name == transfer_table.REFERENCE), None
        )


def table_view(results: Results, scorer: str) -> TableView:
    """Arrange and draw what one scorer measured."""
    drawn = ((task, draw_differences(results, task.name, scorer)) for task in results.tasks)
    return TableView(
        scorer,
        transfer_table.ordered_conditions(results, scorer),
        transfer_table.blocks(results, scorer),
        transfer_table.group_means(results, scorer),
        score_card(results, scorer),
        [(task, drawings) for task, drawings in drawn if drawings],
        {c.condition: len(c.seeds) for c in results.cells if c.scorer == scorer and c.seeds},
    )


class Shade:
    """Colours of the heat map: a diverging scale around the full picture without a prompt, one for
    the whole page.
    """

    def __init__(self, results: Results) -> None:
        places = {scorer: results.by_place(scorer) for scorer in results.scorers}
        self._reference = {
            (s, m, t): cell.value
            for s, cells in places.items()
            for (m, t, c), cell in cells.items()
            if c == transfer_table.REFERENCE
        }
        largest = max(
            (abs(d) for cell in results.cells if (d := self.difference(cell)) is not None),
            default=0.0,
        )
        self.span = next((span for span in SPANS if span >= largest), SPANS[-1])

    def difference(self, cell: Cell) -> float | None:
        """The cell's value minus the full picture's."""
        reference = self._reference.get((cell.scorer, cell.model, cell.task))
        return None if reference is None or cell.value is None else cell.value - reference

    def style(self, difference: float | None) -> str:
        """An inline style: how much of which end's colour is mixed into the surface."""
        if not difference:
            return ""
        side = "better" if difference > 0 else "worse"
        return (
            f"--end: var(--{side}); --amount: {min(100, round(100 * abs(difference) / self.span))}%"
        )


@dataclass(frozen=True)
class PromptCard:
    """A prompt's picture and what its configuration says in short."""

    name: str
    picture: str | None
    facts: dict[str, str]
    config: str


def prompt_card(folder: Path, prompt: PromptView) -> PromptCard:
    """Facts short enough for a line are shown; the whole configuration stays at hand."""
    lines = {key.replace("_", " "): _line(value) for key, value in prompt.config.items()}
    facts = {key: line for key, line in lines.items() if 0 < len(line) <= SHORT}
    picture = data_uri(folder, str(prompt.preview.relative_to(folder))) if prompt.preview else None
    return PromptCard(
        prompt.name, picture, facts, json.dumps(prompt.config, indent=1, ensure_ascii=False)
    )


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key.replace('_', ' ')} {line}"
            for key, part in value.items()
            if (line := _line(part))
        )
    if isinstance(value, list):
        return ", ".join(map(_line, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


@dataclass(frozen=True)
class Said:
    """What one model answered without and with the prompt, and whether that gives the true answer."""

    model: str
    before: str
    after: str
    right_before: bool
    right_after: bool


@dataclass(frozen=True)
class ExampleCard:
    """One picture, without and with the prompt, and what every model said of it."""

    example: Example
    label: str
    picture: str | None
    prompted: str | None
    said: list[Said]


def example_cards(folder: Path, results: Results) -> list[ExampleCard]:
    """One card for each picture and question, in the results' order; a picture that is not there is
    None.
    """
    titles = {condition.name: condition.title for condition in results.conditions}
    cards: dict[tuple[str, ...], ExampleCard] = {}
    for example in results.examples:
        key = (example.picture, example.prompted, example.question)
        if key not in cards:
            pictures = data_uri(folder, example.picture), data_uri(folder, example.prompted)
            cards[key] = ExampleCard(
                example, titles.get(example.condition, example.condition), *pictures, []
            )
        right = [
            bool(example.answer) and bool(generation_correct(said, example.answer))
            for said in (example.before, example.after)
        ]
        cards[key].said.append(Said(example.model, example.before, example.after, *right))
    return list(cards.values())
