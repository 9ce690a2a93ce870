"""Record tiny runs for the report's tests: made by the studies themselves, never by hand.

Run it from the repository's root after a change to what a run writes::

    python tests/recorded/record.py

It learns for seconds, so its numbers say nothing of any method. Only what a report reads is kept:
text and small pictures.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

from matboard.studies.choose.choice import Asked
from matboard.studies.choose.choosing import choose
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.progress import Progress
from matboard.studies.prompts import study
from matboard.studies.reading import parse
from matboard.studies.streams import continual

HERE = Path(__file__).parent
OF_FITS = ("config.yaml", "environment.json")
"""Not kept of fits: no report reads them."""
KEPT = ("*.json", "*.jsonl", "*.yaml", "*.csv", "*.png")

TRANSFER = {
    "title": "Two widths, recorded",
    "sources": ["tiny-minigpt4"],
    "guide": "tiny-guide",
    "task": {"name": "scenes-recognition", "train": 16, "test": 20},
    "prompt": {"size": 48, "width": 6},
    "methods": {
        "vp": {},
        "tvp": {},
        "wide": {
            "method": "tvp",
            "prompt.width": 12,
            "validation": {"share": 0.5, "every": 1, "patience": None},
        },
    },
    "itself": "tvp",
    "seeds": [0, 1],
    "steps": 4,
    "batch_size": 4,
    "diagnose_every": 2,
    "evaluate": {
        "models": ["tiny-blip2", "tiny-bliva"],
        "scorers": ["ranking", "generation"],
        "examples": 2,
    },
}
_ALL = {"size": 2, "top_k": 2}
"""Every prompt is always chosen: its shuffles, all zero, take little room."""
STREAM = {
    "title": "Two tasks, recorded",
    "task": {"name": "scenes-recognition", "train": 60, "test": 40},
    "stream": {"tasks": 2},
    "backbone": {"model": "tiny-vit"},
    "seeds": [0, 1],
    "reference": "l2p",
    "training": {"epochs": 1, "lr": 0.02, "augment": False},
    "learners": {
        "l2p": {"size": 4, "top_k": 2, "length": 2},
        "images": {
            "learner": "image-prompt",
            "side": 20,
            "size": 4,
            "top_k": 2,
            "selection": "batchwise",
        },
        "lwf-0": {"learner": "generator-pool-lwf", "distillation": 0.0, **_ALL},
        "lwf-1": {"learner": "generator-pool-lwf", "distillation": 1.0, **_ALL},
        "fine-tune": {},
        "ridge": {},
    },
}
CHOICE = {
    "prompts": ["transfer"],
    "model": "tiny-bliva",
    "task": "scenes-recognition",
    "asked": Asked(pictures=24),
}


def record(folder: Path) -> None:
    """Run both studies in ``folder``, and choose among what the first has learned."""
    for event in study(parse(StudyConfig, TRANSFER, "transfer"), folder / "transfer"):
        _show(event)
    for event in continual(parse(ContinualConfig, STREAM, "stream"), folder / "stream"):
        _show(event)
    with contextlib.chdir(folder):  # so that no path of this machine is recorded
        for event in choose(out=Path("choice"), **CHOICE):
            _show(event)


def keep(folder: Path, target: Path) -> None:
    """Copy what a report reads, without what is the machine's."""
    for pattern in KEPT:
        for file in sorted(folder.rglob(pattern)):
            place = target / file.relative_to(folder)
            if file.name in OF_FITS and "fits" in place.parts:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    commands = {"transfer": "fit", "stream": "continual", "choice": "select"}
    for name, command in commands.items():
        said = {"python": "3.11.0", "command": ["matboard", command, "my config.yaml"]}
        for file in (target / name).rglob("environment.json"):
            file.write_text(json.dumps(said, indent=1), encoding="utf-8")


def _show(event: Progress) -> None:
    print(f"{event.stage}: {event.done}/{event.total} {event.detail}")


def main() -> None:
    """Replace what is recorded."""
    with tempfile.TemporaryDirectory() as made:
        record(Path(made))
        for name in ("transfer", "stream", "choice"):
            shutil.rmtree(HERE / name, ignore_errors=True)
        keep(Path(made), HERE)


if __name__ == "__main__":
    main()
