"""Guides: CLIP-like models that hold pictures and captions in one space."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from matboard.errors import ModelError
from matboard.models.capabilities import Guide, Pictures
from matboard.models.families import layout_of
from matboard.models.precision import of_an_eye
from matboard.models.processors.preprocessor import Preprocessor
from matboard.models.vlm.loading import load_part, quick_attention

DUAL_ENCODER = ("get_image_features", "get_text_features", "logit_scale")
"""What transformers' models of two towers have."""


class ClipGuide(Guide):
    """A frozen transformers dual encoder (CLIP, SigLIP and their like).

    Args:
        model: has ``get_image_features``, ``get_text_features`` and ``logit_scale``; it is set to
            eval mode and frozen.
        image_processor: its official image processor.
        tokenizer: its tokenizer.
        name: as the user calls it.

    Raises:
        ModelError: the model is no dual encoder.
    """

    def __init__(
        self, model: Any, image_processor: Any, tokenizer: Any, *, name: str = ""
    ) -> None:
        missing = [part for part in DUAL_ENCODER if not hasattr(model, part)]
        if missing:
            raise ModelError(
                f"{type(model).__name__} is no guide: it has no {' and no '.join(missing)}; give a"
                " CLIP or SigLIP model."
            )
        self.name = name or model.config.name_or_path or model.config.model_type
        self.model = model.eval().requires_grad_(False)
        self.preprocess = Preprocessor(image_processor, layout_of(image_processor))
        self.tokenizer = tokenizer
        self.logit_scale = float(model.logit_scale.exp())

    @property
    def refusal(self) -> str | None:
        """See `Guide.refusal`: what the comparison of the image processor with its
        differentiable version found.
        """
        return self.preprocess.refusal

    def image_features(self, images: Pictures) -> Float[Tensor, "batch dim"]:
        """See `Guide.image_features`. Raises PreprocessingMismatch for a tensor where there is no
        faithful differentiable version.
        """
        inputs = self.preprocess(images, self.model.device, self.model.dtype)
        return _normalised(self.model.get_image_features(**inputs))

    def text_features(self, captions: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """See `Guide.text_features`; captions are cut at the text tower's length. Raises ModelError
        without captions.
        """
        if not captions:
            raise ModelError("There are no captions to embed; give at least one.")
        limit = self.model.config.get_text_config().max_position_embeddings
        # SigLIP was trained on, and is scored with, padded texts (arXiv 2303.15343)
        padding = "max_length" if "siglip" in self.model.config.model_type else True
        options = {"padding": padding, "truncation": True, "max_length": limit}
        with torch.no_grad():
            texts = self.tokenizer(list(captions), return_tensors="pt", **options)
            texts = texts.to(self.model.device)
            return _normalised(self.model.get_text_features(**texts))


def load_guide(
    id_or_folder: str,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> ClipGuide:
    """A guide from the Hub or from a folder; one whose image processor has no faithful
    differentiable version comes with a warning.

    Args:
        dtype: of the weights; float32 unless given. A guide is all eye: ``"mixed"`` is float32.
        device: where it shall run; a GPU where there is one.

    Raises:
        ModelError: nothing there, a part is missing, or it is no dual encoder.
    """
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    place = str(id_or_folder)
    model = load_part(AutoModel, "model", place, dtype=of_an_eye(dtype))
    processor = load_part(AutoImageProcessor, "image processor", place, backend="pil")
    tokenizer = load_part(AutoTokenizer, "tokenizer", place)
    model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = ClipGuide(quick_attention(model), processor, tokenizer, name=place)
    if loaded.refusal is not None:
        warnings.warn(
            f"No prompt can be learned with {place}. {loaded.refusal}", stacklevel=2
        )
    elif loaded.preprocess.deviation is not None:
        warnings.warn(f"{place}: {loaded.preprocess.deviation}", stacklevel=2)
    return loaded


def _normalised(output: Any) -> Tensor:
    """Unit-length embeddings in float32; transformers 5 wraps them in an output object."""
    return F.normalize(getattr(output, "pooler_output", output).float(), dim=-1)
