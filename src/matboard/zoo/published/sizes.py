"""How large the parts are that the published models share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """EVA-CLIP-g as BLIP-2 uses it and the Q-Former behind it (LAVIS: ``create_eva_vit_g``,
    ``init_Qformer``; the Q-Former is BERT-base with cross-attention).

    Attributes:
        side, patch: of a picture and of its patches, in pixels.
        width, blocks, heads, hidden: of the eye; EVA-CLIP-g has one block more, which BLIP-2 leaves
            out.
        queries: query tokens of the Q-Former.
        qformer_width, qformer_layers, qformer_heads, qformer_hidden: of the Q-Former; every second
            layer attends to the picture.
        words, positions: of a Q-Former that reads text: BERT's vocabulary and ``[DEC]``.
    """

    side: int = 224
    patch: int = 14
    width: int = 1408
    blocks: int = 39
    heads: int = 16
    hidden: int = 6144
    queries: int = 32
    qformer_width: int = 768
    qformer_layers: int = 12
    qformer_heads: int = 12
    qformer_hidden: int = 3072
    words: int = 30523
    positions: int = 512

    def eye(self) -> dict[str, int | float]:
        """transformers' ``vision_config``."""
        return {
            "image_size": self.side,
            "patch_size": self.patch,
            "hidden_size": self.width,
            "num_hidden_layers": self.blocks,
            "num_attention_heads": self.heads,
            "intermediate_size": self.hidden,
            "layer_norm_eps": 1e-6,
        }

    def qformer(self) -> dict[str, int]:
        """transformers' ``qformer_config``."""
        return {
            "hidden_size": self.qformer_width,
            "num_hidden_layers": self.qformer_layers,
            "num_attention_heads": self.qformer_heads,
            "intermediate_size": self.qformer_hidden,
            "cross_attention_frequency": 2,
            "encoder_hidden_size": self.width,
            "vocab_size": self.words,
            "max_position_embeddings": self.positions,
        }


PUBLISHED = Sizes()
