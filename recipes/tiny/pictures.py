"""The pictures that the tiny zoo learns from: scenes drawn once, and what they show.

They come from the index range of ``scenes`` that no task uses. Half of them are shrunk and put
somewhere on a plain ground, so that a shrunk picture is nothing new to an eye; what a border shows
is never anything but plain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from matboard.tasks import scenes

CELLS = 5
"""A patch's silhouette is learned on CELLS × CELLS cells."""
NO_LABEL = -100
TOPICS = (*scenes.SHAPES, *scenes.COLOURS)
"""What the query tokens learn to look for, one each."""
_COLOURS = tuple(scenes.COLOURS)


@dataclass(frozen=True)
class Gallery:
    """Pictures drawn once, and what they show.

    Attributes:
        pixels: as an image processor resized them, before normalisation.
        silhouettes: share of every cell that is covered by things, 0 to 255.
        grid: patches along a side.
        frames: where the scene stands in the picture: left, top and side, in fractions of the
            picture.
        shown: the scene of each picture.
    """

    pixels: UInt8[np.ndarray, "picture side side 3"]
    silhouettes: UInt8[np.ndarray, "picture cells cells"]
    grid: int
    frames: np.ndarray
    shown: tuple[scenes.Scene, ...]

    @cached_property
    def patch_labels(self) -> Int[Tensor, "picture patch 3"]:
        """Per patch: shape and colour of the thing under it (NO_LABEL where none is), whether a
        centre lies in it.
        """
        pairs = zip(self.shown, self.frames, strict=True)
        return torch.stack(
            [_patch_labels(scene, frame, self.grid) for scene, frame in pairs]
        )

    @cached_property
    def topic_labels(self) -> Float[Tensor, "picture topic 10"]:
        """Per shape: which colours it comes in; per colour: which shapes; then their number and
        largest radius, scaled to about 1.
        """
        pairs = zip(self.shown, self.frames, strict=True)
        return torch.stack(
            [_topic_labels(scene, float(frame[2])) for scene, frame in pairs]
        )

    @cached_property
    def patch_silhouettes(self) -> Float[Tensor, "picture patch cell"]:
        """Per patch the covered share of its cells."""
        cells = torch.from_numpy(self.silhouettes).float() / 255
        return F.unfold(cells[:, None], CELLS, stride=CELLS).transpose(1, 2)

    def batch(self, rows: Tensor) -> Float[Tensor, "row 3 side side"]:
        """Pictures as BLIP's and CLIP's image processors hand them to the eye."""
        mean = torch.tensor(OPENAI_CLIP_MEAN).view(3, 1, 1)
        std = torch.tensor(OPENAI_CLIP_STD).view(3, 1, 1)
        pixels = torch.from_numpy(self.pixels[rows.numpy()]).permute(0, 3, 1, 2)
        return (pixels.float() / 255 - mean) / std


def gallery(side: int, grid: int, count: int, store: Path, seed: int = 0) -> Gallery:
    """Scenes of the four kinds in turn; the pixels are kept in the file ``store`` and read from
    there the next time.
    """
    rng = np.random.default_rng(seed)
    shown = tuple(_scene(number, seed) for number in range(count))
    scale = np.where(rng.random(count) < 0.5, rng.uniform(0.65, 1.0, count), 1.0)
    corners = rng.random((count, 2)) * (1 - scale[:, None])
    frames = np.concatenate([corners, scale[:, None]], 1)
    grounds = rng.integers(0, 256, (count, 3)) * (rng.random((count, 1)) < 0.5)
    if not store.exists():
        pixels = []
        silhouettes = []
        for scene, frame, ground in zip(shown, frames, grounds, strict=True):
            colour = tuple(ground.tolist())
            picture = _framed(scenes.draw(scene), frame, colour)
            small = picture.resize((side, side), Image.Resampling.BICUBIC)
            pixels.append(np.asarray(small))
            outline = _framed(scenes.silhouette(scene), frame, 0)
            cells = outline.resize((CELLS * grid, CELLS * grid), Image.Resampling.BOX)
            silhouettes.append(np.asarray(cells))
        np.savez(store, pixels=np.stack(pixels), silhouettes=np.stack(silhouettes))
    kept = np.load(store)
    return Gallery(kept["pixels"], kept["silhouettes"], grid, frames, shown)


def _scene(number: int, seed: int) -> scenes.Scene:
    round_, kind = divmod(number, len(scenes.KINDS))
    return scenes.compose(scenes.KINDS[kind], seed, scenes.RANGES["zoo"] + round_)


def _framed(picture: Image.Image, frame: np.ndarray, ground: Any) -> Image.Image:
    left, top, size = (round(224 * float(v)) for v in frame)
    canvas = Image.new(picture.mode, (224, 224), ground)
    canvas.paste(picture.resize((size, size), Image.Resampling.BICUBIC), (left, top))
    return canvas


def _patch_labels(
    shown: scenes.Scene, frame: np.ndarray, grid: int
) -> Int[Tensor, "patch 3"]:
    left, top, size = frame
    labels = torch.tensor([NO_LABEL, NO_LABEL, 0]).repeat(grid, grid, 1)
    middles = (np.arange(grid) + 0.5) / grid
    centres = []
    for thing in shown.things:
        x = left + thing.x * size
        y = top + thing.y * size
        far = np.hypot(middles[None] - x, middles[:, None] - y)
        near = torch.from_numpy(far < 0.9 * (thing.radius * size) + 0.25 / grid)
        shape = scenes.SHAPES.index(thing.shape)
        colour = _COLOURS.index(thing.colour)
        labels[near] = torch.tensor([shape, colour, 0])
        centres.append((int(y * grid), int(x * grid)))
    for row, column in centres:
        labels[row, column, 2] = 1
    return labels.flatten(0, 1)


def _topic_labels(shown: scenes.Scene, scale: float) -> Float[Tensor, "topic 10"]:
    labels = torch.zeros(len(TOPICS), len(scenes.SHAPES) + 2)
    for thing in shown.things:
        partners = {
            thing.shape: _COLOURS.index(thing.colour),
            thing.colour: scenes.SHAPES.index(thing.shape),
        }
        for topic, partner in partners.items():
            row = labels[TOPICS.index(topic)]
            row[partner] = 1
            row[-2] += 0.4
            row[-1] = max(float(row[-1]), 4 * thing.radius * scale)
    return labels
