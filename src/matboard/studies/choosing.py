"""Choose one of several prompts for a model, or none: by asking the model, or from predictions that
its owner brings. Either way the same pictures in the same order give the same decision.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matboard.errors import UnknownName
from matboard.metrics import credit
from matboard.models.capabilities import FrozenModel, Ranks, require
from matboard.results.transfer import SCORERS, Scorer
from matboard.runs import Run, address
from matboard.studies.candidates import Candidates, load_candidates
from matboard.studies.choice_results import choice_results, write_choice
from matboard.studies.engine import Executor, Together, already_made
from matboard.studies.judging import FolderStore, JudgedUnit
from matboard.studies.loading import Models, look_up
from matboard.studies.predictions import Predictions, read_predictions, write_pictures
from matboard.studies.progress import Progress
from matboard.tasks import load_task
from matboard.tasks.task import Sample, Task
from matboard.transfer.choose import NONE, Halving, Round, drawn, right_or_wrong
from matboard.transfer.evaluate import ABILITIES, Judged, check_tasks, judge

PICTURES = 60
"""A few dozen: enough to show a gain of 0.2 among four prompts (benchmarks/choosing.py)."""

Right = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Asked:
    """What a choice is made for.

    Attributes:
        pictures: how many labelled ones are drawn; None: `PICTURES`, and of predictions all.
        rate: how often, at most, a prompt may be used that is no better than none.
        seed: of the lot that draws pictures.
        every_part: whether a task's training part is drawn from too.
    """

    pictures: int | None = None
    rate: float = 0.05
    seed: int = 0
    every_part: bool = False


def choose(
    prompts: Sequence[str],
    model: str,
    task: str,
    out: Path,
    asked: Asked | None = None,
    *,
    scorer: str | None = None,
    batch_size: int = 32,
) -> Iterator[Progress]:
    """Ask the model, round after round, and write a run folder with the decision; the winner's copy
    lies in its ``prompt``. What was asked is kept, and not asked again.

    Args:
        prompts: see `load_candidates`.
        scorer: how answers are read; None: ranking where the model ranks and there are candidates.

    Raises:
        InputError: whatever cannot be had, before anything heavy starts.
    """
    started = time.perf_counter()
    asked = asked or Asked()
    wanted = _known_scorer(scorer)
    candidates = load_candidates(prompts)
    whole = load_task(task)
    samples = draw_samples(whole, asked)
    halving = Halving(candidates.names, len(samples), asked.rate)
    look_up([model], [])
    config = _config(asked, prompts=list(prompts), model=model, task=task)
    run = Run.open(out, config | {"scorer": scorer})
    made_from = address([config, scorer, candidates.content, _asking(whole, samples)])
    if already_made(run, made_from):
        yield Progress("choose", 1, 1, "found")
        return
    loaded = next(Models().judged([model], "float32"))
    used = wanted or _scorer(loaded, samples)
    require(loaded, ABILITIES[used], doing=f"judging by {used}")
    check_tasks([_part(whole, samples)], [used])
    asking = Asking(run, loaded, whole, samples, candidates, used, batch_size)
    yield from asking.carry_out(halving)
    decided = choice_results(halving, candidates).model_copy(
        update={
            "model": model,
            "task": whole.name,
            "metric": whole.metric,
            "scorer": used,
            "notes": (*candidates.notes, *_notes(whole, asked, len(samples))),
            "seconds": round(time.perf_counter() - started, 1),
            "made_from": made_from,
        }
    )
    write_choice(run, decided, candidates)
    yield Progress("write", 1, 1)


def choose_stored(
    files: Sequence[Path],
    out: Path,
    asked: Asked | None = None,
    *,
    prompts: Sequence[str] = (),
    task: str | None = None,
) -> Iterator[Progress]:
    """The same from predictions that are there for every prompt and picture.

    Args:
        files: see `read_predictions`.
        prompts: what the predictions were made with, for the winner's copy.
        task: where the right answers stand, if the files hold answers.

    Raises:
        InputError: the files are no such predictions.
    """
    started = time.perf_counter()
    asked = asked or Asked()
    candidates = load_candidates(prompts) if prompts else None
    loaded = load_task(task) if task else None
    found = read_predictions(files, loaded, candidates.names if candidates else None)
    ids = drawn(found.ids, asked.pictures or len(found.ids), asked.seed)
    halving = Halving(found.names, len(ids), asked.rate)
    names = [file.name for file in files]
    config = _config(asked, prompts=list(prompts), task=task, predictions=names)
    run = Run.open(out, config)
    made_from = address([config, found.content])
    if already_made(run, made_from):
        yield Progress("choose", 1, 1, "found")
        return
    while halving.round is not None:
        halving.tell(_looked_up(found, halving.round, ids))
    decided = choice_results(halving, candidates).model_copy(
        update={
            "task": loaded.name if loaded else "",
            "notes": candidates.notes if candidates else (),
            "seconds": round(time.perf_counter() - started, 1),
            "made_from": made_from,
        }
    )
    write_choice(run, decided, candidates)
    yield Progress("write", 1, 1)


def write_out(
    prompts: Sequence[str], task: str, out: Path, asked: Asked | None = None
) -> Iterator[Progress]:
    """Write the labelled pictures in every way they would be shown, for the owner of a model. The
    folder has no right answers in it. Raises like `choose`.
    """
    asked = asked or Asked()
    candidates = load_candidates(prompts)
    samples = draw_samples(load_task(task), asked)
    Halving(candidates.names, len(samples), asked.rate)
    yield from write_pictures(candidates, samples, out)


@dataclass(frozen=True)
class Asking:
    """A model that is asked about pictures, shown in several ways.

    Attributes:
        samples: the labelled pictures, in the order they are asked about.
    """

    run: Run
    model: FrozenModel
    task: Task
    samples: Sequence[Sample]
    candidates: Candidates
    scorer: Scorer
    batch_size: int

    def carry_out(self, halving: Halving) -> Iterator[Progress]:
        """Ask until the choice is made."""
        executor = Together(self.run.path(".locks"))
        number = 0
        while halving.round is not None:
            number += 1
            right = yield from self._round(halving.round, number, executor)
            halving.tell(right)

    def _round(
        self, asked: Round, number: int, executor: Executor
    ) -> Generator[Progress, None, Right]:
        """One round: in pieces of a batch, each kept as it comes."""
        store = FolderStore(self.run.path("scores"))
        part = self.samples[asked.start : asked.stop]
        pieces = {}
        for name in (NONE, *asked.candidates):
            pieces[name] = self._pieces(name, part, store)
        everything = [piece for own in pieces.values() for piece in own]
        done = 0
        stage = f"round {number}"
        yield Progress(stage, 0, len(everything))
        for event in executor.run(everything):
            done += event.done == event.total
            yield Progress(stage, done, len(everything), event.detail)
        yield Progress(stage, len(everything), len(everything))
        ids = [sample.id for sample in part]
        right = {}
        for name, own in pieces.items():
            scored = [judge(piece.unit, store, self.batch_size) for piece in own]
            credits = [credit(each.scores, each.labels) for each in scored]
            right[name] = right_or_wrong(np.concatenate(credits), ids)
        return right

    def _pieces(
        self, name: str, part: Sequence[Sample], store: FolderStore
    ) -> list[JudgedUnit]:
        showing = self.candidates.shown[name]
        pieces = []
        for start in range(0, len(part), self.batch_size):
            task = _part(self.task, part[start : start + self.batch_size])
            unit = Judged(self.model, task, showing, 0, self.scorer)
            pieces.append(JudgedUnit(unit, store, self.batch_size))
        return pieces


def draw_samples(task: Task, asked: Asked) -> list[Sample]:
    """The labelled pictures that a choice goes by, in their order: drawn by lot from the test
    part, which no prompt was learned from; from the training part too where that is asked for.
    """
    samples = (*task.train, *task.test) if asked.every_part else task.test
    by_id = {sample.id: sample for sample in samples}
    ids = drawn(by_id, asked.pictures or PICTURES, asked.seed)
    return [by_id[id] for id in ids]


def _part(task: Task, samples: Sequence[Sample]) -> Task:
    """The task with these samples to be judged by."""
    taken = {sample.id for sample in samples}
    others = (one for one in (*task.train, *task.test) if one.id not in taken)
    return replace(task, train=tuple(others), test=tuple(samples))


def _asking(task: Task, samples: Sequence[Sample]) -> str:
    return _part(task, samples).test_fingerprint


def _known_scorer(name: str | None) -> Scorer | None:
    found = next((scorer for scorer in SCORERS if scorer == name), None)
    if name is not None and found is None:
        raise UnknownName("scorer", name, SCORERS)
    return found


def _scorer(model: FrozenModel, samples: Sequence[Sample]) -> Scorer:
    can_rank = isinstance(model, Ranks) and all(one.candidates for one in samples)
    return "ranking" if can_rank else "generation"


def _looked_up(found: Predictions, asked: Round, ids: Sequence[str]) -> Right:
    part = ids[asked.start : asked.stop]
    right = {}
    for name in (NONE, *asked.candidates):
        right[name] = np.array([found.right[name][id] for id in part])
    return right


def _notes(task: Task, asked: Asked, count: int) -> Iterator[str]:
    wanted = asked.pictures or PICTURES
    if count < wanted:
        more = "" if asked.every_part else "; its training part was left alone"
        yield f"{task.name} has {count} pictures to draw from, not {wanted}{more}."
    if task.metric != "accuracy":
        yield (
            f"{task.name} is scored by {task.metric}, which no single picture has: prompts were"
            " compared by right and wrong answers."
        )
    yield from task.notes


def _config(asked: Asked, **more: object) -> dict[str, object]:
    return {
        **more,
        "pictures": asked.pictures,
        "error_rate": asked.rate,
        "seed": asked.seed,
        "every_part": asked.every_part,
    }
