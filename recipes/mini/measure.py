"""How good a mini model is without any prompt, on pictures that no connector saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matboard.models.capabilities import VisionLanguageModel
from matboard.zoo import load_model
from recipes.mini.pictures import Packed, framed
from recipes.mini.questions import PRESENCE

QUESTION = "This is a photo of a"
_BATCH = 20
SETS = ("cifar10_test", "imagenette_val")
Ask = Callable[[Sequence[Any], Sequence[str], Sequence[str]], list[int]]
"""Pictures, a question each, candidate answers to all → index of each picture's answer."""


def measure(
    folder: Path, data: Path, *, most: int = 300
) -> dict[str, dict[str, float]]:
    """Zero-shot accuracies of a built model through its official processor, on every k-th picture
    so that about ``most`` remain.

    Ranking by mean token log-likelihood: naming after "This is a photo of a" (CIFAR-10's test and
    ImageNette's validation pictures, as they are and ``framed``), presence (yes or no, half of
    each; chance 0.5), and counting where ``clevr_style_test.npz`` lies in ``data``.
    """
    model = load_model(str(folder))
    assert isinstance(model, VisionLanguageModel)
    ask = partial(_ask, model)

    def guess(pictures: Sequence[Any], names: Sequence[str]) -> list[int]:
        return ask(pictures, [QUESTION] * len(pictures), names)

    found = accuracies(guess, data, most)
    for source in SETS:
        found[source]["presence"] = presence(
            ask, Packed.load(data / f"{source}.npz"), most
        )
    if (data / "clevr_style_test.npz").exists():
        found["clevr_style_test"] = counting(ask, data / "clevr_style_test.npz", most)
    return found


@torch.no_grad()
def accuracies(
    guess: Callable[[Sequence[Any], Sequence[str]], list[int]], data: Path, most: int
) -> dict[str, dict[str, float]]:
    """Full and framed (shrunk on a black canvas, as in a prompt without content) accuracy of
    anything that guesses names of pictures.
    """
    found = {}
    for source in SETS:
        packed = Packed.load(data / f"{source}.npz")
        index = _spread(len(packed), most)
        truth = [int(packed.labels[i]) for i in index]
        whole = [packed[i] for i in index]
        shrunk = [framed(picture) for picture in whole]
        found[source] = {
            "n": float(len(index)),
            "full": _share(guess(whole, packed.classes), truth),
            "framed": _share(guess(shrunk, packed.classes), truth),
        }
    return found


def presence(ask: Ask, packed: Packed, most: int) -> float:
    """Accuracy in [0, 1]. Every other picture is asked about its own class, the rest about another,
    each of the others in turn.
    """
    names = packed.classes
    pictures = []
    questions = []
    truth = []
    for place, i in enumerate(_spread(len(packed), most)):
        away = 0
        if place % 2 == 1:
            away = 1 + (place // 2) % (len(names) - 1)
        name = names[(int(packed.labels[i]) + away) % len(names)]
        pictures.append(packed[i])
        questions.append(PRESENCE[1].format(name))
        truth.append(place % 2)
    return _share(ask(pictures, questions, ("yes", "no")), truth)


def counting(ask: Ask, path: Path, most: int) -> dict[str, float]:
    """Accuracy over the set's numbers, and what always saying its commonest number would give."""
    packed = Packed.load(path)
    with np.load(path, allow_pickle=False) as z:
        rows = list(zip(z["question_image"], z["question"], z["answer"], strict=True))
    counted = [row for row in rows if str(row[2]).isdigit()]
    counted = [counted[i] for i in _spread(len(counted), most)]
    answers = [str(answer) for _, _, answer in counted]
    numbers = sorted(set(answers), key=int)
    truth = [numbers.index(answer) for answer in answers]
    pictures = [packed[int(i)] for i, _, _ in counted]
    said = ask(pictures, [str(question) for _, question, _ in counted], numbers)
    commonest = float(np.bincount(truth).max()) / len(truth)
    return {
        "n": float(len(counted)),
        "counting": _share(said, truth),
        "commonest": round(commonest, 3),
    }


def _spread(count: int, most: int) -> range:
    return range(0, count, max(1, count // most))


def _share(said: Sequence[int], truth: Sequence[int]) -> float:
    return round(float(np.mean(np.equal(said, truth))), 3)


@torch.no_grad()
def _ask(
    model: VisionLanguageModel,
    pictures: Sequence[Any],
    questions: Sequence[str],
    candidates: Sequence[str],
) -> list[int]:
    said: list[int] = []
    for start in range(0, len(pictures), _BATCH):
        part = slice(start, start + _BATCH)
        shown = pictures[part]
        choices = [list(candidates)] * len(shown)
        scores = model.candidate_log_likelihoods(shown, questions[part], choices)
        said += scores.argmax(1).tolist()
    return said
