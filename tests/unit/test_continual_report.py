"""The report of a continual run, on run folders drawn from a seed: every number in them is test
data and measures nothing.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from continual_run import CLASSES, LEARNERS, MAJORITY, PROMPTS, make_continual_run
from rich.console import Console

from matboard.analysis import Selection, pooled
from matboard.errors import RunError
from matboard.metrics import AccuracyMatrix
from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.report import continual_table_csv, continual_table_text, write_report
from matboard.report.continual_page import DEFINITIONS, runs_of
from matboard.report.continual_results import parse_continual
from matboard.report.continual_verdict import continual_verdict
from matboard.report.continual_view import by_task, mean_matrices, selections
from matboard.report.matrices import Scale, heat_map, scale_over
from matboard.report.run_view import read_run

NAMES = [name for name, *_ in LEARNERS]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_continual_run(tmp_path_factory.mktemp("runs") / "stream")


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text()


@pytest.fixture(scope="module")
def raw(run: Path) -> dict[str, Any]:
    content = json.loads((run / "results.json").read_text())
    assert isinstance(content, dict)
    return content


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def text_of(page: str) -> str:
    """The page as people read it: no tags, single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<main>") :]))


# -- the page
# --------------------------------------------------------------------------------------------------


def test_page_needs_no_network_and_runs_no_script(page: str) -> None:
    assert "<script" not in page
    assert all(
        address.startswith(("data:", "#")) for address in re.findall(r'(?:src|href)="([^"]*)', page)
    )
    assert not re.search(r"url\((?!#)", page)


def test_page_shows_every_part(page: str, run: Path) -> None:
    words = text_of(page)
    assert "<h1>Ten tasks of drawn numbers</h1>" in page
    assert 'class="missing">Read with care' in page
    assert page.count('class="missing"') == 1
    assert [name for name in NAMES if f'aria-label="Accuracy matrix of {name}"' in page] == NAMES
    assert (
        page.count('<img src="data:image/png;base64,') == 5 * PROMPTS
    )  # two learners with routes, three generators
    assert (
        page.count("How often each class chose each prompt")
        == page.count("Mean similarity of each class to each prompt")
        == 7
    )
    assert 'aria-label="Accuracy and forgetting of every learner"' in page
    assert page.count(' over steps"') == 7
    for sentence in (
        "cifar100, class-incremental: 10 tasks, 100 classes",
        "clip-vit-b16, frozen, 12 layers of 768, pictures of 112 px",
        "Forgetting is chaudhry: less is better.",
        "so the mean is by position in the stream, not by class",
        "Seed 0, raw values reshaped; not a picture the model sees.",
        "Seed 0, in the form they are kept.",
        "Every number on this page is drawn from a seed: test data.",
        "generator-lwf-0.5 weight 0.5",
        "Classes in the order of the stream, a line between tasks.",
        "matboard continual &#39;my config.yaml&#39;",
        f"† {MAJORITY}",
    ):
        assert sentence in words, sentence
    assert len(page) < 1_500_000


def test_the_table_says_what_the_results_say(page: str, raw: dict[str, Any]) -> None:
    rows = dict(
        re.findall(
            r'<tr class="new"><th scope="row"><span class="note">\d+</span> ([\w.-]+)(.*?)</tr>',
            page,
            flags=re.DOTALL,
        )
    )
    assert list(rows) == NAMES
    for line in raw["summary"]:
        row = text_of("<main>" + rows[line["learner"]].replace("−", "-"))
        for what in ("accuracy", "forgetting", "average_incremental_accuracy"):
            assert (
                f" {line[what]['value']:.3f} {line[what]['low']:.3f} to {line[what]['high']:.3f} "
                in row
            )
        for what, sign in (("accuracy", 1), ("forgetting", -1)):
            if line["against"]:
                d = line["against"][what]
                better, worse = (
                    (d["low"] > 0, d["high"] < 0) if sign > 0 else (d["high"] < 0, d["low"] > 0)
                )
                assert re.search(
                    rf"\{d['value']:+.3f} {'▲' if better else '▼' if worse else ''} ".replace(
                        "  ", " +"
                    ),
                    row,
                )
    assert page.index("controls: no prompt is learned") > page.index("one-prompt</")


