"""Vision-language models of every family, tiny and random, built in memory: no network, no
torchvision.

Parameters are redrawn, matrices from N(0, 0.3): some families initialise parts to zero, through
which no gradient would pass, and transformers' own small start leaves attention so even that a
wrong position would go unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers as hf
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from matboard.models.vlm.loading import assemble
from matboard.zoo import architectures

architectures.register()

TOKENS = (
    "<image> <|image_pad|> <|video_pad|> <|vision_start|> <|vision_end|> <fake_token_around_image>"
    " <global-img> <end_of_utterance>"
)
TOKENS += (
    " <IMG_CONTEXT> <img> </img> <start_of_image> <end_of_image> <image_soft_token> <video>"
    " <|im_start|> <|im_end|>"
)
TOKENS += " [IMG] [IMG_BREAK] [IMG_END] [INST] [/INST]"
SPECIAL = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    *TOKENS.split(),
    *(f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4)),
]
TEXT = (
    "what is in the picture? this is a photo of a cat dog plane car. how many? answer: yes no user"
    " assistant"
)

WIDTH: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
EYE = {**WIDTH, "image_size": 28, "patch_size": 7}
SIGLIP = {
    "model_type": "siglip_vision_model",
    **EYE,
    "vision_use_head": False,
    "projection_dim": 32,
}
CLIP = {"model_type": "clip_vision_model", **EYE, "projection_dim": 32}
SQUARE = {"height": 28, "width": 28}
PINPOINTS = [[28, 56], [56, 28], [56, 56]]


@dataclass(frozen=True)
class Parts:
    """What an adapter is made of, and the class and options of the model's own processor."""

    model: Any
    image_processor: Any
    tokenizer: Any
    qformer_tokenizer: Any = None
    processor: Any = None
    options: dict[str, Any] = field(default_factory=dict)

    def official(self) -> Any:
        """The model's own processor, put together as the adapter does when it loads a folder."""
        if self.processor is None:
            return None
        given = {"image_processor": self.image_processor, "tokenizer": self.tokenizer}
        if self.qformer_tokenizer is not None:
            given["qformer_tokenizer"] = self.qformer_tokenizer
        return assemble(self.processor, given, self.options)


def tokenizer(**names: str) -> Any:
    """A byte-level BPE tokenizer that knows every family's special tokens; ``names`` become
    attributes with their ids.
    """
    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer, made.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [TEXT] * 3,
        trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=alphabet,
            special_tokens=SPECIAL,
            show_progress=False,
        ),
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
    )
    out = hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
    for name, token in names.items():
        setattr(out, name, token)
        setattr(out, f"{name}_id", out.convert_tokens_to_ids(token))
    return out


def bert() -> Any:
    """A WordPiece tokenizer: no BOS, no EOS, every text between [CLS] and [SEP]."""
    special, letters = (
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
        sorted(set(TEXT.replace(" ", ""))),
    )
    words = [
        *special,
        *letters,
        *(f"##{letter}" for letter in letters),
        "what",
        "this",
        "cat",
        "dog",
        "picture",
        "many",
    ]
    made = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    made.normalizer, made.pre_tokenizer = (
        normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(),
    )
    made.decoder, made.post_processor = (
        decoders.WordPiece(),
        processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
    )
    names = dict(zip(("pad_token", "cls_token", "sep_token", "unk_token"), special))
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


VOCABULARY = len(tokenizer())


def token(name: str) -> int:
    return int(tokenizer().convert_tokens_to_ids(name))


def text(kind: str, **more: Any) -> dict[str, Any]:
    """A decoder's configuration."""
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {
        "model_type": kind,
        "vocab_size": VOCABULARY,
        **WIDTH,
        "num_key_value_heads": 2,
        **ends,
        **more,
    }


OPT = text("opt", ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=256)
T5 = {
    "model_type": "t5",
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
}
T5 |= {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}


