"""How well tiny models answer about scenes that nobody trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from matboard.tasks import scenes
from matboard.tasks.task import Sample
from recipes.tiny.models import RECIPES, load
from recipes.tiny.pictures import NO_LABEL
from recipes.tiny.text import Encoder


@torch.no_grad()
def accuracy(model: Any, processor: Any, samples: Sequence[Sample]) -> float:
    """Share of samples whose answer has the highest mean log-probability per token of all
    candidates, in [0, 1].

    Every candidate of ``scenes`` is one token, so the mean is that token's log-probability after
    the prompt.
    """
    apart = not model.config.use_decoder_only_language_model
    encode, right = Encoder(processor, apart), 0
    for part in (samples[start : start + 64] for start in range(0, len(samples), 64)):
        text = encode([s.question for s in part], [s.answer for s in part])
        pixels = processor.image_processor([s.load() for s in part], return_tensors="pt")[
            "pixel_values"
        ]
        logits = model(pixel_values=pixels, **text).logits
        first = (text["labels"] != NO_LABEL).int().argmax(1) - (0 if apart else 1)
        for sample, row, at in zip(part, logits, first.tolist(), strict=True):
            ids = processor.tokenizer(
                " ".join(sample.candidates), add_special_tokens=False
            ).input_ids
            right += int(row[at, ids].argmax()) == sample.label
    return right / len(samples)


def measure(out: Path, count: int = 400) -> dict[str, dict[str, float]]:
    """model → task → accuracy on ``count`` held-out scenes, of the models that are there; kept in
    ``out/accuracies.json``.
    """
    models = {name: load(out / name) for name in RECIPES if (out / name).exists()}
    table: dict[str, dict[str, float]] = {name: {} for name in models}
    for task in scenes.NAMES:
        kind, _, shift = task.removeprefix("scenes-").partition("/")
        samples = scenes.build(kind, shift or None, train=1, test=count).test
        drawn = [replace(sample, load=cache(sample.load)) for sample in samples]
        for name, model in models.items():
            table[name][task] = accuracy(*model, drawn)
    (out / "accuracies.json").write_text(
        json.dumps({"samples": count, "accuracy": table}, indent=1) + "\n"
    )
    return table
