"""Choose one of several prompts for a model, or none, by asking it about labelled pictures."""

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
from matboard.studies.choose.candidates import Candidates, load_candidates
from matboard.studies.choose.choice import (
    PICTURES,
    Asked,
    choice_results,
    draw_samples,
    write_choice,
)
from matboard.studies.config import ModelConfig
from matboard.studies.engine import Executor, Together, already_made
from matboard.studies.judging import FolderStore, JudgedUnit
from matboard.studies.loading import Models, with_options
from matboard.studies.progress import Progress
from matboard.tasks import load_task
from matboard.tasks.task import Sample, Task
from matboard.transfer.choose import NONE, Halving, Round, right_or_wrong
from matboard.transfer.evaluate import ABILITIES, Judged, check_tasks, judge
from matboard.transfer.table import Scored

Right = Mapping[str, NDArray[np.bool_]]


def choose(
    prompts: Sequence[str],
    model: str,
    task: str,
    out: Path,
    asked: Asked | None = None,
    *,
    scorer: str | None = None,
    batch_size: int = 32,
    options: ModelConfig | None = None,
) -> Iterator[Progress]:
    """Ask the model, round after round, and write a run folder with the decision; the winner's copy
    lies in its ``prompt``. What was asked is kept, and not asked again.

    Args:
        prompts: see `load_candidates`.
        scorer: how answers are read; None: ranking where the model ranks and there are candidates.
        options: what the model is loaded with.

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
    models = Models(with_options({}, [model], options or ModelConfig()))
    models.look_up([model], [])
    config = asked.config(prompts=list(prompts), model=model, task=task)
    run = Run.open(out, config | {"scorer": scorer})
    made_from = address([config, scorer, candidates.content, _asking(whole, samples)])
    if already_made(run, made_from):
        yield Progress("choose", 1, 1, "found")
        return
    loaded = next(models.judged([model], "float32"))
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
        executor = Together(self.run.folder)
        number = 0
        while halving.round is not None:
            number += 1
            right = yield from self._round(halving.round, number, executor)
            halving.tell(right)

    def _round(
        self, asked: Round, number: int, executor: Executor
    ) -> Generator[Progress, None, Right]:
        """One round: in pieces of a batch, each kept as it comes. A picture that a closed model was
        silent about, in whichever way it was shown, speaks for no prompt and against none.
        """
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
        silent = np.zeros(len(part), dtype=np.bool_)
        for name, own in pieces.items():
            scored = [judge(piece.unit, store, self.batch_size) for piece in own]
            credits = [credit(each.scores, each.labels) for each in scored]
            right[name] = right_or_wrong(np.concatenate(credits), ids)
            silent |= np.concatenate([_silent(each) for each in scored])
        return {name: found & ~silent for name, found in right.items()}

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


def _silent(scored: Scored) -> NDArray[np.bool_]:
    """Which samples have no answer."""
    reasons = scored.reasons or [""] * len(scored.labels)
    return np.array([bool(one) for one in reasons])


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
