"""A frozen backbone and what it says of pictures: each is decoded once and kept as uint8, each
query is computed once and kept.

Pictures smaller than the backbone's side are kept at their own size and enlarged when they are
needed: 60,000 pictures of CIFAR take 180 MB so, where at 224 px they would take 9 GB.

Where prompts enter behind block 0, the tokens that enter that block are frozen too, and kept as
well.
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

from matboard.continual.crops import crop_and_flip
from matboard.models.capabilities import Backbone
from matboard.tasks.task import Sample


@dataclass(frozen=True)
class Inputs:
    """Pictures as a learner gets them.

    Attributes:
        images: 8-bit RGB of the backbone's side.
        query: the frozen backbone's summary.
        tokens: what enters the block at which the learner's prompts enter; None where it asked for
            none.
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
        keep: keep queries and tokens; False computes them anew each time (for measuring what
            keeping them saves).
    """

    def __init__(
        self, backbone: Backbone, *, batch_size: int = 32, keep: bool = True
    ) -> None:
        self.backbone = backbone
        self.batch_size = batch_size
        self.keep = keep
        self._images: dict[str, Tensor] = {}
        self._queries: dict[str, Tensor] = {}
        self._tokens: dict[tuple[int, str], Tensor] = {}

    def images(self, samples: Sequence[Sample]) -> UInt8[Tensor, "batch 3 side side"]:
        """Decoded pictures at the backbone's side: the middle square, resized by a bicubic filter
        (Pillow's down, torch's like it up).
        """
        for sample in samples:
            if sample.id not in self._images:
                self._images[sample.id] = _decoded(sample, self.backbone.side)
        side = self.backbone.side
        return torch.stack([_enlarged(self._images[s.id], side) for s in samples])

    def encode(
        self, images: UInt8[Tensor, "batch 3 side side"], layer: int | None = None
    ) -> Inputs:
        """Inputs made of any pictures; nothing is kept."""
        with torch.no_grad():
            embedded = self._embed(images)
            tokens = (
                None if layer is None else self.backbone.advance(embedded, stop=layer)
            )
            query = self.backbone.forward(embedded).pooled.float()
        return Inputs(images, query, tokens)

    def inputs(self, samples: Sequence[Sample], layer: int | None = None) -> Inputs:
        """Inputs made of samples; what is kept is not computed again."""
        images = self.images(samples)
        queries, entering = self._answers(samples, images, layer or 0)
        query = torch.stack([queries[s.id] for s in samples])
        if layer is None:
            return Inputs(images, query)
        if layer == 0:
            return Inputs(images, query, self._embed(images))
        tokens = torch.stack([entering[layer, s.id] for s in samples])
        return Inputs(images, query, tokens.to(query.device))

    def parts(
        self, samples: Sequence[Sample], layer: int | None = None
    ) -> Iterator[Inputs]:
        """Inputs of so many samples at a time as are encoded at a time."""
        for start in range(0, len(samples), self.batch_size):
            yield self.inputs(samples[start : start + self.batch_size], layer)

    def augmented(
        self,
        samples: Sequence[Sample],
        layer: int,
        generator: torch.Generator,
        *,
        clean_query: bool = True,
        mirror: bool = True,
    ) -> Inputs:
        """Randomly cropped and, with ``mirror``, flipped pictures; the query is the clean
        picture's, kept, or their own, computed.
        """
        images = crop_and_flip(self.images(samples), generator, mirror=mirror)
        if not clean_query:
            return self.encode(images, layer)
        with torch.no_grad():
            tokens = self.backbone.advance(self._embed(images), stop=layer)
        return Inputs(images, self.inputs(samples).query, tokens)

    def prepare(
        self, samples: Sequence[Sample], layer: int | None = None
    ) -> Iterator[int]:
        """Compute what is to be kept, ahead of time; yields how many samples are done."""
        done = 0
        for part in self.parts(samples, layer or None):
            done += len(part)
            yield done

    @torch.no_grad()
    def _answers(
        self, samples: Sequence[Sample], images: Tensor, layer: int
    ) -> tuple[dict[str, Tensor], dict[tuple[int, str], Tensor]]:
        """Queries, and tokens entering ``layer`` where that is behind block 0, of at least these
        samples; each is encoded once.
        """
        queries = self._queries if self.keep else {}
        tokens = self._tokens if self.keep else {}
        missing = []
        for index, sample in enumerate(samples):
            lacks_tokens = layer > 0 and (layer, sample.id) not in tokens
            if lacks_tokens or sample.id not in queries:
                missing.append(index)
        for start in range(0, len(missing), self.batch_size):
            part = missing[start : start + self.batch_size]
            entering = self.backbone.advance(self._embed(images[part]), stop=layer)
            pooled = self.backbone.forward(entering, start=layer).pooled.float()
            for index, row, query in zip(part, entering, pooled):
                name = samples[index].id
                queries.setdefault(name, query.clone())
                if layer:
                    tokens[layer, name] = row.cpu().clone()
        return queries, tokens

    @torch.no_grad()
    def _embed(
        self, images: UInt8[Tensor, "batch 3 side side"]
    ) -> Float[Tensor, "batch token dim"]:
        return self.backbone.embed(images.float() / 255)


def _decoded(sample: Sample, most: int) -> UInt8[Tensor, "3 side side"]:
    """The picture's middle square, of its own size or ``most``, whichever is less."""
    picture = sample.load().convert("RGB")
    side = min(most, *picture.size)
    square = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(square))
    return pixels.permute(2, 0, 1).contiguous()


def _enlarged(
    picture: UInt8[Tensor, "3 small small"], side: int
) -> UInt8[Tensor, "3 side side"]:
    if picture.shape[-1] == side:
        return picture
    small = picture[None].float()
    grown = F.interpolate(
        small, size=side, mode="bicubic", antialias=True
    )  # Pillow's own kernel
    return grown[0].round().clamp(0, 255).to(torch.uint8)
