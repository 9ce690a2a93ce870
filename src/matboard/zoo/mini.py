"""The mini zoo: real pretrained eyes, connectors trained on real pictures, and language models.

A model is an ordinary transformers folder, put together from three weight files: the frozen eye,
the connector that matboard ships, and, where the model speaks through SmolLM2, that. Eyes and
SmolLM2 are prepared once and shared by hard links.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    CLIPVisionModel,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from matboard.disk import make_once
from matboard.errors import ModelError, UnknownName
from matboard.zoo.efficientnet import EfficientNetLite
from matboard.zoo.mini_shapes import (
    CHAT_TEMPLATE,
    IMAGE_TOKEN,
    SHAPES,
    SMOL_START,
    START,
    Shape,
    configuration,
    eye_config,
    image_processor,
)
from matboard.zoo.parts import Progress, fetch

NAMES = tuple(SHAPES)
WEIGHTS = Path(__file__).parent / "weights" / "mini"
SMOL = "smollm2-135m-instruct"
CLIP = "clip-vit-base-patch16"
_ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SPARE_TOKEN = "<empty_output>"
"""A token of SmolLM2's vocabulary without a use here; it becomes the picture's placeholder, so that
no row is added.
"""


def folder(name: str, cache: Path) -> Path:
    """Where a built model lies. Raises UnknownName."""
    if name not in SHAPES:
        raise UnknownName("mini model", name, SHAPES)
    return cache / "zoo" / name


def build(
    names: Sequence[str], out: Path, progress: Progress, *, cache: Path | None = None
) -> list[Path]:
    """Write one complete transformers folder ``out/zoo/<name>`` per model; those that are there
    already are kept.

    Args:
        cache: where parts are kept; ``out`` by default.

    Raises UnknownName; ModelError where a part cannot be had.
    """
    targets = {name: folder(name, out) for name in names}
    for name, target in targets.items():
        build_folder(name, target, WEIGHTS / name, cache or out, progress)
    return list(targets.values())


def build_folder(
    name: str, target: Path, weights: Path, cache: Path, progress: Progress
) -> None:
    """Write one model's folder from trained ``weights``, unless it is there. Raises ModelError
    where they or a part cannot be had.
    """

    def make(fresh: Path) -> None:
        shape = SHAPES[name]
        shards = {"eye.safetensors": eye_shard(shape, cache, progress)}
        if shape.smol:
            shards["language.safetensors"] = _language_shard(shape, cache, progress)
        shards["connector.safetensors"] = connector
        fresh.mkdir()
        write_folder(fresh, shape, shards, cache)
        shutil.copy(weights / "facts.json", fresh)

    connector = weights / "connector.safetensors"
    if not connector.exists():
        raise ModelError(
            f"The connector of {name!r} is not shipped with this installation. Reinstall matboard."
        )
    if not target.exists():
        make_once(target, make)
        progress(f"{name}: ready in {target}")


def write_folder(
    target: Path, shape: Shape, shards: Mapping[str, Path], cache: Path
) -> None:
    """Configuration, processor, tokenizers and the weight files with their index."""
    tokenizer = load_tokenizer(shape, cache)
    language = AutoConfig.from_pretrained(fetch(SMOL, cache)) if shape.smol else None
    config = configuration(shape, eye_config(shape.eye), language, tokenizer)
    config.dtype = torch.float32
    config.save_pretrained(target)
    tokenizer.save_pretrained(target)
    if shape.asks_qformer:
        tokenizer.save_pretrained(target / "qformer_tokenizer")
    ends = {key: getattr(tokenizer, key) for key in _ENDS}
    (target / "generation_config.json").write_text(json.dumps(ends, indent=2))
    processor = json.dumps(image_processor(shape.eye), indent=2)
    (target / "preprocessor_config.json").write_text(processor)
    write_shards(target, shards)


def write_shards(target: Path, shards: Mapping[str, Path]) -> None:
    """Put weight files into a folder (big ones as hard links, where the file system can) and write
    their index.
    """
    index: dict[str, str] = {}
    size = 0
    for name, source in shards.items():
        if name == "connector.safetensors":
            shutil.copyfile(source, target / name)
        else:
            link(source, target / name)
        with safe_open(source, "pt") as tensors:
            index |= dict.fromkeys(tensors.keys(), name)
        size += source.stat().st_size
    whole = {"metadata": {"total_size": size}, "weight_map": index}
    (target / "model.safetensors.index.json").write_text(json.dumps(whole))


def load_tokenizer(shape: Shape, cache: Path) -> PreTrainedTokenizerFast:
    """The small models' own tokenizer, or SmolLM2's with a spare token as ``<image>``; its chat
    template asks about one picture.
    """
    if not shape.smol:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(WEIGHTS / "tokenizer.json"),
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<pad>",
        )
        tokenizer.chat_template = CHAT_TEMPLATE.replace("{start}", START)
        return tokenizer
    source = (fetch(SMOL, cache) / "tokenizer.json").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        renamed = Path(scratch) / "tokenizer.json"
        renamed.write_text(source.replace(_SPARE_TOKEN, IMAGE_TOKEN), encoding="utf-8")
        end = "<|im_end|>"
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(renamed),
            bos_token="<|im_start|>",
            eos_token=end,
            pad_token=end,
        )
    tokenizer.chat_template = CHAT_TEMPLATE.replace("{start}", SMOL_START)
    return tokenizer


def load_eye(name: str, cache: Path, progress: Progress = lambda _: None) -> Any:
    """A frozen eye, float32; CLIP's position embedding resized (bicubic) to the eye's pictures."""
    if name == "cnn":
        return EfficientNetLite.from_pretrained(
            fetch("efficientnet-lite0", cache, progress)
        ).eval()
    whole = CLIPVisionModel.from_pretrained(
        fetch(CLIP, cache, progress), dtype=torch.float32
    )
    config = eye_config(name)
    state = {}
    for key, value in whole.state_dict().items():
        if key.endswith("position_embedding.weight"):
            state[key] = resize_positions(value, config.image_size // config.patch_size)
        elif not key.endswith("position_ids"):
            state[key] = value
    eye = CLIPVisionModel(config)
    eye.load_state_dict(state, strict=False)
    return eye.eval()


def resize_positions(weight: Tensor, side: int) -> Tensor:
    """Position embeddings, class token first, for a ``side × side`` grid of patches."""
    old = int((weight.shape[0] - 1) ** 0.5)
    grid = weight[1:].T.reshape(1, -1, old, old)
    if side != old:
        grid = functional.interpolate(
            grid, (side, side), mode="bicubic", align_corners=False
        )
    return torch.cat([weight[:1], grid[0].flatten(1).T])


def eye_shard(shape: Shape, cache: Path, progress: Progress) -> Path:
    """The eye's weights, float16, under the names they have inside models of this shape."""

    def state() -> dict[str, Tensor]:
        eye = load_eye(shape.eye, cache, progress)
        return prefixed(eye.state_dict(), shape.eye_prefix)

    file = f"{shape.eye}-{shape.eye_prefix.strip('.')}.safetensors"
    return once(cache / "shards" / file, state)


def _language_shard(shape: Shape, cache: Path, progress: Progress) -> Path:
    def state() -> dict[str, Tensor]:
        smol = fetch(SMOL, cache, progress)
        model = LlamaForCausalLM.from_pretrained(smol, dtype=torch.float16)
        return prefixed(model.model.state_dict(), shape.language_prefix)

    file = f"smollm2-{shape.language_prefix.strip('.')}.safetensors"
    return once(cache / "shards" / file, state)


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """A state under a prefix, float16, without position counters."""
    renamed = {}
    for name, value in state.items():
        if not name.endswith("position_ids"):
            half = value.half() if value.is_floating_point() else value
            renamed[prefix + name] = half.contiguous()
    return renamed


def once(target: Path, state: Callable[[], dict[str, Tensor]]) -> Path:
    """A weight file, written the first time it is asked for, and again where half of one lies."""
    if target.exists() and not _is_whole(target):
        target.unlink()

    def make(fresh: Path) -> None:
        save_file(state(), fresh, metadata={"format": "pt"})

    return make_once(target, make)


def _is_whole(file: Path) -> bool:
    try:
        with safe_open(file, "pt"):
            return True
    except SafetensorError:
        return False


def link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where links cannot go."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
