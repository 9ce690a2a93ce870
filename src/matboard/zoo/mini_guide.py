"""A guide that can be built offline: CLIP's image tower, and a text side fitted to it.

No text tower of CLIP is to be had from package registries. In its place a caption's sentence
embedding (MiniLM) goes through one linear map into CLIP's space. The map is a ridge regression onto
real CLIP text embeddings of 171 names and, for other names, onto the mean image embedding of their
training pictures, moved from where pictures lie to where texts lie.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar, no_type_check

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertModel,
    CLIPVisionModelWithProjection,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.configuration_utils import SubConfigSpec

from matboard.disk import publish
from matboard.errors import ModelError
from matboard.models.guide import ClipGuide, load_guide
from matboard.zoo.mini import WEIGHTS, once, prefixed, resize_positions, write_shards
from matboard.zoo.mini_shapes import eye_config, image_processor
from matboard.zoo.parts import Progress, fetch

NAME = "mini-guide"
EYE = "clip112"


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class CaptionClipConfig(PreTrainedConfig):  # type: ignore[misc]
    """An image tower and a sentence encoder."""

    model_type = "caption_clip"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
    }
    vision_config: Any = None
    text_config: Any = None


class CaptionClip(PreTrainedModel):  # type: ignore[misc]
    """CLIP's image tower beside MiniLM and a linear map; ``logit_scale`` is OpenAI's, ln 100 (arXiv
    2103.00020 §2.5).
    """

    config_class = CaptionClipConfig
    main_input_name = "pixel_values"

    def __init__(self, config: CaptionClipConfig) -> None:
        super().__init__(config)
        self.vision = CLIPVisionModelWithProjection._from_config(config.vision_config)
        self.text = BertModel._from_config(config.text_config, add_pooling_layer=False)
        self.head = nn.Linear(config.text_config.hidden_size, config.vision_config.projection_dim)
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())
        self.post_init()

    def get_image_features(
        self, pixel_values: Float[Tensor, "batch 3 height width"], **_: Any
    ) -> Float[Tensor, "batch dim"]:
        """CLIP's picture embeddings, not normalised."""
        features: Tensor = self.vision(pixel_values=pixel_values).image_embeds
        return features

    def get_text_features(
        self,
        input_ids: Int[Tensor, "batch token"],
        attention_mask: Int[Tensor, "batch token"],
        **_: Any,
    ) -> Float[Tensor, "batch dim"]:
        """Captions in CLIP's space, not normalised."""
        features: Tensor = self.head(sentence(self.text, input_ids, attention_mask))
        return features


def sentence(
    encoder: Any, input_ids: Int[Tensor, "batch token"], attention_mask: Int[Tensor, "batch token"]
) -> Float[Tensor, "batch dim"]:
    """MiniLM's sentence embedding: the mean of its token outputs, unit length."""
    hidden = encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    weight = attention_mask[..., None].to(hidden.dtype)
    return functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)


def build(
    out: Path, progress: Progress, *, cache: Path | None = None, weights: Path = WEIGHTS / NAME
) -> Path:
    """Write the guide's folder, ``out/zoo/mini-guide``; kept if it is there. Raises ModelError
    where a part cannot be had.
    """
    target, cache = out / "zoo" / NAME, cache or out
    if target.exists():
        return target
    head = weights / "connector.safetensors"
    if not head.exists():
        raise ModelError(
            f"The text head of {NAME!r} is not shipped with this installation. Reinstall matboard."
        )
    minilm = fetch("all-minilm-l6-v2", cache, progress)
    shards = {
        "vision.safetensors": _vision(cache, progress),
        "text.safetensors": _text(minilm, cache),
        "connector.safetensors": head,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        fresh = Path(scratch) / NAME
        fresh.mkdir()
        CaptionClipConfig(
            vision_config=eye_config(EYE).to_dict(),
            text_config=AutoConfig.from_pretrained(minilm).to_dict(),
        ).save_pretrained(fresh)
        AutoTokenizer.from_pretrained(minilm).save_pretrained(fresh)
        (fresh / "preprocessor_config.json").write_text(json.dumps(image_processor(EYE), indent=2))
        write_shards(fresh, shards)
        shutil.copy(weights / "facts.json", fresh)
        publish(fresh, target)
    progress(f"{NAME}: ready in {target}")
    return target


def load(folder: Path, **options: Any) -> ClipGuide:
    """The guide in a built folder."""
    return load_guide(str(folder), **options)


def _vision(cache: Path, progress: Progress) -> Path:
    def state() -> dict[str, Tensor]:
        model = CLIPVisionModelWithProjection.from_pretrained(
            fetch("clip-vit-base-patch16", cache, progress), dtype=torch.float32
        )
        side = eye_config(EYE).image_size // 16
        weights = {
            k: resize_positions(v, side) if k.endswith("position_embedding.weight") else v
            for k, v in model.state_dict().items()
        }
        return prefixed(weights, "vision.")

    return once(cache / "shards" / f"{EYE}-projected.safetensors", state)


def _text(minilm: Path, cache: Path) -> Path:
    def state() -> dict[str, Tensor]:
        return prefixed(
            BertModel.from_pretrained(minilm, add_pooling_layer=False).state_dict(), "text."
        )

    return once(cache / "shards" / "minilm.safetensors", state)


AutoConfig.register(CaptionClipConfig.model_type, CaptionClipConfig, exist_ok=True)
AutoModel.register(CaptionClipConfig, CaptionClip, exist_ok=True)
