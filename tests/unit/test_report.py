"""The report, on run folders drawn from a seed: every number in them is test data and measures nothing."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console
from scipy.stats import binom

from matboard.errors import MatboardError, RunError
from matboard.report import transfer_table_csv, transfer_table_text, write_report
from matboard.report.curves import panels
from matboard.report.page import Shade
from matboard.report.rendering import data_uri, duration, fixed, signed, size
from matboard.report.results import parse_results
from matboard.report.run_view import Curve, read_run
from matboard.report.transfer_table import blocks, group_means
from matboard.report.verdict import Tally, score_card, verdict

MODELS = [
    ("tiny-minigpt4", True, True),
    ("tiny-blip2", False, True),
    ("tiny-instructblip", False, True),
    ("tiny-vpgtrans", False, True),
    ("tiny-bliva", False, False),
    ("tiny-visualglm", False, False),
]
TASKS = [
    ("scenes-recognition/textures", "accuracy", 0.1),
    ("scenes-presence/noise", "accuracy", 0.5),
    ("scenes-reasoning/clutter", "auc", 0.5),
]
BASELINES = [("full", "no prompt, full picture"), ("shrunk", "no prompt, shrunk, black border"), ("random", "random border")]
METHODS = ["vp", "evp", "tvp"]
N = 512


def interval(samples: np.ndarray) -> dict[str, float]:
    mean, half = float(samples.mean()), 1.96 * float(samples.std()) / len(samples) ** 0.5
    return {"value": mean, "low": mean - half, "high": mean + half}


def make_results(seed: int = 0, gain: float = 0.05, seeds: int = 3) -> dict[str, Any]:
    """A transfer table of Bernoulli draws; ``gain`` is what TVP adds to targets with the source's encoder, in probability."""
    rng = np.random.default_rng(seed)
    cells = []
    for model, is_source, shares in MODELS:
        for task, metric, chance in TASKS:
            base = chance + (0.9 - chance) * rng.uniform(0.3, 0.7)
            lift = {
                "full": 0.0,
                "shrunk": -0.05,
                "random": -0.08,
                "vp": -0.04,
                "evp": 0.0 * shares,
                "tvp": (gain if shares else 0.0) + 0.1 * is_source,
            }
            luck = rng.uniform(size=N)
            draws: dict[str, np.ndarray] = {}
            for condition, add in lift.items():
                runs = [
                    (luck * 0.8 + rng.uniform(size=N) * 0.2 < base + add).astype(float) for _ in range(seeds if condition in METHODS else 1)
                ]
                draws[condition] = np.mean(runs, axis=0)
                cell = {
                    "model": model,
                    "task": task,
                    "condition": condition,
                    "scorer": "ranking",
                    "metric": metric,
                    "n": N,
                    "unparsable": None,
                }
                cell |= interval(draws[condition])
                cell["seeds"] = [float(run.mean()) for run in runs] if condition in METHODS else []
                known = [b for b, _ in BASELINES if b in draws and b != condition]
                cell["versus"] = {b: interval(draws[condition] - draws[b]) for b in known}
                cells.append(cell)
                if condition in ("full", "tvp"):
                    cells.append({**cell, "scorer": "generation", "value": cell["value"] * 0.9, "unparsable": 0.12})
    return {
        "schema": 1,
        "kind": "transfer",
        "seconds": 171.3,
        "sources": ["tiny-minigpt4"],
        "models": [{"name": n, "encoder": "ab12" if e else "cd34", "is_source": s, "shares_encoder": e, "extra": 1} for n, s, e in MODELS],
        "tasks": [{"name": n, "metric": m, "n": N, "chance": c} for n, m, c in TASKS],
        "conditions": [{"name": m, "label": m.upper(), "kind": "method"} for m in METHODS]
        + [{"name": n, "label": label, "kind": "baseline"} for n, label in BASELINES],
        "cells": cells,
        "examples": [
            {
                "model": model,
                "task": TASKS[0][0],
                "question": "What is in the picture?",
                "answer": "circle",
                "condition": "tvp",
                "before": "square" if index else "circle",
                "after": "circle" if index < 2 else "<b>star</b>",
                "picture": f"examples/{index}-full.png",
                "prompted": f"examples/{index}-tvp.png",
            }
            for model, _, _ in MODELS
            for index in range(3)
        ],
        "notes": ["Every number on this page is drawn from a seed: test data."],
    }