def test_every_named_forgetting_is_shown_with_its_meaning(page: str, raw: dict[str, Any]) -> None:
    assert set(DEFINITIONS) == set(FORGETTINGS)
    table = page[page.index("Every named forgetting") :]
    for name in FORGETTINGS:
        mean = np.mean(
            [cell["forgetting"][name] for cell in raw["cells"] if cell["learner"] == "images-patch"]
        )
        row = re.search(r'<th scope="row">images-patch</th>(.*?)</tr>', table)
        assert row is not None
        assert f"<td>{mean:.3f}</td>" in row[1]
        assert f"<dt>{name}</dt><dd>" in table


def test_matrices_are_means_over_seeds(run: Path, raw: dict[str, Any]) -> None:
    for mean in mean_matrices(run, parse_continual(raw)):
        files = [
            run / cell["matrix"] for cell in raw["cells"] if cell["learner"] == mean.learner.name
        ]
        expected = np.mean([AccuracyMatrix.from_csv(file).values for file in files], axis=0)
        assert mean.values is not None
        np.testing.assert_allclose(mean.values, expected)
        assert (mean.seeds, mean.differ, mean.missing) == (3, True, ())


def test_selections_say_whether_classes_and_prompts_are_related(page: str) -> None:
    said = dict(re.findall(r"<summary><b>([\w.-]+)</b> · ([^<]*)</summary>", page))
    assert (
        said["l2p"]
        == "Classes and prompts are related (p = 0.01 over 3 seeds, the least that 99 shuffles can"
        " show)."
    )
    assert (
        said["l2p-batchwise"]
        == "No relation could be shown (p = 1 over 3 seeds). Read with care: it is flagged."
    )
    assert said["generator-lwf-0"].startswith("No relation could be shown (p = 0.")
    assert "3 of 10: prompts 7–9" in page
    assert [runs_of(numbers) for numbers in ([3], [0, 1, 4, 7, 8, 9])] == ["3", "0–1, 4, 7–9"]
    assert "of at most 3.32 bits: as if 7.0 prompts served alike" in page


def test_every_seed_has_its_bits_and_its_p(page: str, run: Path) -> None:
    for name in ("l2p", "generator-lwf-0"):
        found = [
            Selection.from_json(json.loads((run / f"selection/{name}-s{seed}.json").read_text()))
            for seed in range(3)
        ]
        lines = [
            (f"seed {seed}", one.mutual_information, one.shuffled.mean(), one.p_value)
            for seed, one in enumerate(found)
        ]
        all_seeds = pooled(found)
        lines.append(
            ("all seeds", all_seeds.mutual_information, all_seeds.by_chance, all_seeds.p_value)
        )
        part = text_of("<main>" + page[page.index(f"<summary><b>{name}</b>") :])
        assert " ".join(
            f"{who} {bits:.3f} bits {chance:.3f} bits {p:.3g}" for who, bits, chance, p in lines
        ) in part.replace("−", "-")


def test_seeds_that_cannot_be_tested_together_are_told_apart(copy: Path) -> None:
    saved = copy / "selection/l2p-s1.json"
    content = json.loads(saved.read_text())
    saved.write_text(
        json.dumps({name: value for name, value in content.items() if name != "shuffled"})
    )
    words = text_of(write_report(copy).read_text())
    assert (
        "Each seed is tested by itself: p = 0.01 with seed 0, 0.01 with seed 1 and 0.01 with"
        " seed 2." in words
    )
    assert "The seeds are not tested together: A selection was saved without its shuffles" in words
    assert f"seed 1 {content['mutual_information']:.3f} bits – 0.01" in words


