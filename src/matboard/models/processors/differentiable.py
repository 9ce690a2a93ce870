"""Differentiable twins of transformers' image processors.

A twin does to a tensor what the official processor does to PIL pictures, in torch, driven by the
processor's own settings: resize rule, resampling, crop, rescaling, mean and deviation, tiling,
patch order. `preprocessing` compares the two.

==================  =============================================================================================
layout              what becomes of a picture
==================  =============================================================================================
`whole`             resized, cropped, normalised (BLIP, CLIP, SigLIP, ViT, EfficientNet, Gemma 3, …; any processor not named below)
`any_resolution`    the whole picture, then the tiles of the best fitting pinpoint (LLaVA-NeXT, LLaVA-OneVision)
`patched`           resized to a multiple of the patch and cut into flat patches (Qwen-VL)
`split`             a grid of tiles, then the whole picture (Idefics 3, SmolVLM)
`thumbnailed`       a grid of tiles, then the whole picture where there is more than one tile (InternVL, GOT-OCR 2)
`quartered`         its four quarters and the whole picture, each with a mask of its padding (Idefics 2)
`on_canvas`         a grid of tiles, black where the picture does not reach, padded to the most tiles there can be (Mllama)
`aligned`           shrunk at most, its sides rounded up to whole patches (Pixtral)
`sequence`          a padded sequence of flat patches (SigLIP 2)
`cut`               resized, a margin cut off (ConvNeXT)
==================  =============================================================================================

torch has no Lanczos kernel: where a processor asks for it the twin takes bicubic, within a
tolerance of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.image_processing_utils import select_best_resolution

from matboard.errors import PreprocessingMismatch
from matboard.models.processors.geometry import (
    between,
    fit_inside,
    get,
    longest_edge,
    multiple,
    target,
    whole_patches,
    whole_tiles,
)

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
                f"{type(processor).__name__} resamples by {resample!r}, which torch cannot do:"
                " refuse to train through it."
            )
        self.settings, self.mode, self.exact = (
            processor,
            _MODES[filter_],
            filter_ != Image.Resampling.LANCZOS,
        )
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
            images = self.resize(images, *target(self.settings.size, *images.shape[-2:]))
        return self.crop(images)

    def crop(self, images: Tensor) -> Tensor:
        """Crop where the processor does."""
        if not getattr(self.settings, "do_center_crop", None):
            return images
        return _cropped(images, self.settings.crop_size["height"], self.settings.crop_size["width"])

    def normalise(self, images: Tensor) -> Tensor:
        """Rescale from 8-bit values as the processor does, then subtract the mean and divide by the
        deviation.
        """
        s = self.settings
        images = images * (255 * s.rescale_factor if s.do_rescale else 255)
        if s.do_rescale and getattr(s, "rescale_offset", False):  # EfficientNet
            images = images - 1
        if s.do_normalize:
            images = (images - _channels(s.image_mean, images)) / _channels(s.image_std, images)
        return (
            images / _channels(s.image_std, images) if getattr(s, "include_top", False) else images
        )  # EfficientNet, once more


def whole(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """One picture in, one picture out."""
    return {"pixel_values": twin.normalise(twin.shape(images))}


def any_resolution(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """LLaVA-NeXT (and OneVision): the picture, then tiles of it padded into the pinpoint that
    wastes least.
    """
    settings, (height, width) = twin.settings, (int(images.shape[-2]), int(images.shape[-1]))
    best = select_best_resolution((height, width), settings.image_grid_pinpoints)
    fit = fit_inside(height, width, *best)
    top, left = (best[0] - fit[0]) // 2, (best[1] - fit[1]) // 2
    padded = F.pad(
        twin.resize(images, *fit), (left, best[1] - fit[1] - left, top, best[0] - fit[0] - top)
    )
    crop, edge = (
        getattr(settings, "crop_size", None),
        get(settings.size, "height") or get(settings.size, "shortest_edge"),
    )
    tile = get(crop, "height") or edge
    pieces = [
        twin.resize(images, edge, get(settings.size, "width") or edge),
        *_tiles(padded, tile, tile),
    ]
    values = torch.stack([twin.normalise(twin.shape(piece)) for piece in pieces], dim=1)
    sizes = torch.tensor([[height, width]], device=images.device).repeat(len(images), 1)
    counts = (
        {"batch_num_images": torch.ones(len(images), dtype=torch.long)}
        if "batch_num_images" in settings.model_input_names
        else {}
    )
    return {"pixel_values": values, "image_sizes": sizes, **counts}


def patched(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """Qwen-VL: flat patches, ordered so that those merged into one token are neighbours; a still
    picture fills every frame.
    """
    s = twin.settings
    patch, merge, frames = s.patch_size, s.merge_size, s.temporal_patch_size
    if s.do_resize:
        least, most = get(s.size, "shortest_edge"), get(s.size, "longest_edge")
        images = twin.resize(
            images,
            *multiple(int(images.shape[-2]), int(images.shape[-1]), patch * merge, least, most),
        )
    images = twin.normalise(images)
    batch, channels, height, width = images.shape
    rows, columns = height // patch, width // patch
    grid = images.view(batch, channels, rows // merge, merge, patch, columns // merge, merge, patch)
    grid = (
        grid.permute(0, 2, 5, 3, 6, 1, 4, 7)
        .unsqueeze(6)
        .expand(-1, -1, -1, -1, -1, -1, frames, -1, -1)
    )
    sizes = torch.tensor([[1, rows, columns]], device=images.device).repeat(batch, 1)
    return {"pixel_values": grid.reshape(batch * rows * columns, -1), "image_grid_thw": sizes}


def split(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """Idefics 3 and SmolVLM: enlarged to whole tiles, cut up, and the picture itself last."""
    settings, tile = twin.settings, twin.settings.max_image_size["longest_edge"]
    if settings.do_resize:
        images = twin.resize(
            images,
            *longest_edge(
                int(images.shape[-2]), int(images.shape[-1]), get(settings.size, "longest_edge")
            ),
        )
    if settings.do_image_splitting:
        images = twin.resize(
            images, *whole_tiles(int(images.shape[-2]), int(images.shape[-1]), tile)
        )
    rows, columns = images.shape[-2] // tile, images.shape[-1] // tile
    if not settings.do_image_splitting or rows * columns == 1:
        rows = columns = 0
    pieces = [*(_tiles(images, tile, tile) if rows else ()), twin.resize(images, tile, tile)]
    values = torch.stack([twin.normalise(piece) for piece in pieces], dim=1)
    out = {"pixel_values": values}
    if settings.do_pad:
        out["pixel_attention_mask"] = torch.ones(
            len(values), len(pieces), tile, tile, dtype=torch.long, device=values.device
        )
    grid = {
        name: torch.full((len(values), 1), count)
        for name, count in (("rows", rows), ("cols", columns))
    }
    return {**out, **grid} if settings.return_row_col_info else out


def thumbnailed(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """InternVL and GOT-OCR 2: tiles in the grid nearest to the picture's proportions, and the
    picture itself last.
    """
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    settings, tile = twin.settings, (twin.settings.size["height"], twin.settings.size["width"])
    columns = rows = 1
    if settings.crop_to_patches and settings.max_patches > 1:
        shape = (int(images.shape[-2]), int(images.shape[-1]))
        columns, rows = get_optimal_tiled_canvas(
            shape, tile, settings.min_patches, settings.max_patches
        )
    pieces = _tiles(twin.resize(images, rows * tile[0], columns * tile[1]), *tile)
    if len(pieces) > 1:
        pieces.append(twin.resize(images, *tile))
    values = twin.normalise(torch.stack(pieces, dim=1)).flatten(0, 1)
    return {"pixel_values": values, "num_patches": torch.full((len(images),), len(pieces))}


def cut(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """ConvNeXT: a margin cut off below 384 pixels, squeezed into a square from there on."""
    settings, edge = twin.settings, get(twin.settings.size, "shortest_edge")
    if settings.do_resize and edge < 384:
        images = twin.resize(
            images, *target({"shortest_edge": int(edge / settings.crop_pct)}, *images.shape[-2:])
        )
        images = _cropped(images, edge, edge)
    elif settings.do_resize:
        images = twin.resize(images, edge, edge)
    return {"pixel_values": twin.normalise(twin.crop(images))}


def aligned(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """Pixtral: shrunk where it is too large, its sides rounded up to whole patches."""
    settings, patch = twin.settings, twin.settings.patch_size
    if settings.do_resize:
        edge = get(settings.size, "longest_edge")
        most = (edge, edge) if edge else (get(settings.size, "height"), get(settings.size, "width"))
        sides = (
            (patch, patch)
            if isinstance(patch, int)
            else (get(patch, "height"), get(patch, "width"))
        )
        images = twin.resize(
            images, *whole_patches(int(images.shape[-2]), int(images.shape[-1]), most, sides)
        )
    images = twin.normalise(twin.crop(images))
    sizes = torch.tensor([images.shape[-2:]], device=images.device).repeat(len(images), 1)
    return {"pixel_values": images, "image_sizes": sizes}


def quartered(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """Idefics 2: its four quarters, where the settings say so, and the picture itself last, each
    resized alone and padded to one size.
    """
    settings, (top, left) = twin.settings, (images.shape[-2] // 2, images.shape[-1] // 2)
    quarters = [
        half[..., side]
        for half in (images[..., :top, :], images[..., top:, :])
        for side in (slice(left), slice(left, None))
    ]
    pieces = [*(quarters if settings.do_image_splitting else ()), images]
    if settings.do_resize:
        least, most = get(settings.size, "shortest_edge"), get(settings.size, "longest_edge")
        fixed = (get(settings.size, "height"), get(settings.size, "width"))
        pieces = [
            twin.resize(
                p,
                *(
                    between(int(p.shape[-2]), int(p.shape[-1]), least, most)
                    if least and most
                    else fixed
                ),
            )
            for p in pieces
        ]
    tall, wide = max(p.shape[-2] for p in pieces), max(p.shape[-1] for p in pieces)
    margins = [(0, wide - p.shape[-1], 0, tall - p.shape[-2]) for p in pieces]
    values = torch.stack(
        [F.pad(twin.normalise(p), margin) for p, margin in zip(pieces, margins)], dim=1
    )
    if not settings.do_pad:
        return {"pixel_values": values}
    mask = torch.stack(
        [
            F.pad(torch.ones_like(p[:, 0], dtype=torch.long), margin)
            for p, margin in zip(pieces, margins)
        ],
        dim=1,
    )
    return {"pixel_values": values, "pixel_attention_mask": mask}


def on_canvas(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """Mllama: enlarged into the canvas of whole tiles that fits best, black to the right and below,
    then cut into tiles.
    """
    from transformers.models.mllama import image_processing_pil_mllama as mllama

    settings, tile = twin.settings, get(twin.settings.size, "height")
    most, shape = settings.max_image_tiles, (int(images.shape[-2]), int(images.shape[-1]))
    canvas = [int(side) for side in mllama.get_optimal_tiled_canvas(*shape, most, tile)]
    tall, wide = (int(side) for side in mllama.get_image_size_fit_to_canvas(*shape, *canvas, tile))
    padded = F.pad(twin.resize(images, tall, wide), (0, canvas[1] - wide, 0, canvas[0] - tall))
    tiles = torch.stack(_tiles(twin.normalise(padded), tile, tile), dim=1)
    count, grid = tiles.shape[1], (canvas[0] // tile, canvas[1] // tile)
    kind = mllama.get_all_supported_aspect_ratios(most).index(grid) + 1
    facts = {
        "aspect_ratio_ids": [kind],
        "aspect_ratio_mask": [[1] * count + [0] * (most - count)],
        "num_tiles": [count],
    }
    same = {
        name: torch.tensor([value], device=images.device).repeat_interleave(len(images), 0)
        for name, value in facts.items()
    }
    return {"pixel_values": F.pad(tiles, (0, 0, 0, 0, 0, 0, 0, most - count)).unsqueeze(1), **same}


def sequence(twin: Twin, images: Tensor) -> dict[str, Tensor]:
    """SigLIP 2: resized to at most so many whole patches, cut into flat ones (channels last),
    padded with zeros to that many.
    """
    from transformers.models.siglip2.image_processing_pil_siglip2 import (
        get_image_size_for_max_num_patches,
    )

    settings, patch, most = twin.settings, twin.settings.patch_size, twin.settings.max_num_patches
    if settings.do_resize:
        images = twin.resize(
            images,
            *get_image_size_for_max_num_patches(
                int(images.shape[-2]), int(images.shape[-1]), patch, most
            ),
        )
    images = twin.normalise(images)
    batch, channels, rows, columns = (
        len(images),
        images.shape[1],
        images.shape[-2] // patch,
        images.shape[-1] // patch,
    )
    patches = (
        images.view(batch, channels, rows, patch, columns, patch)
        .permute(0, 2, 4, 3, 5, 1)
        .reshape(batch, rows * columns, -1)
    )
    mask = (torch.arange(most, device=images.device) < rows * columns).int().repeat(batch, 1)
    sizes = torch.tensor([[rows, columns]], device=images.device).repeat(batch, 1)
    values = F.pad(patches, (0, 0, 0, most - rows * columns))
    return {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": sizes}


_LAYOUTS: dict[str, Layout] = {
    "LlavaNext": any_resolution,
    "LlavaOnevision": any_resolution,
    "Qwen2VL": patched,
    "Idefics3": split,
    "SmolVLM": split,
    "GotOcr2": thumbnailed,
    "Idefics2": quartered,
    "Mllama": on_canvas,
    "Pixtral": aligned,
    "Siglip2": sequence,
    "ConvNext": cut,
}

NESTED = (split, quartered, on_canvas)
"""Layouts whose processors take a list of pictures a sample."""


def layout_of(processor: Any) -> Layout:
    """What this processor makes of a picture, by its class's name."""
    name = type(processor).__name__.removesuffix("Pil").removesuffix("ImageProcessor")
    return _LAYOUTS.get(name, whole)


def _channels(values: Any, images: Tensor) -> Tensor:
    """A number a channel, to be broadcast over pictures."""
    return images.new_tensor(values).view(-1, 1, 1)


def _cropped(images: Tensor, height: int, width: int) -> Tensor:
    """The middle of a picture, padded with black where it is smaller."""
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    return F.pad(
        images, (-left, left + width - images.shape[-1], -top, top + height - images.shape[-2])
    )


def _tiles(images: Tensor, height: int, width: int) -> list[Tensor]:
    """Tiles of a picture, row by row."""
    return [tile for row in images.split(height, dim=-2) for tile in row.split(width, dim=-1)]
