"""The page of a transfer study, finished, unfinished and broken."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from transfer_run import BASELINES, METHODS, TASKS, make_run

from matboard.errors import MatboardError, RunError
from matboard.report import write_report
from matboard.report.rendering import data_uri
from matboard.report.run_view import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text()


def test_page_is_written_into_the_run_or_where_asked_and_never_changes(
    run: Path, page: str, tmp_path: Path
) -> None:
    assert (run / "report.html").read_text() == page
    assert write_report(run, tmp_path / "deep" / "page.html").read_text() == page


def test_the_page_bears_the_title_that_the_configuration_gives(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("title: A border for birds\n")
    assert "<h1>A border for birds</h1>" in write_report(tmp_path).read_text()


def test_page_needs_no_network_and_runs_no_script(page: str) -> None:
    assert "<script" not in page
    assert all(
        address.startswith(("data:", "#")) for address in re.findall(r'(?:src|href)="([^"]*)', page)
    )
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page


def test_page_shows_every_part(page: str) -> None:
    assert (
        page.count('<img src="data:image/png;base64,') == 1 + 2 * 3
    )  # the prompt, and each example's pictures once
    for words in (
        "TVP helps target models beyond chance",
        "Means of each group",
        "targets with another encoder",
        "feature consistency (FCA)",
    ):
        assert words in page
    assert page.count('aria-label="Paired differences') == len(TASKS) * len(BASELINES) * 2
    assert "1 step was skipped" in page
    assert "<pre>matboard fit &#39;my config.yaml&#39;</pre>" in page
    assert 'class="missing"' not in page


def test_what_users_wrote_is_escaped(page: str) -> None:
    assert "&lt;b&gt;star&lt;/b&gt;" in page
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)" in page


def test_figures_take_their_colours_from_the_page(page: str) -> None:
    figures = re.findall(r'<svg role="img".*?</svg>', page, flags=re.DOTALL)
    assert "var(--m2)" in "".join(figures)
    assert {
        colour for figure in figures for colour in re.findall(r"(?:fill|stroke): (#\w+)", figure)
    } <= {"#ffffff"}  # hidden backgrounds


def test_a_study_shows_all_its_prompts_in_the_tables_order(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path / "study", study=True)).read_text()
    assert re.findall(r"<h3>(\w+-s\d)</h3>", text) == [
        f"{method}-s{seed}" for method in METHODS for seed in range(3)
    ]
    assert "9 steps were skipped" in text
    assert "gradient norm: total" in text


PARTS = ["config.yaml", "environment.json", "metrics.jsonl", "results.json", "prompt"]
SENTENCES = {
    "results.json": (
        "This run has no results yet: results.json appears when its evaluation has finished."
    ),
    "metrics.jsonl": "Nothing was logged: metrics.jsonl is missing or holds no numbers.",
    "prompt": "No prompt has been saved in this run.",
    "config.yaml": "config.yaml is missing.",
    "environment.json": "environment.json is missing or cannot be read.",
}


@pytest.mark.parametrize("only", PARTS)
def test_an_unfinished_run_has_a_page_that_says_what_is_missing(
    run: Path, tmp_path: Path, only: str
) -> None:
    copy = tmp_path / "part"
    copy.mkdir()
    (copy / only).symlink_to(run / only)
    text = write_report(copy).read_text()
    assert {part for part, sentence in SENTENCES.items() if sentence in text} == set(PARTS) - {only}


def test_an_unfinished_study_shows_the_fit_that_is_running(tmp_path: Path) -> None:
    fit = tmp_path / "fits" / "tvp-s0"
    fit.mkdir(parents=True)
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (fit / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n')
    assert read_run(tmp_path).curves["tvp-s0"]["loss",].values == [3.0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "results.json cannot be read ("),
        (
            '{"schema": 2}',
            (
                "These results follow schema 2; this matboard reads schema 1. Upgrade matboard to"
                " report on them."
            ),
        ),
        (
            '{"kind": "fit", "steps": 3}',
            "This run learned a prompt and judged none: its results.json holds no transfer table.",
        ),
        (
            '{"cells": [{"model": "m", "task": "t"}]}',
            "These results do not follow schema 1: cells.0.condition: Field required.",
        ),
        (
            '{"cells": [{"model": "m", "task": "t", "condition": "c"}]}',
            (
                "These results do not follow schema 1: results: cells name the model 'm', which is"
                " not among the models."
            ),
        ),
    ],
)
def test_wrong_results_are_named_on_the_page(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "results.json").write_text(content)
    assert sentence in read_run(tmp_path).missing["results"]
    assert "No verdict yet." in write_report(tmp_path).read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        write_report(tmp_path / "nowhere")
    assert (
        str(error.value)
        == f"{tmp_path / 'nowhere'} is not a folder. Give a run folder, the one named by --out when"
        " the run was started."
    )
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RunError) as error:
        write_report(tmp_path)
    assert (
        str(error.value)
        == f"{tmp_path} is not a run folder: it holds none of config.yaml, environment.json,"
        " metrics.jsonl, results.json and no prompt. Give the folder a run was written to."
    )


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        MatboardError,
        match=(
            rf"^A report needs {library}, which is not installed\. Run: pip install"
            r" 'matboard\[learn\]'\.$"
        ),
    ):
        write_report(run)


def test_pictures_outside_the_run_are_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for place in (folder / "in.png", tmp_path / "out.png"):
        Image.new("RGB", (2, 2)).save(place)
    (folder / "passwords.txt").write_text("secret")
    shown = [
        data_uri(folder, name) for name in ("in.png", "../out.png", "passwords.txt", "gone.png", "")
    ]
    assert [uri is not None for uri in shown] == [True, False, False, False, False]


def test_the_report_never_loads_torch_and_loads_the_rest_late(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, matboard.report as r\n"
        "assert not {'matplotlib', 'jinja2', 'rich'} & set(sys.modules), 'at import'\n"
        "r.write_report(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'ever'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(run), str(tmp_path / "page.html")], check=True)
