"""The mini zoo: real pretrained eyes, connectors trained on real pictures, and language models, as
ordinary transformers folders.

A folder is put together from three weight files: the frozen eye, the connector that matboard ships,
and, where the model speaks through SmolLM2, that. Eyes and SmolLM2 are prepared once and shared by
hard links.
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
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    CLIPVisionModel,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from matboard.disk import publish
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
    targets = [folder(name, out) for name in names]
    for name, target in zip(names, targets):
        if not target.exists():
            build_folder(name, target, WEIGHTS / name, cache or out, progress)
    return targets


def build_folder(name: str, target: Path, weights: Path, cache: Path, progress: Progress) -> None:
    """Write one model's folder from trained ``weights``. Raises ModelError where they or a part
    cannot be had.
    """
    shape, connector = SHAPES[name], weights / "connector.safetensors"
    if not connector.exists():
        raise ModelError(
            f"The connector of {name!r} is not shipped with this installation. Reinstall matboard."
        )
    shards = {"eye.safetensors": eye_shard(shape, cache, progress)}
    if shape.smol:
        shards["language.safetensors"] = _language_shard(shape, cache, progress)
    shards["connector.safetensors"] = connector
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        fresh = Path(scratch) / name
        fresh.mkdir()
        write_folder(fresh, shape, shards, cache)
        shutil.copy(weights / "facts.json", fresh)
        publish(fresh, target)
    progress(f"{name}: ready in {target}")


def write_folder(target: Path, shape: Shape, shards: Mapping[str, Path], cache: Path) -> None:
    """Configuration, processor, tokenizers and the weight files with their index."""
    tokenizer = load_tokenizer(shape, cache)
    language = (
        AutoConfig.from_pretrained(fetch("smollm2-135m-instruct", cache)) if shape.smol else None
    )
    config = configuration(shape, eye_config(shape.eye), language, tokenizer)
    config.dtype = torch.float32
    config.save_pretrained(target)
    tokenizer.save_pretrained(target)
    if shape.asks_qformer:
        tokenizer.save_pretrained(target / "qformer_tokenizer")
    ends = {
        key: getattr(tokenizer, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    (target / "generation_config.json").write_text(json.dumps(ends, indent=2))
    (target / "preprocessor_config.json").write_text(
        json.dumps(image_processor(shape.eye), indent=2)
    )
    write_shards(target, shards)


def write_shards(target: Path, shards: Mapping[str, Path]) -> None:
    """Put weight files into a folder (big ones as hard links, where the file system can) and write
    their index.
    """
    index: dict[str, str] = {}
    for name, source in shards.items():
        (shutil.copyfile if name == "connector.safetensors" else link)(source, target / name)
        with safe_open(source, "pt") as tensors:
            index |= dict.fromkeys(tensors.keys(), name)
    size = sum((target / name).stat().st_size for name in shards)
    (target / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": size}, "weight_map": index})
    )


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
    source = (fetch("smollm2-135m-instruct", cache) / "tokenizer.json").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        renamed = Path(scratch) / "tokenizer.json"
        renamed.write_text(source.replace(_SPARE_TOKEN, IMAGE_TOKEN), encoding="utf-8")
        end = "<|im_end|>"
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(renamed), bos_token="<|im_start|>", eos_token=end, pad_token=end
        )
    tokenizer.chat_template = CHAT_TEMPLATE.replace("{start}", SMOL_START)
    return tokenizer


def load_eye(name: str, cache: Path, progress: Progress = lambda _: None) -> Any:
    """A frozen eye, float32; CLIP's position embedding resized (bicubic) to the eye's picture size."""
    if name == "cnn":
        return EfficientNetLite.from_pretrained(fetch("efficientnet-lite0", cache, progress)).eval()
    state = CLIPVisionModel.from_pretrained(
        fetch("clip-vit-base-patch16", cache, progress), dtype=torch.float32
    ).state_dict()
    config = eye_config(name)
    eye = CLIPVisionModel(config)
    for key in [key for key in state if key.endswith("position_embedding.weight")]:
        state[key] = resize_positions(state[key], config.image_size // config.patch_size)
    eye.load_state_dict(
        {k: v for k, v in state.items() if not k.endswith("position_ids")}, strict=False
    )
    return eye.eval()


def resize_positions(weight: Tensor, side: int) -> Tensor:
    """Position embeddings, class token first, for a ``side × side`` grid of patches."""
    old = int((weight.shape[0] - 1) ** 0.5)
    grid = weight[1:].T.reshape(1, -1, old, old)
    fitted = (
        functional.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
        if side != old
        else grid
    )
    return torch.cat([weight[:1], fitted[0].flatten(1).T])


def eye_shard(shape: Shape, cache: Path, progress: Progress) -> Path:
    """The eye's weights, float16, under the names they have inside models of this shape."""
    target = cache / "shards" / f"{shape.eye}-{shape.eye_prefix.strip('.')}.safetensors"
    return once(
        target,
        lambda: prefixed(load_eye(shape.eye, cache, progress).state_dict(), shape.eye_prefix),
    )


def _language_shard(shape: Shape, cache: Path, progress: Progress) -> Path:
    def state() -> dict[str, Tensor]:
        model = LlamaForCausalLM.from_pretrained(
            fetch("smollm2-135m-instruct", cache, progress), dtype=torch.float16
        )
        return prefixed(model.model.state_dict(), shape.language_prefix)

    return once(cache / "shards" / f"smollm2-{shape.language_prefix.strip('.')}.safetensors", state)


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """A state under a prefix, float16, without position counters."""
    kept = {
        k: v.half() if v.is_floating_point() else v
        for k, v in state.items()
        if not k.endswith("position_ids")
    }
    return {prefix + k: v.contiguous() for k, v in kept.items()}


def once(target: Path, state: Callable[[], dict[str, Tensor]]) -> Path:
    """A weight file, written the first time it is asked for."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        save_file(state(), partial, metadata={"format": "pt"})
        publish(partial, target)
    return target


def link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where links cannot go."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