def picture(rng: np.random.Generator, border: int) -> Image.Image:
    """A disc on a ground, shrunk into a border of noise where ``border`` > 0."""
    inner = Image.new("RGB", (224, 224), tuple(rng.integers(40, 220, 3).tolist()))
    ImageDraw.Draw(inner).ellipse((60, 50, 170, 160), fill=tuple(rng.integers(0, 255, 3).tolist()))
    if not border:
        return inner
    noise = np.kron(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), np.ones((14, 14, 1), dtype=np.uint8))
    canvas = Image.fromarray(np.clip(noise * 0.6 + rng.integers(0, 100, noise.shape), 0, 255).astype(np.uint8))
    canvas.paste(inner.resize((224 - 2 * border,) * 2), (border, border))
    return canvas


def make_prompt(folder: Path, rng: np.random.Generator, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    canvas = picture(rng, 30)
    canvas.paste((0, 0, 0), (30, 30, 194, 194))
    canvas.save(folder / "preview.png")
    config = {"schema": 1, "kind": "border", "canvas": 224, "width": 30, "range": "clamped", "policy": "crop", "seed": seed}
    config |= {"source_models": [{"name": "tiny-minigpt4", "revision": None}], "library_version": "0.1.0"}
    config |= {
        "objective": {"name": "tvp", "weights": {"feature_consistency": 0.005, "semantic_enrichment": 0.001}},
        "data_fingerprint": "9f" * 32,
    }
    (folder / "prompt_config.json").write_text(json.dumps(config))


def step_lines(run: str | None, steps: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    terms = ("task_loss", "feature_consistency", "semantic_enrichment")
    lines = []
    for step in range(1, steps + 1):
        decay = np.exp(-step / steps * 3)
        losses = {name: float(scale * (0.4 + decay) + rng.normal(0, 0.06)) for name, scale in zip(terms, (2.0, 0.7, 0.3))}
        line: dict[str, Any] = {"step": step, "loss": sum(losses.values()), **losses, "lr": 10.0, "skipped": int(step > 40), "seconds": 0.2}
        if step % 5 == 1:
            norms = {name: float(np.exp(rng.normal(-index * 2, 0.3))) for index, name in enumerate(terms)}
            line["gradient_norm"] = {**norms, "total": sum(norms.values())}
            line["gradient_cosine"] = {
                "task_loss~feature_consistency": float(np.tanh(rng.normal(-0.3, 0.2))),
                "task_loss~semantic_enrichment": 0.1,
            }
        line["per_model"] = {"tiny-minigpt4": {"task_loss": losses["task_loss"], "gradient_norm": float(np.exp(rng.normal()))}}
        lines.append({**line, "run": run} if run else line)
    lines[min(10, steps - 1)]["loss"] = float("nan")
    return lines


def make_run(folder: Path, *, study: bool = False, **options: Any) -> Path:
    """A finished run folder; a study holds three methods × three seeds."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    names = [f"{method}-s{seed}" for method in METHODS for seed in range(3)] if study else [None]
    for seed, name in enumerate(names):
        make_prompt(folder / "prompts" / name if name else folder / "prompt", rng, seed)
    lines = [line for name in names for line in step_lines(name, 200, rng)]
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + '\n{"step": 201, "lo')
    (folder / "config.yaml").write_text("prompt:\n  kind: border\n  width: 30\nseed: 0\nnote: </pre><script>alert(1)</script>\n")
    (folder / "environment.json").write_text(json.dumps({"python": "3.11.9", "cpus": 2, "command": ["matboard", "fit", "my config.yaml"]}))
    (folder / "results.json").write_text(json.dumps(make_results(**options)))
    (folder / "examples").mkdir()
    for index in range(3):
        for name, border in (("full", 0), ("tvp", 30)):
            picture(np.random.default_rng(index), border).save(folder / "examples" / f"{index}-{name}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text()


# -- the page --------------------------------------------------------------------------------------------------


def test_page_is_written_into_the_run_or_where_asked_and_never_changes(run: Path, page: str, tmp_path: Path) -> None:
    assert (run / "report.html").read_text() == page
    assert write_report(run, tmp_path / "deep" / "page.html").read_text() == page


def test_the_page_bears_the_title_that_the_configuration_gives(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("title: A border for birds\n")
    assert "<h1>A border for birds</h1>" in write_report(tmp_path).read_text()


def test_page_needs_no_network_and_runs_no_script(page: str) -> None:
    assert "<script" not in page
    assert all(address.startswith(("data:", "#")) for address in re.findall(r'(?:src|href)="([^"]*)', page))
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page


def test_page_shows_every_part(page: str) -> None:
    assert page.count('<img src="data:image/png;base64,') == 1 + 2 * 3  # the prompt, and each example's pictures once
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
    assert {colour for figure in figures for colour in re.findall(r"(?:fill|stroke): (#\w+)", figure)} <= {"#ffffff"}  # hidden backgrounds


def test_a_study_shows_all_its_prompts_in_the_tables_order(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path / "study", study=True)).read_text()
    assert re.findall(r"<h3>(\w+-s\d)</h3>", text) == [f"{method}-s{seed}" for method in METHODS for seed in range(3)]
    assert "9 steps were skipped" in text
    assert "gradient norm: total" in text


PARTS = ["config.yaml", "environment.json", "metrics.jsonl", "results.json", "prompt"]
SENTENCES = {
    "results.json": "This run has no results yet: results.json appears when its evaluation has finished.",
    "metrics.jsonl": "Nothing was logged: metrics.jsonl is missing or holds no numbers.",
    "prompt": "No prompt has been saved in this run.",
    "config.yaml": "config.yaml is missing.",
    "environment.json": "environment.json is missing or cannot be read.",
}


@pytest.mark.parametrize("only", PARTS)
def test_an_unfinished_run_has_a_page_that_says_what_is_missing(run: Path, tmp_path: Path, only: str) -> None:
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
        ('{"schema": 2}', "These results follow schema 2; this matboard reads schema 1. Upgrade matboard to report on them."),
        ('{"kind": "fit", "steps": 3}', "This run learned a prompt and judged none: its results.json holds no transfer table."),
        (
            '{"cells": [{"model": "m", "task": "t"}]}',
            "These results do not follow schema 1: cells.0.condition: Field required.",
        ),
        (
            '{"cells": [{"model": "m", "task": "t", "condition": "c"}]}',
            "These results do not follow schema 1: results: cells name the model 'm', which is not among the models.",
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
        str(error.value) == f"{tmp_path / 'nowhere'} is not a folder. Give a run folder, the one named by --out when the run was started."
    )
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RunError) as error:
        write_report(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is not a run folder: it holds none of config.yaml, environment.json, metrics.jsonl, results.json and no prompt. "
        "Give the folder a run was written to."
    )


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named(run: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        MatboardError, match=rf"^A report needs {library}, which is not installed\. Run: pip install 'matboard\[learn\]'\.$"
    ):
        write_report(run)


def test_pictures_outside_the_run_are_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for place in (folder / "in.png", tmp_path / "out.png"):
        Image.new("RGB", (2, 2)).save(place)
    (folder / "passwords.txt").write_text("secret")
    shown = [data_uri(folder, name) for name in ("in.png", "../out.png", "passwords.txt", "gone.png", "")]
    assert [uri is not None for uri in shown] == [True, False, False, False, False]


def test_the_report_never_loads_torch_and_loads_the_rest_late(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, matboard.report as r\n"
        "assert not {'matplotlib', 'jinja2', 'rich'} & set(sys.modules), 'at import'\n"
        "r.write_report(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'ever'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(run), str(tmp_path / "page.html")], check=True)


# -- the verdict -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_tallies_agree_with_counting_by_hand(seed: int) -> None:
    raw = make_results(seed)
    results = parse_results(raw)
    groups = {name: "source" if source else "same" if shares else "other" for name, source, shares in MODELS}
    for score in score_card(results, "ranking"):
        for group, counted in score.tallies.items():
            better = worse = total = 0
            for cell in raw["cells"]:
                if cell["condition"] == score.method.name and cell["scorer"] == "ranking" and groups[cell["model"]] == group:
                    difference = cell["versus"][score.baseline.name]
                    better += difference["low"] > 0
                    worse += difference["high"] < 0
                    total += 1
            assert counted == Tally(better, worse, total - better - worse)


@pytest.mark.parametrize("methods", [1, 3])
def test_beyond_chance_is_a_binomial_test(methods: int) -> None:
    for total in (1, 6, 15, 40):
        for better in range(total + 1):
            expected = better > 0 and float(binom.sf(better - 1, total, 0.025)) < 0.05 / methods
            assert Tally(better, 0, total - better).beyond_chance(methods) == expected
    assert not Tally(10, 10, 0).beyond_chance(methods)


def small_results(decisions: dict[str, list[tuple[float, float]]], seeds: int = 3) -> dict[str, Any]:
    """One source, two targets with its encoder, one with another; ``decisions``: method → (against full, against shrunk) a model."""
    names = ["src", "a", "b", "far"]

    def difference(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.05, "high": value + 0.05}

    return {
        "models": [{"name": n, "is_source": n == "src", "shares_encoder": n != "far"} for n in names],
        "tasks": [{"name": "t"}],
        "conditions": [{"name": "full", "kind": "baseline"}, {"name": "shrunk", "kind": "baseline"}]
        + [{"name": m, "label": m.upper(), "kind": "method"} for m in decisions],
        "cells": [
            {"model": n, "task": "t", "condition": m, "value": 0.5, "seeds": [0.5] * seeds}
            | {"versus": {"full": difference(full), "shrunk": difference(shrunk)}}
            for m, pairs in decisions.items()
            for n, (full, shrunk) in zip(names, pairs)
        ],
    }


def test_the_verdict_says_whom_a_prompt_helps() -> None:
    found = verdict(parse_results(small_results({"vp": [(0, 0)] * 4, "tvp": [(0.1, 0.2), (0.1, 0.1), (0.1, 0.2), (-0.1, 0)]})))
    assert found.lead == "TVP helps target models beyond chance; VP does not."
    assert found.body == (
        "Of the 2 methods TVP did best, counted in pairs of a target model and a task at 95 %: "
        "against the full picture without a prompt it is better in all 2 pairs whose model shares the source’s encoder "
        "and worse in the one pair whose model has another encoder; "
        "against the shrunk picture with a black border it is better in all 2 pairs whose model shares the source’s encoder "
        "and undecided in the one pair whose model has another encoder. "
        "On the source itself, against the full picture, TVP is better in the one pair. "
        "Of 16 comparisons at 95 %, about 1 would look decided by chance alone."
    )


def test_the_verdict_is_honest_when_nothing_helps() -> None:
    found = verdict(parse_results(small_results({"tvp": [(0.1, 0.2), (0, 0.2), (-0.1, 0.2), (0, 0)]}, seeds=1)))
    assert found.lead == (
        "TVP does not help the target models beyond chance: against the full picture without a prompt, "
        "TVP is worse in 1, undecided in 2 of 3 model–task pairs. It does win back some of what shrinking the picture costs."
    )
    assert found.body.endswith(
        "Every prompt was learned with 1 seed: below 3, the intervals speak of these test pictures and not of the luck of training."
    )


def test_a_gain_that_shrinking_alone_has_is_not_the_prompts() -> None:
    found = verdict(parse_results(small_results({"evp": [(0.2, 0.1)] * 4, "tvp": [(0.2, 0)] * 4})))
    assert found.lead == "EVP helps target models beyond chance; TVP does not."
    found = verdict(parse_results(small_results({"tvp": [(0.2, 0)] * 4})))
    assert found.lead.endswith(
        "better in all 3 model–task pairs. But shrinking the picture behind a black border gains as much, so the gain is not the prompt’s."
    )


def test_a_gain_that_a_flat_border_has_is_not_the_prompts() -> None:
    results = small_results({"tvp": [(0.2, 0.2)] * 4})
    results["conditions"].append({"name": "flat", "kind": "baseline"})
    for cell in results["cells"]:
        cell["versus"]["flat"] = {"value": 0.0, "low": -0.05, "high": 0.05}
    lead = verdict(parse_results(results)).lead
    assert lead.endswith("But shrinking the picture behind an unlearned border gains as much, so the gain is not the prompt’s.")


def test_the_verdict_does_not_claim_what_was_not_measured() -> None:
    assert verdict(parse_results({})).lead == "No learned prompt was measured, so there is nothing to judge yet."
    only_source = small_results({"tvp": [(0.1, 0.2)]})
    assert (
        verdict(parse_results(only_source)).lead
        == "No target model was compared with the full picture, so nothing can be said about transfer."
    )
    strangers = small_results({"tvp": [(0.1, 0.1)] * 4})
    strangers["models"] = [{"name": m["name"]} for m in strangers["models"]]
    assert "better in all 4 pairs;" in verdict(parse_results(strangers)).body
    assert "encoder" not in verdict(parse_results(strangers)).body


# -- tables ----------------------------------------------------------------------------------------------------


def test_blocks_put_baselines_and_the_source_first() -> None:
    for block, (task, _, _) in zip(blocks(parse_results(make_results()), "ranking"), TASKS, strict=True):
        assert block.task.name == task
        assert [c.name for c in block.conditions] == ["full", "shrunk", "random", *METHODS]
        assert [row.model.name for section in block.sections for row in section.rows] == [name for name, _, _ in MODELS]
        assert block.same_n == N


def test_means_leave_out_pairs_that_miss_a_condition() -> None:
    raw = make_results()
    raw["cells"] = [c for c in raw["cells"] if (c["model"], c["task"], c["condition"]) != ("tiny-blip2", TASKS[0][0], "evp")]
    line = next(m for m in group_means(parse_results(raw), "ranking") if (m.group, m.metric) == ("same", "accuracy"))
    kept = [(m, t) for m, source, shares in MODELS if shares and not source for t, metric, _ in TASKS if metric == "accuracy"]
    kept.remove(("tiny-blip2", TASKS[0][0]))
    assert line.pairs == len(kept) == 5
    values = {(c["model"], c["task"], c["condition"]): c["value"] for c in raw["cells"] if c["scorer"] == "ranking"}
    for condition, mean in zip(["full", "shrunk", "random", *METHODS], line.values, strict=True):
        assert mean == pytest.approx(np.mean([values[m, t, condition] for m, t in kept]))


def test_csv_holds_every_number_unrounded() -> None:
    raw = make_results()
    rows = list(csv.DictReader(io.StringIO(transfer_table_csv(raw))))
    assert len(rows) == len(raw["cells"])
    for row, cell in zip(rows, raw["cells"]):
        assert (row["model"], row["task"], row["condition"], row["scorer"]) == tuple(
            cell[k] for k in ("model", "task", "condition", "scorer")
        )
        assert [float(row[k]) for k in ("value", "low", "high")] == [cell[k] for k in ("value", "low", "high")]
        assert [float(seed) for seed in row["seeds"].split()] == cell["seeds"]
        for baseline, _ in BASELINES:
            difference = cell["versus"].get(baseline)
            assert row[f"versus_{baseline}_low"] == (str(difference["low"]) if difference else "")


def test_terminal_table_reads_well_and_takes_names_literally() -> None:
    raw = make_results()
    for thing in (raw["models"][1], *(c for c in raw["cells"] if c["model"] == "tiny-blip2")):
        thing["name" if "name" in thing else "model"] = "[red]odd[/red]"
    raw["cells"] = [c for c in raw["cells"] if not (c["model"] == "tiny-bliva" and c["condition"] == "vp")]
    console = Console(width=80, file=io.StringIO())
    console.print(transfer_table_text(raw))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]odd[/red]" in text
    header = next(line for line in text.splitlines() if "shrunk" in line)
    assert header.split() == ["model", "full", "shrunk", "random", *METHODS]
    cell = next(c for c in raw["cells"] if c["condition"] == "tvp")
    assert f"{cell['value']:.3f}▲" in text
    assert f"{cell['low']:.2f}–{cell['high']:.2f}".replace("0.", ".") in text
    row = next(line for line in text.splitlines() if "tiny-bliva" in line)
    assert row.split()[4] == "–"
    with pytest.raises(RunError, match="schema 9"):
        transfer_table_text({"schema": 9})


def test_shade_diverges_around_the_full_picture() -> None:
    results = parse_results(make_results())
    shade = Shade(results)
    cells = results.by_place("ranking")
    largest = max(abs(shade.difference(cell) or 0) for cell in results.cells)
    assert shade.span / 3 < largest <= shade.span
    for (model, task, condition), cell in cells.items():
        expected = cell.value - cells[model, task, "full"].value  # type: ignore[operator]
        assert shade.difference(cell) == pytest.approx(expected)
        if condition == "full":
            assert shade.style(shade.difference(cell)) == ""
    assert shade.style(shade.span / 2) == "--end: var(--better); --amount: 50%"
    assert shade.style(-shade.span) == "--end: var(--worse); --amount: 100%"


# -- learning curves -------------------------------------------------------------------------------------------


def test_the_log_is_read_with_its_gaps(run: Path) -> None:
    view = read_run(run)  # its last line is cut, and one loss is NaN
    curves = view.curves[""]
    assert len(curves["task_loss",].steps) == 200
    assert len(curves["loss",].steps) == 199
    assert curves["gradient_norm", "total"].steps == list(range(1, 201, 5))
    assert view.skipped == 1


def test_panels_of_one_run_and_of_a_study() -> None:
    curve = Curve([1, 2], [3.0, 4.0])
    keys = [("lr",), ("loss",), ("gradient_norm", "total"), ("gradient_norm", "task_loss"), ("per_model", "a", "task_loss")]
    one = panels({"": dict.fromkeys(keys, curve)}, [])
    assert [p.title for p in one] == ["whole loss", "gradient norm"]
    assert [line.label for line in one[1].lines] == ["task loss", "total"]
    ensemble = panels({"": dict.fromkeys([*keys, ("per_model", "b", "task_loss")], curve)}, [])
    assert [line.label for line in ensemble[-1].lines] == ["a", "b"]
    study = panels({"vp-s0": {("loss",): curve}, "tvp-s0": {("loss",): curve}, "tvp-s1": {("loss",): curve}}, ["vp", "evp", "tvp"])
    assert [(line.label, line.colour, line.curve.values) for line in study[0].lines] == [("vp", 0, [3, 4]), ("tvp", 2, [3, 3, 4, 4])]


def test_formats() -> None:
    assert [fixed(0.61249), fixed(None), signed(-0.02), signed(0.02, 2)] == ["0.612", "–", "−0.020", "+0.02"]
    assert [size(b) for b in (456, 12_340, 456_789, 1.2e9)] == ["456 B", "12.3 kB", "457 kB", "1.2 GB"]
    assert [duration(s) for s in (7.4, 171.3, 3600 * 3 + 60 * 20)] == ["7 s", "2 min 51 s", "3 h 20 min"]
