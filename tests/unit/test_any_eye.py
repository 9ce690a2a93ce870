"""Eyes: the CNN's padding and tokens, pooling, and models that take any eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

from matboard.zoo import any_eye, architectures, efficientnet

architectures.register()

CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 7,
}
CNN = {
    "model_type": "efficientnet_lite",
    "stages": [[1, 3, 1, 1, 8], [2, 5, 2, 6, 8]],
    "stem": 8,
    "hidden_size": 32,
    "image_size": 28,
    "patch_size": 4,
}
TEXT = {
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "tie_word_embeddings": True,
}
QFORMER = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
IMAGE = 3


def model(kind: str, eye: dict[str, Any]) -> Any:
    """A tiny model whose every parameter is drawn: zeros at birth would hide a missing gradient."""
    torch.manual_seed(0)
    common = {"vision_config": eye, "text_config": TEXT, "image_token_index": IMAGE}
    llava = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
    more = (
        llava
        if kind == "pooled_llava"
        else {"qformer_config": QFORMER, "num_query_tokens": 4}
    )
    made = AutoModelForImageTextToText.from_config(
        AutoConfig.for_model(kind, **common, **more)
    ).eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return made


def logits(made: Any, pixels: torch.Tensor) -> torch.Tensor:
    asks = "instruct" in made.config.model_type or "bliva" in made.config.model_type
    read = {"qformer_input_ids": torch.tensor([[5, 6]] * len(pixels))} if asks else {}
    count = len(made.get_image_features(pixels, **read).pooler_output[0])
    ids = torch.tensor([[1, *[IMAGE] * count, 7, 8]] * len(pixels))
    out: torch.Tensor = made(input_ids=ids, pixel_values=pixels, **read).logits
    return out


@pytest.mark.parametrize("eye", [CLIP, CNN], ids=["clip", "cnn"])
@pytest.mark.parametrize(
    "kind", ["pooled_llava", "any_eye_blip_2", "any_eye_instructblip", "any_eye_bliva"]
)
def test_any_eye_sees_every_pixel_and_survives_a_round_trip(
    kind: str, eye: dict[str, Any], tmp_path: Path
) -> None:
    made = model(kind, eye)
    pixels = torch.rand(
        2, 3, 28, 28, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    said = logits(made, pixels)
    said[:, -1].logsumexp(-1).sum().backward()
    assert pixels.grad is not None and (pixels.grad != 0).float().mean() > 0.99
    made.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    assert type(again) is type(made)
    torch.testing.assert_close(logits(again, pixels), said)
    torch.testing.assert_close(logits(made, pixels[:1]), said[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "clip", "cnn"),
    [("pooled_llava", 5, 4), ("any_eye_blip_2", 4, 4), ("any_eye_bliva", 8, 8)],
)
def test_a_picture_takes_few_tokens(kind: str, clip: int, cnn: int) -> None:
    for eye, count in ((CLIP, clip), (CNN, cnn)):
        made = model(kind, eye)
        read = (
            {"qformer_input_ids": torch.tensor([[5, 6]])}
            if kind == "any_eye_bliva"
            else {}
        )
        assert (
            len(
                made.get_image_features(torch.rand(1, 3, 28, 28), **read).pooler_output[
                    0
                ]
            )
            == count
        )
        if kind == "any_eye_bliva":
            assert made.config.num_image_tokens == count


def test_the_eye_is_the_one_named_and_is_not_pretrained_blips() -> None:
    assert (
        type(model("any_eye_blip_2", CLIP).vision_model).__name__ == "CLIPVisionModel"
    )
    assert any(
        "pre_layrnorm" in name
        for name in model("any_eye_blip_2", CLIP).vision_model.state_dict()
    )
    assert isinstance(
        model("any_eye_bliva", CNN).vision_model, efficientnet.EfficientNetLite
    )


def test_grid_pool_keeps_the_class_token_and_averages_cells() -> None:
    tokens = torch.arange(17.0)[None, :, None].expand(1, 17, 2)
    cells = (
        np.arange(1, 17).reshape(2, 2, 2, 2).mean((1, 3)).ravel()
    )  # rows, cols of a 4 × 4 grid in 2 × 2 blocks
    pooled = any_eye.grid_pool(tokens, 2)
    assert pooled.shape == (1, 5, 2)
    np.testing.assert_allclose(pooled[0, :, 0], [0, *cells])
    np.testing.assert_allclose(any_eye.grid_pool(tokens[:, 1:], 2)[0, :, 0], cells)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [(7, 3, 1), (8, 3, 2), (7, 3, 2), (8, 5, 2), (9, 5, 2)],
)
def test_same_convolution_matches_a_naive_tensorflow_one(
    size: int, kernel: int, stride: int
) -> None:
    generator = torch.Generator().manual_seed(size * kernel)
    conv = efficientnet.SameConv(1, 1, kernel, stride, bias=False)
    picture = torch.rand(1, 1, size, size, generator=generator)
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    before = total // 2  # TensorFlow puts the odd pixel after
    naive = np.zeros((out, out))
    weight, pixels = conv.weight.detach()[0, 0].numpy(), picture[0, 0].numpy()
    for i, j, a, b in np.ndindex(out, out, kernel, kernel):
        y, x = i * stride + a - before, j * stride + b - before
        if 0 <= y < size and 0 <= x < size:
            naive[i, j] += weight[a, b] * pixels[y, x]
    np.testing.assert_allclose(conv(picture).detach()[0, 0], naive, atol=1e-6)


def test_efficientnet_lite0_has_the_papers_shape(tmp_path: Path) -> None:
    eye = efficientnet.EfficientNetLite(efficientnet.EfficientNetLiteConfig()).eval()
    assert (
        sum(p.numel() for p in eye.parameters()) == 4_652_008 - 1280 * 1000 - 1000
    )  # Lite0 without its classifier
    with torch.no_grad():
        out = eye(torch.rand(1, 3, 224, 224))
    assert (
        out.last_hidden_state.shape == (1, 49, 1280)
        and out.last_hidden_state.min() >= 0
        and out.last_hidden_state.max() <= 6
    )
    torch.testing.assert_close(out.pooler_output, out.last_hidden_state.mean(1))
    assert isinstance(
        AutoModel.from_config(AutoConfig.for_model("efficientnet_lite")),
        efficientnet.EfficientNetLite,
    )