def test_classes_stand_in_the_order_of_the_stream(run: Path, raw: dict[str, Any]) -> None:
    parsed = parse_continual(raw | {"cells": [cell for cell in raw["cells"] if cell["seed"] == 1]})
    for view in selections(run, parsed):
        tasks = next(cell["tasks"] for cell in raw["cells"] if cell["seed"] == 1)
        assert [CLASSES[place] for place in view.order] == [
            name for task in tasks for name in task.split(", ")
        ]
        assert view.starts == tuple(range(0, 100, 10))
    assert by_task(["a", "b", "c"], ["c, a", "b"]) == ((2, 0, 1), (0, 2))
    assert by_task(["a", "b", "c"], ["c, a, …", "b"]) == ((0, 1, 2), ())


# -- unfinished and broken runs
# --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    ["matrices", "selection", "pictures", "config.yaml", "environment.json", "metrics.jsonl"],
)
def test_what_is_missing_is_said_in_its_place(copy: Path, part: str) -> None:
    target = copy / part
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    words = text_of(write_report(copy).read_text())
    expected = {
        "matrices": "Seed 1 is left out: matrices/l2p-s1.csv is missing.",
        "selection": "Seed 0 is left out: selection/l2p-s0.json is missing.",
        "pictures": " missing 0 missing 1 ",
        "config.yaml": "config.yaml is missing.",
        "environment.json": "The command that made the run was not recorded.",
        "metrics.jsonl": "Nothing was logged: metrics.jsonl is missing or holds no numbers.",
    }
    assert [name for name, sentence in expected.items() if sentence in words] == [part]


def test_a_broken_file_is_named(copy: Path) -> None:
    (copy / "matrices/ridge-s0.csv").write_text("trained up to,a\na,x\n")
    (copy / "matrices/ridge-s1.csv").write_text("")
    (copy / "selection/l2p-s0.json").write_text("{")
    words = text_of(write_report(copy).read_text())
    assert "Seed 0 is left out: " in words
    assert "Seed 1 is left out: " in words
    assert "ridge 1 seed" in words
    assert "Seed 0 is left out: selection/l2p-s0.json cannot be read (" in words
    assert "p = 0.01 over 2 seeds" in words


def test_a_run_without_results_shows_what_its_finished_fits_left(copy: Path) -> None:
    (copy / "results.json").unlink()
    shutil.rmtree(copy / "fits/ridge-s2")
    page = write_report(copy).read_text()
    words = text_of(page)
    assert (
        "No verdict yet. This run is unfinished: 29 of 30 fits are finished and 1 fit has not"
        " begun." in words
    )
    assert (
        "this command goes on at the task it was learning: matboard continual &#39;my"
        " config.yaml&#39;" in words
    )
    assert [f"{name} {2 if name == 'ridge' else 3} seeds" in words for name in NAMES] == [
        True
    ] * len(NAMES)
    assert page.count("How often each class chose each prompt") == 7
    assert "whole loss" in words  # the log is there
    (copy / "environment.json").unlink()
    assert f"matboard continual {copy}/config.yaml --out {copy}" in text_of(
        write_report(copy).read_text()
    )


def test_an_unreadable_checkpoint_is_named(copy: Path) -> None:
    (copy / "results.json").unlink()
    (copy / "fits/l2p-s1/results.json").unlink()
    (copy / "fits/l2p-s1/checkpoint.safetensors").write_text("{")
    words = text_of(write_report(copy).read_text())
    assert "29 of 30 fits are finished and l2p (seed 1) has learned 0 of 10 tasks." in words
    assert "fits/l2p-s1/checkpoint.safetensors cannot be read (" in words


