"""Image classifiers as models: some of their classes stand for the answers (`label_mapping`)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.errors import ModelError, UnknownName
from matboard.models.capabilities import HasFeatures, Learnable, Pictures, Ranks
from matboard.models.counts import common_count, same_count
from matboard.models.families import layout_of
from matboard.models.label_mapping import RULES, LabelMapping, Rule
from matboard.models.precision import of_an_eye
from matboard.models.processors.preprocessor import Preprocessor
from matboard.models.vlm.encode import fingerprint
from matboard.models.vlm.loading import load_part, quick_attention


class Classifier(Learnable, Ranks, HasFeatures):
    """A frozen transformers image classifier; questions are not read.

    It can rank once it has a `mapping`. A fit and `evaluate` give it one, by its ``rule``, from the
    task's training pictures.

    Args:
        model: an image classifier; it is set to eval mode and frozen.
        image_processor: its official image processor (PIL backend).
        rule: how classes are mapped to answers.
        name: as the user calls it.
    """

    mapping: LabelMapping | None = None

    def __init__(
        self,
        model: Any,
        image_processor: Any,
        *,
        rule: Rule = "iterative",
        name: str = "",
    ) -> None:
        self.name = name or model.config.name_or_path or model.config.model_type
        self.model = model.eval().requires_grad_(False)
        self.preprocess = Preprocessor(image_processor, layout_of(image_processor))
        self.rule: Rule = rule
        self.taps = () if model.base_model is model else ("vision",)
        self.settings = f"label mapping {rule}"

    @cached_property
    def encoder(self) -> str:  # type: ignore[override]
        """Fingerprint of the weights below the head."""
        return fingerprint(self.model.base_model)

    @cached_property
    def weights(self) -> str:  # type: ignore[override]
        """Fingerprint of all weights."""
        return fingerprint(self.model)

    @property
    def refusal(self) -> str | None:
        """See `Learnable.refusal`: what the comparison of the image processor with its
        differentiable version found.
        """
        return self.preprocess.refusal

    @property
    def classes(self) -> int:
        """How many classes it knows."""
        return int(self.model.config.num_labels)

    def class_names(self, classes: Sequence[int]) -> list[str]:
        """What it calls classes of its own."""
        return [str(self.model.config.id2label[own]) for own in classes]

    def mapped(self, mapping: LabelMapping | None) -> Classifier:
        """The same model, weights and all, with a label mapping of its own."""
        other = copy.copy(self)
        other.mapping = mapping
        return other

    def class_logits(self, images: Pictures) -> Float[Tensor, "batch own"]:
        """Logits of its own classes, float32; differentiable where ``images`` is a tensor."""
        inputs = self.preprocess(images, self.model.device, self.model.dtype)
        logits: Tensor = self.model(**inputs).logits
        return logits.float()

    def candidate_log_likelihoods(
        self,
        images: Pictures,
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
        *,
        length_normalised: bool = True,
    ) -> Float[Tensor, "batch candidate"]:
        """See `Ranks.candidate_log_likelihoods`: logits of the classes that stand for the
        candidates. Raises ModelError without a mapping, for a candidate that is not mapped, or for
        unequal counts.
        """
        del length_normalised
        same_count(images, questions, candidates)
        common_count(candidates)
        if self.mapping is None:
            raise ModelError(
                f"{self.name} knows {self.classes} classes of its own, and nobody said which of"
                " them stand for the candidates; use a fit or evaluate, which map them, or"
                " Classifier.mapped."
            )
        chosen = self.mapping.columns(candidates)
        logits = self.class_logits(images)
        return logits.gather(1, torch.tensor(chosen, device=logits.device))

    def visual_features(
        self, images: Pictures, tap: str, questions: Sequence[str] | None = None
    ) -> Float[Tensor, "batch token dim"]:
        """See `HasFeatures.visual_features`: ``"vision"`` is what the model below the head makes
        of a picture before it is pooled, cells of a feature map row by row. Raises UnknownName.
        """
        del questions
        if tap not in self.taps:
            raise UnknownName(f"tap of {self.name}", tap, self.taps)
        inputs = self.preprocess(images, self.model.device, self.model.dtype)
        tokens: Tensor = self.model.base_model(**inputs).last_hidden_state
        if tokens.ndim == 4:  # a feature map
            tokens = tokens.flatten(2).transpose(1, 2)
        return tokens.float()


def load(
    id_or_folder: str,
    *,
    mapping: Rule = "iterative",
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Classifier:
    """An image classifier from the Hub or from a folder; one on which no prompt can be learned
    comes with a warning.

    Args:
        mapping: rule by which classes are mapped to answers.
        dtype: of the weights; float32 unless given, and for ``"mixed"``.
        device: where it shall run; a GPU where there is one.

    Raises:
        ModelError: nothing there, or a part is missing.
        UnknownName: no such rule.
    """
    if mapping not in RULES:
        raise UnknownName("rule of label mapping", mapping, RULES)
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    place = str(id_or_folder)
    kind = AutoModelForImageClassification
    model = load_part(kind, "image classifier", place, dtype=of_an_eye(dtype))
    processor = load_part(AutoImageProcessor, "image processor", place, backend="pil")
    model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    # EfficientNet-Lite0 in float32 on a CPU is 1.3 to 1.9 times faster so (measured)
    model = model.to(memory_format=torch.channels_last)
    loaded = Classifier(quick_attention(model), processor, rule=mapping, name=place)
    if loaded.refusal is not None:
        warnings.warn(
            f"No prompt can be learned on {place}. {loaded.refusal}", stacklevel=2
        )
    elif loaded.preprocess.deviation is not None:
        warnings.warn(f"{place}: {loaded.preprocess.deviation}", stacklevel=2)
    return loaded
