"""Every exception that matboard raises on purpose.

MatboardError                 what came, what was expected, what to do
└── InputError                the user's input is wrong (exit code 2)
    ├── ConfigError           a configuration key or value
    │   └── UnknownName       a name that no registry holds
    ├── ImageError            a picture that cannot be decoded safely
    │   └── PictureTooLarge   one with more pixels, or bytes, than are taken
    ├── TaskError             a task, split or sample
    ├── PromptError           a prompt artefact
    ├── ModelError            a model that cannot be loaded or driven
    │   ├── Unanswered        a closed model that was silent about some of its pictures
    │   └── PreprocessingMismatch   our differentiable processor differs from the official one
    ├── FitError              a fit that learned nothing
    ├── HubError              a repository that the Hugging Face Hub does not give or take
    ├── PredictionsError      a file of a model's predictions
    ├── RunError              a run folder that cannot be created, resumed or read
    └── MissingExtra          a library that is installed only when asked for
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def first_line(error: BaseException) -> str:
    """The first line of an error's text; its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def shown(value: object, most: int = 80) -> str:
    """A value as an error shows it: its repr, cut in the middle where it is long."""
    text = repr(value)
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


class MatboardError(Exception):
    """Base of every deliberate error; its text is a full sentence for a person."""


class InputError(MatboardError):
    """The user's input is wrong; the command line answers with exit code 2."""


class ConfigError(InputError):
    """A configuration key or value is wrong."""


class UnknownName(ConfigError):
    """A name that no registry holds.

    Args:
        kind: what was looked up, e.g. ``"task"``.
        name: what came.
        known: what could have come.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(
            f"Unknown {kind} {shown(name)}.{hint} Known: {', '.join(names)}."
        )
        self.kind = kind
        self.name = name
        self.known = names


class ImageError(InputError):
    """A picture cannot be decoded safely."""


class PictureTooLarge(ImageError):
    """A picture has more pixels, or bytes, than are taken."""


class TaskError(InputError):
    """A task, split or sample is wrong."""


class PromptError(InputError):
    """A prompt artefact is wrong."""


class ModelError(InputError):
    """A model cannot be loaded or driven."""


class PreprocessingMismatch(ModelError):
    """The differentiable version of an image processor differs from the official one."""


class Unanswered(ModelError):
    """A closed model did not answer about some of the pictures that it was given.

    Args:
        name: of the model.
        given: what it made of all pictures, in order: answers, "" where there is none, or scores,
            NaN where there are none.
        reasons: place among the pictures → why there is none, as a clause.
    """

    def __init__(self, name: str, given: Any, reasons: Mapping[int, str]) -> None:
        super().__init__(
            f"{name} did not answer about {len(reasons)} of {len(given)} pictures:"
            f" {next(iter(reasons.values()))}. Ask again later; what was answered is kept."
        )
        self.given = given
        self.reasons = dict(reasons)


class FitError(InputError):
    """A fit learned nothing."""


class HubError(InputError):
    """The Hugging Face Hub does not give or take a repository; the text is a clause that says
    why.
    """


class PredictionsError(InputError):
    """A file of a model's predictions cannot be used."""


class RunError(InputError):
    """A run folder cannot be created, resumed or read."""


class MissingExtra(InputError):
    """A library is not installed that only some of matboard needs.

    Args:
        library: as it is imported.
        extra: of matboard, which installs it.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"This needs {library}, which is not installed; run: pip install 'matboard[{extra}]'"
        )
        self.library = library
        self.extra = extra
