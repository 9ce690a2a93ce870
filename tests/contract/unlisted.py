"""Vision-language models that have no file of their own here, tiny and random: their own processors
say how they are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from families import (
    EYE,
    SIGLIP,
    SQUARE,
    VOCABULARY,
    WIDTH,
    Parts,
    build,
    text,
    tokenizer,
)


def words(*tokens: str, **names: str) -> Any:
    """The families' tokenizer, with more special tokens."""
    made = tokenizer()
    made.add_tokens([*tokens, *names.values()], special_tokens=True)
    for name, token in names.items():
        setattr(made, name, token)
        setattr(made, f"{name}_id", made.convert_tokens_to_ids(token))
    return made


def id_of(made: Any, token: str) -> int:
    return int(made.convert_tokens_to_ids(token))


LARGE = {"vocab_size": VOCABULARY + 24}
"""Room for more special tokens."""


def aya_vision() -> Parts:
    marks = "<|START_OF_IMG|> <|END_OF_IMG|> <|IMG_PATCH|> <|IMG_LINE_BREAK|> TILE TILE_GLOBAL"
    made = words(*marks.split())
    config = hf.AyaVisionConfig(
        vision_config=SIGLIP,
        text_config=text("cohere2", **LARGE),
        image_token_index=id_of(made, "<|IMG_PATCH|>"),
        downsample_factor=2,
        alignment_intermediate_size=32,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    eye = hf.GotOcr2ImageProcessorPil(size=SQUARE, min_patches=1, max_patches=4)
    options = {"patch_size": 7, "downsample_factor": 2, "img_size": 28}
    model = hf.AyaVisionForConditionalGeneration(config)
    return build(model, eye, made, processor=hf.AyaVisionProcessor, options=options)


def lighton_ocr() -> Parts:
    names = {"image_token": "<|image_pad|>", "image_break_token": "<|vision_pad|>"}
    made = words(**names, image_end_token="<|vision_end|>")
    eye = {"model_type": "pixtral", **EYE, "image_size": 56, "head_dim": 8}
    config = hf.LightOnOcrConfig(
        vision_config=eye,
        text_config=text("qwen3", head_dim=8, **LARGE),
        image_token_id=id_of(made, "<|image_pad|>"),
        spatial_merge_size=2,
    )
    processor = hf.PixtralImageProcessorPil(size={"longest_edge": 42}, patch_size=7)
    options = {"patch_size": 7, "spatial_merge_size": 2}
    model = hf.LightOnOcrForConditionalGeneration(config)
    return build(
        model, processor, made, processor=hf.LightOnOcrProcessor, options=options
    )


def ovis2() -> Parts:
    indicators = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    made = words("<IMG_ATOM>", *indicators)
    eye = {
        **EYE,
        "vocab_size": 40,
        "hidden_stride": 2,
        "num_visual_indicator_tokens": 5,
    }
    config = hf.Ovis2Config(
        vision_config=eye,
        text_config=text("qwen2", **LARGE),
        image_token_id=id_of(made, "<IMG_ATOM>"),
        visual_indicator_token_ids=[id_of(made, token) for token in indicators],
        hidden_size=32,
        **LARGE,
    )
    processor = hf.Ovis2ImageProcessorPil(
        size=SQUARE, crop_to_patches=True, max_patches=9
    )
    model = hf.Ovis2ForConditionalGeneration(config)
    options = {"image_seq_length": 4}
    return build(model, processor, made, processor=hf.Ovis2Processor, options=options)


def gemma4() -> Parts:
    names = {
        "image_token": "<soft>",
        "boi_token": "<boi>",
        "eoi_token": "<eoi>",
        "audio_token": "<sound>",
        "boa_token": "<boa>",
        "eoa_token": "<eoa>",
    }
    made = words(**names)
    layers = {
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    widths = {"head_dim": 8, "global_head_dim": 8, "hidden_size_per_layer_input": 8}
    language = text(
        "gemma4_text",
        **widths,
        **layers,
        **LARGE,
        vocab_size_per_layer_input=LARGE["vocab_size"],
        use_bidirectional_attention="vision",
    )
    eye = {**WIDTH, "num_key_value_heads": 4, "head_dim": 8, "patch_size": 7}
    config = hf.Gemma4Config(
        vision_config={**eye, "pooling_kernel_size": 2, "position_embedding_size": 64},
        text_config=language,
        **{f"{name}_id": id_of(made, token) for name, token in names.items()},
    )
    processor = hf.Gemma4ImageProcessorPil(
        patch_size=7, max_soft_tokens=70, pooling_kernel_size=2
    )
    model = hf.Gemma4ForConditionalGeneration(config)
    return build(model, processor, made, processor=hf.Gemma4Processor)


def qwen3_5() -> Parts:
    """Its cache holds recurrent states beside keys and values."""
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    heads = {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
    counts = {"linear_num_key_heads": 2, "linear_num_value_heads": 2}
    layers = {"layer_types": ["linear_attention", "full_attention"], "head_dim": 8}
    language = text("qwen3_5_text", rope_parameters=rope, **heads, **counts, **layers)
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "patch_size": 7,
        "out_hidden_size": 32,
        "num_position_embeddings": 16,
    }
    tokens = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    made = tokenizer()
    ids = {name: id_of(made, token) for name, token in tokens.items()}
    config = hf.Qwen3_5Config(vision_config=vision, text_config=language, **ids)
    size = {"shortest_edge": 14 * 14, "longest_edge": 56 * 56}
    eye = hf.Qwen2VLImageProcessorPil(
        patch_size=7, merge_size=2, temporal_patch_size=2, size=size
    )
    model = hf.Qwen3_5ForConditionalGeneration(config)
    return build(model, eye, made, processor=hf.Qwen3VLProcessor)


def glm4v() -> Parts:
    made = words("<|image|>", "<|video|>", "<|begin_of_image|>", "<|end_of_image|>")
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    language = text(
        "glm4v_text", rope_parameters={**rope, "partial_rotary_factor": 1.0}, **LARGE
    )
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "patch_size": 7,
        "image_size": 28,
        "out_hidden_size": 32,
    }
    config = hf.Glm4vConfig(
        vision_config=vision,
        text_config=language,
        image_token_id=id_of(made, "<|image|>"),
        video_token_id=id_of(made, "<|video|>"),
        image_start_token_id=id_of(made, "<|begin_of_image|>"),
        image_end_token_id=id_of(made, "<|end_of_image|>"),
    )
    size = {"shortest_edge": 14 * 14, "longest_edge": 2 * 56 * 56}
    eye = hf.Glm4vImageProcessorPil(
        patch_size=7, merge_size=2, temporal_patch_size=2, size=size
    )
    model = hf.Glm4vForConditionalGeneration(config)
    return build(model, eye, made, processor=hf.Glm4vProcessor)


class Chunks(hf.BlipImageProcessorPil):  # type: ignore[misc]
    """In place of Llama 4's, which needs torchvision: one chunk a picture."""

    def __call__(self, images: Any, **options: Any) -> Any:
        out = super().__call__(images, **options)
        out["aspect_ratios"] = torch.ones(len(out["pixel_values"]), 2, dtype=torch.long)
        return out


def llama4() -> Parts:
    marks = "<|image|> <|patch|> <|image_start|> <|image_end|> <|tile_x_separator|>"
    made = words(*marks.split(), "<|tile_y_separator|>")
    eye = {**EYE, "intermediate_size": 128, "vision_output_dim": 32}
    projector = {"projector_input_dim": 32, "projector_output_dim": 32}
    language = text(
        "llama4_text",
        head_dim=8,
        intermediate_size_mlp=48,
        num_local_experts=2,
        attention_chunk_size=64,
        **LARGE,
    )
    config = hf.Llama4Config(
        vision_config={**eye, **projector},
        text_config=language,
        image_token_index=id_of(made, "<|patch|>"),
    )
    model = hf.Llama4ForConditionalGeneration(config)
    options = {"patch_size": 7}
    return build(
        model, Chunks(size=SQUARE), made, processor=hf.Llama4Processor, options=options
    )


def chameleon() -> Parts:
    """Its eye turns a picture into words: no gradient passes."""
    made = words(
        "<racm3:break>", "<eoss>", "<reserved08706>", sep_token="<reserved08706>"
    )
    codes = {f"IMGIMG{letter}Z": VOCABULARY + i for i, letter in enumerate("ABCDEFGH")}
    vq = {
        "embed_dim": 8,
        "num_embeddings": 8,
        "base_channels": 32,
        "channel_multiplier": [1, 1],
    }
    config = hf.ChameleonConfig(
        **{k: v for k, v in text("chameleon", **LARGE).items() if k != "model_type"},
        vocabulary_map={"<image>": id_of(made, "<image>"), **codes},
        vq_config={**vq, "latent_channels": 8, "resolution": 8, "num_res_blocks": 1},
    )
    eye = hf.ChameleonImageProcessorPil(
        size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}
    )
    model = hf.ChameleonForConditionalGeneration(config)
    options = {"image_seq_length": 16, "image_token": "<image>"}
    return build(model, eye, made, processor=hf.ChameleonProcessor, options=options)


