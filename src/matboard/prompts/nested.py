"""A prompt on pictures in whatever form people hand to a transformers processor.

Pictures come one at a time, in lists, in lists of lists; as PIL pictures, files, arrays or torch
tensors. Each goes out in the form in which it came, so that whatever happens to it next, happens as
it would have without the prompt.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from matboard.errors import ImageError

if TYPE_CHECKING:
    from matboard.prompts.artifact import VisualPrompt


def prompted(prompt: VisualPrompt, images: Any) -> Any:
    """Every picture with the prompt, ``size × size``, in the nest and the form in which it came.

    Args:
        images: a PIL picture, a picture's file, an array or a torch tensor of pixels, or nested
            lists of them. Arrays and tensors hold one picture or a batch, channels first or last,
            as integers from 0 to 255, floats in [0, 1], or floats from 0 to 255; they come back
            rounded to what 8 bits carry.

    Raises:
        ImageError: anything else, or a tensor that wants a gradient, which 8-bit pictures do not
            pass on.
    """
    if isinstance(images, list | tuple):
        return [prompted(prompt, picture) for picture in images]
    if isinstance(images, Image.Image | str | Path):
        return prompt.apply(images)
    if isinstance(images, np.ndarray):
        return _array(prompt, images)
    torch = sys.modules.get("torch")  # who has a tensor has loaded it
    if torch is not None and isinstance(images, torch.Tensor):
        return _tensor(prompt, images, torch)
    raise ImageError(
        f"A value of type {type(images).__name__} came; expected a PIL picture, a picture's file,"
        " an array or tensor of pixels, or lists of them."
    )


def _tensor(prompt: VisualPrompt, values: Any, torch: Any) -> Any:
    if values.requires_grad:
        raise ImageError(
            "A tensor that wants a gradient came; a prompt is put on 8-bit pictures, which pass"
            " none on. Give values.detach(), or learn through matboard.load_model."
        )
    floats = values.is_floating_point()
    array = (values.float() if floats else values).cpu().numpy()
    shown = torch.from_numpy(_array(prompt, array))
    return shown.to(device=values.device, dtype=values.dtype)


def _array(prompt: VisualPrompt, values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim == 4:
        return np.stack([_array(prompt, picture) for picture in values])
    first = (
        values.ndim == 3 and values.shape[0] == 3
    )  # as transformers where both could be
    if values.ndim != 3 or not values.size or not (first or values.shape[2] == 3):
        raise ImageError(
            f"An array of shape {values.shape} came; expected a picture of three channels, (3,"
            " height, width) or (height, width, 3), or a batch of them."
        )
    unit = _unit(values)
    levels = np.rint(values * unit).astype(np.uint8)
    rows = levels.transpose(1, 2, 0) if first else levels
    shown = np.array(prompt.apply(np.ascontiguousarray(rows)))
    if first:
        shown = np.ascontiguousarray(shown.transpose(2, 0, 1))
    out: NDArray[Any] = (shown / unit if unit > 1 else shown).astype(values.dtype)
    return out


def _unit(values: NDArray[Any]) -> int:
    """By what the values are multiplied to be levels of 255. Raises ImageError."""
    floats = np.issubdtype(values.dtype, np.floating)
    plain = floats or np.issubdtype(values.dtype, np.integer)
    low, high = (values.min(), values.max()) if plain else (-1, -1)
    if not 0 <= low <= high <= 255:  # false for values that are not finite, too
        raise ImageError(
            f"A picture of {values.dtype} with values from {low:g} to {high:g} came; expected 0 to"
            " 255, or floats in [0, 1]. Give pictures before they are normalised."
        )
    return 255 if floats and high <= 1 else 1
