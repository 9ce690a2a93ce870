"""Tables and figures in documents that are results: written from files, never by hand.

    python docs/tables.py              # write every table of README.md, and docs/results.md, anew
    python docs/tables.py keep RUN docs/results/NAME.json   # what these need of a run's results
    python docs/tables.py keep runs    # the same of costs and of every run named like its YAML

``NAME`` is that of the experiment that made the run, ``experiments/NAME.yaml``. A table stands
between ``<!-- table: docs/results/NAME.json -->`` and ``<!-- end of table -->``; docs/results.md
holds every kept study with its rule, its tables and its figures. Tests compare both with the files.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from matboard.report import StudyView, study_views, transfer_table_markdown, verdict
from matboard.report.cost import cost_lead, cost_view
from matboard.report.figures import standalone
from matboard.report.plain_table import as_markdown
from matboard.report.search import search_lead, search_view
from matboard.results import CostResults, SearchResults, TransferResults, read

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md",)
PAGE = "docs/results.md"
KEPT = "docs/results"
TABLE = re.compile(
    r"(<!-- table: (?P<file>\S+) -->\n).*?(<!-- end of table -->)", flags=re.DOTALL
)
HEAD = """# Results

Written by `python docs/tables.py` from `docs/results/`, where `python docs/tables.py keep runs`
puts what finished runs say; not to be edited. `docs/log.md` says what was made of them. Gains are
over each model's best baseline, chosen on the same pictures, with 95 % intervals over pictures and
seeds; ▲ and ▼ are decided, all else is not.
"""


def written(text: str, root: Path = ROOT) -> str:
    """A document with every table as its file has it."""

    def table(found: re.Match[str]) -> str:
        made = transfer_table_markdown(transfer(root / found["file"]))
        return f"{found[1]}\n{made}\n\n{found[3]}"

    return TABLE.sub(table, text)


def transfer(path: Path) -> TransferResults:
    """The results of a transfer study."""
    results = read(path)
    if not isinstance(results, TransferResults):
        raise SystemExit(f"{path} holds no results of a transfer study.")
    return results


# -- the page of results ---------------------------------------------------------------------------


def page(root: Path = ROOT) -> tuple[str, dict[str, str]]:
    """docs/results.md, and its figures: file, as seen from it → content."""
    parts = [HEAD]
    figures: dict[str, str] = {}
    for path in sorted((root / KEPT).glob("*.json")):
        results = read(path)
        views = []
        if isinstance(results, TransferResults):
            parts += _study(path.stem, results, root)
            views = study_views(results)
        elif isinstance(results, SearchResults):
            parts += _search(path.stem, results, root)
            views = [search_view(results)]
        elif isinstance(results, CostResults):
            parts += _cost(results)
            views = [cost_view(results)]
        for view in views:
            drawn = dict(_figures(path.stem, view))
            parts += _view(view, list(drawn))
            figures |= drawn
    if len(parts) == 1:
        parts.append("No study's results are kept yet.\n")
    return "\n".join(parts), figures


def _head(what: str, name: str, title: str, root: Path) -> Iterator[str]:
    """A study's title, command and rule."""
    yield f"## {title or name}\n"
    yield f"`matboard {what} experiments/{name}.yaml`\n"
    rule = _rule(root / f"experiments/{name}.yaml")
    if rule:
        yield f"**Rule, written before the run.** {rule}\n"


def _search(name: str, results: SearchResults, root: Path) -> Iterator[str]:
    yield from _head("search", name, results.title, root)
    yield f"{search_lead(results)}\n"


def _cost(results: CostResults) -> Iterator[str]:
    yield f"## {results.title}\n"
    asked = f"--model {results.model} --batch {results.batch} --rounds {results.rounds}"
    yield f"`python benchmarks/cost.py {asked}`\n"
    yield f"{cost_lead(results)}\n"


def _study(name: str, results: TransferResults, root: Path) -> Iterator[str]:
    yield from _head("fit", name, results.title, root)
    yield f"**Verdict.** {verdict(results).lead}\n"
    yield f"{transfer_table_markdown(results)}\n"


def _view(view: StudyView, files: list[str]) -> Iterator[str]:
    yield f"### {view.title}\n"
    yield f"{view.words}\n"
    if files:
        pictures = zip(view.drawings, files, strict=True)
        yield "\n".join(f"![{drawing.title}]({file})" for drawing, file in pictures)
        yield ""
    for table in view.tables:
        yield f"**{table.title}**\n"
        yield f"{as_markdown(table)}\n"


def _figures(name: str, view: StudyView) -> Iterator[tuple[str, str]]:
    for number, drawing in enumerate(view.drawings):
        yield f"results/{name}-{view.slug}-{number}.svg", standalone(drawing)


def _rule(path: Path) -> str:
    """What the experiment says will count as what."""
    asked = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    return " ".join(str(asked.get("rule") or "").split())


# -- files -----------------------------------------------------------------------------------------


def keep(run: Path, target: Path) -> None:
    """Write what verdicts, tables and figures need: of a transfer study cells and contrasts, no
    examples.
    """
    results = read(run)
    if isinstance(results, SearchResults | CostResults):
        _write(target, results)
        return
    results = transfer(run)
    contrasts = [
        one for one in results.contrasts if one.task is None or one.against is None
    ]
    needed = {
        "contrasts": tuple(contrasts),
        "prompts": (),
        "examples": (),
    }
    _write(target, results.model_copy(update=needed))


def _write(
    target: Path, results: TransferResults | SearchResults | CostResults
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(results.as_json()) + "\n", encoding="utf-8")


def keep_all(runs: Path) -> None:
    """Keep every finished transfer study and search that is named after its experiment, and every
    comparison of costs.
    """
    for place in sorted(runs.glob("*/results.json")):
        run = place.parent
        results = read(run)
        known = (ROOT / f"experiments/{run.name}.yaml").exists()
        studied = known and isinstance(results, TransferResults | SearchResults)
        if studied or isinstance(results, CostResults):
            keep(run, ROOT / KEPT / f"{run.name}.json")


def write_page(root: Path = ROOT) -> None:
    """docs/results.md and its figures; figures of studies that are gone go."""
    text, figures = page(root)
    place = root / PAGE
    for old in (root / KEPT).glob("*.svg"):
        old.unlink()
    for file, svg in figures.items():
        (place.parent / file).write_text(svg, encoding="utf-8")
    place.write_text(text, encoding="utf-8")


def main(words: list[str]) -> None:
    """See the module."""
    if words[:1] == ["keep"] and len(words) == 3:
        keep(Path(words[1]), Path(words[2]))
    elif words[:1] == ["keep"] and len(words) == 2:
        keep_all(Path(words[1]))
    elif words:
        raise SystemExit(__doc__)
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
    write_page()


if __name__ == "__main__":
    main(sys.argv[1:])
