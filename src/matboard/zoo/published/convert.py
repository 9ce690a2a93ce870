"""Ordinary transformers folders out of the checkpoints that projects publish."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors import SafetensorError
from torch import Tensor

from matboard.disk import make_once
from matboard.errors import ModelError, first_line
from matboard.models.vlm.loading import LOADING_ERRORS, load_part
from matboard.zoo.bliva import BlivaConfig, BlivaForConditionalGeneration
from matboard.zoo.published import wrapping
from matboard.zoo.published.gather import Model, Source, gather
from matboard.zoo.published.sizes import PUBLISHED, Sizes
from matboard.zoo.published.words import IMAGE, language_words, qformer_words

Progress = Callable[[str], None]
_UNLOADABLE: tuple[type[Exception], ...] = (
    *LOADING_ERRORS,
    RuntimeError,
    SafetensorError,
)
"""What transformers raises for weights that are damaged or of other shapes."""


@dataclass(frozen=True)
class Recipe:
    """How one published model is put together.

    Attributes:
        title: as its authors call it.
        configure, make: its classes in transformers.
        projection: what its files call ``language_projection``.
        begin: the token that its texts begin with; the language model's own where None.
        ends: pieces of text that end an answer, besides ``</s>``.
        template: its chat template; none where the question stands alone.
        needs_blip2: whether its own file lacks the Q-Former.
        reads_text: whether its Q-Former reads the question.
    """

    title: str
    configure: Any
    make: Any
    projection: str
    begin: str | None = None
    ends: tuple[str, ...] = ()
    template: str | None = None
    needs_blip2: bool = False
    reads_text: bool = False


_BLIP2 = (hf.Blip2Config, hf.Blip2ForConditionalGeneration)
_ENDS = ("▁###", "##")  # as "###" is tokenised behind a space and behind a word

RECIPES = {
    "minigpt4": Recipe(
        "MiniGPT-4",
        *_BLIP2,
        projection="llama_proj",
        ends=_ENDS,
        template=wrapping.MINIGPT4,
        needs_blip2=True,
    ),
    "vpgtrans": Recipe(
        "VPGTrans",
        *_BLIP2,
        projection="llama_proj",
        ends=_ENDS,
        template=wrapping.MINIGPT4,
    ),
    "bliva": Recipe(
        "BLIVA",
        BlivaConfig,
        BlivaForConditionalGeneration,
        projection="llm_proj",
        begin="</s>",  # LAVIS gives LLaMA's tokenizer this beginning
        reads_text=True,
    ),
}


@dataclass(frozen=True)
class Places:
    """Where the parts of a model are.

    Attributes:
        checkpoint: the project's own file.
        language: LLaMA or Vicuna, folder or Hub id.
        eye: EVA-CLIP-g: LAVIS's ``eva_vit_g.pth``, or a BLIP-2 in transformers' layout.
        blip2: whose Q-Former it is, and whose eye where ``eye`` is not given: a LAVIS checkpoint,
            or a BLIP-2 in transformers' layout.
        qformer_tokenizer: BERT's, for a Q-Former that reads text.
    """

    checkpoint: str
    language: str
    eye: str | None = None
    blip2: str | None = None
    qformer_tokenizer: str = "bert-base-uncased"

    def sources(self) -> list[Source]:
        """Whose tensors replace whose: the project's own come last."""
        found = []
        if self.blip2 is not None:
            found.append(Source("--blip2", self.blip2, ("qformer", "eye")))
        if self.eye is not None:
            found.append(Source("--eye", self.eye, ("eye",)))
        own = Source("--checkpoint", self.checkpoint, ("eye", "qformer", "projection"))
        return [*found, own]


def convert(
    family: str,
    places: Places,
    out: Path,
    *,
    sizes: Sizes | None = None,
    progress: Progress = lambda _: None,
) -> Path:
    """Write a folder that transformers loads, or leave nothing behind.

    Every tensor keeps the precision that it was published in.

    Args:
        family: ``minigpt4``, ``vpgtrans`` or ``bliva``.
        out: the folder; it must not exist.
        sizes: of eye and Q-Former; the published ones unless given.

    Raises:
        ModelError: a part cannot be had, or does not fit; the sentence names it.
    """
    recipe = RECIPES[family]
    shape = sizes or PUBLISHED
    _check(recipe, places)

    def make(fresh: Path) -> None:
        progress(f"putting {recipe.title} together")
        told = _language_config(places.language)
        processor = _processor(recipe, told, places, shape)
        model = _skeleton(recipe, told, processor.tokenizer, shape)
        processor.num_query_tokens = getattr(
            model.config, "num_image_tokens", shape.queries
        )
        state = _own_weights(model, recipe, places.sources(), shape)
        progress(f"reading {places.language}")
        model.language_model = _language(places.language)
        model.load_state_dict(state, strict=False, assign=True)
        _end_at(model, processor.tokenizer, recipe)
        progress(f"writing {out}")
        model.save_pretrained(fresh)
        processor.save_pretrained(fresh)

    return write_folder(out, make)


