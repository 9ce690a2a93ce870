"""Choose a prompt by what a model said elsewhere: its owner gets pictures and brings predictions.
The same pictures in the same order give the decision that asking the model gives. No torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matboard.runs import Run, address
from matboard.studies.choose.candidates import load_candidates
from matboard.studies.choose.choice import (
    Asked,
    choice_results,
    draw_samples,
    write_choice,
)
from matboard.studies.engine import already_made
from matboard.studies.predictions import Predictions, read_predictions, write_pictures
from matboard.studies.progress import Progress
from matboard.tasks import load_task
from matboard.transfer.choose import NONE, Halving, Round, drawn


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
    config = asked.config(prompts=list(prompts), task=task, predictions=names)
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


def _looked_up(
    found: Predictions, asked: Round, ids: Sequence[str]
) -> Mapping[str, NDArray[np.bool_]]:
    part = ids[asked.start : asked.stop]
    right = {}
    for name in (NONE, *asked.candidates):
        right[name] = np.array([found.right[name][id] for id in part])
    return right
