"""A search: its trials go on after a kill, are shared, pruned and scored, and leave the test part
alone.
"""

import json
import os
import signal
import sys

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from matboard.errors import ConfigError, FitError, RunError
from matboard.results import SearchResults, read
from matboard.runs import Run
from matboard.studies.config import StudyConfig
from matboard.studies.pixel_fit import PixelFit
from matboard.studies.reading import load_config, parse
from matboard.studies.search.ranges import SearchConfig
from matboard.studies.search.searching import SearchOptions, search
from matboard.studies.search.trials import Trials
from matboard.studies.search.tuning import Bench, Course

TRAIN, TEST = 8, 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A task as a folder: red or blue, drawn at random."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for part, count in (("train", TRAIN), ("test", TEST)):
        for channel, name in ((0, "red"), (2, "blue")):
            (root / part / name).mkdir(parents=True)
            for number in range(count // 2):
                pixels = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                file = root / part / name / f"{number}.png"
                Image.fromarray(pixels).save(file)
    return root


@pytest.fixture
def asked(pictures):
    return {
        "title": "colours",
        "sources": ["tiny-minigpt4"],
        "task": {"name": str(pictures)},
        "methods": {"vp": {"diversity": True}},
        "steps": 4,
        "batch_size": 2,
        "validation": {"share": 0.5, "every": 2, "patience": None},
        "checkpoint_every": 1,
        "search": {
            "methods.vp.lr": {"low": 1, "high": 100, "log": True},
            "prompt": {"width": {"low": 10, "high": 50, "step": 10}},
        },
    }


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config(asked, **more):
    return parse(SearchConfig, {**asked, **more}, "")


def in_a_child(work):
    """Start something in a process of its own, which is killed where it raises."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def status_of(child):
    return os.waitpid(child, 0)[1]


def told(folder):
    """Everything that came out but time."""
    said = json.loads((folder / "results.json").read_text())
    for trial in said["trials"]:
        trial.pop("seconds")
    return said


def logged(folder):
    """Steps logged by each fit."""
    logs = sorted((folder / "fits").glob("*/metrics.jsonl"))
    return [log.read_text().count("\n") for log in logs]


def test_a_search_that_was_killed_ends_as_if_it_had_not_been(asked, tmp_path):
    options = SearchOptions(trials=3)
    list(search(config(asked), tmp_path / "whole", options))
    run = tmp_path / "killed"

    def until_the_second_trial_learns():
        for event in search(config(asked), run, options):
            if event.stage == "trial 1" and event.done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

    assert status_of(in_a_child(until_the_second_trial_learns)) == signal.SIGKILL
    assert logged(run) == [4, 3] or logged(run) == [3, 4]
    first = next(event for event in search(config(asked), run, options))
    assert (first.stage, first.done, first.total) == ("search", 1, 3)
    details = [event.detail for event in search(config(asked), run, options)]
    assert "resumed" in details
    assert told(run) == told(tmp_path / "whole") and logged(run) == [4, 4, 4]
    values = [trial["values"]["methods.vp.lr"] for trial in told(run)["trials"]]
    assert len(set(values)) == 3, "no trial is made twice"

    more = SearchOptions(trials=4)
    list(search(config(asked), run, more))
    assert told(run)["trials"][:3] == told(tmp_path / "whole")["trials"]
    assert len(told(run)["trials"]) == 4


def test_workers_share_a_search_and_the_test_part_stays_out(asked, pictures, tmp_path):
    run = tmp_path / "run"

    def work(worker):
        opened = set()

        def notice(event, arguments):
            if event == "open":
                opened.add(str(arguments[0]))

        sys.addaudithook(notice)
        list(search(config(asked), run, SearchOptions(trials=4)))
        for part in ("train", "test"):
            read_of = [f for f in opened if f.startswith(str(pictures / part))]
            (tmp_path / f"{worker}-{part}").write_text(str(len(read_of)))

    children = [in_a_child(lambda worker=worker: work(worker)) for worker in "ab"]
    assert [status_of(child) for child in children] == [0, 0]
    results = read(run)
    assert [trial.state for trial in results.trials] == ["complete"] * 4
    assert logged(run) == [4] * 4, "a fit that was made twice logs its steps twice"
    for worker in "ab":
        assert int((tmp_path / f"{worker}-train").read_text()) == TRAIN
        # the reader sees that the one sample can be read that a task must have
        assert int((tmp_path / f"{worker}-test").read_text()) <= 1


def test_the_best_values_make_a_study(asked, tmp_path):
    run = tmp_path / "run"
    found = config(asked)
    list(search(found, run, SearchOptions(trials=2, pruner="none")))
    results = read(run)
    assert isinstance(results, SearchResults) and results.scored == "best"
    scores = [trial.score for trial in results.trials]
    assert results.best_trial.score == max(scores)
    best = load_config(run / "best.yaml", [], StudyConfig)
    assert best.asked == found.with_values(results.best_trial.values).asked
    assert best.methods["vp"]["lr"] == results.best_trial.values["methods.vp.lr"]
    assert set(yaml.safe_load((run / "best.yaml").read_text())) == set(asked) - {
        "search"
    } | {"prompt"}
    (fit,) = Bench(found, run).fits(results.best_trial.values)
    assert fit.finished and fit.results().best_score == results.best_trial.score


def logged_fit(bench, values, scores, start=None):
    """A fit whose validation scores stand in its log, after steps 2, 4, …"""
    (fit,) = bench.fits(values)
    run = Run.open(fit.run.folder, fit.content)
    for number, score in enumerate(scores):
        row = {"step": 2 * (number + 1), "validation": {"tiny-minigpt4": score}}
        if start is not None and number == 0:
            row["references"] = {"start": {"tiny-minigpt4": start}}
        run.log(row)
    return fit


@pytest.fixture
def trials(asked, tmp_path):
    """Of a search in which nothing was tried, pruned below the median."""
    found = config(asked)
    run = Run.open(tmp_path / "run", found.asked)
    return Trials(
        run,
        "test",
        found.search,
        storage=f"sqlite:///{tmp_path / 'trials.db'}",
        seed=0,
        pruner="median",
        limit=20,
    )


def test_a_trial_below_the_median_is_given_up(asked, trials, tmp_path):
    """After (0.2, 0.4, 0.5, 0.6, 0.8) at step 2, whose median is 0.5."""
    bench = Bench(config(asked), tmp_path / "run")
    for score in (0.2, 0.4, 0.5, 0.6, 0.8):
        taken = trials.take()
        fit = logged_fit(bench, taken.values, [score, 0.9])
        course = Course(taken, fit, True, (), 0)
        assert not course.lies_behind()
        trials.tell(taken, course.score)
        taken.lease.release()
    for score, behind in ((0.49, True), (0.51, False)):
        taken = trials.take()
        fit = logged_fit(bench, taken.values, [score])
        assert Course(taken, fit, True, (), 0).lies_behind() is behind
        trials.tell(taken, None if behind else score)
        taken.lease.release()
    states = [trial.state.name for trial in trials.all()]
    assert states == ["COMPLETE"] * 5 + ["PRUNED", "COMPLETE"]


@pytest.mark.parametrize(
    ("keeps_best", "expected"),
    [(True, {6: 0.5, 8: 0.5, 10: 0.55}), (False, {6: 0.45, 8: 0.4, 10: 0.55})],
)
def test_scores_on_the_way(asked, trials, tmp_path, keeps_best, expected):
    """The second fit of a trial, after one of 4 steps that scored 0.5; by hand: the mean of 0.5 and
    what counts of start 0.5, then 0.4, 0.3, 0.6.
    """
    bench = Bench(config(asked), tmp_path / "run")
    taken = trials.take()
    fit = logged_fit(bench, taken.values, [0.4, 0.3, 0.6], start=0.5)
    course = Course(taken, fit, keeps_best, (0.5,), 4)
    course.lies_behind()
    course.lies_behind()
    (trial,) = trials.all()
    assert trial.intermediate_values == pytest.approx(expected)
    assert course.score == 0.6


def test_what_cannot_be_learned_fails_its_trial_alone(asked, tmp_path, monkeypatch):
    def fail(self, run, checkpoint):
        raise FitError("None of the steps changed the prompt.")
        yield

    monkeypatch.setattr(PixelFit, "learn", fail)
    with pytest.raises(RunError, match="None of 2 trials was learned to its end"):
        list(search(config(asked), tmp_path / "run", SearchOptions(trials=2)))


def test_without_validation_the_last_prompt_counts(asked):
    del asked["validation"]
    found = config(asked)
    tuned = found.tuned(next(iter(found.ends)))
    assert tuned.scored == "last"
    assert tuned.variant.settings.validation["patience"] is None
    assert "validation" not in found.best({})


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"search": {}}, "search: "),
        (
            {"search": {"methods.vp.lrr": {"low": 1, "high": 2}}},
            "unknown key 'methods.vp.lrr', did you mean 'lr'?",
        ),
        (
            {"search": {"methods.vpp.lr": {"low": 1, "high": 2}}},
            "Unknown method 'vpp'. Did you mean 'vp'?",
        ),
        (
            {"search": {"methods.evp.lr": {"low": 1, "high": 2}}},
            "a search tunes one variant, but the study has 2: vp, evp",
        ),
        (
            {"search": {"evaluate.batch_size": {"values": [1, 2]}}},
            "'evaluate.batch_size', which does not change how a prompt is learned",
        ),
        (
            {"search": {"lr": {"low": -1, "high": 2}}},
            "lr: expected more than 0, came -1",
        ),
        ({"search": {"lr": {"low": 2, "high": 1}}}, "low is 2, which is not below"),
        ({"search": {"lr": {"low": 0, "high": 1, "log": True}}}, "a low above 0"),
        ({"search": {"lr": {"low": 1}}}, "give low and high, or values"),
        (
            {"search": {"lr": {"low": 1, "high": 3, "stepp": 1}}},
            "unknown key 'search.lr.stepp', did you mean 'step'?",
        ),
        ({"search": {"lr": 3}}, "search.lr: "),
        ({"itself": "vp"}, "leave out itself"),
    ],
)
def test_a_search_that_cannot_be_made_is_a_sentence(asked, more, sentence):
    with pytest.raises(ConfigError) as error:
        config(asked, **more)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("storage", "sentence"),
    [
        ("nonsense", "storage of trials cannot be opened"),
        ("nonsense://", "storage of trials cannot be opened"),
        ("sqlite:////nowhere/trials.db", "storage of trials cannot be opened"),
        ("mssql+pymssql://me:secret@localhost/trials", "needs a driver that is not"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_a_sentence(
    storage, sentence, asked, tmp_path
):
    options = SearchOptions(trials=1, storage=storage)
    with pytest.raises(ConfigError, match=sentence) as e:
        list(search(config(asked), tmp_path / "run", options))
    assert "secret" not in str(e.value)


def test_an_unknown_pruner_is_a_sentence(asked, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'median'"):
        list(search(config(asked), tmp_path / "run", SearchOptions(pruner="medain")))
