"""What matboard must know about a family of vision-language models, beyond what its configuration
says.

A prompt is written as a template with ``{question}`` and, where the picture shall not simply come
first, ``{image}``; ``{bos}`` and ``{eos}`` stand for the tokenizer's own. The adapter counts the
visual tokens a picture really yields, so no family needs a formula for them; what is kept here is
the text around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Picture:
    """How one encoded picture shall appear in a prompt.

    Attributes:
        tokens: visual tokens, tiles included.
        rows, columns: the grid of tiles in front of the whole picture; 0 where there is none.
        lines: in how many equal lines the tokens stand, for families that end each line.
    """

    tokens: int
    rows: int = 0
    columns: int = 0
    lines: int = 1


@dataclass(frozen=True)
class Family:
    """Facts about one family.

    Attributes:
        template: the prompt where neither the caller nor the tokenizer brings one.
        image: what ``{image}`` becomes; ``{token}`` is the model's image token.
        placeholder: the part of a prompt that the visual tokens replace.
        picture: what it is replaced by; ``{tokens}`` are the image tokens, ``{token}`` is a single
            one. Nothing where a prompt has no place for a picture.
        tile: the same for one tile of a grid (one-based ``{row}`` and ``{column}``), in front of
            ``picture``.
        row_end: ends a row of tiles; once more it ends the grid.
        line_end: stands between two lines of visual tokens.
        apart: whether a space comes between the picture and a word that follows it at once.
        before_bos: a picture that the prompt does not place stands before the first text token, BOS
            included.
        special_tokens: whether the tokenizer adds its own BOS and EOS.
        token_types: which tokens the model's ``token_type_ids`` mark.
        first_position: the position of a prompt's first token.
        processor: settings that the family's processor class forces upon its image processor.
    """

    template: str = "{image}\n{question}"
    image: str = "{token}"
    placeholder: str = "{token}"
    picture: str = "{tokens}"
    tile: str = ""
    row_end: str = ""
    line_end: str = ""
    apart: bool = False
    before_bos: bool = False
    special_tokens: bool = True
    token_types: Literal["none", "picture", "answer"] = "none"
    first_position: int = 0
    processor: Mapping[str, Any] = field(default_factory=dict)

    def expand(self, picture: Picture, token: str) -> str:
        """The text of one picture, with as many image tokens as it has visual tokens."""
        each = picture.tokens // (picture.rows * picture.columns + 1)
        tokens = self.line_end.join([token * (each // picture.lines)] * picture.lines)
        grid = "".join(
            "".join(
                self.tile.format(row=r + 1, column=c + 1, tokens=tokens)
                for c in range(picture.columns)
            )
            + self.row_end
            for r in range(picture.rows)
        )
        return (
            grid + (self.row_end if grid else "") + self.picture.format(tokens=tokens, token=token)
        )


BLIP = Family("{question}", before_bos=True)
"""BLIP-2, InstructBLIP and whatever else has a Q-Former (transformers' Blip2Processor,
InstructBlipProcessor).
"""

# Qwen/Qwen2-VL-2B-Instruct, chat_template.json
_QWEN = Family(
    "<|im_start|>user\n{image}{question}<|im_end|>\n<|im_start|>assistant\n",
    image="<|vision_start|>{token}<|vision_end|>",
)

# transformers' Idefics3Processor; HuggingFaceTB/SmolVLM-Instruct, chat_template.json
_IDEFICS = Family(
    "<|im_start|>User:{image}{question}<end_of_utterance>\nAssistant:",
    picture="<fake_token_around_image><global-img>{tokens}<fake_token_around_image>",
    tile="<fake_token_around_image><row_{row}_col_{column}>{tokens}",
    row_end="\n",
    processor={"return_row_col_info": True},
)

# transformers' PixtralProcessor; the template is a guess after Mistral's chats, whose folders bring
# their own
_PIXTRAL = Family(
    "[INST]{image}{question}[/INST]", picture="{tokens}[IMG_END]", line_end="[IMG_BREAK]"
)

FAMILIES: Mapping[str, Family] = {
    "blip-2": BLIP,
    "instructblip": BLIP,
    # model cards of llava-hf/llava-1.5-7b-hf, llava-v1.6-mistral-7b-hf and
    # llava-onevision-qwen2-0.5b-ov-hf
    "llava": Family("USER: {image}\n{question} ASSISTANT:"),
    "llava_next": Family("[INST] {image}\n{question} [/INST]"),
    "llava_onevision": Family(
        "<|im_start|>user {image}\n{question}<|im_end|><|im_start|>assistant\n"
    ),
    "qwen2_vl": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    # transformers' Idefics2Processor; the template is that of Idefics 3 without its first token
    "idefics2": Family(
        "User:{image}{question}<end_of_utterance>\nAssistant:",
        picture="<fake_token_around_image>{tokens}<fake_token_around_image>",
        tile="<fake_token_around_image>{tokens}",
        apart=True,
    ),
    "pixtral": _PIXTRAL,
    "mistral3": _PIXTRAL,
    "idefics3": _IDEFICS,
    "smolvlm": _IDEFICS,
    # transformers' PaliGemmaProcessor
    "paligemma": Family(
        "{image}{bos}{question}\n", special_tokens=False, token_types="answer", first_position=1
    ),
    # transformers' InternVLProcessor; OpenGVLab/InternVL3-1B-hf, chat_template.jinja
    "internvl": Family(
        "<|im_start|>user\n{image}\n{question}<|im_end|>\n<|im_start|>assistant\n",
        picture="<img>{tokens}</img>",
        processor={"crop_to_patches": True},
    ),
    # transformers' Gemma3Processor; google/gemma-3-4b-it, chat_template.json
    "gemma3": Family(
        "{bos}<start_of_turn>user\n{image}{question}<end_of_turn>\n<start_of_turn>model\n",
        image="<start_of_image>",
        placeholder="<start_of_image>",
        picture="\n\n<start_of_image>{tokens}<end_of_image>\n\n",
        token_types="picture",
    ),
    # transformers' Florence2Processor
    "florence2": Family("{image}{bos}{question}{eos}", special_tokens=False),
    # transformers' MllamaProcessor; meta-llama/Llama-3.2-11B-Vision-Instruct brings its own chat
    # template
    "mllama": Family("{image}{bos}{question}", picture="{token}", special_tokens=False),
    "blip": Family("{question}", picture=""),
    "git": Family("{question}", picture=""),
}


def family_of(model: Any) -> Family:
    """The facts for a transformers model: by its type, else by its build. LLaVA with Pixtral's eye
    is asked as Pixtral.
    """
    kind = "pixtral" if merged_patch(model) else str(model.config.model_type)
    return FAMILIES.get(kind) or (BLIP if hasattr(model, "qformer") else Family())


def merged_patch(model: Any) -> int | None:
    """The side in pixels of what becomes one visual token, for models with Pixtral's eye; None for
    all others.
    """
    eye: Any = getattr(model.config, "vision_config", None)
    if getattr(eye, "model_type", None) != "pixtral":
        return None
    return int(eye.patch_size) * int(getattr(model.config, "spatial_merge_size", 1))


def processor_settings(model: Any) -> dict[str, Any]:
    """What the family's processor class forces upon its image processor."""
    patch = merged_patch(model)
    return {
        **family_of(model).processor,
        **({"patch_size": {"height": patch, "width": patch}} if patch else {}),
    }
