"""A pixel prompt that learns: a perturbation of the placed picture (arXiv 2404.11207, Eq. 2).

| theirs | ours |
|---|---|
| X | ``images`` |
| T_p(X) | the placed picture: X shrunk, padded with black to the canvas |
| δ_p | `PixelPrompt.perturbation` |
| X_p = T_p(X) + δ_p | `PixelPrompt.forward` |

The paper leaves X_p unbounded, here range ``free``. By default X_p is clamped to what an 8-bit
picture can carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from matboard.errors import ConfigError, UnknownName
from matboard.prompts.artifact import RANGES, VisualPrompt
from matboard.prompts.canvas import Canvas, Patch, area, region, scaled, valid_range

Images: TypeAlias = Float[Tensor, "batch 3 height width"]


class PixelPrompt(nn.Module):
    """A border, patch or full-frame prompt, added to the placed picture.

    Args:
        canvas: where it is composed; a border needs a width, the other layouts width 0.
        layout: ``border``, ``patch`` or ``full``.
        range: ``clamped`` clamps the composed canvas to [0, 1], straight through for the gradient;
            ``sigmoid`` makes the border σ(δ), or the perturbation of a picture 2σ(δ) − 1; ``free``
            bounds nothing, as in the paper, and cannot be saved as a picture.
        patch: where a patch lies; for that layout only.
        resolution: learn ``resolution × resolution`` values, upsampled bilinearly; None learns
            every pixel.
        generator: draws a perturbation uniform over the valid range to start from; None starts from
            δ = 0, as the paper does.
        level: the perturbation to start from instead, everywhere the same: of a border its
            brightness, 0 (black) to 1 (white).

    Attributes:
        delta: the only parameter, ``3 side side``.
        mask: ``1 size size``, 1 where the prompt acts.

    Raises:
        UnknownName: no such layout or range.
        ConfigError: an impossible geometry, resolution or level, or a level where a generator draws
            the start.
    """

    mask: Tensor

    def __init__(
        self,
        canvas: Canvas = Canvas(),  # noqa: B008  (frozen)
        layout: str = "border",
        range: str = "clamped",
        patch: Patch | None = None,
        resolution: int | None = None,
        generator: torch.Generator | None = None,
        level: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(canvas, Canvas):
            raise ConfigError(
                f"A canvas {canvas!r} came; expected a Canvas, such as Canvas(size=224, width=30)."
            )
        if range not in RANGES:
            raise UnknownName("value range", range, RANGES)
        self.canvas = canvas
        self.layout = layout
        self.range = range
        self.patch = patch
        self.resolution = resolution
        self.level = level
        mask = torch.from_numpy(region(canvas, layout, patch)).float()
        self.register_buffer("mask", mask[None], persistent=False)
        self._rows, self._columns = area(canvas, patch)
        self._side = self._rows.stop - self._rows.start
        if resolution is not None and not 1 <= resolution <= self._side:
            raise ConfigError(
                f"A resolution of {resolution} came; expected 1 to {self._side}, the side of what"
                " it is upsampled to."
            )
        side = resolution or self._side
        self.delta = nn.Parameter(torch.zeros(3, side, side))
        self._start(generator)

    @torch.no_grad()
    def _start(self, generator: torch.Generator | None) -> None:
        """Set the values to start from. Raises ConfigError for an impossible level."""
        low, high = valid_range(self.layout)
        if self.level is not None:
            if generator is not None or not low <= self.level <= high:
                raise ConfigError(
                    f"A level of {self.level} came; expected {low:g} to {high:g} for a"
                    f" {self.layout} prompt, and no generator beside it."
                )
            flat = torch.full_like(self.delta, self.level)
            self.delta.copy_(self._inverse(flat))
        if generator is not None:
            uniform = torch.rand(self.delta.shape, generator=generator)
            self.delta.copy_(self._inverse(low + (high - low) * uniform))

    def perturbation(self) -> Float[Tensor, "3 size size"]:
        """δ_p: what is added to the placed picture; exactly zero where the prompt does not act."""
        values: Tensor = self.delta
        if self.resolution:
            values = F.interpolate(values[None], size=self._side, mode="bilinear")[0]
        if self.range == "sigmoid":
            low, high = valid_range(self.layout)
            values = low + (high - low) * values.sigmoid()
        left = self._columns.start
        right = self.canvas.size - self._columns.stop
        top = self._rows.start
        bottom = self.canvas.size - self._rows.stop
        return F.pad(values, (left, right, top, bottom)) * self.mask

    def forward(self, images: Images) -> Float[Tensor, "batch 3 size size"]:
        """X_p, ``batch 3 size size``: in [0, 1] unless the range is ``free``; differentiable in the
        images and in ``delta``.

        Args:
            images: in [0, 1]. Of ``inner × inner`` pixels they are placed as they are, so that
                pictures shrunk by `Canvas.shrink` are composed exactly as `VisualPrompt.apply`
                does. Of any other size they are first resized here, by torch's bicubic filter,
                which differs from Pillow's in rounding.
        """
        prompted = self.place(images) + self.perturbation()
        return prompted if self.range == "free" else clamp_straight_through(prompted)

    def place(self, images: Images) -> Float[Tensor, "batch 3 size size"]:
        """T_p(X), Eq. 2 without the prompt: ``batch 3 size size``."""
        if images.shape[-2:] != (self.canvas.inner, self.canvas.inner):
            images = _fit(images, self.canvas.inner, self.canvas.policy)
        return F.pad(images, (self.canvas.width,) * 4)

    def projected(self, values: Tensor) -> Tensor:
        """Values of `delta`, those of a ``clamped`` prompt pulled back to where they can change a
        picture, so that they cannot drift; for each update.
        """
        return values if self.bounds is None else values.clamp(*self.bounds)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range outside of which a value of a ``clamped`` prompt changes no picture; None of
        the others.
        """
        return valid_range(self.layout) if self.range == "clamped" else None

    @property
    def acting(self) -> Tensor:
        """Which values of `delta` change a picture, of its shape; others lie under the picture."""
        with torch.enable_grad():
            total = self.perturbation().sum()
            (slope,) = torch.autograd.grad(total, self.delta)
        return slope != 0

    def extra_repr(self) -> str:
        """See `torch.nn.Module.extra_repr`."""
        return f"{self.layout}, {self.canvas}, {self.range}"

    def _repr_png_(self) -> bytes:
        """What is learned so far, where a notebook shows it."""
        return self.to_artifact()._repr_png_()

    def to_artifact(self, config: Mapping[str, Any] | None = None) -> VisualPrompt:
        """What is learned so far, to be saved or applied; ``config`` is what to remember about it.
        Raises PromptError if not finite.
        """
        learned: dict[str, Any] = {}
        if self.resolution is not None:
            learned["resolution"] = self.resolution
        if self.level is not None:
            learned["level"] = self.level
        with torch.no_grad():
            perturbation = self.perturbation().float().cpu()
        if self.range == "clamped":
            perturbation = perturbation.clamp(*valid_range(self.layout))
        told = {**learned, **(config or {})}
        return VisualPrompt(
            self.canvas, perturbation.numpy(), self.layout, self.range, self.patch, told
        )

    @classmethod
    def from_artifact(cls, artifact: VisualPrompt) -> PixelPrompt:
        """A prompt with the artefact's perturbation, every pixel of it learnable."""
        prompt = cls(artifact.canvas, artifact.layout, artifact.range, artifact.patch)
        values = torch.tensor(artifact.perturbation[:, prompt._rows, prompt._columns])
        prompt.delta.data = prompt._inverse(values)
        return prompt

    def _inverse(
        self, values: Float[Tensor, "3 side side"]
    ) -> Float[Tensor, "3 side side"]:
        """The δ whose perturbation has these values."""
        if self.range != "sigmoid":
            return values
        low, high = valid_range(self.layout)
        return torch.logit(
            (values - low) / (high - low), eps=torch.finfo(torch.float32).eps
        )


def clamp_straight_through(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Clamped to [0, 1] forwards, the identity backwards (straight-through, arXiv 1308.3432): a
    saturated pixel still learns.
    """
    clamped: Tensor = _ClampStraightThrough.apply(values)
    return clamped


class _ClampStraightThrough(torch.autograd.Function):
    """One pass over the canvases each way, where a sum of detached parts takes four."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        return values.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        return gradients[0]


def _fit(images: Images, side: int, policy: str) -> Float[Tensor, "batch 3 side side"]:
    """`Canvas.shrink` for tensors: differentiable, bicubic with antialiasing, clamped because
    bicubic overshoots.
    """
    height, width = images.shape[-2:]
    if policy == "crop":
        short = min(height, width)
        top = (height - short) // 2
        left = (width - short) // 2
        images = images[..., top : top + short, left : left + short]
        height = width = short
    columns, rows = scaled(width, height, side, policy)
    resized = F.interpolate(
        images, size=(rows, columns), mode="bicubic", antialias=True
    )
    left = (side - columns) // 2
    top = (side - rows) // 2
    around = (left, side - columns - left, top, side - rows - top)
    return F.pad(resized.clamp(0, 1), around)
