"""ChatGLM-6B's tokenizer: SentencePiece with words of its own for line ends, tabs and runs of
spaces (THUDM/chatglm-6b: ``tokenization_chatglm.py``, ``ice_text.model``).
"""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import SentencePieceBackend

LINE_END, TAB = "<n>", "<|tab|>"
MOST_SPACES = 80
"""Runs of up to so many spaces are one word."""
CONTEXT_END = "[gMASK]"
BEGIN, END = "<sop>", "<eop>"


class IceTokenizer(SentencePieceBackend):  # type: ignore[misc]
    """Texts are closed by ``[gMASK]<sop>``, behind which the answer begins. Each piece of text
    between special tokens is tokenised by itself.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "ice_text.model"}
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]
    padding_side = "left"

    def __init__(self, vocab_file: str, **settings: Any) -> None:
        words = {"bos_token": BEGIN, "eos_token": END, "mask_token": "[MASK]"}
        words |= {"unk_token": "<unk>", "pad_token": "<pad>"}
        pattern = {"special_tokens_pattern": "prefix_suffix"}
        super().__init__(vocab_file=vocab_file, **{**words, **pattern, **settings})

    @property
    def suffix_tokens(self) -> list[int]:
        """What closes a text."""
        return [int(self.convert_tokens_to_ids(word)) for word in (CONTEXT_END, BEGIN)]

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        text = text.replace("\n", LINE_END).replace("\t", TAB)
        for count in range(MOST_SPACES, 1, -1):
            text = text.replace(" " * count, _spaces(count))
        pieces: list[str] = self.sp_model.encode(text, out_type=str)
        return pieces

    def _convert_id_to_token(self, index: int) -> str:
        """The head has more rows than there are words; a row without one says nothing."""
        known = index < self.sp_model.get_piece_size()
        return str(self.sp_model.id_to_piece(index)) if known else ""

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Words as text."""
        text: str = self.sp_model.decode([token for token in tokens if token])
        text = text.replace(LINE_END, "\n").replace(TAB, "\t")
        for count in range(2, MOST_SPACES + 1):
            text = text.replace(_spaces(count), " " * count)
        return text


def _spaces(count: int) -> str:
    return f"<|blank_{count}|>"
