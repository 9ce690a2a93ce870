"""One self-contained HTML page about one run: no script, no network, pictures inside."""

from __future__ import annotations

from pathlib import Path

from matboard.report.choice import render_choice
from matboard.report.cost import cost_lead, cost_rows, cost_view
from matboard.report.html import need_libraries, render_template, table_files
from matboard.report.rows import rows_csv
from matboard.report.run_folder import RunFolder, read_folder
from matboard.report.search import search_lead, search_rows, search_view
from matboard.report.stream.page import render_stream
from matboard.report.stream.unfinished import so_far
from matboard.report.transfer.page import render_transfer
from matboard.report.transfer.unfinished import so_far_words
from matboard.report.transfer.views import StudyView
from matboard.results import (
    ChoiceResults,
    CostResults,
    SearchResults,
    StreamResults,
    TransferResults,
)
from matboard.runs import Run, write_atomically


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the page of a run folder, finished or not, and return where it lies.

    Args:
        run: a run folder.
        out: the page's file; ``report.html`` in the run folder where None.

    Raises:
        RunError: the folder is no run, another version of matboard wrote it, or the page cannot be
            written.
        MatboardError: jinja2 or matplotlib is not installed.
    """
    page = render(read_folder(Path(run)))
    out = Path(out) if out else Path(run) / "report.html"
    write_atomically(out, page.encode())
    return out


def progress_words(folder: Path) -> str:
    """How far an unfinished run is, and how to go on; empty where it is finished.

    Raises:
        RunError: the folder is no run, or another version of matboard wrote it.
    """
    if Run(folder).finished:
        return ""
    run = read_folder(folder)
    words = so_far(run).words if run.of_stream else so_far_words(run)
    return f"{words}\nIf it is no longer running, this goes on where it stopped: {run.resume}"


def render(run: RunFolder) -> str:
    """The page as text; of an unfinished run, the page of the kind that it was planned to be."""
    need_libraries()
    if isinstance(run.results, StreamResults):
        return render_stream(run, run.results)
    if isinstance(run.results, ChoiceResults):
        return render_choice(run, run.results)
    if isinstance(run.results, TransferResults):
        return render_transfer(run, run.results)
    if isinstance(run.results, SearchResults):
        return render_view(
            run, run.results, search_view(run.results), search_lead(run.results)
        )
    if isinstance(run.results, CostResults):
        return render_view(
            run, run.results, cost_view(run.results), cost_lead(run.results)
        )
    if run.of_stream:
        return render_stream(run, None)
    return render_transfer(run, None)


def render_view(
    run: RunFolder, results: SearchResults | CostResults, view: StudyView, lead: str
) -> str:
    """The page of results that are one table with its figures."""
    rows = view_rows(results)
    return render_template(
        "view.html.j2",
        run,
        title=results.title,
        view=view,
        lead=lead,
        command=run.command,
        table_files=table_files(rows_csv(rows, list(rows[0])), rows),
    )


def view_rows(results: SearchResults | CostResults) -> list[dict[str, object]]:
    """A trial or a way of adapting a model as a row; nothing rounded."""
    return (
        search_rows(results)
        if isinstance(results, SearchResults)
        else cost_rows(results)
    )
