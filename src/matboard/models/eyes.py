"""Eyes that transformers lacks, and vision-language models that take any eye.

* `EfficientNetLite`: a convolutional network as a transformers vision model; the cells of its last
  feature map are its tokens.
* `PooledLlava`: LLaVA whose tokens are averaged over a small grid before the projector, so that a
  picture costs few tokens.
* `AnyEyeBlip2`, `AnyEyeInstructBlip`, `AnyEyeBliva`: transformers fixes the vision class of these
  three (a ViT without CLIP's first layer norm); here it is whatever ``vision_config`` names.

Importing this module makes them known to transformers' Auto classes.
"""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerModel,
    Blip2VisionConfig,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipQFormerModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.configuration_utils import SubConfigSpec
from transformers.modeling_outputs import BaseModelOutputWithPooling

from matboard.models.blip_family import BlivaConfig, BlivaForConditionalGeneration


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class EfficientNetLiteConfig(PreTrainedConfig):  # type: ignore[misc]
    """EfficientNet-Lite0's shape (arXiv 1905.11946, Table 1; Lite: ReLU6, no
    squeeze-and-excitation).

    Attributes:
        stages: (repeats, kernel, stride, expansion, channels) of each.
        patch_size: pixels between neighbouring tokens.
    """

    model_type = "efficientnet_lite"
    base_config_key = "vision_config"

    stages: tuple[tuple[int, int, int, int, int], ...] = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    stem: int = 32
    hidden_size: int = 1280
    image_size: int = 224
    patch_size: int = 32
    num_channels: int = 3
    batch_norm_eps: float = 1e-3
    initializer_range: float = 0.02


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's ``SAME``: odd padding goes below and to the right."""

    def forward(
        self, maps: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch out h w"]:
        """Convolve; the output has ceil(size / stride) rows and columns."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in maps.shape[-2:]
        )
        return super().forward(
            functional.pad(maps, (right // 2, right - right // 2, down // 2, down - down // 2))
        )


def _unit(
    inputs: int,
    outputs: int,
    eps: float,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: bool = True,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=eps),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if act else []))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project back; the shortcut where the shape stays (MobileNetV2,
    arXiv 1801.04381).
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int, eps: float
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _unit(inputs, wide, eps) if expansion > 1 else nn.Identity()
        self.depthwise = _unit(wide, wide, eps, kernel, stride, groups=wide)
        self.project = _unit(wide, outputs, eps, act=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(
        self, maps: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch out h w"]:
        """One block."""
        out: Tensor = self.project(self.depthwise(self.expand(maps)))
        return out + maps if self.shortcut else out


class EfficientNetLite(PreTrainedModel):  # type: ignore[misc]
    """EfficientNet-Lite as a transformers vision model whose tokens are the cells of its last
    feature map.
    """

    config: EfficientNetLiteConfig
    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules: ClassVar[list[str]] = ["InvertedResidual"]

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        eps, channels = config.batch_norm_eps, config.stem
        self.stem = _unit(config.num_channels, channels, eps, kernel=3, stride=2)
        self.blocks = nn.ModuleList()
        for repeats, kernel, stride, expansion, outputs in config.stages:
            for i in range(repeats):
                block = InvertedResidual(
                    channels,
                    outputs,
                    kernel=kernel,
                    stride=1 if i else stride,
                    expansion=expansion,
                    eps=eps,
                )
                self.blocks.append(block)
                channels = outputs
        self.head = _unit(channels, config.hidden_size, eps)
        self.post_init()

    def forward(
        self, pixel_values: Float[Tensor, "batch 3 height width"], **_: Any
    ) -> BaseModelOutputWithPooling:
        """Tokens (one per cell, row by row) and their mean.

        ``hidden_states`` holds those same tokens once: the network's other maps have other widths,
        so any layer index that means "the last" selects them.
        """
        maps = self.stem(pixel_values.to(self.dtype))
        for block in self.blocks:
            maps = block(maps)
        tokens = self.head(maps).flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=tokens.mean(1), hidden_states=(tokens,)
        )


def grid_pool(
    tokens: Float[Tensor, "batch token dim"], grid: int
) -> Float[Tensor, "batch pooled dim"]:
    """Average tokens over ``grid × grid`` cells; where the count is one more than a square, the
    class token stays in front.
    """
    side = math.isqrt(tokens.shape[1])
    first, cells = tokens.split([tokens.shape[1] - side * side, side * side], dim=1)
    maps = cells.transpose(1, 2).unflatten(2, (side, side))
    return torch.cat(
        [first, functional.adaptive_avg_pool2d(maps, grid).flatten(2).transpose(1, 2)], dim=1
    )


def plain_norm(tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
    """Layer norm without weights: the eye's few giant channels stop drowning the rest, and the
    eye's own weights stay as they were.
    """
    return functional.layer_norm(tokens, tokens.shape[-1:])


_ANY_EYE = {"vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model")}


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class PooledLlavaConfig(LlavaConfig):  # type: ignore[misc]
    """LLaVA's configuration and the side of the grid its tokens are averaged over."""

    model_type = "pooled_llava"
    grid: int = 2


class PooledLlava(LlavaForConditionalGeneration):  # type: ignore[misc]
    """LLaVA (arXiv 2304.08485) with normalised, pooled tokens before the two-layer projector."""

    config_class = PooledLlavaConfig

    def __init__(self, config: PooledLlavaConfig) -> None:
        super().__init__(config)
        self.model.multi_modal_projector.register_forward_pre_hook(
            lambda _, args: (grid_pool(plain_norm(args[0]), config.grid),)
        )


class NormedQFormer(Blip2QFormerModel):  # type: ignore[misc]
    """BLIP-2's Q-Former behind an eye whose output is not normalised."""

    def forward(self, *args: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        """As BLIP-2's, on normalised eye tokens."""
        return super().forward(
            *args, encoder_hidden_states=plain_norm(encoder_hidden_states), **kwargs
        )


class NormedInstructQFormer(InstructBlipQFormerModel):  # type: ignore[misc]
    """InstructBLIP's Q-Former behind an eye whose output is not normalised."""

    def forward(self, *args: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        """As InstructBLIP's, on normalised eye tokens."""
        return super().forward(
            *args, encoder_hidden_states=plain_norm(encoder_hidden_states), **kwargs
        )


def _without_eye(config: Any) -> Any:
    """The configuration with a ViT of no layers, which the parent builds and we replace."""
    slim, width = copy.deepcopy(config), config.vision_config.hidden_size
    slim.vision_config = Blip2VisionConfig(
        hidden_size=width, num_hidden_layers=0, num_attention_heads=1, image_size=14
    )
    return slim


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class AnyEyeBlip2Config(Blip2Config):  # type: ignore[misc]
    """BLIP-2's configuration with any vision model."""

    model_type = "any_eye_blip_2"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        **Blip2Config.sub_configs_defaults,
        **_ANY_EYE,
    }


class AnyEyeBlip2(Blip2ForConditionalGeneration):  # type: ignore[misc]
    """BLIP-2 (arXiv 2301.12597), and so MiniGPT-4, with any eye."""

    config_class = AnyEyeBlip2Config

    def __init__(self, config: AnyEyeBlip2Config) -> None:
        super().__init__(_without_eye(config))
        self.config = config
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.qformer = NormedQFormer._from_config(config.qformer_config)
        self.post_init()


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class AnyEyeInstructBlipConfig(InstructBlipConfig):  # type: ignore[misc]
    """InstructBLIP's configuration with any vision model."""

    model_type = "any_eye_instructblip"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        **InstructBlipConfig.sub_configs_defaults,
        **_ANY_EYE,
    }


class AnyEyeInstructBlip(InstructBlipForConditionalGeneration):  # type: ignore[misc]
    """InstructBLIP (arXiv 2305.06500) with any eye."""

    config_class = AnyEyeInstructBlipConfig

    def __init__(self, config: AnyEyeInstructBlipConfig) -> None:
        super().__init__(_without_eye(config))
        self.config = config
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.qformer = NormedInstructQFormer._from_config(config.qformer_config)
        self.post_init()


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class AnyEyeBlivaConfig(BlivaConfig):
    """BLIVA's configuration with any vision model, and the side of the grid its patch tokens are
    averaged over.
    """

    model_type = "any_eye_bliva"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        **BlivaConfig.sub_configs_defaults,
        **_ANY_EYE,
    }
    grid: int = 2

    @property
    def num_patch_tokens(self) -> int:
        """How many patch tokens follow the query tokens."""
        return self.grid**2


