"""Which kind of model lies in a folder or on the Hub, by its configuration alone.

=================  ============================================  ==================================
kind               which                                         loaded by
=================  ============================================  ==================================
`VLM`              image-text-to-text models                     `matboard.models.vlm.loading`
`DUAL_ENCODER`     an image tower and a text tower               `matboard.models.dual_encoder`
`CLASSIFIER`       image classifiers                             `matboard.models.classifier`
=================  ============================================  ==================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
)

from matboard.models.guide import DUAL_ENCODER as TOWERS
from matboard.models.vlm.loading import load_part

Kind: TypeAlias = Literal["vlm", "dual_encoder", "classifier"]
VLM: Kind = "vlm"
DUAL_ENCODER: Kind = "dual_encoder"
CLASSIFIER: Kind = "classifier"


def kind_of(id_or_folder: str | Path) -> Kind:
    """What kind of model this is; `VLM` where its configuration does not say. Raises ModelError
    where there is no model of a known architecture.
    """
    config = load_part(AutoConfig, "configuration", str(id_or_folder))
    named = getattr(config, "architectures", None) or []
    if any(name.endswith("ForImageClassification") for name in named):
        return CLASSIFIER
    if _has(AutoModelForImageTextToText, config):
        return VLM
    if _is_dual(config):
        return DUAL_ENCODER
    if _has(AutoModelForImageClassification, config):
        return CLASSIFIER
    return VLM


def _has(auto: Any, config: Any) -> bool:
    return type(config) in auto._model_mapping


def _is_dual(config: Any) -> bool:
    """Whether transformers would load it as two towers; ``logit_scale`` is made by the model."""
    if not _has(AutoModel, config):
        return False
    made = AutoModel._model_mapping[type(config)]
    kinds = made if isinstance(made, list | tuple) else (made,)
    return all(hasattr(kind, part) for kind in kinds for part in TOWERS[:2])
