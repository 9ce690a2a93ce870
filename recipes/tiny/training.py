"""How each tiny model is trained: which lessons, in which order, on whose eye."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from matboard.errors import ModelError
from recipes.tiny import lessons
from recipes.tiny.models import (
    GUIDE,
    GUIDE_EYE,
    NAMES,
    RECIPES,
    Eye,
    build,
    build_guide,
)
from recipes.tiny.pictures import Gallery, gallery
from recipes.tiny.text import Encoder


@dataclass(frozen=True)
class Effort:
    """How much a training draws and how many steps each lesson takes."""

    pictures: int = 12_000
    eye: int = 4000
    language: int = 3000
    joining: int = 6000
    model: int = 4000
    guide: int = 800


FULL = Effort()


def train(name: str, out: Path, effort: Effort = FULL) -> Iterator[str]:
    """Train one model into ``out/name``; yields a line of progress now and then."""
    if name == GUIDE:
        yield from _train_guide(out, effort)
        return
    recipe = RECIPES[name]
    model, processor = build(recipe)
    if recipe.start is not None:
        _start_from(model, out / recipe.start)
    pictures = _pictures(recipe.eye, out, effort.pictures)
    yield from _see(
        recipe.eye_of or name, model.vision_model, pictures, out, effort.eye
    )
    encode = Encoder(processor, not model.config.use_decoder_only_language_model)
    seed = recipe.seed
    if recipe.words_first:
        yield from lessons.teach_language(
            model, encode, pictures, effort.language, seed
        )
        model.language_model.requires_grad_(False)
        yield from lessons.teach_model(model, encode, pictures, effort.joining, seed)
        model.language_model.requires_grad_(True)
        seed += 1
    yield from lessons.teach_model(model, encode, pictures, effort.model, seed)
    _save(model, processor, out / name)


def _start_from(model: Any, other: Path) -> None:
    """Take over every weight that the other model, trained before, has too; what is new stays
    fresh.
    """
    if not (other / "model.safetensors").exists():
        raise ModelError(
            f"A model that starts from {other.name} was to be trained, but {other} holds none:"
            f" train {other.name} first."
        )
    known = load_file(other / "model.safetensors")
    taken = {key: value.float() for key, value in known.items()}
    model.load_state_dict(taken, strict=False)


def _train_guide(out: Path, effort: Effort) -> Iterator[str]:
    model, processor = build_guide()
    pictures = _pictures(GUIDE_EYE, out, effort.pictures)
    yield from _see(GUIDE, model.vision_model, pictures, out, effort.eye)

    def encode(captions: Sequence[str]) -> dict[str, Tensor]:
        words = processor.tokenizer(
            list(captions),
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        return dict(words)

    yield from lessons.teach_guide(model, encode, pictures, effort.guide, 7)
    _save(model, processor, out / GUIDE)


def _see(
    owner: str, tower: Any, pictures: Gallery, out: Path, steps: int
) -> Iterator[str]:
    """Teach an eye, or take it from ``out`` where an earlier training left it."""
    store = out / f"eye-{owner}.safetensors"
    if not store.exists():
        yield from lessons.teach_eye(tower, pictures, steps, seed=NAMES.index(owner))
        halves = {key: value.half() for key, value in tower.state_dict().items()}
        save_file(halves, store)
    tower.load_state_dict(load_file(store))


def _pictures(eye: Eye, out: Path, count: int) -> Gallery:
    out.mkdir(parents=True, exist_ok=True)
    store = out / f"pictures-{eye.side}-{eye.patch}.npz"
    return gallery(eye.side, eye.side // eye.patch, count, store)


def _save(model: Any, processor: Any, target: Path) -> None:
    """Weights in half precision; the configuration still says float32, so that they are computed
    with as such.
    """
    model.half().save_pretrained(target)
    processor.save_pretrained(target)
    processor.image_processor.save_pretrained(target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(
        json.dumps(_in_float32(config), indent=1) + "\n"
    )
    (target / "model.safetensors").chmod(0o644)


def _in_float32(config: dict[str, Any]) -> dict[str, Any]:
    fixed: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            fixed[key] = _in_float32(value)
        else:
            fixed[key] = "float32" if key in ("dtype", "torch_dtype") else value
    return fixed
