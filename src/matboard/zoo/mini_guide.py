"""A guide that can be built offline: CLIP's image tower, and a text side fitted to it.

No text tower of CLIP is to be had from package registries. In its place a caption's sentence
embedding (MiniLM) goes through one linear map into CLIP's space. The map is a ridge regression onto
real CLIP text embeddings of 171 names and, for other names, onto the mean image embedding of their
training pictures, moved from where pictures lie to where texts lie.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BertModel,
    CLIPVisionModelWithProjection,
)

from matboard.disk import make_once
from matboard.errors import ModelError
from matboard.zoo.caption_clip import CaptionClipConfig
from matboard.zoo.mini import (
    CLIP,
    WEIGHTS,
    once,
    prefixed,
    resize_positions,
    write_shards,
)
from matboard.zoo.mini_shapes import eye_config, image_processor
from matboard.zoo.parts import Progress, fetch

NAME = "mini-guide"
EYE = "clip112"


def build(
    out: Path,
    progress: Progress,
    *,
    cache: Path | None = None,
    weights: Path = WEIGHTS / NAME,
) -> Path:
    """Write the guide's folder, ``out/zoo/mini-guide``; kept if it is there. Raises ModelError
    where a part cannot be had.
    """
    parts = cache or out
    target = out / "zoo" / NAME
    head = weights / "connector.safetensors"
    if not head.exists():
        raise ModelError(
            f"The text head of {NAME!r} is not shipped with this installation. Reinstall matboard."
        )

    def make(fresh: Path) -> None:
        minilm = fetch("all-minilm-l6-v2", parts, progress)
        shards = {
            "vision.safetensors": _vision(parts, progress),
            "text.safetensors": _text(minilm, parts),
            "connector.safetensors": head,
        }
        fresh.mkdir()
        _write_configs(fresh, minilm)
        write_shards(fresh, shards)
        shutil.copy(weights / "facts.json", fresh)

    if not target.exists():
        make_once(target, make)
        progress(f"{NAME}: ready in {target}")
    return target


def _write_configs(folder: Path, minilm: Path) -> None:
    """Everything but the weights."""
    text = AutoConfig.from_pretrained(minilm)
    config = CaptionClipConfig(
        vision_config=eye_config(EYE).to_dict(), text_config=text.to_dict()
    )
    config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    processor = json.dumps(image_processor(EYE), indent=2)
    (folder / "preprocessor_config.json").write_text(processor)


def _vision(cache: Path, progress: Progress) -> Path:
    def state() -> dict[str, Tensor]:
        clip = fetch(CLIP, cache, progress)
        model = CLIPVisionModelWithProjection.from_pretrained(clip, dtype=torch.float32)
        side = eye_config(EYE).image_size // 16
        weights = model.state_dict()
        for name, value in weights.items():
            if name.endswith("position_embedding.weight"):
                weights[name] = resize_positions(value, side)
        return prefixed(weights, "vision.")

    return once(cache / "shards" / f"{EYE}-projected.safetensors", state)


def _text(minilm: Path, cache: Path) -> Path:
    def state() -> dict[str, Tensor]:
        model = BertModel.from_pretrained(minilm, add_pooling_layer=False)
        return prefixed(model.state_dict(), "text.")

    return once(cache / "shards" / "minilm.safetensors", state)
