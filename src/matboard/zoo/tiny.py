"""The tiny zoo: the paper's six architectures in small, and a guide, trained from scratch on
``scenes``.

Each is an ordinary transformers folder inside the package. Four share one eye, trained once and
frozen after, as the paper's six share EVA-CLIP; tiny-blip2 and tiny-visualglm have eyes of their
own, of another resolution, patch size and width.

``python -m matboard.zoo.tiny OUT [NAME…]`` trains them again. Pictures and eyes are kept in OUT and
serve the next model; the accuracies on scenes that nobody trained on go to ``OUT/accuracies.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import Tensor

from matboard.errors import ModelError, UnknownName
from matboard.models.blip_family import (
    MINIGPT4_TEMPLATE,
    VISUALGLM_TEMPLATE,
    BlivaConfig,
    BlivaForConditionalGeneration,
)
from matboard.tasks import scenes
from matboard.tasks.task import Sample
from matboard.zoo import tiny_lessons as lessons

PAD, UNK, BOS, EOS, IMAGE = range(5)
QUERIES = len(lessons.TOPICS)
"""Query tokens of every Q-Former (the paper's have 32)."""


@dataclass(frozen=True)
class Effort:
    """How much a training draws and how many steps each lesson takes."""

    pictures: int = 12_000
    eye: int = 4000
    language: int = 3000
    joining: int = 6000
    model: int = 4000
    guide: int = 800


FULL = Effort()


@dataclass(frozen=True)
class Eye:
    """Shape of a vision encoder: side and patch in pixels, width in channels."""

    side: int
    patch: int
    width: int


@dataclass(frozen=True)
class Recipe:
    """How one model is made: its classes, its eye (whose, where it is shared), its language model,
    how it is asked.

    ``start`` names the model whose parts it starts from, as BLIVA starts from InstructBLIP.
    ``words_first``: its language model learns from words alone, and stays as it is while an eye is
    joined to it, as BLIP-2's does; then both learn together.
    """

    family: str
    eye: Eye
    text: dict[str, Any]
    seed: int
    template: str | None = None
    eye_of: str | None = None
    start: str | None = None
    words_first: bool = False


_TIED = {"num_attention_heads": 4, "tie_word_embeddings": True, "initializer_range": 0.1}
_LLAMA = {
    **_TIED,
    "model_type": "llama",
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
}
_SLOW_LLAMA = {
    **_LLAMA,
    "attention_bias": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e7},
}
"""Positions that turn slowly: a guess at why presence was learned with them and not without; see
docs/log.md.
"""
_DEEP_LLAMA = {**_SLOW_LLAMA, "hidden_size": 80, "intermediate_size": 160, "num_hidden_layers": 3}
_GLM = {**_LLAMA, "model_type": "glm", "num_key_value_heads": 2, "head_dim": 24}
_T5 = {
    "model_type": "t5",
    "d_model": 96,
    "d_kv": 24,
    "d_ff": 192,
    "num_layers": 2,
    "num_heads": 4,
    "dropout_rate": 0.0,
    "decoder_start_token_id": PAD,
}
_SHARED = Eye(side=60, patch=10, width=80)

RECIPES = {
    "tiny-minigpt4": Recipe("blip-2", _SHARED, _SLOW_LLAMA, 1, MINIGPT4_TEMPLATE),
    "tiny-instructblip": Recipe("instructblip", _SHARED, _LLAMA, 2, eye_of="tiny-minigpt4"),
    "tiny-vpgtrans": Recipe("blip-2", _SHARED, _DEEP_LLAMA, 3, MINIGPT4_TEMPLATE, "tiny-minigpt4"),
    "tiny-bliva": Recipe(
        "bliva", _SHARED, _LLAMA, 4, eye_of="tiny-minigpt4", start="tiny-instructblip"
    ),
    "tiny-blip2": Recipe("blip-2", Eye(side=72, patch=9, width=96), _T5, 5, words_first=True),
    "tiny-visualglm": Recipe(
        "blip-2", Eye(side=56, patch=8, width=72), _GLM, 6, VISUALGLM_TEMPLATE
    ),
}
GUIDE = "tiny-guide"
GUIDE_EYE = Eye(side=60, patch=10, width=80)
NAMES = (*RECIPES, GUIDE)

_CLASSES = {
    "blip-2": (transformers.Blip2Config, transformers.Blip2ForConditionalGeneration),
    "instructblip": (
        transformers.InstructBlipConfig,
        transformers.InstructBlipForConditionalGeneration,
    ),
    "bliva": (BlivaConfig, BlivaForConditionalGeneration),
}


def folder(name: str) -> Path:
    """Where the package keeps this model. Raises UnknownName."""
    if name not in NAMES:
        raise UnknownName("tiny model", name, NAMES)
    return Path(__file__).parent / "weights" / "tiny" / name


