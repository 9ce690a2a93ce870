"""Studies whose prompts differ by task and by model: each is judged where it was learned for."""

import json

import pytest

from matboard.errors import ConfigError
from matboard.prompts.artifact import load_prompt
from matboard.results import TransferResults, read
from matboard.results.transfer import TARGETS
from matboard.studies import planning
from matboard.studies.config import StudyConfig
from matboard.studies.prompts import study
from matboard.studies.reading import parse
from matboard.tasks import load_task
from matboard.transfer.evaluate import evaluate
from matboard.zoo import load_model

NOISE = "scenes-recognition/noise"
COUNTING = "scenes-counting/clutter"
SMALL = {
    "sources": ["tiny-minigpt4"],
    "task": {"train": 8, "test": 10},
    "tasks": [NOISE, COUNTING],
    "methods": {"vp": {"lr": 100.0}, "wide": {"method": "evp"}},
    "itself": "wide",
    "prompt": {"size": 48, "width": 6},
    "seeds": [1, 0],
    "steps": 1,
    "batch_size": 4,
    "evaluate": {"models": ["tiny-bliva"], "examples": 1},
}


def run(folder, **changed):
    config = parse(StudyConfig, {**SMALL, **changed}, "test")
    events = list(study(config, folder))
    results = read(folder)
    assert isinstance(results, TransferResults)
    return results, events


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("own") / "run"


@pytest.fixture(scope="module")
def results(folder):
    return run(folder)[0]


def alone(folder, facts, model, task):
    """What a prompt scores when it is judged by itself."""
    prompt = load_prompt(folder / facts.folder)
    found = evaluate(
        prompt, load_model(model), load_task(task, train=8, test=10), sources=["other"]
    )
    return next(c.value for c in found.results().cells if c.condition == "prompt")


def test_each_task_has_prompts_of_its_own_and_a_column_a_variant(folder, results):
    assert [task.name for task in results.tasks] == [NOISE, COUNTING]
    names = [c.name for c in results.methods]
    assert names == ["vp", "wide"]
    learned = {(p.condition, p.task, p.seed): p for p in results.prompts if not p.model}
    assert len(learned) == 2 * 2 * 2
    cells = results.by_place("ranking")
    for model in ("tiny-minigpt4", "tiny-bliva"):
        for task in (NOISE, COUNTING):
            expected = [
                alone(folder, learned["vp", task, seed], model, task) for seed in (1, 0)
            ]
            assert cells[model, task, "vp"].seeds == tuple(expected)
    one, other = (
        load_prompt(folder / learned["vp", t, 0].folder) for t in SMALL["tasks"]
    )
    assert one.config["task"] == NOISE and other.config["task"] == COUNTING
    assert (one.perturbation != other.perturbation).any()


def test_a_prompts_card_names_only_the_task_that_it_was_learned_for(folder, results):
    for facts in results.prompts:
        told = load_prompt(folder / facts.folder).config["scores"]
        assert {one["task"] for one in told} == {facts.task}
        if facts.model is not None:
            assert [(one["model"], one["learned_on"]) for one in told] == [
                (facts.model, True)
            ]


def test_what_models_learn_of_themselves_is_a_bound_and_makes_no_sources(
    folder, results
):
    (bound,) = results.bounds
    assert (bound.label, bound.method, bound.seeds) == (
        "wide learned on itself",
        "evp",
        (1,),
    )
    assert results.sources == ("tiny-minigpt4",)
    assert [model.name for model in results.group("source")] == ["tiny-minigpt4"]
    assert sum(len(results.group(group)) for group in TARGETS) == 1
    own = [p for p in results.prompts if p.model == "tiny-bliva"]
    assert [p.run for p in own] == [
        "itself@tiny-bliva,scenes-recognition-noise-s1",
        "itself@tiny-bliva,scenes-counting-clutter-s1",
    ]
    cells = results.by_place("ranking")
    for facts in own:
        cell = cells["tiny-bliva", facts.task, "itself"]
        assert cell.seeds == (alone(folder, facts, "tiny-bliva", facts.task),)
        record = json.loads((folder / facts.folder / "prompt_config.json").read_text())
        assert [source["model"] for source in record["sources"]] == ["tiny-bliva"]


def test_on_the_source_the_bound_is_the_variants_own_prompt(folder, results):
    plan = json.loads((folder / "plan.json").read_text())
    folders = {fit["name"]: fit["folder"] for fit in plan["fits"]}
    for ending in ("scenes-recognition-noise-s1", "scenes-counting-clutter-s1"):
        own = folders[f"itself@tiny-minigpt4,{ending}"]
        assert own == folders[f"wide@{ending}"]
        assert (folder / own / "results.json").exists()
    cells = results.by_place("ranking")
    for task in (NOISE, COUNTING):
        bound = cells["tiny-minigpt4", task, "itself"]
        assert bound.value == cells["tiny-minigpt4", task, "wide"].seeds[0]


def test_a_model_that_cannot_be_learned_on_is_left_out_and_said(tmp_path, monkeypatch):
    def refused(fit):
        return "it hears." if fit.variant.where.model == "tiny-bliva" else None

    monkeypatch.setattr(planning, "_refusal", refused)
    results, _ = run(tmp_path / "run", tasks=[NOISE], seeds=[0])
    assert "tiny-bliva has no row “learned on itself”: it hears." in results.notes
    cells = results.by_place("ranking")
    assert ("tiny-bliva", NOISE, "itself") not in cells
    assert ("tiny-minigpt4", NOISE, "itself") in cells


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"itself": "tvp"}, "itself is 'tvp', which is none of the methods: vp, wide"),
        ({"evaluate": {"tasks": [{"name": NOISE}]}}, "so evaluate.tasks says nothing"),
        (
            {"methods": {"wide": {"method": "vp", "task.name": "scenes-counting"}}},
            "wide's task.name is 'scenes-counting', but prompts are learned on each of tasks",
        ),
        ({"task": {"name": "scenes-presence"}}, "task.name is 'scenes-presence', but"),
        ({"tasks": [NOISE, NOISE]}, "tasks names 'scenes-recognition/noise' twice"),
        ({"methods": {"itself": {"method": "vp"}}}, "cannot be called 'itself'"),
    ],
)
def test_what_does_not_fit_together_is_refused(changed, sentence):
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, {**SMALL, **changed}, "test")
    assert sentence in str(caught.value)