def build(model: Any, *parts: Any, **more: Any) -> Parts:
    """Redraw matrices, disturb vectors, and put the parts together."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(
                noise * 0.3
                if parameter.ndim > 1
                else parameter.mean().round() + noise * 0.1
            )
    return Parts(model, *parts, **more)


def _qformer() -> dict[str, Any]:
    return {
        **WIDTH,
        "vocab_size": VOCABULARY,
        "encoder_hidden_size": 32,
        "cross_attention_frequency": 1,
    }


def blip2(language: dict[str, Any]) -> Parts:
    token_id, words, eye = (
        token("<image>"),
        tokenizer(),
        hf.BlipImageProcessorPil(size=SQUARE),
    )
    config = hf.Blip2Config(
        vision_config=EYE,
        qformer_config=_qformer(),
        text_config=language,
        num_query_tokens=4,
        image_token_index=token_id,
    )
    model = hf.Blip2ForConditionalGeneration(config)
    options = {"num_query_tokens": 4}
    return build(model, eye, words, processor=hf.Blip2Processor, options=options)


def instructblip(language: dict[str, Any], kind: str = "InstructBlip") -> Parts:
    from matboard.zoo.bliva import BlivaConfig, BlivaForConditionalGeneration

    bliva = kind == "Bliva"
    configure = BlivaConfig if bliva else hf.InstructBlipConfig
    make = (
        BlivaForConditionalGeneration
        if bliva
        else hf.InstructBlipForConditionalGeneration
    )
    eye = hf.BlipImageProcessorPil(size=SQUARE)
    parts = {
        "vision_config": EYE,
        "qformer_config": _qformer(),
        "text_config": language,
    }
    model = make(
        configure(**parts, num_query_tokens=4, image_token_index=token("<image>"))
    )
    official = {"num_query_tokens": 20 if bliva else 4}
    own = hf.InstructBlipProcessor
    return build(model, eye, tokenizer(), tokenizer(), processor=own, options=official)


def any_eye(kind: str) -> Parts:
    """The shapes of the mini zoo: an eye of another kind, seen through normalised and pooled
    tokens.
    """
    from matboard.zoo import any_eye, efficientnet

    lite = efficientnet.EfficientNetLiteConfig(
        stages=((1, 3, 2, 1, 8), (1, 3, 2, 2, 8)), stem=8, hidden_size=32, image_size=28
    )
    parts: dict[str, Any] = {
        "vision_config": lite,
        "text_config": text("llama"),
        "image_token_index": token("<image>"),
    }
    if kind == "PooledLlava":
        parts |= {"vision_feature_select_strategy": "full", "vision_feature_layer": -1}
    else:
        parts |= {
            "vision_config": CLIP,
            "qformer_config": _qformer(),
            "num_query_tokens": 4,
        }
    model = getattr(any_eye, kind)(getattr(any_eye, f"{kind}Config")(**parts))
    return build(model, hf.BlipImageProcessorPil(size=SQUARE), tokenizer(), tokenizer())


def llava() -> Parts:
    config = hf.LlavaConfig(
        vision_config=CLIP,
        text_config=text("llama"),
        image_token_index=token("<image>"),
    )
    eye = hf.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=SQUARE)
    options = {
        "patch_size": 7,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    return build(
        hf.LlavaForConditionalGeneration(config),
        eye,
        tokenizer(),
        processor=hf.LlavaProcessor,
        options=options,
    )


def llava_next() -> Parts:
    pinned = {"image_grid_pinpoints": PINPOINTS}
    config = hf.LlavaNextConfig(
        vision_config=CLIP,
        text_config=text("llama"),
        image_token_index=token("<image>"),
        **pinned,
    )
    eye = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size=SQUARE, **pinned
    )
    options = {
        "patch_size": 7,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    return build(
        hf.LlavaNextForConditionalGeneration(config),
        eye,
        tokenizer(),
        processor=hf.LlavaNextProcessor,
        options=options,
    )


def llava_onevision() -> Parts:
    pinned = {"image_grid_pinpoints": [[28, 28], *PINPOINTS]}
    tokens = {
        "image_token_index": token("<image>"),
        "video_token_index": token("<video>"),
    }
    config = hf.LlavaOnevisionConfig(
        vision_config=SIGLIP, text_config=text("qwen2"), **tokens, **pinned
    )
    eye = hf.LlavaOnevisionImageProcessorPil(size=SQUARE, **pinned)
    model = hf.LlavaOnevisionForConditionalGeneration(config)
    options = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    return build(
        model, eye, tokenizer(), processor=hf.LlavaOnevisionProcessor, options=options
    )


def qwen(generation: str, vision: dict[str, Any], **more: Any) -> Parts:
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [1, 1, 2],
        **more.pop("rope", {}),
    }
    language = {
        k: v
        for k, v in text("qwen", rope_parameters=rope, **more).items()
        if k != "model_type"
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 4,
        "patch_size": 7,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        **vision,
    }
    tokens = {
        "image": "<|image_pad|>",
        "video": "<|video_pad|>",
        "vision_start": "<|vision_start|>",
        "vision_end": "<|vision_end|>",
    }
    ids = {f"{name}_token_id": token(value) for name, value in tokens.items()}
    config = getattr(hf, f"{generation}Config")(
        vision_config=vision, text_config=language, **ids
    )
    size = {"shortest_edge": 14 * 14, "longest_edge": 56 * 56}
    eye = hf.Qwen2VLImageProcessorPil(
        patch_size=7, merge_size=2, temporal_patch_size=2, size=size
    )
    model = getattr(hf, f"{generation}ForConditionalGeneration")(config)
    return build(
        model, eye, tokenizer(), processor=getattr(hf, f"{generation}Processor")
    )


def qwen2_vl() -> Parts:
    return qwen("Qwen2VL", {"embed_dim": 32, "mlp_ratio": 2})


def qwen2_5_vl() -> Parts:
    return qwen(
        "Qwen2_5_VL",
        {
            "out_hidden_size": 32,
            "intermediate_size": 48,
            "window_size": 28,
            "fullatt_block_indexes": [1],
        },
    )


def qwen3_vl() -> Parts:
    vision = {
        "out_hidden_size": 32,
        "intermediate_size": 48,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 16,
    }
    return qwen("Qwen3VL", vision, head_dim=8, rope={"mrope_interleaved": True})


def idefics(kind: str) -> Parts:
    config = getattr(hf, f"{kind}Config")(
        vision_config=EYE,
        text_config=text("llama"),
        scale_factor=2,
        image_token_id=token("<image>"),
    )
    eye = getattr(hf, f"{kind}ImageProcessorPil")(
        size={"longest_edge": 56}, max_image_size={"longest_edge": 28}
    )
    model = getattr(hf, f"{kind}ForConditionalGeneration")(config)
    own = (
        None if kind == "SmolVLM" else hf.Idefics3Processor
    )  # SmolVLM's needs num2words
    return build(model, eye, tokenizer(), processor=own, options={"image_seq_len": 4})


def idefics2(quartered: bool) -> Parts:
    perceiver = {
        "hidden_size": 32,
        "resampler_n_latents": 4,
        "resampler_depth": 1,
        "resampler_n_heads": 4,
        "resampler_head_dim": 8,
    }
    parts = {
        "vision_config": EYE,
        "perceiver_config": {**perceiver, "num_key_value_heads": 2},
        "text_config": text("mistral"),
    }
    model = hf.Idefics2ForConditionalGeneration(
        hf.Idefics2Config(**parts, image_token_id=token("<image>"))
    )
    eye = hf.Idefics2ImageProcessorPil(
        size={"shortest_edge": 14, "longest_edge": 28}, do_image_splitting=quartered
    )
    own = hf.Idefics2Processor
    return build(model, eye, tokenizer(), processor=own, options={"image_seq_len": 4})


def pixtral(kind: str, merge: int = 1) -> Parts:
    eye = {"model_type": "pixtral", **EYE, "image_size": 56, "head_dim": 8}
    more = (
        {"spatial_merge_size": merge}
        if merge > 1
        else {"vision_feature_select_strategy": "full"}
    )
    shape = {
        "vision_config": eye,
        "text_config": text("mistral", head_dim=8),
        "vision_feature_layer": -1,
        **more,
    }
    model = getattr(hf, f"{kind}ForConditionalGeneration")(
        getattr(hf, f"{kind}Config")(**shape, image_token_index=token("[IMG]"))
    )
    processor = hf.PixtralImageProcessorPil(
        size={"longest_edge": 42}, patch_size={"height": 7, "width": 7}
    )
    return build(model, processor, tokenizer())


def paligemma() -> Parts:
    language = text("gemma", head_dim=8)
    config = hf.PaliGemmaConfig(
        vision_config=SIGLIP,
        text_config=language,
        projection_dim=32,
        image_token_index=token("<image>"),
    )
    eye = hf.SiglipImageProcessorPil(size=SQUARE)
    eye.image_seq_length = 16
    model = hf.PaliGemmaForConditionalGeneration(config)
    words = tokenizer(image_token="<image>")
    return build(model, eye, words, processor=hf.PaliGemmaProcessor)


def internvl() -> Parts:
    vision = {**EYE, "image_size": [28, 28], "patch_size": [7, 7]}
    config = hf.InternVLConfig(
        vision_config=vision,
        text_config=text("qwen2"),
        image_token_id=token("<IMG_CONTEXT>"),
        downsample_ratio=0.5,
    )
    eye = hf.GotOcr2ImageProcessorPil(size=SQUARE, min_patches=1, max_patches=4)
    model = hf.InternVLForConditionalGeneration(config)
    words = tokenizer(
        context_image_token="<IMG_CONTEXT>",
        start_image_token="<img>",
        end_image_token="</img>",
        video_token="<video>",
    )
    options = {"image_seq_length": 4}
    return build(model, eye, words, processor=hf.InternVLProcessor, options=options)


def gemma3() -> Parts:
    layers = {
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    language = text("gemma3_text", head_dim=8, query_pre_attn_scalar=8, **layers)
    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    ids = {
        "boi_token_index": token(names["boi_token"]),
        "eoi_token_index": token(names["eoi_token"]),
        "image_token_index": token(names["image_token"]),
    }
    config = hf.Gemma3Config(
        vision_config={**EYE, "vision_use_head": False},
        text_config=language,
        mm_tokens_per_image=4,
        **ids,
    )
    eye = hf.Gemma3ImageProcessorPil(size=SQUARE)
    model = hf.Gemma3ForConditionalGeneration(config)
    options = {"image_seq_length": 4}
    words = tokenizer(**names)
    return build(model, eye, words, processor=hf.Gemma3Processor, options=options)


def florence2() -> Parts:
    layers = {
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "d_model": 32,
    }
    heads = {
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "max_position_embeddings": 256,
        "decoder_start_token_id": 2,
    }
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    language = {
        "model_type": "bart",
        "vocab_size": VOCABULARY,
        **layers,
        **heads,
        **ends,
    }
    shape = {
        "patch_size": [7, 3, 3, 3],
        "patch_stride": [4, 2, 2, 2],
        "patch_padding": [3, 1, 1, 1],
        "patch_prenorm": [False, True, True, True],
    }
    vision = {
        "depths": [1] * 4,
        "embed_dim": [8, 16, 16, 32],
        "num_heads": [2] * 4,
        "num_groups": [2] * 4,
        "window_size": 4,
        "projection_dim": 32,
    }
    config = hf.Florence2Config(
        text_config=language,
        vision_config={**vision, **shape},
        image_token_id=token("<image>"),
    )
    eye = hf.CLIPImageProcessorPil(
        size={"height": 64, "width": 64}, do_center_crop=False
    )
    eye.image_seq_length = 5
    model = hf.Florence2ForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = 1
    words = tokenizer(image_token="<image>")
    options = {"num_additional_image_tokens": 1}
    return build(model, eye, words, processor=hf.Florence2Processor, options=options)


# after meta-llama/Llama-3.2-11B-Vision-Instruct's
MLLAMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}{%"
    " if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>{%"
    " endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def mllama(side: int, chat: str | None = None) -> Parts:
    language = text(
        "mllama_text_model",
        cross_attention_layers=[1],
        **{**WIDTH, "num_hidden_layers": 3},
    )
    heads = {
        "attention_heads": 4,
        "num_global_layers": 1,
        "intermediate_layers_indices": [0],
        "vision_output_dim": 64,
    }
    shape = {**EYE, **heads, "image_size": side, "patch_size": side // 4}
    config = hf.MllamaConfig(
        vision_config=shape, text_config=language, image_token_index=token("<image>")
    )
    model, words = (
        hf.MllamaForConditionalGeneration(config),
        tokenizer(image_token="<image>"),
    )
    eye, words.chat_template = (
        hf.MllamaImageProcessorPil(size={"height": side, "width": side}),
        chat,
    )
    words.backend_tokenizer.post_processor = (
        processors.ByteLevel()
    )  # its processor writes BOS
    parts = build(model, eye, words, processor=hf.MllamaProcessor)
    for name, gate in model.named_parameters():
        if "gate" in name:
            gate.data.fill_(1.0)  # wide open, so that what the picture says is heard
    return parts


def blip() -> Parts:
    words = bert()
    language = {
        **WIDTH,
        "vocab_size": len(words) + 2,
        "max_position_embeddings": 64,
        "projection_dim": 32,
    }
    language |= {
        "bos_token_id": len(words),
        "sep_token_id": 2,
        "pad_token_id": 0,
        "eos_token_id": 2,
    }  # BOS is not the tokenizer's
    model = hf.BlipForConditionalGeneration(
        hf.BlipConfig(vision_config=EYE, text_config=language)
    )
    eye = hf.BlipImageProcessorPil(size=SQUARE)
    return build(model, eye, words, processor=hf.BlipProcessor)


def git() -> Parts:
    words, eye = (
        bert(),
        hf.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=SQUARE),
    )
    ends = {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "max_position_embeddings": 64,
    }
    config = hf.GitConfig(vision_config=EYE, vocab_size=len(words), **WIDTH, **ends)
    return build(hf.GitForCausalLM(config), eye, words, processor=hf.GitProcessor)


FAMILIES: dict[str, Callable[[], Parts]] = {
    "blip2_opt": lambda: blip2(OPT),
    "blip2_t5": lambda: blip2(T5),
    "minigpt4": lambda: blip2(text("llama")),
    "instructblip_llama": lambda: instructblip(text("llama")),
    "instructblip_t5": lambda: instructblip(T5),
    "bliva": lambda: instructblip(text("llama"), "Bliva"),
    "pooled_llava": lambda: any_eye("PooledLlava"),
    "any_eye_blip2": lambda: any_eye("AnyEyeBlip2"),
    "any_eye_bliva": lambda: any_eye("AnyEyeBliva"),
    "llava": llava,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "idefics3": lambda: idefics("Idefics3"),
    "smolvlm": lambda: idefics("SmolVLM"),
    "idefics2": lambda: idefics2(False),
    "idefics2_quartered": lambda: idefics2(True),
    "pixtral": lambda: pixtral("Llava"),
    "mistral3": lambda: pixtral("Mistral3", merge=2),
    "paligemma": paligemma,
    "internvl": internvl,
    "gemma3": gemma3,
    "florence2": florence2,
    "mllama": lambda: mllama(28),  # four tiles, the picture first
    "mllama_chat": lambda: mllama(
        56, MLLAMA_CHAT
    ),  # one tile and three of padding, the picture behind text
    "blip": blip,
    "git": git,
}
