"""Several runs side by side: the cells that they have in common, paired where samples agree.

What a run learned is compared with what has the same name in the first run; what has no namesake
there, with everything that the first run learned. A single run's prompts are compared with its
first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from matboard.errors import RunError
from matboard.results import StreamResults, TransferResults, read
from matboard.results.comparison import ComparedRow, RunComparison
from matboard.studies.choose.candidates import names_of
from matboard.studies.compare.comparable import Comparable
from matboard.studies.compare.streams import StreamRun
from matboard.studies.compare.transfer import TransferRun

One = TypeVar("One", bound=Comparable)


def compare(folders: Sequence[Path]) -> RunComparison:
    """Compare finished runs of one kind, studies of prompts or of streams.

    Args:
        folders: of the runs; the others are compared with the first.

    Raises:
        RunError: a run is not finished or of another kind, stands there twice, or they have nothing
            in common.
    """
    places = [folder.resolve() for folder in folders]
    for place, folder in enumerate(places):
        if folder in places[:place]:
            raise RunError(f"The run {folders[place]} was given twice; name it once.")
    names = names_of([str(folder) for folder in folders])
    prompts: list[TransferRun] = []
    streams: list[StreamRun] = []
    for name, folder in zip(names, folders, strict=True):
        results = read(folder)
        if isinstance(results, TransferResults):
            prompts.append(TransferRun(name, folder, results))
        elif isinstance(results, StreamResults):
            streams.append(StreamRun(name, folder, results))
        else:
            raise RunError(
                f"{folder} holds a {results.kind}, which has no table; expected the run folders of"
                " fit, evaluate, continual or demo."
            )
    if prompts and streams:
        raise RunError(
            f"{prompts[0].name} is a study of prompts and {streams[0].name} one of a stream; they"
            " measure different things. Compare runs of one kind."
        )
    return _compared(prompts) if prompts else _compared(streams)


def _compared(runs: Sequence[One]) -> RunComparison:
    first = runs[0]
    rows: list[ComparedRow] = []
    for condition, others in _pairs(runs).items():
        rows += first.rows(condition, others)
    if not rows:
        held = "; ".join(f"{run.name} has {run.held}" for run in runs)
        raise RunError(
            f"{first.name} has nothing in common with the other runs: no model was judged on one"
            f" task in both. {held}."
        )
    notes = [note for run in runs[1:] for note in first.notes(run)]
    names = tuple(run.name for run in runs)
    return RunComparison(runs=names, rows=tuple(rows), notes=tuple(notes))


def _pairs(runs: Sequence[One]) -> Mapping[str, list[tuple[One, str]]]:
    """Condition of the first run → the runs and conditions that are compared with it."""
    first, *others = runs
    if not others and len(first.conditions) == 1:
        raise RunError(
            f"{first.name} holds one condition, {first.conditions[0]!r}, and there is nothing to"
            " compare it with; give another run."
        )
    if not others:
        name, *more = first.conditions
        return {name: [(first, other) for other in more]}
    pairs: dict[str, list[tuple[One, str]]] = {name: [] for name in first.conditions}
    for run in others:
        for name in run.conditions:
            for against in [name] if name in pairs else list(pairs):
                pairs[against].append((run, name))
    return pairs
