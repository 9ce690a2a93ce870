"""What an official image processor does to PIL pictures, done to tensors so that gradients pass.

It is driven by the processor's own settings: resize rule, resampling, crop, rescaling, mean and
deviation. What becomes of a picture after that (one picture, a grid of tiles, flat patches) is its
`Layout`: the common ones are here, those of a single family in the family's file. `check` compares
the result with the official processor's.

==============  ===========================================================================
layout          what becomes of a picture
==============  ===========================================================================
`WHOLE`         resized, cropped, normalised (BLIP, CLIP, SigLIP, ViT, EfficientNet, Gemma 3
                and any processor that no family names)
`CUT`           resized, a margin cut off (ConvNeXT)
`SEQUENCE`      a padded sequence of flat patches (SigLIP 2)
==============  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from matboard.errors import PreprocessingMismatch
from matboard.models.processors import resampling
from matboard.models.processors.geometry import get, target

LARGEST = 4096
"""Pixels of a side; a guess, twice what the largest processors of transformers make."""


@dataclass(frozen=True)
class Layout:
    """What a processor makes of resized and normalised pictures.

    Attributes:
        arrange: (the processor, pictures) → the model's picture inputs.
        nested: whether the official processor takes a list of pictures a sample.
    """

    arrange: Callable[[DifferentiableProcessor, Tensor], dict[str, Tensor]]
    nested: bool = False


class DifferentiableProcessor:
    """An image processor on tensors.

    Args:
        processor: the official image processor; only its settings are read.
        layout: what becomes of a picture.
    """

    def __init__(self, processor: Any, layout: Layout) -> None:
        filter_ = getattr(processor, "resample", None)
        self.settings = processor
        self.resampling = int(Image.Resampling.BILINEAR if filter_ is None else filter_)
        self.layout = layout

    def __call__(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> dict[str, Tensor]:
        """The model's picture inputs; values in [0, 1] come in, gradients flow back to them."""
        pixels = images.float().contiguous()  # some families view their inputs
        return self.layout.arrange(self, pixels)

    def resize(self, images: Tensor, height: int, width: int) -> Tensor:
        """As Pillow resizes 8-bit pictures, by the processor's own filter. Raises
        PreprocessingMismatch for sizes that no model takes: they mean something else.
        """
        if max(height, width) > LARGEST:
            raise PreprocessingMismatch(
                f"matboard's differentiable version of {type(self.settings).__name__} would make"
                f" pictures of {width}×{height}; at most {LARGEST} a side are expected. Its size"
                f" {dict(self.settings.size)!r} may count pixels or patches."
            )
        return resampling.resize(images, height, width, self.resampling)

    def shape(self, images: Tensor) -> Tensor:
        """Resize and crop by the processor's own rule."""
        if getattr(self.settings, "do_resize", None):
            images = self.resize(images, *target(self.settings.size, *size_of(images)))
        return self.crop(images)

    def crop(self, images: Tensor) -> Tensor:
        """Crop where the processor does."""
        if not getattr(self.settings, "do_center_crop", None):
            return images
        size = self.settings.crop_size
        return cropped(images, size["height"], size["width"])

    def normalise(self, images: Tensor) -> Tensor:
        """Rescale from 8-bit values as the processor does, then subtract the mean and divide by the
        deviation.
        """
        settings = self.settings
        images = images * (
            255 * settings.rescale_factor if settings.do_rescale else 255
        )
        if settings.do_rescale and getattr(
            settings, "rescale_offset", False
        ):  # EfficientNet
            images = images - 1
        if settings.do_normalize:
            images = images - _channels(settings.image_mean, images)
            images = images / _channels(settings.image_std, images)
        if getattr(settings, "include_top", False):  # EfficientNet, once more
            images = images / _channels(settings.image_std, images)
        return images


def size_of(images: Tensor) -> tuple[int, int]:
    """Height and width."""
    return int(images.shape[-2]), int(images.shape[-1])


def tiles(images: Tensor, height: int, width: int) -> list[Tensor]:
    """Tiles of a picture, row by row."""
    rows = images.split(height, dim=-2)
    return [tile for row in rows for tile in row.split(width, dim=-1)]


def cropped(images: Tensor, height: int, width: int) -> Tensor:
    """The middle of a picture, padded with black where it is smaller."""
    tall, wide = size_of(images)
    top = (tall - height) // 2
    left = (wide - width) // 2
    right = wide - width - left
    bottom = tall - height - top
    return F.pad(images, (-left, -right, -top, -bottom))


def _channels(values: Any, images: Tensor) -> Tensor:
    """A number a channel, to be broadcast over pictures."""
    return images.new_tensor(values).view(-1, 1, 1)


def _whole(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """One picture in, one picture out."""
    return {"pixel_values": processor.normalise(processor.shape(images))}


def _cut(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """ConvNeXT: a margin cut off below 384 pixels, squeezed into a square from there on."""
    settings = processor.settings
    edge = get(settings.size, "shortest_edge")
    if settings.do_resize and edge < 384:
        shortest = {"shortest_edge": int(edge / settings.crop_pct)}
        images = processor.resize(images, *target(shortest, *size_of(images)))
        images = cropped(images, edge, edge)
    elif settings.do_resize:
        images = processor.resize(images, edge, edge)
    return {"pixel_values": processor.normalise(processor.crop(images))}


def _sequence(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """SigLIP 2: resized to at most so many whole patches, cut into flat ones (channels last),
    padded with zeros to that many.
    """
    from transformers.models.siglip2.image_processing_pil_siglip2 import (
        get_image_size_for_max_num_patches,
    )

    settings = processor.settings
    patch = settings.patch_size
    most = settings.max_num_patches
    if settings.do_resize:
        size = get_image_size_for_max_num_patches(*size_of(images), patch, most)
        images = processor.resize(images, *size)
    images = processor.normalise(images)
    batch, channels, height, width = images.shape
    rows = height // patch
    columns = width // patch
    grid = images.view(batch, channels, rows, patch, columns, patch)
    patches = grid.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)
    count = rows * columns
    real = torch.arange(most, device=images.device) < count
    sizes = torch.tensor([[rows, columns]], device=images.device)
    return {
        "pixel_values": F.pad(patches, (0, 0, 0, most - count)),
        "pixel_attention_mask": real.int().repeat(batch, 1),
        "spatial_shapes": sizes.repeat(batch, 1),
    }


WHOLE = Layout(_whole)
CUT = Layout(_cut)
SEQUENCE = Layout(_sequence)

LAYOUTS: Mapping[str, Layout] = {"ConvNext": CUT, "Siglip2": SEQUENCE}
"""Image processor, as transformers calls it without ``ImageProcessor`` → layout, for processors
that belong to no family of vision-language models.
"""


def short_name(processor: Any) -> str:
    """An image processor's name in `LAYOUTS`."""
    return type(processor).__name__.removesuffix("Pil").removesuffix("ImageProcessor")
