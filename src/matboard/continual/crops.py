"""Random crops and flips: the training pictures of every L2P code."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, UInt8
from torch import Tensor


def crop_and_flip(
    images: UInt8[Tensor, "batch 3 side side"],
    generator: torch.Generator,
    *,
    area: tuple[float, float] = (0.05, 1.0),
    ratio: float = 4 / 3,
    mirror: bool = True,
) -> UInt8[Tensor, "batch 3 side side"]:
    """Random resized crops and horizontal flips, each picture its own.

    Args:
        area: bounds of the crop's share of the picture (L2P: 0.05 to 1).
        ratio: the crop's width over height lies between 1/ratio and ratio, uniform in the
            logarithm.
        mirror: half of the pictures are flipped.
    """
    count = len(images)
    least, most = area
    share = least + (most - least) * torch.rand(count, generator=generator)
    tilt = 2 * torch.rand(count, generator=generator) - 1
    aspect = torch.exp(tilt * torch.log(torch.tensor(ratio)))
    width = (share * aspect).sqrt().clamp(max=1)
    height = (share / aspect).sqrt().clamp(max=1)
    place = 2 * torch.rand(2, count, generator=generator) - 1
    right, down = place * torch.stack([1 - width, 1 - height])
    flipped = torch.rand(count, generator=generator) < 0.5 * mirror
    sign = torch.where(flipped, -1.0, 1.0)
    windows = _windows(width * sign, height, right, down)
    grid = F.affine_grid(windows, list(images.shape), align_corners=False)
    cut = F.grid_sample(
        images.float(), grid, padding_mode="border", align_corners=False
    )
    return cut.round().clamp(0, 255).to(torch.uint8)


def _windows(
    width: Float[Tensor, " batch"],
    height: Float[Tensor, " batch"],
    right: Float[Tensor, " batch"],
    down: Float[Tensor, " batch"],
) -> Float[Tensor, "batch 2 3"]:
    """What `affine_grid` wants: where the crop's corners lie, the picture's being ±1."""
    zero = torch.zeros(len(width))
    across = torch.stack([width, zero, right], dim=1)
    along = torch.stack([zero, height, down], dim=1)
    return torch.stack([across, along], dim=1)
