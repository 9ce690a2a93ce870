"""What models said, sample by sample: files for people, made of the scores that a finished
study has kept. Who does not ask for them pays nothing.

One file a judged cell (model · task · condition · scorer), ``TASK/MODEL/CONDITION-SCORER.jsonl``,
one line a sample and seed:

    id, question, answer       of the sample; ``accepted``: other answers that count as right
    seed                       of the condition's prompt; null where there is nothing random
    said                       the likeliest candidate, or the generated text
    right                      1 or 0; a share where candidates tie, or where people disagreed (VQA)
    unparsable                 whether a generated text names no candidate
    scores                     of a ranking: candidate → log-likelihood, as it was ranked. Where
                               several answers count as right, the best of theirs stands at
                               ``answer``, and the others are null
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matboard import metrics
from matboard.errors import RunError
from matboard.results import read
from matboard.results.transfer import Cell
from matboard.runs import Run, write_atomically
from matboard.studies.finished import Finished
from matboard.studies.judging import FolderStore
from matboard.studies.progress import Progress
from matboard.studies.variants import UNSAFE
from matboard.tasks.task import Sample, Task
from matboard.transfer.table import VERDICTS, Scored

FOLDER = "predictions"
COLUMNS = (
    "id",
    "question",
    "answer",
    "accepted",
    "seed",
    "said",
    "right",
    "unparsable",
    "scores",
)

INSTEAD = {
    "choice": (
        "a choice, which asks about ever fewer prompts; judge them all on the same samples:"
        " matboard evaluate PROMPT… --models MODEL --tasks TASK"
    ),
    "search": (
        "a search, whose trials are scored on training samples that are held out; learn and judge"
        " with its best values: matboard fit {run}/best.yaml"
    ),
    "stream": (
        "a study over a stream, whose learners' answers lie in the checkpoints of its fits, from"
        " which matboard compare takes them"
    ),
}
"""Kind of results that have no predictions to be written → what they are, and what to do."""


def write_predictions(
    run: Path, out: Path | None = None, *, as_csv: bool = False
) -> Iterator[Progress]:
    """Write one file a judged cell.

    Args:
        run: a finished study's run folder.
        out: where the files go; ``predictions`` in the run folder where None.
        as_csv: for spreadsheets, instead of JSON lines.

    Raises:
        RunError: there is no finished study of pixel prompts, its scores are gone, or a task is no
            longer what was judged.
    """
    kind = read(run).kind
    if kind in INSTEAD:
        raise RunError(f"{run} holds {INSTEAD[kind].format(run=run)}.")
    study = Finished.read(run)
    tasks = _by_name(study)
    kept = FolderStore(Run(run).store / "scores")
    folder = out or run / FOLDER
    cells = [cell for cell in study.results.cells if cell.failed is None]
    taken: set[Path] = set()
    for number, cell in enumerate(cells, start=1):
        seeds = study.results.condition(cell.condition).seeds
        rows = list(_rows(cell, tasks[cell.task], seeds, kept))
        place = _place(folder, cell, "csv" if as_csv else "jsonl", taken)
        write_atomically(place, (_csv(rows) if as_csv else _jsonl(rows)).encode())
        yield Progress("write", number, len(cells), place.name)


def _by_name(study: Finished) -> dict[str, Task]:
    """The tasks by their names in the results. Raises RunError where one has changed."""
    tasks = {}
    for facts, task in zip(study.results.tasks, study.judged, strict=True):
        if facts.fingerprint and facts.fingerprint != task.test_fingerprint:
            raise RunError(
                f"The test part of {facts.name!r} is no longer what {study.folder} was judged on;"
                " its predictions cannot be told apart by sample. Put the data back, or judge anew"
                " with another --out."
            )
        tasks[facts.name] = task
    return tasks


def _rows(
    cell: Cell, task: Task, seeds: Sequence[int], store: FolderStore
) -> Iterator[dict[str, Any]]:
    if not cell.kept:
        raise RunError(
            "These results do not say where their scores are kept; they were written by an earlier"
            " matboard. Delete results.json and run the same command again: what was judged is"
            " found."
        )
    for place, address in enumerate(cell.kept):
        scored = store.get(address)
        if scored is None:
            raise RunError(
                f"The scores of {cell.model} on {cell.task} are gone: {store.folder} holds no"
                f" {address}.npz. Delete results.json and run the same command again to judge anew."
            )
        seed = seeds[place] if seeds else None
        said = _generated(scored) if scored.texts else _ranked(scored, task.test)
        reasons = scored.reasons or [""] * len(task.test)
        for sample, told, reason in zip(task.test, said, reasons, strict=True):
            if reason:
                told |= {"said": f"(no answer: {reason})", "scores": {}}
            yield {**_facts(sample), "seed": seed, **told}


def _facts(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "question": sample.question,
        "answer": sample.answer,
        "accepted": list(sample.accepted),
    }


def _generated(scored: Scored) -> Iterator[dict[str, Any]]:
    for text, verdict in zip(scored.texts, scored.scores, strict=True):
        shares = dict(zip(VERDICTS, verdict, strict=True))
        silent = bool(shares["unparsable"])
        right = _plain(shares["right"])
        yield {"said": text, "right": right, "unparsable": silent, "scores": {}}


def _ranked(scored: Scored, samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    credit = metrics.credit(scored.scores, scored.labels)
    for sample, scores, right in zip(samples, scored.scores, credit, strict=True):
        told = scores[: len(sample.candidates)]
        numbers = [float(one) if np.isfinite(one) else None for one in told]
        yield {
            "said": sample.candidates[int(told.argmax())],
            "right": _plain(right),
            "unparsable": False,
            "scores": dict(zip(sample.candidates, numbers, strict=True)),
        }


def _plain(share: float) -> int | float:
    return int(share) if share in (0, 1) else float(share)


def _place(folder: Path, cell: Cell, suffix: str, taken: set[Path]) -> Path:
    """The file of a cell; numbered where names differ only in what file names cannot hold."""
    task, model, condition = (
        UNSAFE.sub("-", name) for name in (cell.task, cell.model, cell.condition)
    )
    name = f"{condition}-{cell.scorer}"
    place = folder / task / model / f"{name}.{suffix}"
    number = 1
    while place in taken:
        number += 1
        place = place.with_name(f"{name}-{number}.{suffix}")
    taken.add(place)
    return place


def _jsonl(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    """Accepted answers and scores as JSON within their fields."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        packed = {
            key: json.dumps(row[key], ensure_ascii=False)
            for key in ("accepted", "scores")
        }
        writer.writerow({**row, **packed, "unparsable": int(row["unparsable"])})
    return out.getvalue()
