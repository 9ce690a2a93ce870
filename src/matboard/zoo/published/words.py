"""The tokenizers of the published models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from matboard.errors import ModelError
from matboard.extras import require
from matboard.models.vlm.loading import load_part

IMAGE = "<image>"
UNKNOWN, END = "<unk>", "</s>"


def language_words(place: str, begin: str | None = None) -> Any:
    """A LLaMA's tokenizer with a place for pictures.

    The published codes tokenise every piece of text between pictures by itself, and SentencePiece
    sets a space before each; a text here does the same behind each image token. The image token
    takes the place of ``<unk>``, which no text ever yields: the vocabulary keeps its size, and so
    every likelihood stays as it was.

    Args:
        place: folder or Hub id.
        begin: the token that a text begins with; the tokenizer's own where None.

    Raises:
        ModelError: there is none, or it is not LLaMA's.
    """
    folder = Path(place)
    if (folder / "tokenizer.model").exists() and not (
        folder / "tokenizer.json"
    ).exists():
        require("sentencepiece")
    kept = load_part(AutoTokenizer, "tokenizer", place)
    told = json.loads(kept.backend_tokenizer.to_str())
    core = told["model"]
    first = begin or kept.bos_token or "<s>"
    needed = {UNKNOWN, END, first}
    bytewise = core["type"] == "BPE" and core["byte_fallback"]
    if not bytewise or not needed <= core["vocab"].keys():
        raise ModelError(
            f"{place!r} has the tokenizer {type(kept).__name__}; expected LLaMA's or Vicuna's: byte"
            f" pairs that fall back to single bytes, and {', '.join(sorted(needed))}."
        )
    core["vocab"][IMAGE] = core["vocab"].pop(UNKNOWN)
    core["unk_token"] = None
    told["added_tokens"] = [
        {**token, "content": IMAGE} if token["content"] == UNKNOWN else token
        for token in told["added_tokens"]
    ]
    told["normalizer"] = _SPACES
    told["pre_tokenizer"] = None
    told["post_processor"] = _begun(first, core["vocab"][first])
    ends = {"bos_token": first, "eos_token": END, "pad_token": END}
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(told)), **ends
    )
    made.add_tokens([IMAGE], special_tokens=True)
    return made


_SPACES = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ],
}


def _begun(token: str, number: int) -> dict[str, Any]:
    """Texts begin with a token."""
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    other = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, first, other],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }


def qformer_words(place: str, words: int) -> Any:
    """BERT's tokenizer with LAVIS's ``[DEC]``, as a Q-Former reads a question.

    Args:
        place: folder or Hub id of BERT, or the folder of an InstructBLIP in transformers' layout.
        words: how many the Q-Former knows.

    Raises:
        ModelError: there is none, or it has another number of words.
    """
    inside = Path(place) / "qformer_tokenizer"
    made = load_part(
        AutoTokenizer, "tokenizer", str(inside if inside.is_dir() else place)
    )
    if "[DEC]" not in made.get_vocab():
        made.add_special_tokens({"bos_token": "[DEC]"})
    if len(made) != words:
        raise ModelError(
            f"{place!r} has a tokenizer of {len(made)} words, [DEC] included; the Q-Former knows"
            f" {words}. Expected BERT's, bert-base-uncased."
        )
    return made
