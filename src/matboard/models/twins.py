"""Differentiable twins of transformers' image processors.

A twin does to a tensor what the official processor does to PIL pictures, in torch, driven by the processor's own settings:
resize rule, resampling, crop, rescaling, mean and deviation, tiling, patch order. `preprocessing` compares the two.

==================  =============================================================================================
layout              what becomes of a picture
==================  =============================================================================================
`whole`             resized, cropped, normalised (BLIP, CLIP, SigLIP, ViT, Gemma 3, …; any processor not named below)
`any_resolution`    the whole picture, then the tiles of the best fitting pinpoint (LLaVA-NeXT, LLaVA-OneVision)
`patched`           resized to a multiple of the patch and cut into flat patches (Qwen-VL)
`split`             a grid of tiles, then the whole picture (Idefics 3, SmolVLM)
`thumbnailed`       a grid of tiles, then the whole picture where there is more than one tile (InternVL, GOT-OCR 2)
==================  =============================================================================================

torch has no Lanczos kernel: where a processor asks for it the twin takes bicubic, within a tolerance of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.image_processing_utils import select_best_resolution
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.image_utils import get_image_size_for_max_height_width

from matboard.errors import PreprocessingMismatch

Layout = Callable[["Twin", Tensor], dict[str, Tensor]]

_MODES = {
    int(Image.Resampling.NEAREST): "nearest-exact",
    int(Image.Resampling.BILINEAR): "bilinear",
    int(Image.Resampling.BICUBIC): "bicubic",
    int(Image.Resampling.LANCZOS): "bicubic",
}


class Twin:
    """What an image processor does, on tensors.

    Args:
        processor: the official image processor; only its settings are read.

    Raises:
        PreprocessingMismatch: it resamples by a filter that torch does not have.
    """

    def __init__(self, processor: Any) -> None:
        resample = getattr(processor, "resample", None)
        filter_ = int(Image.Resampling.BILINEAR if resample is None else resample)
        if filter_ not in _MODES:
            raise PreprocessingMismatch(
                f"{type(processor).__name__} resamples by {resample!r}, which torch cannot do: refuse to train through it."
            )
        self.settings, self.mode, self.exact = processor, _MODES[filter_], filter_ != Image.Resampling.LANCZOS
        self.layout = layout_of(processor)

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Tensor]:
        """The model's picture inputs; values in [0, 1] come in, gradients flow back to them."""
        return self.layout(self, images.float().contiguous())  # some families view their inputs

    def resize(self, images: Tensor, height: int, width: int) -> Tensor:
        """As Pillow resizes 8-bit pictures: antialiased, no value outside [0, 1]."""
        if images.shape[-2:] == (height, width):
            return images
        smooth: dict[str, bool] = {} if self.mode == "nearest-exact" else {"antialias": True}
        return F.interpolate(images, size=(height, width), mode=self.mode, **smooth).clamp(0, 1)

    def shape(self, images: Tensor) -> Tensor:
        """Resize and crop by the processor's own rule."""
        if getattr(self.settings, "do_resize", None):
            images = self.resize(images, *_target(self.settings.size, *images.shape[-2:]))
        if getattr(self.settings, "do_center_crop", None):
            crop = self.settings.crop_size
            top, left = (images.shape[-2] - crop["height"]) // 2, (images.shape[-1] - crop["width"]) // 2
            bottom, right = images.shape[-2] - crop["height"] - top, images.shape[-1] - crop["width"] - left
            images = F.pad(images, (-left, -right, -top, -bottom))
        return images

    def normalise(self, images: Tensor) -> Tensor:
        """Rescale from 8-bit values as the processor does, then subtract the mean and divide by the deviation."""
        images = images * (255 * self.settings.rescale_factor if self.settings.do_rescale else 255)
        if not self.settings.do_normalize:
            return images
        mean, deviation = (images.new_tensor(v).view(-1, 1, 1) for v in (self.settings.image_mean, self.settings.image_std))
        return (images - mean) / deviation


