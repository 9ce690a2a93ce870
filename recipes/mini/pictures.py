"""What the frozen eyes see: views of training pictures, and their tokens, kept on disk.

Connectors are trained on these tokens, so the eye costs nothing in training. A share of the views
shows the picture shrunk on a black canvas, as a visual prompt's border does, and a share shows it
at CIFAR's 32 pixels, so that neither is foreign later.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling, Transpose

from matboard.disk import make_once

CANVAS = 224
"""The prompts' default canvas, TVP's."""
INNER = 164
"""The picture's side inside TVP's border of 30."""


@dataclass(frozen=True)
class View:
    """How one picture is shown to an eye.

    Attributes:
        crop: keep a random square of at least half the side.
        small: go through 32 × 32 pixels.
        framed: shrink on a black canvas.
        flip: mirror half of the pictures.
    """

    crop: bool = False
    small: bool = False
    framed: bool = False
    flip: bool = True

    def __call__(self, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The picture as this view shows it, RGB."""
        flip = self.flip and rng.random() < 0.5
        scale = rng.uniform(0.5, 1.0)
        x = rng.random()
        y = rng.random()
        if flip:
            picture = picture.transpose(Transpose.FLIP_LEFT_RIGHT)
        if self.crop or self.small:
            side = int(min(picture.size) * (scale if self.crop else 1))
            left = int((picture.width - side) * x)
            top = int((picture.height - side) * y)
            picture = picture.crop((left, top, left + side, top + side))
        if self.small:
            picture = picture.resize((32, 32), Resampling.BICUBIC)
        return framed(picture) if self.framed else picture


def framed(picture: Image.Image) -> Image.Image:
    """The picture's central square, 164 × 164, in the middle of a black 224 × 224 canvas."""
    side = min(picture.size)
    left = (picture.width - side) // 2
    top = (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    inner = picture.resize((INNER, INNER), Resampling.BICUBIC, box=box)
    margin = (CANVAS - INNER) // 2
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    canvas.paste(inner, (margin, margin))
    return canvas


@dataclass(frozen=True)
class Packed:
    """Encoded pictures joined in one npz, and their labels."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int32]
    classes: tuple[str, ...]
    counts: NDArray[np.int32] | None = None

    @classmethod
    def load(cls, path: Path) -> Packed:
        """Read a packed set: ``data``, ``offsets``, ``labels``, ``classes`` and, where objects were
        counted, ``counts``.
        """
        with np.load(path, allow_pickle=False) as z:
            counts = z["counts"] if "counts" in z.files else None
            return cls(
                z["data"],
                z["offsets"],
                z["labels"],
                tuple(map(str, z["classes"])),
                counts,
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Image.Image:
        encoded = self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()
        return Image.open(io.BytesIO(encoded)).convert("RGB")


@dataclass(frozen=True)
class Piece:
    """Some pictures of one packed set under one view.

    Attributes:
        source: the packed set's file name without ending.
        number: tells pieces of one source apart, and seeds them.
        step, start: every ``step``-th picture from ``start`` on.
        only: keep pictures of these labels.
    """

    source: str
    number: int
    view: View
    step: int = 1
    start: int = 0
    only: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """File name of the cached tokens, without ending."""
        return f"{self.source}-{self.number}"

    def indices(self, labels: NDArray[np.int32]) -> NDArray[np.int64]:
        """Which pictures of the set belong to the piece."""
        index = np.arange(self.start, len(labels), self.step)
        return index[np.isin(labels[index], self.only)] if self.only else index


@torch.no_grad()
def cache_piece(
    piece: Piece,
    eye: Callable[[torch.Tensor], torch.Tensor],
    processor: Any,
    data: Path,
    out: Path,
) -> Path:
    """Tokens of a piece's pictures, float16 ``picture token dim``, in ``out/<piece>.npy``; kept if
    it is there already.

    Args:
        eye: normalised pixels → tokens.
        processor: the eye's official image processor.
    """

    def make(fresh: Path) -> None:
        packed = Packed.load(data / f"{piece.source}.npz")
        rng = np.random.default_rng([piece.number, *piece.source.encode()])
        index = piece.indices(packed.labels)
        rows = []
        for chunk in np.array_split(index, max(1, len(index) // 16)):
            pictures = [piece.view(packed[i], rng) for i in chunk.tolist()]
            pixels = processor(pictures, return_tensors="pt")["pixel_values"]
            rows.append(eye(pixels).half().numpy())
        np.save(fresh, np.concatenate(rows))

    return make_once(out / f"{piece.name}.npy", make)