def write_folder(out: Path, make: Callable[[Path], None]) -> Path:
    """Make a folder as a whole. Raises ModelError where it exists or cannot be written."""
    if out.exists():
        raise ModelError(f"{out} exists; name a new folder, or remove it first.")
    try:
        return make_once(out, make)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ModelError(
            f"{out} cannot be written ({reason}). Nothing was left there; the folder needs about as"
            " much room as the language model."
        ) from error


def _check(recipe: Recipe, places: Places) -> None:
    """Refuse before anything is read."""
    if places.blip2 is None and recipe.needs_blip2:
        raise ModelError(
            f"{recipe.title}'s own file holds its projection only. Give --blip2, the checkpoint"
            " whose Q-Former it uses (blip2_pretrained_flant5xxl.pth)."
        )
    if places.blip2 is None and places.eye is None:
        raise ModelError(
            f"{recipe.title}'s own file does not hold its eye. Give --eye, LAVIS's eva_vit_g.pth or"
            " any BLIP-2 in transformers' layout."
        )


def _language_config(place: str) -> Any:
    """Of a LLaMA or Vicuna. Raises ModelError."""
    config = load_part(hf.AutoConfig, "configuration", place)
    if config.model_type != "llama":
        raise ModelError(
            f"{place!r} is a {config.model_type}; expected the LLaMA or Vicuna that the model was"
            " aligned with."
        )
    return config


def _language(place: str) -> Any:
    """LLaMA or Vicuna as it was published. Raises ModelError."""
    options = {"dtype": "auto", "output_loading_info": True}
    try:
        model, told = hf.AutoModelForCausalLM.from_pretrained(place, **options)
    except _UNLOADABLE as error:
        raise ModelError(
            f"{place!r} yields no language model: {first_line(error)[:300]}"
        ) from error
    wrong = [
        f"missing {name} {tuple(model.get_parameter(name).shape)}"
        for name in sorted(told["missing_keys"])
    ]
    for name in sorted(told["unexpected_keys"]):
        if not re.search(r"rotary_emb\.inv_freq$", name):
            wrong.append(f"not known {name}")
    if wrong:
        raise ModelError(
            f"The language model {place!r} is not whole: {'; '.join(wrong)}. Download it again."
        )
    return model


def _skeleton(recipe: Recipe, language: Any, words: Any, sizes: Sizes) -> Any:
    """The model without weights."""
    config = recipe.configure(
        vision_config=sizes.eye(),
        qformer_config=sizes.qformer(),
        text_config=language.to_dict(),
        num_query_tokens=sizes.queries,
        image_token_index=words.convert_tokens_to_ids(IMAGE),
    )
    with torch.device("meta"):
        return recipe.make(config)


def _own_weights(
    model: Any, recipe: Recipe, sources: Sequence[Source], sizes: Sizes
) -> dict[str, Tensor]:
    """All but the language model's. Raises ModelError."""
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.startswith("language_model.")
    }
    blueprint = Model(
        recipe.title, shapes, recipe.projection, sizes.blocks, recipe.reads_text
    )
    return gather(blueprint, sources)


def _end_at(model: Any, words: Any, recipe: Recipe) -> None:
    """Where an answer ends."""
    known = words.get_vocab()
    ends = [words.eos_token_id, *(known[end] for end in recipe.ends if end in known)]
    settings = {"bos_token_id": words.bos_token_id, "pad_token_id": words.pad_token_id}
    model.generation_config = hf.GenerationConfig(eos_token_id=ends, **settings)


def _processor(recipe: Recipe, language: Any, places: Places, sizes: Sizes) -> Any:
    """Its image processor (LAVIS: ``blip_image_eval``) and tokenizers. Raises ModelError."""
    words = language_words(places.language, recipe.begin)
    if len(words) > language.vocab_size:
        raise ModelError(
            f"The tokenizer of {places.language!r} has {len(words)} words, its language model"
            f" {language.vocab_size}; they do not belong together."
        )
    words.chat_template = recipe.template
    square = {"height": sizes.side, "width": sizes.side}
    pictures = hf.BlipImageProcessorPil(size=square)
    if not recipe.reads_text:
        return hf.Blip2Processor(pictures, words)
    asking = qformer_words(places.qformer_tokenizer, sizes.words)
    return hf.InstructBlipProcessor(pictures, words, asking)
