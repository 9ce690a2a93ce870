"""How far a study of pixel prompts is: its plan says which fits it has, their logs and what they
left how far each is.
"""

from __future__ import annotations

from collections.abc import Iterator

from matboard.report.run_folder import RunFolder
from matboard.report.words import join, plural
from matboard.results import PlannedFit
from matboard.runs import CONFIG, Run

UNFINISHED = "This run has no results yet: results.json appears when its evaluation has finished."


def so_far_words(run: RunFolder) -> str:
    """One sentence on where an unfinished run stands."""
    if not run.fits:
        return UNFINISHED
    return f"This run is unfinished: {join(list(_parts(run)))}."


def _parts(run: RunFolder) -> Iterator[str]:
    """What is finished, each fit that was begun, how many were not."""
    left = [fit for fit in run.fits if fit.name not in run.outcomes]
    finished = len(run.fits) - len(left)
    verb = "is" if finished == 1 else "are"
    yield f"{finished} of {plural(len(run.fits), 'fit')} {verb} finished"
    if not left:
        yield "what is left is judging"
    begun = [fit for fit in left if (run.folder / fit.folder / CONFIG).exists()]
    yield from (_step_words(run, fit) for fit in begun)
    if waiting := len(left) - len(begun):
        verb = "has" if waiting == 1 else "have"
        yield f"{plural(waiting, 'fit')} {verb} not begun"


def _step_words(run: RunFolder, fit: PlannedFit) -> str:
    """``tvp-s0 has logged step 40 of at most 200``."""
    last = max((row.step for row in run.steps if row.run == fit.name), default=0)
    most = Run(run.folder / fit.folder).config().get("steps")
    of = f" of at most {most}" if most else ""
    return f"{fit.name} has logged step {last}{of}"