# Parts
# ---------------------------------------------------------------------------------------------------------------


def tokenizer(ends: str = "<s> $A", template: str | None = None) -> Any:
    """Every lower-case word of ``scenes`` and every mark of the templates; ``ends``: which of <s>
    and </s> a text gets.
    """
    wordings = " ".join(wording for wordings in scenes.WORDINGS.values() for wording in wordings)
    names = " ".join((*scenes.SHAPES, *scenes.COLOURS, *scenes.NUMBERS))
    text = (
        f"{wordings} {names} no yes and shape shapes colour ###Human: <Img></Img> ###Assistant:"
        " <img></img> Q: A: . ? , </"
    )
    words = {word for word, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text.lower())}
    core = Tokenizer(
        WordLevel(
            {
                w: i
                for i, w in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<image>", *sorted(words)])
            },
            unk_token="<unk>",
        )
    )
    core.normalizer, core.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single=ends, special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **special)
    made.add_tokens([AddedToken("<image>", normalized=False, special=True)], special_tokens=True)
    made.chat_template = template
    return made


def build(recipe: Recipe) -> tuple[Any, Any]:
    """(model with fresh weights, its processor)."""
    torch.manual_seed(recipe.seed)
    words = tokenizer("$A </s>" if recipe.text["model_type"] == "t5" else "<s> $A", recipe.template)
    configure, make = _CLASSES[recipe.family]
    sizes = {
        "vocab_size": len(words),
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    qformer = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "cross_attention_frequency": 1,
        "initializer_range": 0.1,
    }
    still = {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": 64,
    }
    config = configure(
        vision_config=_tower(recipe.eye),
        qformer_config={**qformer, **still, "vocab_size": len(words), "pad_token_id": PAD},
        text_config={**recipe.text, **sizes},
        num_query_tokens=QUERIES,
        image_token_index=IMAGE,
    )
    model = make(config)
    torch.nn.init.normal_(model.query_tokens)
    pictures = transformers.BlipImageProcessorPil(
        size={"height": recipe.eye.side, "width": recipe.eye.side}
    )
    slots = getattr(config, "num_image_tokens", QUERIES)
    if recipe.family == "blip-2":
        return model, transformers.Blip2Processor(pictures, words, num_query_tokens=slots)
    return model, transformers.InstructBlipProcessor(
        pictures, words, tokenizer(), num_query_tokens=slots
    )


def build_guide() -> tuple[Any, Any]:
    """(CLIP with fresh weights, its processor)."""
    torch.manual_seed(7)
    words = tokenizer("<s> $A </s>")
    text = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
    }
    ids = {"vocab_size": len(words), "pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    config = transformers.CLIPConfig(
        text_config={**text, **ids}, vision_config=_tower(GUIDE_EYE), projection_dim=64
    )
    size = {"height": GUIDE_EYE.side, "width": GUIDE_EYE.side}
    pictures = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": GUIDE_EYE.side}, crop_size=size
    )
    return transformers.CLIPModel(config), transformers.CLIPProcessor(pictures, words)


def _tower(eye: Eye) -> dict[str, Any]:
    depth = {"num_hidden_layers": 4, "num_attention_heads": 4, "initializer_range": 0.02}
    return {
        "image_size": eye.side,
        "patch_size": eye.patch,
        "hidden_size": eye.width,
        "intermediate_size": 2 * eye.width,
        **depth,
    }


# Measuring
# -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def accuracy(model: Any, processor: Any, samples: Sequence[Sample]) -> float:
    """Share of samples whose answer has the highest mean log-probability per token of all
    candidates, in [0, 1].

    Every candidate of ``scenes`` is one token, so the mean is that token's log-probability after
    the prompt.
    """
    apart = not model.config.use_decoder_only_language_model
    encode, right = lessons.Encoder(processor, apart), 0
    for part in (samples[start : start + 64] for start in range(0, len(samples), 64)):
        text = encode([s.question for s in part], [s.answer for s in part])
        pixels = processor.image_processor([s.load() for s in part], return_tensors="pt")[
            "pixel_values"
        ]
        logits = model(pixel_values=pixels, **text).logits
        first = (text["labels"] != lessons.NO_LABEL).int().argmax(1) - (0 if apart else 1)
        for sample, row, at in zip(part, logits, first.tolist(), strict=True):
            ids = processor.tokenizer(
                " ".join(sample.candidates), add_special_tokens=False
            ).input_ids
            right += int(row[at, ids].argmax()) == sample.label
    return right / len(samples)


# Training
# ------------------------------------------------------------------------------------------------------------


