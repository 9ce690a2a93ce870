"""What a study refuses, what it says of its own settings, and what two studies share."""

import json
from statistics import fmean

import numpy as np
import pytest
from safetensors.numpy import load_file

from matboard.errors import ConfigError, MatboardError
from matboard.prompts.artifact import load_prompt
from matboard.results import FitResults, TransferResults, read, read_step
from matboard.runs import Run
from matboard.studies.config import StudyConfig
from matboard.studies.prompts import study
from matboard.studies.reading import parse

SMALL = {
    "sources": ["tiny-minigpt4"],
    "guide": "tiny-guide",
    "task": {"name": "scenes-recognition/noise", "train": 16, "test": 12},
    "methods": {"vp": {}, "wide": {"method": "evp", "prompt.width": 50}},
    "steps": 3,
    "batch_size": 4,
    "evaluate": {"examples": 1},
}


def run(folder, store=None, **changed):
    config = parse(StudyConfig, {**SMALL, **changed}, "test")
    return list(study(config, folder, store=store))


def perturbation(folder, name):
    (prompt,) = folder.glob(f"fits/{name}-*/prompt/prompt.safetensors")
    return load_file(prompt)["perturbation"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "run"
    run(folder)
    return folder


def test_variants_of_two_geometries_stand_in_one_table(finished):
    results = read(finished)
    assert isinstance(results, TransferResults)
    assert [c.name for c in results.conditions] == [
        "full",
        "shrunk, border 30 of 224",
        "random, border 30 of 224",
        "shrunk, border 50 of 224",
        "random, border 50 of 224",
        "vp",
        "wide",
    ]
    wide = results.condition("wide")
    assert (wide.method, wide.label, wide.seeds) == ("evp", "wide", (0,))
    assert wide.compared_with[1] == "shrunk, border 50 of 224"
    facts = {prompt.condition: prompt for prompt in results.prompts}
    assert facts["wide"].geometry == "border 50 of 224"
    assert (finished / facts["wide"].folder / "prompt.safetensors").exists()
    shipped = (finished / "prompt/prompt.safetensors").read_bytes()
    assert (
        shipped == (finished / facts["wide"].folder / "prompt.safetensors").read_bytes()
    )


def test_the_card_of_a_learned_border_tells_its_scores(finished):
    results = read(finished)
    assert isinstance(results, TransferResults)
    cell = results.by_place("ranking")[
        "tiny-minigpt4", "scenes-recognition/noise", "wide"
    ]
    card = (finished / "prompt/README.md").read_text()
    assert f"{cell.value:.3f}" in card and "12" in card
    told = load_prompt(finished / "prompts/wide-s0").config["scores"]
    assert [(one["model"], one["value"], one["n"]) for one in told] == [
        ("tiny-minigpt4", cell.value, 12)
    ]


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_study_is_left_as_it_is(finished):
    before = files_of(finished)
    stages = [(event.stage, event.detail) for event in run(finished)]
    assert stages == [
        ("learn vp-s0", "found"),
        ("learn wide-s0", "found"),
        ("judge", "found"),
    ]
    assert files_of(finished) == before


def test_a_study_finds_what_another_has_learned_in_a_shared_store(tmp_path):
    store = tmp_path / "store"
    first = run(tmp_path / "a", store)
    assert not [event for event in first if event.detail == "found"]
    scores = len(list((store / "scores").iterdir()))
    again = run(
        tmp_path / "b",
        store,
        methods={
            "evp": {"prompt.width": 50},
            "narrow": {"method": "vp", "prompt.width": 10},
        },
        evaluate={"examples": 1, "models": ["tiny-blip2"]},
    )
    assert [event.stage for event in again if event.detail == "found"] == [
        "learn evp-s0"
    ]
    results = read(tmp_path / "b")
    before = read(tmp_path / "a")
    assert isinstance(results, TransferResults) and isinstance(before, TransferResults)
    theirs = before.by_place("ranking")["tiny-minigpt4", before.tasks[0].name, "wide"]
    ours = results.by_place("ranking")["tiny-minigpt4", results.tasks[0].name, "evp"]
    assert ours.value == theirs.value
    new = len(list((store / "scores").iterdir())) - scores
    assert new == 3 + 7, "three of the first model were new, seven of the second"
    assert np.array_equal(
        perturbation(store, "wide-s0"), perturbation(store, "wide-s0")
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"prompt": {"width": 112}}, "border"),
        ({"methods": {"evp": {"prompt.width": 112}}}, "border"),
        (
            {"guide": None, "methods": {"tvp": {}}},
            "needs a guide, but the study names none",
        ),
        ({"guide": "tiny-guidee"}, "tiny-guidee"),
        ({"sources": ["tiny-minigpt5"]}, "Did you mean 'tiny-minigpt4'"),
        ({"evaluate": {"models": ["tiny-nothing"]}}, "tiny-nothing"),
        ({"methods": {"tvp": {"objective.task_los.weight": 1}}}, "objective.task_los"),
        ({"evaluate": {"tasks": [{"name": "scenes-nothing"}]}}, "scenes-nothing"),
        ({"methods": {"full": {"method": "vp"}}}, "cannot be called 'full'"),
    ],
)
def test_what_cannot_be_had_is_said_before_a_folder_is_made(
    tmp_path, changed, sentence
):
    with pytest.raises(MatboardError, match=sentence):
        run(tmp_path / "run", **changed)
    assert not (tmp_path / "run").exists()


