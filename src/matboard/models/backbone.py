"""Frozen vision transformers with a place where token prompts enter: ViT, DeiT, DINOv2, SigLIP,
CLIP and BLIP-2 towers.

One adapter drives them all; what differs is where transformers keeps the parts, and three facts:

=========  ===================================  ==========================================
family     before block 0                       summary of a picture
=========  ===================================  ==========================================
CLIP       a norm over the whole sequence       CLS
DeiT       CLS and a distillation token         CLS
SigLIP     patches only                         its attention-pooling head's output
the rest   CLS                                  CLS
=========  ===================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from jaxtyping import Float
from torch import Tensor, nn

from matboard.errors import ConfigError, ModelError
from matboard.models.capabilities import (
    Backbone,
    Entering,
    Images,
    Outputs,
    Tokens,
    TokensOut,
)
from matboard.models.vlm.loading import load_part, quick_attention

FAMILIES = {
    "clip": "CLIPVisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
    "vit": "ViTModel",
    "deit": "DeiTModel",
    "dinov2": "Dinov2Model",
    "blip_2_vision_model": "Blip2VisionModel",
}
"""Configuration's ``model_type`` → transformers class of the vision tower."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's own pixel statistics (its released preprocessing); what a CLIP folder without a processor
is taken to mean.
"""

UNIT = ((0.0,) * 3, (1.0,) * 3)
"""Mean and deviation that leave pixels in [0, 1]."""

SPECIAL_TOKENS = ("cls_token", "class_embedding", "distillation_token")
"""What transformers calls the embeddings of tokens before the patches."""


class TransformerBackbone(Backbone):
    """A frozen transformers vision tower.

    Args:
        tower: the model.
        side: pixels of a picture's side; positions are interpolated where the tower was trained at
            another.
        mean, std: of the pixels the tower expects, per channel, on the scale [0, 1].

    Raises:
        ModelError: its parts are not where a vision transformer's are, or it has neither a CLS
            token nor a pooling head.
        ConfigError: the side is no multiple of the patch.
    """

    def __init__(
        self,
        tower: nn.Module,
        name: str,
        side: int | None = None,
        mean: Any = (0.5,) * 3,
        std: Any = (0.5,) * 3,
    ) -> None:
        self.tower = tower.eval().requires_grad_(False)
        self.name = name
        self.blocks = _blocks(tower, name)
        settings: Any = tower.config
        self.dim = int(settings.hidden_size)
        self.depth = len(self.blocks)
        self.patch = int(settings.patch_size)
        self.side = side or int(settings.image_size)
        if self.side % self.patch:
            raise ConfigError(
                f"Pictures of side {self.side} came for {name}; expected a multiple of its patch,"
                f" {self.patch}."
            )
        self.special = sum(hasattr(tower.embeddings, token) for token in SPECIAL_TOKENS)
        self._pool: nn.Module | None = getattr(tower, "head", None)
        if not self.special and self._pool is None:
            raise ModelError(
                f"{name} has neither a CLS token nor a pooling head, so there is nothing to query a"
                " prompt pool with."
            )
        self._before: nn.Module = getattr(tower, "pre_layrnorm", None) or nn.Identity()
        self._after = _norm_of(tower)
        weight = next(tower.parameters())
        self.device = weight.device
        self.dtype = weight.dtype
        self.cls_position = self._cls_position()
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1)

    def embed(self, images: Images) -> Tokens:
        """See `Backbone.embed`. Raises ConfigError for pictures of another size."""
        if tuple(images.shape[-2:]) != (self.side, self.side):
            raise ConfigError(
                f"{self.name} takes pictures of {self.side}×{self.side} here, but"
                f" {tuple(images.shape[-2:])} came."
            )
        always = isinstance(self.tower, hf.Dinov2Model)
        options = {} if always else {"interpolate_pos_encoding": True}
        embeddings: Any = self.tower.embeddings
        tokens: Tensor = self._before(embeddings(self._normalise(images), **options))
        return tokens

    def patch_embed(self, images: Images) -> Tokens:
        """See `Backbone.patch_embed`; CLIP's norm before block 0 is included."""
        embeddings: Any = self.tower.embeddings
        if hasattr(embeddings, "patch_embedding"):
            project = embeddings.patch_embedding
        else:
            project = embeddings.patch_embeddings.projection
        maps = project(self._normalise(images))
        patches: Tensor = self._before(maps.flatten(2).transpose(1, 2))
        return patches

    def advance(
        self,
        tokens: Tokens,
        prompts: Entering = None,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> TokensOut:
        """See `Backbone.advance`."""
        last = self.depth if stop is None else stop
        return self._advance(tokens, prompts or {}, start, last)[0]

    def forward(
        self, tokens: Tokens, prompts: Entering = None, *, start: int = 0
    ) -> Outputs:
        """See `Backbone.forward`."""
        hidden, count = self._advance(tokens, prompts or {}, start, self.depth)
        hidden = self._after(hidden)
        special, prompted, patches = hidden.split(
            [self.special, count, hidden.shape[1] - self.special - count], dim=1
        )
        pooled = hidden[:, 0] if self._pool is None else self._pool(hidden)
        return Outputs(torch.cat([special, patches], dim=1), prompted, pooled)

    @torch.no_grad()
    def query(self, images: Images) -> Float[Tensor, "batch dim"]:
        """See `Backbone.query`."""
        return self.forward(self.embed(images)).pooled.float()

    def _advance(
        self, tokens: Tensor, prompts: Mapping[int, Tensor], start: int, stop: int
    ) -> tuple[Tensor, int]:
        """The sequence after block ``stop`` − 1, and how many prompt tokens stand in it."""
        if outside := [layer for layer in prompts if not start <= layer < stop]:
            raise ConfigError(
                f"Prompts were to enter block {outside[0]}, but blocks {start} to {stop - 1} are"
                " run."
            )
        count = 0
        for index in range(start, stop):
            if index in prompts:
                entering = prompts[index].to(tokens.dtype)
                special = tokens[:, : self.special]
                patches = tokens[:, self.special + count :]
                tokens = torch.cat([special, entering, patches], dim=1)
                count = entering.shape[1]
            mask = (None,) if self._wants_mask else ()
            out = self.blocks[index](tokens, *mask)
            tokens = out[0] if isinstance(out, tuple) else out
        return tokens, count

    def _cls_position(self) -> Float[Tensor, " dim"]:
        embeddings: Any = self.tower.embeddings
        named = ("position_embeddings", "position_embedding")
        table = next(
            getattr(embeddings, name) for name in named if hasattr(embeddings, name)
        )
        weight: Tensor = table.weight if isinstance(table, nn.Embedding) else table
        if not self.special:
            return torch.zeros(self.dim, device=weight.device)
        return weight.reshape(-1, self.dim)[0].float()

    @property
    def _wants_mask(self) -> bool:
        return isinstance(self.tower, (hf.CLIPVisionModel, hf.SiglipVisionModel))

    def _normalise(self, images: Images) -> Images:
        pixels = images.to(self.device).float()
        return ((pixels - self._mean) / self._std).to(self.dtype)


def load(
    name: str,
    *,
    side: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    pixels: str = "processor",
) -> TransformerBackbone:
    """Load a vision tower by Hub id or folder; of a two-tower model (CLIP, SigLIP) only the vision
    side.

    Args:
        side: pixels of a picture's side; the tower's own where None.
        pixels: ``processor`` normalises as the model's own processor says; ``unit`` leaves pixels
            in [0, 1], as the L2P codes do.

    Raises:
        ModelError: it cannot be read, or is no vision transformer known here.
    """
    kind = load_part(hf.AutoConfig, "configuration", name).model_type
    if kind not in FAMILIES:
        raise ModelError(
            f"{name} is a {kind!r} model; a continual learner needs a vision transformer:"
            f" {', '.join(FAMILIES)}."
        )
    quiet = hf.utils.logging.get_verbosity()
    hf.utils.logging.set_verbosity_error()  # else it lists the text side's weights
    try:
        tower = load_part(getattr(hf, FAMILIES[kind]), "model", name, dtype=dtype)
    finally:
        hf.utils.logging.set_verbosity(quiet)
    mean, std = UNIT if pixels == "unit" else _statistics(name, kind)
    tower = quick_attention(tower.to(device))
    return TransformerBackbone(tower, str(name), side, mean, std)


def _statistics(name: str, kind: str) -> tuple[Any, Any]:
    """Pixel mean and deviation that the model's own processor uses."""
    if Path(name).is_dir() and not (Path(name) / "preprocessor_config.json").exists():
        if kind.startswith("clip"):
            return CLIP_MEAN, CLIP_STD
        raise ModelError(
            f"{name} has no preprocessor_config.json, which says how its pixels are normalised;"
            " copy it from where it came."
        )
    processor = load_part(hf.AutoImageProcessor, "image processor", name, backend="pil")
    return processor.image_mean, processor.image_std


def _norm_of(tower: Any) -> Any:
    """The norm behind the last block."""
    return getattr(tower, "post_layernorm", None) or getattr(tower, "layernorm", None)


def _blocks(tower: nn.Module, name: str) -> list[nn.Module]:
    inner: Any = getattr(tower, "encoder", tower)
    blocks = getattr(inner, "layers", None) or getattr(inner, "layer", None)
    if blocks is None or not hasattr(tower, "embeddings"):
        raise ModelError(
            f"{name} ({type(tower).__name__}) has no embeddings and blocks where a vision"
            " transformer has them."
        )
    return list(blocks)