class AnyEyeBliva(BlivaForConditionalGeneration):
    """BLIVA (arXiv 2308.09936) with any eye; its patch tokens are the eye's last, normalised and
    pooled.
    """

    config_class = AnyEyeBlivaConfig

    def __init__(self, config: AnyEyeBlivaConfig) -> None:
        super().__init__(_without_eye(config))
        self.config = config
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.qformer = NormedInstructQFormer._from_config(config.qformer_config)
        self.post_init()

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """InstructBLIP's output with ``grid²`` projected patch tokens appended to
        ``pooler_output``.
        """
        out = InstructBlipForConditionalGeneration.get_image_features(
            self, *args, **{**kwargs, "return_dict": True}
        )
        pooled = grid_pool(plain_norm(out.last_hidden_state), self.config.grid)[
            :, -self.config.num_patch_tokens :
        ]
        out.pooler_output = torch.cat(
            [out.pooler_output, self.vision_project(pooled).to(out.pooler_output.dtype)], dim=1
        )
        return out


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLite, exist_ok=True)
for _config, _model in (
    (PooledLlavaConfig, PooledLlava),
    (AnyEyeBlip2Config, AnyEyeBlip2),
    (AnyEyeInstructBlipConfig, AnyEyeInstructBlip),
    (AnyEyeBlivaConfig, AnyEyeBliva),
):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForImageTextToText.register(_config, _model, exist_ok=True)
