"""One connector after another: its tokens cached, its plan followed, its facts told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    LlamaForCausalLM,
)

from matboard.zoo import architectures, mini
from matboard.zoo.mini_shapes import (
    SHAPES,
    Shape,
    configuration,
    eye_config,
    image_processor,
)
from matboard.zoo.parts import Progress, fetch
from recipes.mini import connectors
from recipes.mini.measure import QUESTION
from recipes.mini.pictures import Piece, cache_piece
from recipes.mini.plans import PIECES, PLANS, Stage
from recipes.mini.questions import Album, Questions, open_album
from recipes.mini.text import Encoder


def cache_tokens(
    eye: str, data: Path, work: Path, parts: Path, progress: Progress
) -> list[Piece]:
    """Cache the tokens of an eye's pieces under ``work/tokens/<eye>``, the eye in bfloat16."""
    model = mini.load_eye(eye, parts, progress).to(torch.bfloat16)
    folder = work / "tokens" / eye
    folder.mkdir(parents=True, exist_ok=True)
    processor = load_processor(eye, folder)

    def tokens(pixels: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = model(pixels.bfloat16()).last_hidden_state
        return seen.float()

    for piece in PIECES[eye]:
        cache_piece(piece, tokens, processor, data, folder)
        progress(f"{eye}: cached {piece.name}")
    return PIECES[eye]


def load_processor(eye: str, folder: Path) -> Any:
    """The eye's official image processor."""
    (folder / "preprocessor_config.json").write_text(json.dumps(image_processor(eye)))
    return AutoImageProcessor.from_pretrained(folder, backend="pil")


def new_model(shape: Shape, tokenizer: Any, parts: Path, seed: int = 0) -> Any:
    """A model with a `CachedEye`, SmolLM2 frozen in bfloat16 where it speaks through that, the rest
    fresh and to be trained.
    """
    architectures.register()
    torch.manual_seed(seed)
    smol = fetch(mini.SMOL, parts) if shape.smol else None
    language = AutoConfig.from_pretrained(smol) if smol else None
    config = configuration(shape, eye_config(shape.eye), language, tokenizer)
    model = AutoModelForImageTextToText.from_config(config)
    connectors.blindfold(model)
    if smol:
        speaker = LlamaForCausalLM.from_pretrained(smol, dtype=torch.bfloat16)
        model.model.language_model = speaker.model
        model.lm_head = speaker.lm_head
        model.requires_grad_(False)
        model.model.multi_modal_projector.requires_grad_(True)
        return model
    nn.init.normal_(model.query_tokens, std=0.5)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not name.startswith("language_model"):
            nn.init.xavier_uniform_(module.weight)
    return model


def train_connector(
    name: str, data: Path, work: Path, parts: Path, progress: Progress
) -> Any:
    """Train one connector; returns the model, its eye still a `CachedEye`. Its warm start, if any,
    must lie in ``work/weights``.
    """
    shape = SHAPES[name]
    plan = PLANS[name]
    tokenizer = mini.load_tokenizer(shape, parts)
    model = new_model(shape, tokenizer, parts)
    if plan.warm:
        _warm(model, work / "weights" / plan.warm / "connector.safetensors")
    if plan.align:
        album, questions = _open(plan.align, data, work)
        updates = connectors.align(model, tokenizer, album, questions, plan.align.how)
        _run(f"{name}: aligning", updates, progress)
        connectors.match_moments(model, tokenizer, album, questions.broad)
    encoder = Encoder(tokenizer, image_tokens(shape), asks_qformer=shape.asks_qformer)
    for stage in plan.stages:
        album, questions = _open(stage, data, work)
        updates = connectors.train(model, encoder, album, questions, stage.how)
        _run(f"{name}: training on {stage.tokens}", updates, progress)
    return model


def image_tokens(shape: Shape) -> int:
    """Placeholders that one picture takes."""
    if shape.architecture == "llava":
        return 4 if shape.eye == "cnn" else 5
    return 8 if shape.architecture == "bliva" else 4


def _open(stage: Stage, data: Path, work: Path) -> tuple[Album, Questions]:
    """The album, and questions about 14 of 15 of its views; the rest is for choices (every 15th
    view, by row).
    """
    album = open_album(PIECES[stage.tokens], data, work / "tokens" / stage.tokens)
    rows = [row for row in range(len(album)) if row % 15 != 7]
    return album, Questions(album, rows, stage.how.seed)


def _warm(model: Any, source: Path) -> None:
    state = {name: value.float() for name, value in load_file(source).items()}
    # BLIP-2's Q-Former keeps its first norm elsewhere than InstructBLIP's.
    for end in ("weight", "bias"):
        state[f"qformer.layernorm.{end}"] = state[f"qformer.embeddings.layernorm.{end}"]
    fitting = {}
    for name, own in model.state_dict().items():
        if name in state and state[name].shape == own.shape:
            fitting[name] = state[name]
    model.load_state_dict(fitting, strict=False)


def _run(what: str, updates: Iterator[connectors.Update], progress: Progress) -> None:
    losses: list[float] = []
    for update in updates:
        losses.append(update.loss)
        if update.step % 50 == 0:
            progress(f"{what}, step {update.step}, loss {np.mean(losses[-50:]):.3f}")


def facts(name: str, measured: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """What is shipped beside a connector: parts, training, accuracies."""
    shape = SHAPES[name]
    plan = PLANS[name]
    eye = "EfficientNet-Lite0, 224 px"
    if shape.eye != "cnn":
        eye = f"CLIP ViT-B/16, {shape.eye.removeprefix('clip')} px"
    language = "Llama of 3 layers, trained with the connector"
    if shape.smol:
        language = "SmolLM2-135M-Instruct, frozen"
    return {
        "architecture": shape.architecture,
        "eye": eye,
        "language_model": language,
        "align": plan.align and asdict(plan.align),
        "stages": [asdict(stage) for stage in plan.stages],
        "warm_start": plan.warm,
        "question": QUESTION,
        "zero_shot": measured,
    }
