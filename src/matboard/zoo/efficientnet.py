"""EfficientNet-Lite, a convolutional network, as a transformers vision model: the cells of its last
feature map are its tokens.
"""

from __future__ import annotations

from typing import Any, ClassVar, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    ImageClassifierOutput,
)


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
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size in maps.shape[-2:]
        )
        return super().forward(
            functional.pad(
                maps, (right // 2, right - right // 2, down // 2, down - down // 2)
            )
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
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int,
        expansion: int,
        eps: float,
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
        channels_last = (
            torch.channels_last
        )  # up to twice as fast on CPUs, depthwise above all
        pixels = pixel_values.to(self.dtype, memory_format=channels_last)
        maps = self.stem(pixels)
        for block in self.blocks:
            maps = block(maps)
        tokens = self.head(maps).flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens,
            pooler_output=tokens.mean(1),
            hidden_states=(tokens,),
        )


class EfficientNetLiteForImageClassification(PreTrainedModel):  # type: ignore[misc]
    """EfficientNet-Lite with a linear head on the mean of its tokens."""

    config: EfficientNetLiteConfig
    config_class = EfficientNetLiteConfig
    base_model_prefix = "efficientnet"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.efficientnet = EfficientNetLite(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, pixel_values: Float[Tensor, "batch 3 height width"], **_: Any
    ) -> ImageClassifierOutput:
        """Logits ``batch class``."""
        pooled = self.efficientnet(pixel_values).pooler_output
        return ImageClassifierOutput(logits=self.classifier(pooled))