def whole(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """One picture in, one picture out."""
    return {"pixel_values": twin.normalise(twin.shape(images))}


def any_resolution(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """LLaVA-NeXT (and OneVision): the picture, then tiles of it padded into the pinpoint that wastes least."""
    settings, (height, width) = twin.settings, (int(images.shape[-2]), int(images.shape[-1]))
    best = select_best_resolution((height, width), settings.image_grid_pinpoints)
    fit = _fit_inside(height, width, *best)
    top, left = (best[0] - fit[0]) // 2, (best[1] - fit[1]) // 2
    padded = F.pad(twin.resize(images, *fit), (left, best[1] - fit[1] - left, top, best[0] - fit[0] - top))
    crop, edge = getattr(settings, "crop_size", None), _get(settings.size, "height") or _get(settings.size, "shortest_edge")
    tile = _get(crop, "height") or edge
    pieces = [twin.resize(images, edge, _get(settings.size, "width") or edge), *_tiles(padded, tile, tile)]
    values = torch.stack([twin.normalise(twin.shape(piece)) for piece in pieces], dim=1)
    sizes = torch.tensor([[height, width]], device=images.device).repeat(len(images), 1)
    counts = {"batch_num_images": torch.ones(len(images), dtype=torch.long)} if "batch_num_images" in settings.model_input_names else {}
    return {"pixel_values": values, "image_sizes": sizes, **counts}


def patched(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """Qwen-VL: flat patches, ordered so that those merged into one token are neighbours; a still picture fills every frame."""
    s = twin.settings
    patch, merge, frames = s.patch_size, s.merge_size, s.temporal_patch_size
    if s.do_resize:
        least, most = _get(s.size, "shortest_edge"), _get(s.size, "longest_edge")
        images = twin.resize(images, *_multiple(int(images.shape[-2]), int(images.shape[-1]), patch * merge, least, most))
    images = twin.normalise(images)
    batch, channels, height, width = images.shape
    rows, columns = height // patch, width // patch
    grid = images.view(batch, channels, rows // merge, merge, patch, columns // merge, merge, patch)
    grid = grid.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, frames, -1, -1)
    sizes = torch.tensor([[1, rows, columns]], device=images.device).repeat(batch, 1)
    return {"pixel_values": grid.reshape(batch * rows * columns, -1), "image_grid_thw": sizes}


def split(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """Idefics 3 and SmolVLM: enlarged to whole tiles, cut up, and the picture itself last."""
    settings, tile = twin.settings, twin.settings.max_image_size["longest_edge"]
    if settings.do_resize:
        images = twin.resize(images, *_longest_edge(int(images.shape[-2]), int(images.shape[-1]), _get(settings.size, "longest_edge")))
    if settings.do_image_splitting:
        images = twin.resize(images, *_whole_tiles(int(images.shape[-2]), int(images.shape[-1]), tile))
    rows, columns = images.shape[-2] // tile, images.shape[-1] // tile
    if not settings.do_image_splitting or rows * columns == 1:
        rows = columns = 0
    pieces = [*(_tiles(images, tile, tile) if rows else ()), twin.resize(images, tile, tile)]
    values = torch.stack([twin.normalise(piece) for piece in pieces], dim=1)
    out = {"pixel_values": values}
    if settings.do_pad:
        out["pixel_attention_mask"] = torch.ones(len(values), len(pieces), tile, tile, dtype=torch.long, device=values.device)
    grid = {name: torch.full((len(values), 1), count) for name, count in (("rows", rows), ("cols", columns))}
    return {**out, **grid} if settings.return_row_col_info else out


def thumbnailed(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """InternVL and GOT-OCR 2: tiles in the grid nearest to the picture's proportions, and the picture itself last."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    settings, tile = twin.settings, (twin.settings.size["height"], twin.settings.size["width"])
    columns = rows = 1
    if settings.crop_to_patches and settings.max_patches > 1:
        shape = (int(images.shape[-2]), int(images.shape[-1]))
        columns, rows = get_optimal_tiled_canvas(shape, tile, settings.min_patches, settings.max_patches)
    pieces = _tiles(twin.resize(images, rows * tile[0], columns * tile[1]), *tile)
    if len(pieces) > 1:
        pieces.append(twin.resize(images, *tile))
    values = twin.normalise(torch.stack(pieces, dim=1)).flatten(0, 1)
    return {"pixel_values": values, "num_patches": torch.full((len(images),), len(pieces))}


_LAYOUTS: dict[str, Layout] = {
    "LlavaNext": any_resolution,
    "LlavaOnevision": any_resolution,
    "Qwen2VL": patched,
    "Idefics3": split,
    "SmolVLM": split,
    "GotOcr2": thumbnailed,
}


def layout_of(processor: Any) -> Layout:
    """What this processor makes of a picture, by its class's name."""
    name = type(processor).__name__.removesuffix("Pil").removesuffix("ImageProcessor")
    return _LAYOUTS.get(name, whole)


def _get(size: Any, key: str) -> Any:
    return size.get(key) if isinstance(size, dict) else getattr(size, key, None)


def _target(size: Any, height: int, width: int) -> tuple[int, int]:
    """Height and width after resizing, by the rule that the keys of ``size`` name."""
    short, long = _get(size, "shortest_edge"), _get(size, "longest_edge")
    if short and long:
        tall, wide = get_size_with_aspect_ratio((height, width), short, long)
    elif short:
        tall, wide = (short, int(short * width / height)) if height <= width else (int(short * height / width), short)
    elif _get(size, "max_height") and _get(size, "max_width"):
        tall, wide = get_image_size_for_max_height_width((height, width), _get(size, "max_height"), _get(size, "max_width"))
    else:
        tall, wide = _get(size, "height"), _get(size, "width")
    return int(tall), int(wide)


def _fit_inside(height: int, width: int, tall: int, wide: int) -> tuple[int, int]:
    """The largest size of the same proportions inside tall × wide."""
    down, right = tall / height, wide / width
    return (min(math.ceil(height * right), tall), wide) if right < down else (tall, min(math.ceil(width * down), wide))


def _multiple(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """The nearest multiples of ``factor`` whose product lies in [least, most] pixels (Qwen2-VL's ``smart_resize``)."""
    tall, wide = round(height / factor) * factor, round(width / factor) * factor
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        return max(factor, int(height / shrink // factor) * factor), max(factor, int(width / shrink // factor) * factor)
    if tall * wide < least:
        grow = math.sqrt(least / (height * width))
        return math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
    return tall, wide


def _longest_edge(height: int, width: int, edge: int) -> tuple[int, int]:
    """The longer side becomes ``edge``, the other keeps the proportions and is made even (Idefics 3); no side above 4096."""
    ratio = width / height
    tall, wide = (int(edge / ratio), edge) if width >= height else (edge, int(edge * ratio))
    tall, wide = tall + (tall % 2 if width >= height else 0), wide + (wide % 2 if height > width else 0)
    if max(tall, wide) > 4096:
        ratio = wide / tall
        tall, wide = (int(4096 / ratio), 4096) if wide >= tall else (4096, int(4096 * ratio))
    return max(tall, 1), max(wide, 1)


def _whole_tiles(height: int, width: int, tile: int) -> tuple[int, int]:
    """Both sides grown to multiples of ``tile``, the shorter one after the longer one (Idefics 3)."""
    ratio = width / height
    if width >= height:
        wide = math.ceil(width / tile) * tile
        return math.ceil(int(wide / ratio) / tile) * tile, wide
    tall = math.ceil(height / tile) * tile
    return tall, math.ceil(int(tall * ratio) / tile) * tile


def _tiles(images: Tensor, height: int, width: int) -> list[Tensor]:
    """Tiles of a picture, row by row."""
    return [tile for row in images.split(height, dim=-2) for tile in row.split(width, dim=-1)]