def lfm2_vl() -> Parts:
    """Its cache holds convolutional states, and its own processor needs torchvision."""
    config = hf.Lfm2VlConfig(
        vision_config={
            **SIGLIP,
            "model_type": "siglip2_vision_model",
            "num_patches": 16,
        },
        text_config=text("lfm2", layer_types=["conv", "full_attention"]),
        image_token_id=id_of(tokenizer(), "<image>"),
        downsample_factor=2,
    )
    eye = hf.Siglip2ImageProcessorPil(patch_size=7, max_num_patches=16)
    return build(hf.Lfm2VlForConditionalGeneration(config), eye, tokenizer())


def deepseek_vl() -> Parts:
    """Its vision features are had from the model inside the model."""
    made = words(image_token="<image_placeholder>")
    config = hf.DeepseekVLConfig(
        vision_config=SIGLIP,
        text_config=text("llama", **LARGE),
        image_token_id=id_of(made, "<image_placeholder>"),
    )
    eye = hf.DeepseekVLImageProcessorPil(size=SQUARE)
    model = hf.DeepseekVLForConditionalGeneration(config)
    options = {"num_image_tokens": 16}
    return build(model, eye, made, processor=hf.DeepseekVLProcessor, options=options)


UNLISTED: dict[str, Callable[[], Parts]] = {
    "aya_vision": aya_vision,
    "chameleon": chameleon,
    "deepseek_vl": deepseek_vl,
    "gemma4": gemma4,
    "glm4v": glm4v,
    "lfm2_vl": lfm2_vl,
    "lighton_ocr": lighton_ocr,
    "llama4": llama4,
    "ovis2": ovis2,
    "qwen3_5": qwen3_5,
}
