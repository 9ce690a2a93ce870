"""The page and tables of a stream, on the recorded one."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from recorded_runs import STREAM, stream_results, text_of, unwrapped
from rich.console import Console

from matboard.analysis import pooled
from matboard.metrics import AccuracyMatrix
from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.report import continual_table_csv, continual_table_text, write_report
from matboard.report.run_folder import read_folder
from matboard.report.stream.beside import (
    by_task,
    mean_matrices,
    read_selection,
    selections,
)
from matboard.report.stream.heat_map import Scale, heat_map, scale_over
from matboard.report.stream.page import DEFINITIONS, runs_of
from matboard.results import StreamResults
from matboard.results.stream import MetTask, Weighted, WeightPath
from matboard.runs import Run

NAMES = ["l2p", "images", "lwf-0", "lwf-1", "fine-tune", "ridge"]
POOLS = NAMES[:4]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return unwrapped(
        write_report(STREAM, tmp_path_factory.mktemp("pages") / "page.html").read_text()
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STREAM, tmp_path / "copy"))


def fit_of(folder: Path, name: str) -> Path:
    return folder / next(
        fit.folder for fit in read_folder(folder).fits if fit.name == name
    )


def write(folder: Path, results: StreamResults) -> None:
    Run(folder).write_results(results.as_json())


# -- the page
# --------------------------------------------------------------------------------------------------


def test_page_needs_no_network_and_runs_no_script(page: str) -> None:
    assert "<script" not in page
    addresses = re.findall(r'(?:src|href)="([^"]*)', page)
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"url\((?!#)", page)


def test_page_shows_every_part(page: str) -> None:
    words = text_of(page)
    assert "<h1>Two tasks, recorded</h1>" in page
    assert (
        page.count('class="missing"')
        == page.count('class="missing">Read with care')
        == 1
    )
    assert re.findall(r'aria-label="Accuracy matrix of ([\w-]+)"', page) == NAMES
    assert page.count('<img src="data:image/png;base64,') == 4
    for map_of in (
        "How often each class chose each prompt",
        "Mean similarity of each class to",
    ):
        assert page.count(map_of) == len(POOLS)
    assert 'aria-label="Accuracy and forgetting of every learner"' in page
    learned = [name for name in NAMES if name != "ridge"]
    assert re.findall(r'aria-label="([\w-]+) over steps"', page) == learned
    for sentence in (
        "scenes-recognition, class-incremental: 2 tasks, 8 classes",
        "tiny-vit, frozen, 4 layers of 80, pictures of 60 px",
        "Forgetting is chaudhry: less is better.",
        "so the mean is by position in the stream, not by class",
        "Seed 0, in the form they are kept.",
        "lwf-1 weight 1",
        "Classes in the order of the stream, a line between tasks.",
        "matboard continual &#39;my config.yaml&#39;",
        "† prompts are chosen by the majority of a batch",
    ):
        assert sentence in words, sentence


def test_the_terms_of_every_loss_are_drawn(page: str) -> None:
    """They once were logged flat and read nested, and so never shown."""
    part = text_of(page[page.index('id="learning"') :])
    assert "l2p whole loss task loss pull" in part
    assert "distillation kl pull reconstruction" in part


def test_the_table_says_what_the_results_say(page: str) -> None:
    found = r'<tr class="new"><th scope="row"><span class="note">\d+</span> ([\w-]+)(.*?)</tr>'
    rows = dict(re.findall(found, page, flags=re.DOTALL))
    assert list(rows) == NAMES
    for summary in stream_results().summary:
        row = text_of(rows[summary.learner]).replace("−", "-")
        for interval in (
            summary.accuracy,
            summary.forgetting,
            summary.average_incremental_accuracy,
        ):
            words = f" {interval.value:.3f} {interval.low:.3f} to {interval.high:.3f} "
            assert words in row
        if summary.against is not None:
            accuracy = summary.against.accuracy
            assert f" {accuracy.value:+.3f} " in row
            assert ("▲" in row) == (
                accuracy.decision == "better"
                or summary.against.forgetting.turned.decision == "better"
            )
    assert page.index("controls: no prompt is learned") > page.index("fine-tune</")


def test_every_named_forgetting_is_shown_with_its_meaning(page: str) -> None:
    assert set(DEFINITIONS) == set(FORGETTINGS)
    table = page[page.index("Every named forgetting") :]
    mine = [o for o in stream_results().outcomes if o.learner == "images"]
    row = re.search(r'<th scope="row">images</th>(.*?)</tr>', table, flags=re.DOTALL)
    assert row is not None
    for name in FORGETTINGS:
        mean = np.mean([outcome.forgetting[name] for outcome in mine])
        assert f"<td>{mean:.3f}</td>".replace("-", "−") in row[1]
        assert f"<dt>{name}</dt><dd>" in table


def test_matrices_are_means_over_seeds() -> None:
    results = stream_results()
    run = read_folder(STREAM)
    for mean in mean_matrices(run, results.learners, results.outcomes):
        mine = [o.matrix for o in results.outcomes if o.learner == mean.learner.name]
        expected = np.mean(
            [AccuracyMatrix.from_csv(STREAM / name).values for name in mine], axis=0
        )
        assert mean.values is not None
        np.testing.assert_allclose(mean.values, expected)
        assert (mean.seeds, mean.differ, mean.missing) == (2, True, ())


def test_every_seed_has_its_bits_and_its_p(page: str) -> None:
    results = stream_results()
    for learner in POOLS:
        mine = [o.selection for o in results.outcomes if o.learner == learner]
        found = [read_selection(STREAM / str(name)) for name in mine]
        both = pooled(found)
        lines = [
            (f"seed {seed}", one.mutual_information, one.shuffled.mean(), one.p_value)
            for seed, one in enumerate(found)
        ]
        lines.append(
            ("all seeds", both.mutual_information, both.by_chance, both.p_value)
        )
        said = [
            f"{who} {bits:.3f} bits {chance:.3f} bits {p:.3g}"
            for who, bits, chance, p in lines
        ]
        part = text_of(page[page.index(f"<summary><b>{learner}</b>") :]).replace(
            "−", "-"
        )
        assert " ".join(said) in part
    assert runs_of([0, 1, 4, 7, 8, 9]) == "0–1, 4, 7–9"


def test_seeds_that_cannot_be_tested_together_are_told_apart(copy: Path) -> None:
    p = [
        read_selection(fit_of(copy, f"l2p-s{seed}") / "selection.json").p_value
        for seed in (0, 1)
    ]
    saved = fit_of(copy, "l2p-s1") / "selection.json"
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"shuffled": []}))
    words = text_of(write_report(copy).read_text())
    each = f"p = {p[0]:.3g} with seed 0 and {p[1]:.3g} with seed 1."
    assert f"Each seed is tested by itself: {each}" in words
    assert (
        "The seeds are not tested together: A selection was saved without its shuffles"
        in words
    )


def test_classes_stand_in_the_order_of_the_stream() -> None:
    results = stream_results()
    second = [outcome for outcome in results.outcomes if outcome.seed == 1]
    for view in selections(read_folder(STREAM), results.learners, second):
        classes = view.found[1].classes
        met = [name for task in second[0].tasks for name in task.classes]
        assert [classes[place] for place in view.order] == met
        assert view.starts == (0, 4)
    tasks = [
        MetTask(name="1", classes=("c", "a, b")),
        MetTask(name="2", classes=("d",)),
    ]
    assert by_task(["a, b", "c", "d"], tasks) == ((1, 0, 2), (0, 2))
    assert by_task(["a, b", "c"], tasks) == ((0, 1), ())


# -- unfinished and broken runs
# --------------------------------------------------------------------------------------------------


MISSING = {
    "matrix.csv": "is left out: fits/l2p-s1",
    "selection.json": "is left out: fits/l2p-s1",
    "pictures": " missing 0 missing 1 ",
    "config.yaml": "config.yaml is missing.",
    "environment.json": "The command that made the run was not recorded.",
    "metrics.jsonl": "Nothing was logged: metrics.jsonl is missing or empty.",
}


@pytest.mark.parametrize("part", MISSING)
def test_what_is_missing_is_said_in_its_place(copy: Path, part: str) -> None:
    for path in copy.rglob(part):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = text_of(write_report(copy).read_text())
    assert MISSING[part] in words
    whole = text_of(write_report(STREAM, copy.parent / "whole.html").read_text())
    assert MISSING[part] not in whole


def test_a_broken_file_is_named(copy: Path) -> None:
    (fit_of(copy, "ridge-s0") / "matrix.csv").write_text("trained up to,a\na,x\n")
    (fit_of(copy, "ridge-s1") / "matrix.csv").write_text("")
    (fit_of(copy, "l2p-s0") / "selection.json").write_text("{")
    words = text_of(write_report(copy).read_text())
    assert "ridge 0 seeds Seed 0 is left out: " in words
    assert "Seed 1 is left out: " in words
    assert "selection.json cannot be read (" in words
    left = read_selection(fit_of(copy, "l2p-s1") / "selection.json").p_value
    assert f"l2p · Classes and prompts are related (p = {left:.3g})." in words


def test_an_unfinished_stream_shows_what_its_finished_fits_left(copy: Path) -> None:
    (copy / "results.json").unlink()
    (copy / "metrics.jsonl").unlink()
    shutil.rmtree(fit_of(copy, "ridge-s1"))
    page = write_report(copy).read_text()
    words = text_of(page)
    begun = "11 of 12 fits are finished and 1 fit has not begun."
    assert f"No verdict yet. This run is unfinished: {begun}" in words
    resume = "this command goes on where it stopped: matboard continual &#39;my"
    assert resume in words
    for name in NAMES:
        assert f"{name} {'1 seed' if name == 'ridge' else '2 seeds'}" in words
    assert page.count("How often each class chose each prompt") == len(POOLS)
    assert "whole loss task loss pull" in words  # read from the fits' own logs
    (copy / "environment.json").unlink()
    command = f"matboard continual {copy}/config.yaml --out {copy}"
    assert command in text_of(write_report(copy).read_text())


def test_an_unreadable_checkpoint_is_named(copy: Path) -> None:
    (copy / "results.json").unlink()
    fit = fit_of(copy, "l2p-s1")
    (fit / "results.json").unlink()
    (fit / "checkpoint.safetensors").write_text("{")
    words = text_of(write_report(copy).read_text())
    assert (
        "11 of 12 fits are finished and l2p (seed 1) has learned 0 of 2 tasks." in words
    )
    assert "checkpoint.safetensors cannot be read (" in words


def test_results_without_numbers_have_a_page(copy: Path) -> None:
    nothing = {"summary": (), "outcomes": (), "learners": stream_results().learners[:1]}
    empty = stream_results().model_copy(update=nothing | {"control": None, "paths": ()})
    write(copy, empty)
    words = text_of(write_report(copy).read_text())
    assert (
        "No learner was measured to the end, so there is nothing to judge yet." in words
    )
    assert "No learner has both an accuracy and a forgetting." in words


def test_a_half_finished_results_file_has_a_page(copy: Path) -> None:
    results = stream_results()
    half = {"summary": results.summary[:1], "outcomes": results.outcomes[:2]}
    write(copy, results.model_copy(update=half))
    words = text_of(write_report(copy).read_text())
    assert "l2p is the only learner measured: 0." in words
    assert "ridge not measured" in words


def test_too_few_samples_are_said(copy: Path) -> None:
    results = stream_results()
    none = {"low": None, "high": None}
    summary = []
    for row in results.summary:
        accuracy = row.accuracy.model_copy(update=none)
        summary.append(row.model_copy(update={"accuracy": accuracy}))
    few = results.model_copy(update={"summary": tuple(summary)})
    write(copy, few)
    words = text_of(write_report(copy).read_text())
    assert "too few samples" in words
    assert "Where there are too few test samples, there is none." in words
    assert "few: too few test samples for an interval" in printed(few)


def test_files_outside_the_run_are_not_read(copy: Path) -> None:
    (copy.parent / "other.csv").write_text("trained up to,a\na,0.5\n")
    outside = {
        "matrix": "../other.csv",
        "selection": "/etc/hostname",
        "pictures": ("../x.png",),
    }
    results = stream_results()
    outcome = results.outcomes[0].model_copy(update=outside)
    write(copy, results.model_copy(update={"outcomes": (outcome,)}))
    words = text_of(write_report(copy).read_text())
    assert words.count("Seed 0 is left out: no file of this run is named.") == 2


def test_what_users_wrote_is_escaped(copy: Path) -> None:
    for path in [copy / "results.json", *copy.rglob("selection.json")]:
        text = path.read_text().replace('"images"', '"<script>alert(1)</script>"')
        path.write_text(text.replace('"star"', '"<b>star</b>"'))
    page = write_report(copy).read_text()
    assert "<script" not in page
    assert "<b>star" not in page
    assert "&lt;b&gt;star" in page


# -- tables and figures
# --------------------------------------------------------------------------------------------------


def printed(results: StreamResults) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(continual_table_text(results))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_terminal_table_fits_and_marks_what_is_decided() -> None:
    text = printed(stream_results())
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "l2p (reference)" in text
    assert "images †" in text
    assert "† prompts are chosen by the majority" in text
    for summary in stream_results().summary:
        if summary.against is not None and summary.accuracy.value is not None:
            decision = summary.against.accuracy.decision
            mark = {"better": "▲", "worse": "▼", "undecided": " "}[decision]
            assert f"{summary.accuracy.value:.3f}{mark}" in text


def test_the_terminal_takes_names_literally() -> None:
    results = stream_results()
    odd = json.loads(
        json.dumps(results.as_json()).replace('"images"', '"[red]odd[/red]"')
    )
    assert "[red]odd[/red]" in printed(StreamResults.model_validate(odd))


def test_csv_holds_every_number_unrounded() -> None:
    results = stream_results()
    rows = list(csv.DictReader(io.StringIO(continual_table_csv(results))))
    assert [row["learner"] for row in rows] == NAMES
    for row, summary in zip(rows, results.summary, strict=True):
        assert float(row["accuracy_low"]) == summary.accuracy.low
        against = summary.against
        high = "" if against is None else str(against.forgetting.high)
        assert row["versus_l2p_forgetting_high"] == high
        mine = [o for o in results.outcomes if o.learner == row["learner"]]
        assert [float(seed) for seed in row["seeds"].split()] == [
            o.accuracy for o in mine
        ]
        coda = np.mean([outcome.forgetting["coda"] for outcome in mine])
        assert float(row["forgetting_coda"]) == pytest.approx(coda)


def test_only_paths_that_the_results_name_are_drawn() -> None:
    from matboard.report.stream.plane import draw_plane

    results = stream_results()
    [path] = results.paths
    assert [point.learner for point in path.points] == ["lwf-0", "lwf-1"]
    joined = draw_plane(results)
    alone = draw_plane(results.model_copy(update={"paths": ()}))
    assert joined is not None
    assert alone is not None
    assert joined.count("<path") == alone.count("<path") + 1
    points = (Weighted(weight=0.0, learner="lwf-0"),)
    one = WeightPath(option="distillation", points=points)
    assert draw_plane(results.model_copy(update={"paths": (one,)})) is not None


def test_heat_maps_shade_every_known_cell_and_write_numbers_where_they_fit() -> None:
    values = np.array([[0.5, np.nan], [0.755, 1.0]])
    svg = heat_map(values, Scale(0.5, 1.0), ["1", "2"], ["1", "2"], "a < b")
    assert svg.count("M") == 3
    assert re.findall(r'class="number"[^>]*>([^<]*)', svg) == ["50", "76", "100"]
    assert re.findall(r"--amount: (\d+)%", svg) == ["0", "50", "100"]
    assert 'aria-label="a &lt; b"' in svg
    zero = heat_map(np.array([[-0.001]]), Scale(-1, 1), ["a"], ["b"], "zero")
    assert re.findall(r'class="number"[^>]*>([^<]*)', zero) == ["0"]


def test_large_heat_maps_stay_small() -> None:
    rows = [f"class {place}" for place in range(200)]
    columns = [str(place) for place in range(100)]
    svg = heat_map(np.full((200, 100), 0.5), Scale(0, 1), rows, columns, "many")
    assert 'class="number"' not in svg
    assert svg.count('class="q"') == 1
    assert len(svg) < 30_000
    scale = scale_over([np.array([0.63, np.nan, 0.81])], 0.1)
    assert (scale.low, scale.high) == pytest.approx((0.6, 0.9))
    assert scale_over([], 0.1) == Scale(0, 0.1)


def test_numbers_cover_no_dot_and_no_other_number() -> None:
    from matboard.report.stream.plane import place_numbers

    together = [(100.0 + 3 * place, 100.0) for place in range(4)]
    alone = [(300.0, 200.0)]
    places = [*together, *alone]
    bars = [((200.0, 200.0), (400.0, 200.0)), ((300.0, 150.0), (300.0, 250.0))]
    moved = place_numbers(places, bars)
    numbers = [(x + a, y + b) for (x, y), (a, b) in zip(places, moved, strict=True)]
    for place, (x, y) in enumerate(numbers):
        others = [one for other, one in enumerate(numbers) if other != place]
        for (a, b), room in [(n, (13, 11)) for n in others] + [
            (dot, (10.5, 9.5)) for dot in places
        ]:
            assert abs(x - a) >= room[0] or abs(y - b) >= room[1]
    x, y = numbers[-1]
    assert abs(x - 300) > 6.5 and abs(y - 200) > 5.5  # beside both of its own bars