def test_a_variant_can_learn_without_the_task_loss(tmp_path):
    contrast = {"task_loss": {"weight": 0}, "candidate_contrast": {"weight": 1}}
    own = {"objective": contrast}
    run(tmp_path / "run", methods={"vp": own}, evaluate={"examples": 0})
    rows = [read_step(row) for row in Run(tmp_path / "run").metrics()]
    assert {tuple(row.losses) for row in rows} == {("candidate_contrast",)}


def test_tvp_without_its_guide_is_called_so(tmp_path):
    run(
        tmp_path / "run",
        guide=None,
        methods={"tvp": {"objective.semantic_enrichment.weight": 0}},
    )
    results = read(tmp_path / "run")
    assert isinstance(results, TransferResults)
    assert results.condition("tvp").label == "TVP without semantic enrichment"
    assert results.prompts[0].skipped_terms == ("semantic_enrichment",)


WATCHED = {"share": 0.25, "every": 2, "patience": 2}


def results_of(folder, name):
    (found,) = folder.glob(f"fits/{name}-*/results.json")
    results = read(found)
    assert isinstance(results, FitResults)
    return results


def test_a_killed_fit_that_is_validated_reaches_what_it_would_have_reached(tmp_path):
    """Killed between two validations, and taken up again."""
    settings = {
        "methods": {"evp": {"lr": 20.0}},
        "task": {**SMALL["task"], "test": 4},
        "steps": 7,
        "validation": WATCHED,
        "checkpoint_every": 1,
    }
    whole = run(tmp_path / "whole", **settings)
    assert ", validation 0." in whole[3].detail and "(best 0." in whole[3].detail
    events = study(parse(StudyConfig, {**SMALL, **settings}, "test"), tmp_path / "run")
    next(event for event in events if event.done == 3)
    events.close()
    assert not list((tmp_path / "run").glob("fits/*/results.json"))
    again = run(tmp_path / "run", **settings)
    assert again[0].detail == "resumed"
    ours = results_of(tmp_path / "run", "evp-s0")
    theirs = results_of(tmp_path / "whole", "evp-s0")
    changing = {"seconds"}
    assert ours.model_dump(exclude=changing) == theirs.model_dump(exclude=changing)
    assert np.array_equal(
        perturbation(tmp_path / "run", "evp-s0"),
        perturbation(tmp_path / "whole", "evp-s0"),
    )
    rows = [read_step(row) for row in Run(tmp_path / "run").metrics()]
    assert [row.step for row in rows] == list(range(1, ours.steps + 1))
    assert rows[0].references.keys() == {"untouched", "start"}
    scores = {
        row.step: fmean(row.validation.values()) for row in rows if row.validation
    }
    scores[0] = fmean(rows[0].references["start"].values())
    assert scores[ours.best_step] == ours.best_score == max(scores.values())
    told = load_prompt(next((tmp_path / "run").glob("fits/*/prompt"))).config
    assert told["validation"]["best_step"] == ours.best_step


