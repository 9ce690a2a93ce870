"""A frozen backbone and what it says of pictures: each is decoded once and kept as uint8, each query is computed once and kept.

Where prompts enter behind block 0, the tokens that enter that block are frozen too, and kept as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from matboard.models.contracts import VisionBackbone
from matboard.tasks.task import Sample


@dataclass(frozen=True)
class Batch:
    """Pictures as a learner gets them.

    Attributes:
        images: 8-bit RGB of the backbone's side.
        query: the frozen backbone's summary.
        tokens: what enters the block at which the learner's prompts enter; None where it asked for none.
    """

    images: UInt8[Tensor, "batch 3 side side"]
    query: Float[Tensor, "batch dim"]
    tokens: Float[Tensor, "batch token dim"] | None = None

    def __len__(self) -> int:
        return len(self.query)


class FrozenEye:
    """A frozen backbone with its answers kept by sample id.

    Args:
        batch_size: pictures encoded at a time.
        keep: keep queries and tokens; False computes them anew each time (for measuring what keeping them saves).
    """

    def __init__(self, backbone: VisionBackbone, *, batch_size: int = 32, keep: bool = True) -> None:
        self.backbone, self.batch_size, self.keep = backbone, batch_size, keep
        self._images: dict[str, Tensor] = {}
        self._queries: dict[str, Tensor] = {}
        self._tokens: dict[tuple[int, str], Tensor] = {}

    def images(self, samples: Sequence[Sample]) -> UInt8[Tensor, "batch 3 side side"]:
        """Decoded pictures: shrunk or stretched to the backbone's side by Pillow's bicubic filter, longer sides cropped in the middle."""
        for sample in samples:
            if sample.id not in self._images:
                self._images[sample.id] = _decoded(sample, self.backbone.side)
        return torch.stack([self._images[s.id] for s in samples])

    def encode(self, images: UInt8[Tensor, "batch 3 side side"], layer: int | None = None) -> Batch:
        """A batch of any pictures; nothing is kept."""
        with torch.no_grad():
            embedded = self.backbone.embed(images.float() / 255)
            tokens = None if layer is None else self.backbone.advance(embedded, stop=layer)
            return Batch(images, self.backbone.forward(embedded).pooled.float(), tokens)

    def batch(self, samples: Sequence[Sample], layer: int | None = None) -> Batch:
        """A batch of samples; what is kept is not computed again."""
        images = self.images(samples)
        query = torch.cat([q for q, _ in self._in_parts(samples, images, self._query)])
        return Batch(images, query, None if layer is None else self.tokens(samples, images, layer))

    def tokens(self, samples: Sequence[Sample], images: UInt8[Tensor, "batch 3 side side"], layer: int) -> Float[Tensor, "batch token dim"]:
        """What enters block ``layer``; kept where that is behind block 0."""
        if layer == 0:
            with torch.no_grad():
                return self.backbone.embed(images.float() / 255)
        missing = [i for i, s in enumerate(samples) if (layer, s.id) not in self._tokens]
        fresh: dict[str, Tensor] = {}
        for start in range(0, len(missing), self.batch_size):
            part = missing[start : start + self.batch_size]
            with torch.no_grad():
                made = self.backbone.advance(self.backbone.embed(images[part].float() / 255), stop=layer)
            fresh |= {samples[i].id: row.clone() for i, row in zip(part, made)}
        if self.keep:
            self._tokens |= {(layer, key): row for key, row in fresh.items()}
        return torch.stack([fresh[s.id] if s.id in fresh else self._tokens[layer, s.id] for s in samples])

    def augmented(self, samples: Sequence[Sample], layer: int, generator: torch.Generator, clean_query: bool = True) -> Batch:
        """Randomly cropped and flipped pictures; the query is the clean picture's, kept, or the cropped one's, computed."""
        images = crop_and_flip(self.images(samples), generator)
        if not clean_query:
            return self.encode(images, layer)
        with torch.no_grad():
            tokens = self.backbone.advance(self.backbone.embed(images.float() / 255), stop=layer)
        return Batch(images, self.batch(samples).query, tokens)

    def prepare(self, samples: Sequence[Sample], layer: int | None = None) -> Iterator[int]:
        """Compute what is to be kept, ahead of time; yields how many samples are done."""
        for start in range(0, len(samples), self.batch_size):
            part = samples[start : start + self.batch_size]
            self.batch(part, layer or None)
            yield start + len(part)

    def _query(self, samples: Sequence[Sample], images: Tensor) -> Tensor:
        missing = [i for i, s in enumerate(samples) if s.id not in self._queries]
        fresh = {}
        if missing:
            made = self.backbone.query(images[missing].float() / 255)
            fresh = {samples[i].id: row.clone() for i, row in zip(missing, made)}
        if self.keep:
            self._queries |= fresh
        return torch.stack([fresh[s.id] if s.id in fresh else self._queries[s.id] for s in samples])

    def _in_parts(self, samples, images, compute):  # type: ignore[no-untyped-def]
        for start in range(0, len(samples), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield compute(samples[part], images[part]), part


def _decoded(sample: Sample, side: int) -> UInt8[Tensor, "3 side side"]:
    picture = ImageOps.fit(sample.load(), (side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()


def crop_and_flip(
    images: UInt8[Tensor, "batch 3 side side"], generator: torch.Generator, area: tuple[float, float] = (0.05, 1.0), ratio: float = 4 / 3
) -> UInt8[Tensor, "batch 3 side side"]:
    """Random resized crops and horizontal flips, each picture its own: the training pictures of every L2P code.

    Args:
        area: bounds of the crop's share of the picture (L2P: 0.05 to 1).
        ratio: the crop's width over height lies between 1/ratio and ratio, uniform in the logarithm.
    """
    count = len(images)
    share = area[0] + (area[1] - area[0]) * torch.rand(count, generator=generator)
    aspect = torch.exp((2 * torch.rand(count, generator=generator) - 1) * torch.log(torch.tensor(ratio)))
    width, height = (share * aspect).sqrt().clamp(max=1), (share / aspect).sqrt().clamp(max=1)
    right, down = (2 * torch.rand(2, count, generator=generator) - 1) * torch.stack([1 - width, 1 - height])
    flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    zero = torch.zeros(count)
    theta = torch.stack([torch.stack([width * flip, zero, right], 1), torch.stack([zero, height, down], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False).round().clamp(0, 255).to(torch.uint8)
