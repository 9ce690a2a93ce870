"""Tables in documents say what their files of results say."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from matboard.report import transfer_table_markdown, verdict
from matboard.report.figures import LIGHT
from matboard.results import CostResults, SearchResults, TransferResults, read
from matboard.studies.config import StudyConfig
from matboard.studies.planning import sources_of
from matboard.studies.reading import load_config
from matboard.studies.search.ranges import SearchConfig
from matboard.studies.variants import fit_variants

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/unit"))
from made_views import made_cost, made_search, write_run  # noqa: E402
from study_results import learned, table  # noqa: E402

RECORDED = ROOT / "tests/recorded/transfer"
TABLES = runpy.run_path(str(ROOT / "docs/tables.py"))


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


@pytest.mark.parametrize("name", TABLES["DOCUMENTS"])
def test_every_table_of_a_document_is_what_its_file_says(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert TABLES["written"](text) == text, "run python docs/tables.py"


@pytest.mark.parametrize("path", sorted((ROOT / "docs/results").glob("*.json")))
def test_every_file_of_results_is_that_of_an_experiment(path: Path) -> None:
    results = read(path)
    if isinstance(results, CostResults):
        assert path.stem.startswith("cost_")
        return
    if isinstance(results, SearchResults):
        asked = load_config(ROOT / f"experiments/{path.stem}.yaml", [], SearchConfig)
        assert results.title == asked.title and set(results.ranges) == set(asked.search)
        return
    assert isinstance(results, TransferResults)
    config = load_config(ROOT / f"experiments/{path.stem}.yaml", [], StudyConfig)
    assert results.title == config.title
    assert list(results.sources) == sources_of(fit_variants(config))
    assert {tuple(method.seeds) for method in results.methods} == {tuple(config.seeds)}
    asked = config.tasks or [task.name for task in config.evaluate.tasks]
    named = asked or [config.task.name]
    assert [task.name for task in results.tasks] == named
    names = {method.name.partition("@")[0] for method in results.methods}
    assert names == set(config.methods)


def test_the_page_of_results_is_what_its_files_say() -> None:
    text, figures = TABLES["page"]()
    there = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert there == text, "run python docs/tables.py"
    kept = {f"results/{path.name}" for path in (ROOT / "docs/results").glob("*.svg")}
    assert kept == set(figures)


def test_the_page_holds_a_studys_rule_tables_and_figures(tmp_path: Path) -> None:
    widths = [
        learned(f"tvp@prompt.width={w}", w, swept={"prompt.width": w}) for w in (10, 30)
    ]
    folder = tmp_path / "docs/results"
    folder.mkdir(parents=True)
    made = table(widths, title="How wide")
    (folder / "width.json").write_text(json.dumps(made.as_json()))
    (tmp_path / "experiments").mkdir()
    said = "rule: >-\n  As in the paper\n  at 30.\n"
    (tmp_path / "experiments/width.yaml").write_text(said)
    TABLES["write_page"](tmp_path)
    text = (tmp_path / "docs/results.md").read_text(encoding="utf-8")
    assert "## How wide\n" in text
    assert "**Rule, written before the run.** As in the paper at 30.\n" in text
    assert "| border width, pixels | 10 | 30 |" in text
    shown = re.findall(r"!\[.*?\]\((\S+)\)", text)
    assert len(shown) == 8
    for file in shown:
        svg = (tmp_path / "docs" / file).read_text(encoding="utf-8")
        assert "var(" not in svg and ElementTree.fromstring(svg).tag.endswith("svg")


def test_the_page_holds_searches_and_costs(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/tune.yaml").write_text("rule: Found or not.\n")
    for name, made in (("tune", made_search()), ("cost_small", made_cost())):
        write_run(tmp_path / name, made)
        TABLES["keep"](tmp_path / name, tmp_path / f"docs/results/{name}.json")
    TABLES["write_page"](tmp_path)
    text = (tmp_path / "docs/results.md").read_text(encoding="utf-8")
    assert "## A search\n\n`matboard search experiments/tune.yaml`\n" in text
    assert "**Rule, written before the run.** Found or not.\n" in text
    assert "| 1 | 0.750 | complete | 30 | 20 | False |" in text
    assert "`python benchmarks/cost.py --model small --batch 8 --rounds 3`" in text
    assert "| border | 100 | 10 % | 0.500 s 0.400 to 0.800 |" in text
    shown = re.findall(r"!\[.*?\]\((\S+)\)", text)
    assert len(shown) == 3 + 4
    for file in shown:
        svg = (tmp_path / "docs" / file).read_text(encoding="utf-8")
        assert "var(" not in svg and ElementTree.fromstring(svg).tag.endswith("svg")


def test_figures_outside_of_a_page_have_its_colours() -> None:
    css = files("matboard.report").joinpath("templates/style.css").read_text()
    paper = css[: css.index("}")]
    said = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", paper))
    doubled = {
        name: code if len(code) > 4 else f"#{code[1:]}{code[1:]}"
        for name, code in said.items()
    }
    assert doubled == LIGHT


def test_a_number_that_was_changed_by_hand_is_put_right(tmp_path: Path) -> None:
    folder = tmp_path / "docs/results"
    folder.mkdir(parents=True)
    shutil.copy(RECORDED / "results.json", folder / "tiny.json")
    begin = "<!-- table: docs/results/tiny.json -->"
    end = "<!-- end of table -->"
    empty = f"before\n\n{begin}\n{end}\n\nafter\n"
    text = TABLES["written"](empty, tmp_path)
    assert text.startswith(f"before\n\n{begin}\n\n| mean |")
    assert text.endswith(f"{end}\n\nafter\n")
    number = re.search(r"\d\.\d{3}", text)
    assert number is not None
    forged = text.replace(number[0], "9.999")
    assert TABLES["written"](forged, tmp_path) == text


def test_what_is_kept_gives_the_same_table(tmp_path: Path) -> None:
    kept = tmp_path / "results" / "tiny.json"
    TABLES["keep"](RECORDED, kept)
    whole = read(RECORDED)
    small = read(kept)
    assert isinstance(whole, TransferResults) and isinstance(small, TransferResults)
    assert transfer_table_markdown(small) == transfer_table_markdown(whole)
    assert verdict(small) == verdict(whole)
    assert kept.stat().st_size < (RECORDED / "results.json").stat().st_size


def test_a_line_holds_a_groups_means_and_gains() -> None:
    results = read(RECORDED)
    assert isinstance(results, TransferResults)
    lines = transfer_table_markdown(results).splitlines()
    labels = [condition.label for condition in results.conditions]
    assert cells_of(lines[0]) == ["mean", *labels]
    rows = {cells_of(line)[0]: cells_of(line)[1:] for line in lines[2:-2]}
    assert len(rows) == 3 * 2
    row = rows["unseen, with the source’s eye (1 model), by ranking"]
    place = next(i for i, one in enumerate(results.conditions) if one.name == "tvp")
    cells = results.by_place("ranking")
    task = results.tasks[0].name
    own = cells["tiny-bliva", task, "tvp"]
    value, gain = row[place].split("<br>")
    assert value == f"{own.value:.3f}"
    (contrast,) = [
        one
        for one in results.contrasts
        if (one.group, one.method, one.against, one.scorer)
        == ("same", "tvp", None, "ranking")
    ]
    said = gain.replace("−", "-")
    assert said.startswith(f"{contrast.difference.value:+.3f} [")
    assert "20 test samples, 2 seeds" in lines[-1]
