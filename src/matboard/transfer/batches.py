"""Which pictures a training step sees, and how: a pure function of seed and step.

Nothing random is carried from one step to the next, so a run resumed at any step, or cut into parts
that several processes share, sees what the uninterrupted single process would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from matboard.prompts.canvas import Canvas
from matboard.tasks.task import Sample


@dataclass(frozen=True)
class View:
    """One way of looking at a training picture ("input diversity" of EVP and TVP: random flip and
    crop).

    Attributes:
        offset: where along its long side the square crop lies, 0 to 1; 0.5 is the centre.
        mirror: flipped left to right.
    """

    offset: float = 0.5
    mirror: bool = False


@dataclass(frozen=True)
class Batch:
    """What one step of one process sees.

    Attributes:
        draws: a number in [0, 1) for each sample, for whatever else is drawn at random.
    """

    indices: tuple[int, ...]
    views: tuple[View, ...]
    samples: tuple[Sample, ...]
    images: Float[Tensor, "batch 3 inner inner"]
    draws: tuple[float, ...]

    @property
    def questions(self) -> list[str]:
        return [s.question for s in self.samples]

    @property
    def answers(self) -> list[str]:
        return [s.answer for s in self.samples]


@dataclass
class Batches:
    """Training batches of a task.

    Args:
        samples: the training part.
        canvas: geometry; pictures come shrunk to its inner square, by the very code that deploys
            the prompt.
        size: samples of a whole step, over all processes and parts.
        diversity: random crop of non-square pictures, and a random flip where ``mirror`` allows it.
        mirror: the task's answers survive a flip.
        cache_bytes: decoded and shrunk pictures kept in memory; beyond it the work is done again.
    """

    samples: Sequence[Sample]
    canvas: Canvas
    size: int
    seed: int
    diversity: bool = True
    mirror: bool = True
    cache_bytes: int = 2 << 30
    _cache: dict[int, Image] = field(default_factory=dict, init=False, repr=False)
    _small: dict[tuple[int, View], NDArray[np.uint8]] = field(
        default_factory=dict, init=False, repr=False
    )
    _cached: int = field(default=0, init=False, repr=False)
    _order: tuple[int, list[int]] | None = field(default=None, init=False, repr=False)

    def at(self, step: int, part: int = 0, parts: int = 1) -> Batch:
        """The samples of step ``step`` (from 0), or one of several equal parts of them."""
        share = self.size // parts
        generator = np.random.default_rng([self.seed, 1, step])
        draws = generator.random((self.size, 2)).tolist()
        further = generator.random(self.size).tolist()
        indices = []
        views = []
        shrunk = []
        places = range(part * share, (part + 1) * share)
        for place in places:
            index = self._index(step * self.size + place)
            offset, flip = draws[place]
            picture = self.picture(index)
            view = self._view(picture, offset, flip)
            indices.append(index)
            views.append(view)
            shrunk.append(self._shrunk(index, picture, view))
        samples = [self.samples[index] for index in indices]
        return Batch(
            indices=tuple(indices),
            views=tuple(views),
            samples=tuple(samples),
            images=_as_tensor(shrunk),
            draws=tuple(further[place] for place in places),
        )

    def picture(self, index: int) -> Image:
        """A decoded training picture."""
        if index in self._cache:
            return self._cache[index]
        picture = self.samples[index].load()
        if self._fits(3 * picture.width * picture.height):
            self._cache[index] = picture
        return picture

    def _shrunk(self, index: int, picture: Image, view: View) -> NDArray[np.uint8]:
        """``inner inner 3``; kept, unless its crop was drawn at random and will hardly be drawn
        again.
        """
        key = (index, view)
        if key in self._small:
            return self._small[key]
        small = self.canvas.shrink(picture, offset=view.offset, mirror=view.mirror)
        pixels = np.asarray(small)
        if view.offset == 0.5 and self._fits(pixels.nbytes):
            self._small[key] = pixels
        return pixels

    def _fits(self, size: int) -> bool:
        if self._cached + size > self.cache_bytes:
            return False
        self._cached += size
        return True

    def _index(self, position: int) -> int:
        """Which sample stands at a position of the endless sequence of shuffled epochs."""
        epoch, place = divmod(position, len(self.samples))
        if self._order is None or self._order[0] != epoch:
            generator = np.random.default_rng([self.seed, 0, epoch])
            self._order = (epoch, generator.permutation(len(self.samples)).tolist())
        return int(self._order[1][place])

    def _view(self, picture: Image, offset: float, flip: float) -> View:
        if not self.diversity:
            return View()
        mirror = self.mirror and flip < 0.5
        square = picture.width == picture.height
        if square or self.canvas.policy != "crop":
            return View(mirror=mirror)
        return View(offset=offset, mirror=mirror)


def _as_tensor(
    pictures: Sequence[NDArray[np.uint8]],
) -> Float[Tensor, "batch 3 inner inner"]:
    stacked = torch.from_numpy(np.stack(pictures))
    return stacked.permute(0, 3, 1, 2).float() / 255
