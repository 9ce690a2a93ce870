"""What is chosen from: prompts as the command line names them, and the shrunk picture, which needs
no prompt, once for each of their geometries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matboard.errors import ConfigError, PromptError
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.folder import CONFIG
from matboard.transfer.choose import NONE
from matboard.transfer.conditions import (
    FULL,
    Showing,
    as_learned,
    conditions,
)


@dataclass(frozen=True)
class Candidates:
    """Ways of showing a picture, the picture without any prompt among them.

    Attributes:
        shown: name → condition; `NONE` comes first.
        notes: what was left out.
    """

    shown: dict[str, Showing]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """What can be chosen."""
        return [name for name in self.shown if name != NONE]

    def prompt(self, name: str) -> VisualPrompt | None:
        """The prompt of that name; None for `NONE`."""
        return self.shown[name].at()[0]

    @property
    def content(self) -> list[tuple[str, str]]:
        """Names and what each does to a picture, as JSON values."""
        prompts = [(name, self.prompt(name)) for name in self.names]
        return [(name, prompt.fingerprint) for name, prompt in prompts if prompt]


def load_candidates(prompts: Sequence[str]) -> Candidates:
    """Every prompt, and its shrunk picture. A prompt that comes twice is taken once: each further
    candidate makes a gain harder to show.

    Args:
        prompts: folders, PNG files, Hub ids, and run folders, which stand for all their prompts.

    Raises:
        PromptError: one cannot be had.
        ConfigError: two have one name.
    """
    places = [place for prompt in prompts for place in _places(prompt)]
    found: dict[str, VisualPrompt] = {}
    notes = []
    seen: dict[str, str] = {}
    for place, name in zip(places, names_of(places), strict=True):
        prompt = load_prompt(place)
        first = seen.setdefault(prompt.fingerprint, name)
        if first == name and name not in found:
            found[name] = prompt
        else:
            notes.append(f"{name} does the same as {first} and is taken once.")
    learned = as_learned({name: [prompt] for name, prompt in found.items()})
    shown = {}
    for showing in conditions(learned):
        if showing.facts.baseline == FULL:
            shown[NONE] = showing
        elif showing.facts.baseline in ("shrunk", None):
            shown[showing.name] = showing
    return Candidates(shown, tuple(notes))


def _places(prompt: str) -> Iterator[str]:
    """The prompt itself, or all prompts of a run folder: those of its ``prompts`` folder, else the
    one that it ships.
    """
    folder = Path(prompt)
    if not folder.is_dir() or (folder / CONFIG).exists():
        yield prompt
        return
    learned = sorted(folder.glob(f"prompts/*/{CONFIG}"))
    shipped = [folder / "prompt" / CONFIG]
    files = [file for file in learned or shipped if file.exists()]
    if not files:
        raise PromptError(
            f"{folder} holds no prompt: expected a prompt's folder ({CONFIG}), or a run folder with"
            " finished prompts."
        )
    for file in files:
        yield str(file.parent)


def names_of(places: Sequence[str]) -> list[str]:
    """The shortest end of each path that no other has; one that is given twice has one name.

    Raises:
        ConfigError: two places have one name, such as ``a`` and ``a.png``.
    """
    parts = [_parts(place) for place in places]
    first: dict[tuple[str, ...], str] = {}
    for place, own in zip(places, parts, strict=True):
        other = first.setdefault(own, place)
        if Path(other).resolve() != Path(place).resolve():
            raise ConfigError(
                f"{other} and {place} would both be called {own[-1]!r}; give one of them another"
                " name."
            )
    names = []
    for own in parts:
        length = 1
        others = [other for other in parts if other != own]
        while length < len(own) and _is_shared(own[-length:], others):
            length += 1
        names.append("/".join(own[-length:]))
    return names


def _is_shared(end: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> bool:
    return any(other[-len(end) :] == end for other in others)


def _parts(place: str) -> tuple[str, ...]:
    """A path's names. What every run folder calls its prompts says nothing."""
    path = Path(place)
    named = path.with_suffix("") if path.suffix in (".png", ".pth", ".pt") else path
    parts = [part for part in named.resolve().parts if part != path.anchor]
    telling = [part for part in parts if part not in ("prompt", "prompts")]
    return tuple(telling or parts)
