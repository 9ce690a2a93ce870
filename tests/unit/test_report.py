"""The page of a transfer study, finished, unfinished and broken."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_transfer import make_transfer
from PIL import Image
from recorded_runs import STREAM, TRANSFER, text_of, transfer_results

from matboard.errors import MatboardError, RunError
from matboard.report import write_report
from matboard.report.run_folder import read_folder
from matboard.results.transfer import TransferResults
from matboard.runs import Run


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(
        TRANSFER, tmp_path_factory.mktemp("pages") / "page.html"
    ).read_text()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TRANSFER, tmp_path / "copy"))


def test_page_is_written_into_the_run_or_where_asked_and_never_changes(
    copy: Path, page: str, tmp_path: Path
) -> None:
    assert write_report(copy) == copy / "report.html"
    assert (copy / "report.html").read_text() == page
    assert write_report(copy, tmp_path / "deep" / "page.html").read_text() == page


def test_page_needs_no_network_and_runs_no_script(page: str) -> None:
    assert "<script" not in page
    addresses = re.findall(r'(?:src|href)="([^"]*)', page)
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page


def test_page_shows_every_part(page: str) -> None:
    results = transfer_results()
    words = text_of(page)
    assert "<h1>Two widths, recorded</h1>" in page
    pictures = (
        len(results.prompts) + 2 * 2
    )  # each prompt, and two examples' pictures once
    assert page.count('<img src="data:image/png;base64,') == pictures
    assert page.count('aria-label="Paired differences') == 4 * 2  # references × scorers
    assert re.findall(r"<h3>((?:VP|TVP|wide), seed \d)</h3>", page) == [
        f"{name}, seed {seed}" for name in ("VP", "TVP", "wide") for seed in (0, 1)
    ]
    for sentence in (
        "Learned with 2 seeds, so this speaks of these prompts on these test pictures",
        "3 models with 2 vision encoders: 1 source, 1 sharing its encoder, 1 with another",
        "scenes-recognition (20 test samples)",
        "Means of each group",
        "targets with another encoder",
        "feature consistency (FCA)",
        "gradient norm: total",
        "No step was skipped.",
        "matboard fit &#39;my config.yaml&#39;",
        *results.notes,
    ):
        assert sentence in words.replace("&#39;s", "'s"), sentence
    assert 'class="missing"' not in page


def test_columns_stand_under_their_geometry(page: str) -> None:
    heads = re.findall(r'<th scope="colgroup" colspan="(\d)"[^>]*>([^<]*)</th>', page)
    assert heads[-2:] == [("5", "border 6 of 48"), ("3", "border 12 of 48")]


def test_the_page_compares_with_the_best_baseline_and_can_be_switched(
    page: str,
) -> None:
    choices = re.findall(
        r'<input type="radio" name="reference" id="against-(\w+)"( checked)?', page
    )
    assert choices == [
        ("best", " checked"),
        ("full", ""),
        ("shrunk", ""),
        ("random", ""),
    ]
    for reference, _ in choices[1:]:
        assert f"main:has(#against-{reference}:checked) td.heat" in page
        assert f"main:has(#against-{reference}:checked) .by.{reference}" in page
    assert 'class="by best"' in page
    assert "--best-end: var(--worse)" in page


def test_figures_take_their_colours_from_the_page(page: str) -> None:
    figures = re.findall(r'<svg role="img".*?</svg>', page, flags=re.DOTALL)
    drawn = "".join(figures)
    assert "var(--m2)" in drawn
    assert set(re.findall(r"(?:fill|stroke): (#\w+)", drawn)) <= {
        "#ffffff"
    }  # hidden backgrounds


def test_answers_are_marked_as_the_writer_judged_them(copy: Path) -> None:
    results = transfer_results()
    first = results.examples[0]
    said = [
        shown.model_copy(update={"said": "odd words", "right": True})
        for shown in first.shown
    ]
    odd = first.model_copy(update={"shown": tuple(said)})
    write(copy, results.model_copy(update={"examples": (odd,)}))
    assert "✓ odd words ✓ odd words" in text_of(write_report(copy).read_text())


def write(folder: Path, results: TransferResults) -> None:
    Run(folder).write_results(results.as_json())


def test_what_users_wrote_is_escaped(copy: Path) -> None:
    evil = "</pre><script>alert(1)</script>"
    (copy / "config.yaml").write_text(f"note: {evil}\n")
    results = transfer_results()
    first = results.examples[0].model_copy(update={"question": evil})
    write(copy, results.model_copy(update={"notes": (evil,), "examples": (first,)}))
    page = write_report(copy).read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3


def test_a_prompt_that_lacks_a_term_says_so(copy: Path) -> None:
    results = transfer_results()
    facts = results.prompts[0]
    facts = facts.model_copy(
        update={"skipped_terms": ("semantic_enrichment",), "notes": ("Odd.",)}
    )
    write(copy, results.model_copy(update={"prompts": (facts,)}))
    assert "Learned without semantic enrichment. Odd." in text_of(
        write_report(copy).read_text()
    )


def test_cells_that_failed_or_have_too_few_samples_are_said(copy: Path) -> None:
    results = make_transfer(few=True)
    cells = list(results.cells)
    lost = {"value": None, "versus": {}, "failed": "The model ran out of memory."}
    cells[-1] = cells[-1].model_copy(update=lost)
    write(copy, results.model_copy(update={"cells": tuple(cells)}))
    page = write_report(copy).read_text()
    words = text_of(page)
    assert "too few samples" in words
    assert "TVP, the best of them, is measured on too few pictures" not in words
    assert (
        "against the best baseline of each model, VP is measured on too few pictures"
        in words
    )
    assert '<i class="by' not in page  # nothing is marked
    assert (
        "tiny-visualglm · scenes-reasoning/clutter: The model ran out of memory."
        in words
    )
    assert '<th scope="col">too few</th>' in page


@pytest.mark.parametrize(
    "left", [("models", "cells", "examples"), ("tasks", "cells", "examples")]
)
def test_an_empty_table_has_a_page(copy: Path, left: tuple[str, ...]) -> None:
    """``evaluate --models ""`` once left a table whose report was a traceback."""
    write(copy, transfer_results().model_copy(update=dict.fromkeys(left, ())))
    words = text_of(write_report(copy).read_text())
    assert "No learned prompt was measured, so there is nothing to judge yet." in words
    assert "Nothing was measured: there is no model, or no task." in words


PARTS = ("config.yaml", "environment.json", "metrics.jsonl")
SENTENCES = {
    "config.yaml": "config.yaml is missing.",
    "environment.json": "environment.json is missing or cannot be read.",
    "metrics.jsonl": "Nothing was logged: metrics.jsonl is missing or empty.",
}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_missing_is_said_in_its_place(copy: Path, part: str) -> None:
    (copy / part).unlink()
    for fit in (copy / "fits").iterdir():
        (fit / "metrics.jsonl").unlink()
    words = text_of(write_report(copy).read_text())
    assert [name for name, sentence in SENTENCES.items() if sentence in words] == [part]


def test_an_unfinished_study_shows_its_fits_as_far_as_they_are(copy: Path) -> None:
    (copy / "results.json").unlink()
    (copy / "metrics.jsonl").unlink()
    last = read_folder(copy).fits[-1]
    shutil.rmtree(copy / last.folder)
    page = write_report(copy).read_text()
    words = text_of(page)
    fits = len(read_folder(copy).fits)
    begun = f"{fits - 1} of {fits} fits are finished and 1 fit has not begun."
    assert f"No verdict yet. This run is unfinished: {begun}" in words
    resume = "this command goes on where it stopped: matboard fit &#39;my config.yaml"
    assert resume in words
    assert page.count('<img src="data:image/png;base64,') == 8
    assert "itself, seed 0, for tiny-blip2" in words
    assert "for tiny-bliva" not in words
    assert "task loss" in words
    rows = read_folder(copy).steps
    assert {row.run for row in rows} == {
        fit.name for fit in read_folder(copy).fits[:-1]
    }


def test_a_single_fit_has_a_page(copy: Path) -> None:
    fit = copy / read_folder(copy).fits[2].folder
    words = text_of(write_report(fit).read_text())
    assert "This run learned a prompt and judged none" in words
    assert "cosine between gradients" in words


WRONG = [
    ("{", "cannot be read ("),
    ('{"schema": 3}', "follow schema 3, and this matboard reads schema 2."),
    (
        '{"kind": "transfer", "cells": []}',
        "were written by matboard 0.1.0 in another form",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), WRONG)
def test_results_that_cannot_be_read_are_refused_in_a_sentence(
    tmp_path: Path, content: str, sentence: str
) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(RunError) as error:
        write_report(tmp_path)
    assert sentence in str(error.value)
    assert str(tmp_path / "results.json") in str(error.value)


def test_an_old_log_is_refused_in_a_sentence(tmp_path: Path) -> None:
    line = {
        "run": "tvp-s0",
        "step": 1,
        "loss": 2.5,
        "task_loss": 2.3,
        "gradient_norm": {},
    }
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(
        RunError, match=r"^metrics.jsonl holds a line that this matboard does not"
    ):
        write_report(tmp_path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(RunError) as error:
        write_report(nowhere)
    assert str(error.value) == (
        f"{nowhere} is not a folder. Give a run folder, the one named by --out when the run was"
        " started."
    )
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RunError) as error:
        write_report(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is not a run folder: it holds none of config.yaml, environment.json,"
        " plan.json, metrics.jsonl, results.json. Give the folder a run was written to."
    )


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named(
    copy: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MatboardError) as error:
        write_report(copy)
    assert str(error.value) == (
        f"A report needs {library}, which is not installed. Run: pip install 'matboard[learn]'."
    )


def test_files_outside_the_run_are_not_shown(copy: Path) -> None:
    Image.new("RGB", (2, 2)).save(copy.parent / "out.png")
    run = read_folder(copy)
    assert run.file("prompt/preview.png") == (copy / "prompt/preview.png").resolve()
    assert run.file("../out.png") is None
    results = transfer_results()
    facts = results.prompts[0].model_copy(update={"folder": ".."})
    write(copy, results.model_copy(update={"prompts": (facts,)}))
    assert "preview.png is missing." in text_of(write_report(copy).read_text())


def test_fits_in_a_store_beside_the_run_are_shown(copy: Path) -> None:
    store = copy.parent / "store"
    shutil.move(copy / "fits", store / "fits")
    for name in ("results.json", "plan.json"):
        text = (copy / name).read_text().replace('"fits/', '"../store/fits/')
        (copy / name).write_text(text)
    assert 'class="missing"' not in write_report(copy).read_text()


@pytest.mark.parametrize("folder", [TRANSFER, STREAM])
def test_the_report_never_loads_torch_and_loads_the_rest_late(
    folder: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, pathlib, matboard.report as r\n"
        "assert not {'matplotlib', 'jinja2', 'rich'} & set(sys.modules), 'at import'\n"
        "r.write_report(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'ever'\n"
    )
    page = str(tmp_path / "page.html")
    subprocess.run([sys.executable, "-c", code, str(folder), page], check=True)
