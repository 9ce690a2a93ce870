"""Cards of the page: each prompt's picture and configuration, and pictures with what models said of
them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matboard.report.html import data_uri
from matboard.report.run_folder import RunFolder
from matboard.results import PlannedFit
from matboard.results.shown import PromptFacts
from matboard.results.transfer import Condition, TransferResults

MOST_CARDS = 24
"""Of prompts, whose pictures make a page heavy: about 100 kB each (guess)."""
SHORT = 56
"""Characters of a prompt's fact that still reads in one line."""


@dataclass(frozen=True)
class PromptCard:
    """A prompt's picture and what its configuration says in short.

    Attributes:
        folder: the prompt's, as seen from the run's.
    """

    name: str
    folder: str
    picture: str | None
    facts: dict[str, str]
    config: str
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """What its picture is called where it is saved: ``vp-s0.png``."""
        return self.folder.removesuffix("/prompt").rpartition("/")[2] + ".png"


def prompt_cards(run: RunFolder, results: TransferResults | None) -> list[PromptCard]:
    """In the table's order; of an unfinished run, those of its finished fits."""
    if results is None:
        return list(_cards_so_far(run))
    return [
        _known_card(run, prompt, results.condition(prompt.condition))
        for prompt in _shown_prompts(results)
    ]


def _shown_prompts(results: TransferResults) -> list[PromptFacts]:
    """Those that have a card: all, or as many of every condition, the first ones."""
    order = [condition.name for condition in results.conditions]
    ranked = []
    counts: Counter[str] = Counter()
    for prompt in results.prompts:
        ranked.append((counts[prompt.condition], prompt))
        counts[prompt.condition] += 1
    each = max(1, MOST_CARDS // max(1, len(counts)))
    if len(ranked) > MOST_CARDS:
        ranked = [(rank, prompt) for rank, prompt in ranked if rank < each]
    shown = [prompt for _, prompt in ranked]
    return sorted(shown, key=lambda prompt: order.index(prompt.condition))


def _cards_so_far(run: RunFolder) -> Iterator[PromptCard]:
    for fit in run.fits:
        folder = f"{fit.folder}/prompt"
        if (run.folder / folder).exists():
            yield _card(run.folder / folder, folder, _named(fit.variant, fit))


def _known_card(
    run: RunFolder, prompt: PromptFacts, condition: Condition
) -> PromptCard:
    notes = list(prompt.notes)
    if prompt.skipped_terms:
        without = ", ".join(term.replace("_", " ") for term in prompt.skipped_terms)
        notes.insert(0, f"Learned without {without}.")
    place = run.file(f"{prompt.folder}/prompt_config.json")
    name = _named(condition.label, prompt)
    return _card(place and place.parent, prompt.folder, name, tuple(notes))


def _named(label: str, one: PlannedFit | PromptFacts) -> str:
    """A prompt's name: how and with which seed it was learned, and for what."""
    seed = "" if one.seed is None else f", seed {one.seed}"
    own = [f", for {name}" for name in (one.model, one.task) if name]
    return f"{label}{seed}{''.join(own)}"


def _card(
    place: Path | None, folder: str, name: str, notes: tuple[str, ...] = ()
) -> PromptCard:
    """Facts short enough for a line are shown; the whole configuration stays at hand."""
    if place is None:
        return PromptCard(name, folder, None, {}, "", notes)
    config = _config(place / "prompt_config.json")
    facts = {}
    for key, value in config.items():
        line = _line(value)
        if 0 < len(line) <= SHORT:
            facts[key.replace("_", " ")] = line
    whole = json.dumps(config, indent=1, ensure_ascii=False)
    picture = data_uri(place / "preview.png")
    return PromptCard(name, folder, picture, facts, whole, notes)


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = []
        for key, part in value.items():
            line = _line(part)
            if line:
                parts.append(f"{key.replace('_', ' ')} {line}")
        return ", ".join(parts)
    if isinstance(value, list):
        return ", ".join(map(_line, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


# -- examples ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """A picture as it was shown, and under which condition."""

    label: str
    picture: str | None


@dataclass(frozen=True)
class Said:
    """What one model answered under each condition, and whether that is right."""

    model: str
    answers: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class ExampleCard:
    """One test sample under each condition, and what every model said of it."""

    task: str
    question: str
    answers: tuple[str, ...]
    sides: tuple[Side, ...]
    said: list[Said]


def example_cards(run: RunFolder, results: TransferResults) -> list[ExampleCard]:
    """One card for each picture and question, in the results' order; a picture that is not there is
    None.
    """
    labels = {condition.name: condition.label for condition in results.conditions}
    cards: dict[tuple[Any, ...], ExampleCard] = {}
    for example in results.examples:
        pictures = tuple(shown.picture for shown in example.shown)
        key = (example.task, example.question, pictures)
        if key not in cards:
            sides = tuple(
                Side(labels[shown.condition], data_uri(run.file(shown.picture)))
                for shown in example.shown
            )
            cards[key] = ExampleCard(
                example.task, example.question, example.answers, sides, []
            )
        said = tuple((shown.said, shown.right) for shown in example.shown)
        cards[key].said.append(Said(example.model, said))
    return list(cards.values())