def train(name: str, out: Path, effort: Effort = FULL) -> Iterator[str]:
    """Train one model into ``out/name``; yields a line of progress now and then."""
    if name == GUIDE:
        yield from _train_guide(out, effort)
        return
    recipe = RECIPES[name]
    model, processor = build(recipe)
    if recipe.start is not None:
        _start_from(model, out / recipe.start)
    pictures = _pictures(recipe.eye, out, effort.pictures)
    yield from _see(recipe.eye_of or name, model.vision_model, pictures, out, effort.eye)
    encode = lessons.Encoder(processor, not model.config.use_decoder_only_language_model)
    if recipe.words_first:
        yield from lessons.teach_language(model, encode, pictures, effort.language, recipe.seed)
        model.language_model.requires_grad_(False)
        yield from lessons.teach_model(model, encode, pictures, effort.joining, recipe.seed)
        model.language_model.requires_grad_(True)
    yield from lessons.teach_model(
        model, encode, pictures, effort.model, recipe.seed + recipe.words_first
    )
    _save(model, processor, out / name)


def _start_from(model: Any, other: Path) -> None:
    """Take over every weight that the other model, trained before, has too; what is new stays
    fresh.
    """
    if not (other / "model.safetensors").exists():
        raise ModelError(
            f"A model that starts from {other.name} was to be trained, but {other} holds none:"
            f" train {other.name} first."
        )
    known = load_file(other / "model.safetensors")
    model.load_state_dict({key: value.float() for key, value in known.items()}, strict=False)


def _train_guide(out: Path, effort: Effort) -> Iterator[str]:
    model, processor = build_guide()
    pictures = _pictures(GUIDE_EYE, out, effort.pictures)
    yield from _see(GUIDE, model.vision_model, pictures, out, effort.eye)

    def encode(captions: Sequence[str]) -> dict[str, Tensor]:
        return dict(
            processor.tokenizer(
                list(captions), padding=True, return_tensors="pt", return_token_type_ids=False
            )
        )

    yield from lessons.teach_guide(model, encode, pictures, effort.guide, 7)
    _save(model, processor, out / GUIDE)


def _see(owner: str, tower: Any, pictures: lessons.Gallery, out: Path, steps: int) -> Iterator[str]:
    """Teach an eye, or take it from ``out`` where an earlier training left it."""
    store = out / f"eye-{owner}.safetensors"
    if not store.exists():
        yield from lessons.teach_eye(tower, pictures, steps, seed=NAMES.index(owner))
        save_file({key: value.half() for key, value in tower.state_dict().items()}, store)
    tower.load_state_dict(load_file(store))


def _pictures(eye: Eye, out: Path, count: int) -> lessons.Gallery:
    out.mkdir(parents=True, exist_ok=True)
    return lessons.gallery(
        eye.side, eye.side // eye.patch, count, out / f"pictures-{eye.side}-{eye.patch}.npz"
    )


def _save(model: Any, processor: Any, target: Path) -> None:
    """Weights in half precision; the configuration still says float32, so that they are computed
    with as such.
    """
    model.half().save_pretrained(target)
    processor.save_pretrained(target)
    processor.image_processor.save_pretrained(target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(_in_float32(config), indent=1) + "\n")
    (target / "model.safetensors").chmod(0o644)


def _in_float32(config: dict[str, Any]) -> dict[str, Any]:
    fixed = {
        key: _in_float32(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }
    return {
        key: "float32" if key in ("dtype", "torch_dtype") else value for key, value in fixed.items()
    }


def load(path: Path) -> tuple[Any, Any]:
    """(model in eval mode, its official processor) from a folder that ``train`` wrote."""
    return transformers.AutoModelForImageTextToText.from_pretrained(
        path
    ).eval(), transformers.AutoProcessor.from_pretrained(path)


def measure(out: Path, count: int = 400) -> dict[str, dict[str, float]]:
    """model → task → accuracy on ``count`` held-out scenes, of the models that are there; kept in
    ``out/accuracies.json``.
    """
    models = {name: load(out / name) for name in RECIPES if (out / name).exists()}
    table: dict[str, dict[str, float]] = {name: {} for name in models}
    for task in scenes.NAMES:
        kind, _, shift = task.removeprefix("scenes-").partition("/")
        samples = scenes.build(kind, shift or None, train=1, test=count).test
        drawn = [replace(sample, load=cache(sample.load)) for sample in samples]
        for name, model in models.items():
            table[name][task] = accuracy(*model, drawn)
    (out / "accuracies.json").write_text(
        json.dumps({"samples": count, "accuracy": table}, indent=1) + "\n"
    )
    return table


def main(arguments: Sequence[str]) -> None:
    """``OUT [NAME…]``: train these (all by default), then measure; progress goes to standard
    output.
    """
    out = Path(arguments[0])
    for name in arguments[1:] or NAMES:
        for line in train(name, out):
            sys.stdout.write(f"{name}: {line}\n")
            sys.stdout.flush()
    measure(out)


if __name__ == "__main__":
    main(sys.argv[1:])