def test_a_study_says_which_fits_had_not_converged(tmp_path):
    own = {"validation": {**WATCHED, "patience": 100}}
    run(tmp_path / "run", methods={"vp": own, "evp": {}}, seeds=[0, 1])
    ended = results_of(tmp_path / "run", "vp-s1")
    assert (ended.converged, ended.steps, ended.longest) == (False, 3, 3)
    assert ended.convergence.endswith("Give it more steps.")
    unknown = results_of(tmp_path / "run", "evp-s0")
    assert (unknown.converged, unknown.best_step) == (None, None)
    assert unknown.convergence.startswith("Too few steps, 3, to tell")
    said = (
        "vp: 2 of 2 fits had not converged when their steps ran out (vp-s0, vp-s1); more steps may"
        " give better prompts."
    )
    notes = json.loads((tmp_path / "run/results.json").read_text())["notes"]
    assert [note for note in notes if "converged" in note] == [said]


def test_tasks_of_one_name_from_two_folders_are_told_apart(tmp_path, pictures):
    for name in ("a", "b"):
        pictures(tmp_path / name / "test")
    run(
        tmp_path / "run",
        methods={"vp": {}},
        evaluate={
            "tasks": [{"name": str(tmp_path / name / "test")} for name in "ab"],
            "examples": 1,
        },
    )
    results = read(tmp_path / "run")
    assert isinstance(results, TransferResults)
    assert [task.name for task in results.tasks] == ["a/test", "b/test"]


def test_a_term_that_hardly_counts_is_noted(tmp_path):
    run(
        tmp_path / "run",
        methods={"tvp": {"objective.semantic_enrichment.weight": 1e-9}},
        diagnose_every=1,
    )
    notes = json.loads((tmp_path / "run/results.json").read_text())["notes"]
    (note,) = [note for note in notes if "semantic_enrichment.weight" in note]
    assert "methods.tvp.objective.semantic_enrichment.weight is 1e-09" in note
    assert "so it hardly counts" in note


def test_models_are_judged_in_the_precision_asked_for(tmp_path):
    asked = {"steps": 1, "methods": {"vp": {}}, "precision": "bfloat16"}
    run(tmp_path / "learned", tmp_path / "store", **asked)
    run(
        tmp_path / "exact",
        tmp_path / "store",
        **asked,
        evaluate={"precision": "mixed", "examples": 0},
    )
    learned, exact = read(tmp_path / "learned"), read(tmp_path / "exact")
    assert (learned.precision, exact.precision) == ("bfloat16", "mixed")
    assert "All models were judged with their weights in bfloat16." in learned.notes
    assert any("but for their eyes" in note for note in exact.notes)
    assert len(list((tmp_path / "store/scores").iterdir())) == 2 * 4


def test_a_broken_checkpoint_stops_and_says_what_to_do(tmp_path):
    events = study(
        parse(StudyConfig, {**SMALL, "checkpoint_every": 1}, "test"), tmp_path / "run"
    )
    next(event for event in events if event.done == 2)
    events.close()
    (checkpoint,) = (tmp_path / "run/fits").glob("*/checkpoint.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-4] + b"abcd")
    with pytest.raises(
        MatboardError, match=r"is damaged\. Delete it to start this run again"
    ):
        run(tmp_path / "run", checkpoint_every=1)
    checkpoint.unlink()
    run(tmp_path / "run", checkpoint_every=1)
    run(tmp_path / "whole")
    for name in ("vp-s0", "wide-s0"):
        ours = perturbation(tmp_path / "run", name)
        assert np.array_equal(ours, perturbation(tmp_path / "whole", name))


@pytest.fixture
def pictures():
    from PIL import Image

    def draw(folder):
        rng = np.random.default_rng(len(str(folder)) + ord(folder.parent.name[0]))
        for part in ("train", "test"):
            for name in ("cat", "dog"):
                place = folder / part / name
                place.mkdir(parents=True)
                for i in range(3):
                    pixels = rng.integers(0, 255, (16, 16, 3), np.uint8)
                    Image.fromarray(pixels).save(place / f"{i}.png")

    return draw


def test_a_prompt_needs_a_name_of_its_own():
    with pytest.raises(ConfigError, match="cannot be a variant's name"):
        parse(StudyConfig, {**SMALL, "methods": {"a b": {"method": "vp"}}}, "test")