def test_results_that_cannot_be_read_are_named(copy: Path) -> None:
    (copy / "results.json").write_text('{"kind": "continual", "cells": [{"learner": "x"}]}')
    words = text_of(write_report(copy).read_text())
    assert (
        "results: cells: the learner &#39;x&#39; is not among the learners. Run the evaluation"
        " again." in words
    )
    assert "This run is unfinished" not in words
    assert "l2p 3 seeds" in words  # what the fits left is there all the same
    (copy / "results.json").write_text('{"kind": "continual"}')
    words = text_of(write_report(copy).read_text())
    assert "No learner was measured to the end, so there is nothing to judge yet." in words
    assert "The results name no learner." in words


def test_a_half_finished_results_file_has_a_page(copy: Path, raw: dict[str, Any]) -> None:
    half = raw | {
        "summary": raw["summary"][:1],
        "cells": raw["cells"][:2],
        "backbone": {},
        "stream": {},
    }
    (copy / "results.json").write_text(json.dumps(half))
    words = text_of(write_report(copy).read_text())
    assert "l2p is the only learner measured: 0." in words
    assert "ridge not measured" in words


def test_what_is_null_is_as_good_as_absent(copy: Path, raw: dict[str, Any]) -> None:
    """A stream of one task has no forgetting."""
    nulls = dict.fromkeys(
        ("forgetting", "seconds", "against", "matrix", "selection", "pictures", "backward_transfer")
    )
    thin = {"summary": [line | {"forgetting": None, "against": None} for line in raw["summary"]]}
    thin |= {
        "cells": [cell | nulls for cell in raw["cells"]],
        "path": None,
        "notes": None,
        "reference": None,
    }
    (copy / "results.json").write_text(json.dumps(raw | thin))
    words = text_of(write_report(copy).read_text())
    assert "No learner has both an accuracy and a forgetting." in words
    assert "Forgetting is of a definition that was not recorded: less is better." in words
    assert "No learner was compared with a reference on the same samples." in words


def test_files_outside_the_run_are_not_read(copy: Path, raw: dict[str, Any]) -> None:
    cell = raw["cells"][0] | {
        "matrix": "../other.csv",
        "selection": "/etc/hostname",
        "pictures": ["../x.png"],
    }
    (copy.parent / "other.csv").write_text("trained up to,a\na,0.5\n")
    (copy / "results.json").write_text(json.dumps(raw | {"cells": [cell]}))
    words = text_of(write_report(copy).read_text())
    assert "Seed 0 is left out: no file of this run is named." in words


def test_what_users_wrote_is_escaped(copy: Path, raw: dict[str, Any]) -> None:
    text = (
        json.dumps(raw)
        .replace("images-patch", "<script>alert(1)</script>")
        .replace("apple a", "<b>apple</b>")
    )
    (copy / "results.json").write_text(text)
    saved = copy / "selection/l2p-s0.json"
    saved.write_text(saved.read_text().replace("apple a", "<b>apple</b>"))
    page = write_report(copy).read_text()
    assert "<script" not in page
    assert "<b>apple" not in page
    assert "&lt;b&gt;apple" in page


