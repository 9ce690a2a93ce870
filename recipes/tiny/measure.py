"""How well tiny models answer about scenes that nobody trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.tasks import scenes
from matboard.tasks.task import Sample
from recipes.tiny.models import RECIPES, load
from recipes.tiny.pictures import NO_LABEL
from recipes.tiny.text import Encoder

_BATCH = 64


@torch.no_grad()
def accuracy(model: Any, processor: Any, samples: Sequence[Sample]) -> float:
    """Share of samples whose answer has the highest mean log-probability per token of all
    candidates, in [0, 1].

    Every candidate of ``scenes`` is one token, so the mean is that token's log-probability after
    the prompt.
    """
    right = 0
    for start in range(0, len(samples), _BATCH):
        part = samples[start : start + _BATCH]
        for sample, row in zip(
            part, _answer_logits(model, processor, part), strict=True
        ):
            words = " ".join(sample.candidates)
            ids = processor.tokenizer(words, add_special_tokens=False).input_ids
            right += int(row[ids].argmax()) == sample.label
    return right / len(samples)


def _answer_logits(
    model: Any, processor: Any, samples: Sequence[Sample]
) -> Float[Tensor, "sample word"]:
    """What the model says of every word as the first one of its answer."""
    apart = not model.config.use_decoder_only_language_model
    encode = Encoder(processor, apart)
    text = encode([s.question for s in samples], [s.answer for s in samples])
    drawn = [sample.load() for sample in samples]
    pixels = processor.image_processor(drawn, return_tensors="pt")["pixel_values"]
    logits: Tensor = model(pixel_values=pixels, **text).logits
    first = (text["labels"] != NO_LABEL).int().argmax(1)
    if not apart:
        first = first - 1
    return logits[torch.arange(len(logits)), first]


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
        for name, (model, processor) in models.items():
            table[name][task] = accuracy(model, processor, drawn)
    found = {"samples": count, "accuracy": table}
    (out / "accuracies.json").write_text(json.dumps(found, indent=1) + "\n")
    return table