def test_the_report_never_loads_torch(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, matboard.report as r\n"
        "assert not {'matplotlib', 'jinja2', 'rich'} & set(sys.modules), 'at import'\n"
        "r.write_report(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'ever'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(run), str(tmp_path / "page.html")], check=True)


# -- the verdict
# -----------------------------------------------------------------------------------------------


def small(kinds: dict[str, str], accuracies: dict[str, list[float]], **more: Any) -> dict[str, Any]:
    """Learners with the accuracies of their seeds; differences to ``ref`` and to the control are
    given in ``more``.
    """
    over = more.get("over", {})
    return {
        "kind": "continual",
        "reference": "ref",
        "control": next((name for name, kind in kinds.items() if kind == "control"), None),
        "learners": [
            {"name": name, "kind": kind, "flags": more.get("flags", {}).get(name, [])}
            for name, kind in kinds.items()
        ],
        "cells": [
            {"learner": n, "seed": s, "accuracy": a}
            for n, seeds in accuracies.items()
            for s, a in enumerate(seeds)
        ],
        "summary": [
            {
                "learner": n,
                "accuracy": {"value": float(np.mean(a))},
                "against": more.get("against", {}).get(n),
                "over_control": {"accuracy": over[n]} if n in over else None,
            }
            for n, a in accuracies.items()
        ],
    }


def d(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def test_the_verdict_names_what_is_decided_against_the_reference() -> None:
    against = {
        "a": {"accuracy": d(0.02), "forgetting": d(-0.02)},
        "b": {"accuracy": d(0.0), "forgetting": d(0.03)},
    }
    kinds = {"ref": "prompt", "a": "prompt", "b": "prompt"}
    found = continual_verdict(
        parse_continual(
            small(kinds, {"ref": [0.8] * 3, "a": [0.82] * 3, "b": [0.8] * 3}, against=against)
        )
    )
    assert (
        found.lead == "a is the most accurate of 3 learners: 0.820 after the last task. "
        "No control was measured, so nobody knows whether a prompt is worth having here."
    )
    assert found.body.split("\n") == [
        "Accuracy against the reference ref (paired, 95 %), better: a; undecided: b.",
        "Forgetting against the reference ref (paired, 95 %), less: a; more: b.",
        "Of 4 comparisons with the reference, about 1 would look decided by chance alone.",
    ]


CONTROLS = [
    (
        (0.71, d(-0.09, 0.025)),
        (
            "ridge, a control that learns no prompt, is the most accurate of 2 learners: 0.800"
            " after the last task. No prompted learner beats it: ref comes nearest, −0.090 (−0.115"
            " to −0.065)."
        ),
    ),
    (
        (0.797, d(-0.003, 0.038)),
        (
            "ridge, a control that learns no prompt, is the most accurate of 2 learners: 0.800"
            " after the last task. No prompted learner is shown to beat it: ref comes nearest,"
            " −0.003 (−0.041 to +0.035), undecided."
        ),
    ),
    (
        (0.81, d(0.01, 0.043)),
        (
            "ref is the most accurate of 2 learners: 0.810 after the last task. No prompted learner"
            " is shown to beat the best control, ridge (0.800): ref comes nearest, +0.010 (−0.033"
            " to +0.053), undecided."
        ),
    ),
    (
        (0.91, d(0.11, 0.025)),
        (
            "ref is the most accurate of 2 learners: 0.910 after the last task. "
            "ref beats the best control, ridge (0.800), by +0.110 (+0.085 to +0.135)."
        ),
    ),
]


@pytest.mark.parametrize(("measured", "lead"), CONTROLS)
def test_the_verdict_says_whether_a_prompt_beats_the_best_control(
    measured: tuple[float, dict[str, float]], lead: str
) -> None:
    accuracy, over = measured
    results = small(
        {"ref": "prompt", "ridge": "control"},
        {"ref": [accuracy] * 3, "ridge": [0.8] * 3},
        over={"ref": over},
    )
    assert continual_verdict(parse_continual(results)).lead == lead


def test_one_seed_decides_nothing_and_flags_are_named() -> None:
    over = {"ref": {"value": 0.1}}
    results = small(
        {"ref": "prompt", "ridge": "control"},
        {"ref": [0.9], "ridge": [0.8]},
        flags={"ref": [MAJORITY]},
        over=over,
    )
    found = continual_verdict(parse_continual(results))
    assert found.lead.endswith(
        "No prompted learner is shown to beat the best control, ridge (0.800): ref† comes nearest,"
        " +0.100, undecided."
    )
    assert "Every learner ran with 1 seed: below 3, no difference is to be believed." in found.body
    assert found.body.endswith("ref† carries a flag: read its footnote before comparing.")


def test_the_definition_of_forgetting_is_found_or_said_to_be_unknown(raw: dict[str, Any]) -> None:
    assert parse_continual(raw).definition == "chaudhry"
    means = {
        n: np.mean([c["forgetting"]["coda"] for c in raw["cells"] if c["learner"] == n])
        for n in NAMES
    }
    coda = [
        line | {"forgetting": {"value": float(means[line["learner"]])}} for line in raw["summary"]
    ]
    assert parse_continual(raw | {"summary": coda}).definition == "coda"
    strange = [line | {"forgetting": {"value": 0.5}} for line in raw["summary"]]
    assert parse_continual(raw | {"summary": strange}).definition is None


# -- tables, figures, the log
# ----------------------------------------------------------------------------------


def test_terminal_table_fits_and_marks_what_is_decided(raw: dict[str, Any]) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(
        continual_table_text(json.loads(json.dumps(raw).replace("images-patch", "[red]odd[/red]")))
    )
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]odd[/red]" in text
    assert "l2p (reference)" in text
    assert "l2p-batchwise †" in text
    assert f"† {MAJORITY}" in text
    ridge = next(line for line in text.splitlines() if " ridge " in line)
    assert re.fullmatch(r" +ridge +0\.\d{3}▲ +0\.\d{3}▲ +0\.\d{3} +4\.6 MB +2 min 03 s *", ridge)
    with pytest.raises(RunError, match="schema 9"):
        continual_table_text({"schema": 9})


def test_csv_holds_every_number_unrounded(raw: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(continual_table_csv(raw))))
    assert [row["learner"] for row in rows] == NAMES
    for row, line in zip(rows, raw["summary"]):
        assert float(row["accuracy_low"]) == line["accuracy"]["low"]
        assert row["versus_l2p_forgetting_high"] == (
            str(line["against"]["forgetting"]["high"]) if line["against"] else ""
        )
        seeds = [cell["accuracy"] for cell in raw["cells"] if cell["learner"] == row["learner"]]
        assert [float(seed) for seed in row["seeds"].split()] == seeds
        assert float(row["forgetting_coda"]) == pytest.approx(
            np.mean(
                [
                    cell["forgetting"]["coda"]
                    for cell in raw["cells"]
                    if cell["learner"] == row["learner"]
                ]
            )
        )


def test_heat_maps_shade_every_known_cell_and_write_numbers_where_they_fit() -> None:
    values = np.array([[0.5, np.nan], [0.755, 1.0]])
    svg = heat_map(values, Scale(0.5, 1.0), ["1", "2"], ["1", "2"], "a < b")
    assert svg.count("M") == 3
    assert re.findall(r'class="number"[^>]*>([^<]*)', svg) == ["50", "76", "100"]
    assert re.findall(r"--amount: (\d+)%", svg) == ["0", "50", "100"]
    assert 'aria-label="a &lt; b"' in svg
    many = heat_map(
        np.full((200, 100), 0.5),
        Scale(0, 1),
        [f"class {i}" for i in range(200)],
        [str(i) for i in range(100)],
        "many",
    )
    assert 'class="number"' not in many
    assert many.count('class="q"') == 1
    assert len(many) < 30_000
    scale = scale_over([np.array([0.63, np.nan, 0.81])], 0.1)
    assert (scale.low, scale.high) == pytest.approx((0.6, 0.9))
    assert scale_over([], 0.1) == Scale(0, 0.1)


def test_steps_of_one_task_follow_those_of_the_task_before(tmp_path: Path) -> None:
    def steps(name: str, rows: list[tuple[str, int, int]]) -> dict[str, list[float]]:
        (tmp_path / name).mkdir()
        lines = [
            json.dumps({"run": run, "task": task, "step": step, "loss": 1.0})
            for run, task, step in rows
        ]
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(lines))
        return {
            run: found["loss",].steps for run, found in read_run(tmp_path / name).curves.items()
        }

    rows = [(run, task, step) for run in ("a-s0", "a-s1") for task in range(3) for step in (1, 2)]
    assert steps("each", rows) == {"a-s0": [1, 2, 3, 4, 5, 6], "a-s1": [1, 2, 3, 4, 5, 6]}
    assert steps("whole", [(run, task, 2 * task + step) for run, task, step in rows]) == steps(
        "again", rows
    )
