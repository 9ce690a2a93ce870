"""Small random weights, laid out like THUDM/visualglm-6b on the Hub, and a naive forward of that
model in float64, one number of a sequence after the other, from its code and
SwissArmyTransformer's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2 as proto

from matboard.zoo.published.sizes import Sizes

SIZES = Sizes(
    side=28,
    patch=7,
    width=24,
    blocks=3,
    heads=3,
    hidden=40,
    queries=5,
    qformer_width=16,
    qformer_layers=4,
    qformer_heads=2,
    qformer_hidden=24,
)
WIDTH, INNER, LAYERS, HEADS = 32, 48, 3, 4
"""Of the language model."""
SPARE = 8
"""Rows of the head behind the last word."""
SPECIAL = [
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<unused_0>",
    "<sop>",
    "<eop>",
    "<ENC>",
    "<dBLOCK>",
]
Array = Any
"""A numpy array of float64."""


# Files
# ------------------------------------------------------------------------------------------------


def publish(folder: Path, seed: int = 0) -> Path:
    """Write configuration, words, and weights in two shards of torch's."""
    folder.mkdir(parents=True)
    count = sentences(folder / "ice_text.model")
    told = configuration(count)
    (folder / "config.json").write_text(json.dumps(told))
    save(folder, weights(told["vocab_size"], seed))
    return folder


def save(folder: Path, state: dict[str, torch.Tensor]) -> None:
    names = sorted(state)
    shards = {
        "pytorch_model-00001-of-00002.bin": names[::2],
        "pytorch_model-00002-of-00002.bin": names[1::2],
    }
    for file, own in shards.items():
        torch.save({name: state[name] for name in own}, folder / file)
    where = {name: file for file, own in shards.items() for name in own}
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def configuration(words: int) -> dict[str, Any]:
    first = words - len(SPECIAL)
    return {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "bos_token_id": first + 4,
        "eos_token_id": first + 5,
        "mask_token_id": first,
        "gmask_token_id": first + 1,
        "pad_token_id": 3,
        "hidden_size": WIDTH,
        "inner_hidden_size": INNER,
        "num_layers": LAYERS,
        "num_attention_heads": HEADS,
        "layernorm_epsilon": 1e-5,
        "max_sequence_length": 2048,
        "position_encoding_2d": True,
        "torch_dtype": "float16",
        "vocab_size": words + SPARE,
    }


def weights(vocabulary: int, seed: int) -> dict[str, torch.Tensor]:
    """Every tensor under its published name, in float16."""
    g = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}

    def put(name: str, *shape: int, scale: float = 0.3, around: float = 0) -> None:
        state[name] = (around + scale * torch.randn(*shape, generator=g)).half()

    def linear(name: str, out: int, into: int) -> None:
        put(f"{name}.weight", out, into, scale=1.5 * into**-0.5)
        put(f"{name}.bias", out)

    def norm(name: str, width: int) -> None:
        put(f"{name}.weight", width, around=1)
        put(f"{name}.bias", width)

    def layer(at: str, width: int, inner: int) -> None:
        norm(f"{at}.input_layernorm", width)
        linear(f"{at}.attention.query_key_value", 3 * width, width)
        linear(f"{at}.attention.dense", width, width)
        norm(f"{at}.post_attention_layernorm", width)
        linear(f"{at}.mlp.dense_h_to_4h", inner, width)
        linear(f"{at}.mlp.dense_4h_to_h", width, inner)

    put("transformer.word_embeddings.weight", vocabulary, WIDTH, scale=1)
    for number in range(LAYERS):
        layer(f"transformer.layers.{number}", WIDTH, INNER)
        speeds = torch.ones(WIDTH // HEADS // 4).half()
        state[f"transformer.layers.{number}.attention.rotary_emb.inv_freq"] = speeds
    norm("transformer.final_layernorm", WIDTH)
    put("lm_head.weight", vocabulary, WIDTH, scale=0.2)
    s, eye = SIZES, "image_encoder.vit"
    put(f"{eye}.transformer.word_embeddings.weight", 1, s.width)
    patches = (s.side // s.patch) ** 2
    put(f"{eye}.transformer.position_embeddings.weight", patches + 1, s.width)
    put(f"{eye}.mixins.patch_embedding.proj.weight", s.width, 3, s.patch, s.patch)
    put(f"{eye}.mixins.patch_embedding.proj.bias", s.width)
    for number in range(s.blocks):
        layer(f"{eye}.transformer.layers.{number}", s.width, s.hidden)
    norm(f"{eye}.mixins.cls.ln_vision", s.width)
    inside, w = "image_encoder.qformer.transformer", s.qformer_width
    put(f"{inside}.word_embeddings.weight", s.queries, w, scale=1)
    for number in range(s.qformer_layers):
        at = f"{inside}.layers.{number}"
        layer(at, w, s.qformer_hidden)
        if number % 2 == 0:
            linear(f"{at}.cross_attention.query", w, w)
            linear(f"{at}.cross_attention.key_value", 2 * w, s.width)
            linear(f"{at}.cross_attention.dense", w, w)
            norm(f"{at}.post_cross_attention_layernorm", w)
    norm(f"{inside}.final_layernorm", w)
    linear("image_encoder.glm_proj", WIDTH, w)
    return state


def sentences(file: Path) -> int:
    """A SentencePiece model with ChatGLM's words of its own, the special ones last; how many."""
    lines = [
        "This is a photo of a dog.",
        "问：这是什么？ 答：一只狗。",
        "<img></img>问：What is this? how many cats are in the picture?",
        "an airplane, a ship, a truck",
    ]
    source = file.with_name("lines.txt")
    source.write_text("\n".join(lines * 20))
    spaces = [f"<|blank_{count}|>" for count in range(2, 81)]
    sentencepiece.SentencePieceTrainer.train(
        input=str(source),
        model_prefix=str(file.with_suffix("")),
        vocab_size=440,
        model_type="unigram",
        byte_fallback=True,
        character_coverage=1.0,
        user_defined_symbols=["<n>", "<|tab|>", *spaces],
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    source.unlink()
    file.with_suffix(".vocab").unlink()
    model = proto.ModelProto.FromString(file.read_bytes())
    for word in SPECIAL:
        model.pieces.add(piece=word, score=0.0, type=4)  # user-defined
    file.write_bytes(model.SerializeToString())
    return len(model.pieces)


# The naive forward
# ------------------------------------------------------------------------------------------------


def ice_ids(words: Any, text: str) -> list[int]:
    """As ``SPTokenizer.encode`` does."""
    text = text.replace("\n", "<n>").replace("\t", "<|tab|>")
    length = 80
    while length > 1:
        text = text.replace(" " * length, f"<|blank_{length}|>")
        length -= 1
    return list(words.encode(text))


class Naive:
    """One picture and one text at a time; a state is a list of vectors."""

    def __init__(self, folder: Path) -> None:
        self.w: dict[str, Array] = {}
        for file in sorted(folder.glob("*.bin")):
            held = torch.load(file, weights_only=True)
            self.w |= {name: t.double().numpy() for name, t in held.items()}
        self.told = json.loads((folder / "config.json").read_text())
        words = str(folder / "ice_text.model")
        self.words = sentencepiece.SentencePieceProcessor(model_file=words)

    # building blocks

    def linear(self, name: str, x: Array) -> Array:
        return self.w[f"{name}.weight"] @ x + self.w[f"{name}.bias"]

    def norm(self, name: str, x: Array, eps: float) -> Array:
        centred = x - np.mean(x)
        scaled = centred / math.sqrt(np.mean(centred**2) + eps)
        return self.w[f"{name}.weight"] * scaled + self.w[f"{name}.bias"]

    def mlp(self, at: str, x: Array, gelu: Any) -> Array:
        inner = self.linear(f"{at}.mlp.dense_h_to_4h", x)
        return self.linear(
            f"{at}.mlp.dense_4h_to_h", np.array([gelu(v) for v in inner])
        )

    # picture

    def picture(self, pixels: Array) -> list[Array]:
        """What stands in the prompt for a picture, ``3 side side``."""
        seen = self.eye(pixels)
        return [self.linear("image_encoder.glm_proj", q) for q in self.queries(seen)]

    def eye(self, pixels: Array) -> list[Array]:
        s, at = SIZES, "image_encoder.vit"
        states = [self.w[f"{at}.transformer.word_embeddings.weight"][0]]
        kernel = self.w[f"{at}.mixins.patch_embedding.proj.weight"]
        bias = self.w[f"{at}.mixins.patch_embedding.proj.bias"]
        for top in range(0, s.side, s.patch):
            for left in range(0, s.side, s.patch):
                patch = pixels[:, top : top + s.patch, left : left + s.patch]
                states.append(np.array([np.sum(k * patch) for k in kernel]) + bias)
        places = self.w[f"{at}.transformer.position_embeddings.weight"]
        states = [state + place for state, place in zip(states, places, strict=True)]
        for number in range(s.blocks):
            own = f"{at}.transformer.layers.{number}"
            inputs = [self.norm(f"{own}.input_layernorm", x, 1e-6) for x in states]
            looked = self.whole_attention(own, inputs, s.heads)
            states = [x + y for x, y in zip(states, looked)]
            inner = [
                self.norm(f"{own}.post_attention_layernorm", x, 1e-6) for x in states
            ]
            states = [x + self.mlp(own, y, erf_gelu) for x, y in zip(states, inner)]
        return [self.norm(f"{at}.mixins.cls.ln_vision", x, 1e-5) for x in states]

    def queries(self, seen: list[Array]) -> list[Array]:
        s, at = SIZES, "image_encoder.qformer.transformer"
        states = list(self.w[f"{at}.word_embeddings.weight"])
        for number in range(s.qformer_layers):
            own = f"{at}.layers.{number}"
            inputs = [self.norm(f"{own}.input_layernorm", x, 1e-12) for x in states]
            looked = self.whole_attention(own, inputs, s.qformer_heads)
            states = [x + y for x, y in zip(inputs, looked)]
            inputs = [
                self.norm(f"{own}.post_attention_layernorm", x, 1e-12) for x in states
            ]
            if number % 2 == 0:
                looked = self.cross_attention(f"{own}.cross_attention", inputs, seen)
                states = [x + y for x, y in zip(inputs, looked)]
                inputs = [
                    self.norm(f"{own}.post_cross_attention_layernorm", x, 1e-12)
                    for x in states
                ]
            states = [x + self.mlp(own, x, erf_gelu) for x in inputs]
        return [self.norm(f"{at}.final_layernorm", x, 1e-12) for x in states]

    def whole_attention(self, at: str, inputs: list[Array], heads: int) -> list[Array]:
        """Queries of all heads come first in the joined map, then keys, then values."""
        joined = [self.linear(f"{at}.attention.query_key_value", x) for x in inputs]
        q, k, v = zip(*(np.split(x, 3) for x in joined))
        everything = [range(len(inputs))] * len(inputs)
        looked = attention(q, k, v, heads, everything)
        return [self.linear(f"{at}.attention.dense", x) for x in looked]

    def cross_attention(
        self, at: str, inputs: list[Array], seen: list[Array]
    ) -> list[Array]:
        q = [self.linear(f"{at}.query", x) for x in inputs]
        k, v = zip(*(np.split(self.linear(f"{at}.key_value", x), 2) for x in seen))
        everything = [range(len(seen))] * len(inputs)
        looked = attention(q, k, v, SIZES.qformer_heads, everything)
        return [self.linear(f"{at}.dense", x) for x in looked]

    # text

    def prompt(self, picture: list[Array], before: str, after: str) -> list[Array]:
        """``before``, the picture, ``after``, ``[gMASK]<sop>``, as ``build_inputs_with_image``."""
        table = self.w["transformer.word_embeddings.weight"]
        ends = [self.told["gmask_token_id"], self.told["bos_token_id"]]
        first = [table[i] for i in ice_ids(self.words, before)]
        last = [table[i] for i in [*ice_ids(self.words, after), *ends]]
        return [*first, *picture, *last]

    def logits(self, prompt: list[Array], answer: Sequence[int]) -> list[Array]:
        """Behind each token of prompt and answer."""
        table = self.w["transformer.word_embeddings.weight"]
        states = [*prompt, *(table[i] for i in answer)]
        context = len(prompt) - 1  # all before <sop>
        mask_position = context - 1
        first = [i if i < context else mask_position for i in range(len(states))]
        second = [max(0, i - context + 1) for i in range(len(states))]
        visible = [
            [j for j in range(len(states)) if j < context or j <= i]
            for i in range(len(states))
        ]
        alpha = math.sqrt(2 * LAYERS)
        for number in range(LAYERS):
            at = f"transformer.layers.{number}"
            inputs = [self.norm(f"{at}.input_layernorm", x, 1e-5) for x in states]
            looked = self.glm_attention(at, inputs, first, second, visible)
            states = [alpha * x + y for x, y in zip(inputs, looked)]
            inputs = [
                self.norm(f"{at}.post_attention_layernorm", x, 1e-5) for x in states
            ]
            states = [alpha * x + self.mlp(at, x, tanh_gelu) for x in inputs]
        ended = [self.norm("transformer.final_layernorm", x, 1e-5) for x in states]
        return [self.w["lm_head.weight"] @ x for x in ended]

    def glm_attention(
        self,
        at: str,
        inputs: list[Array],
        first: Sequence[int],
        second: Sequence[int],
        visible: Sequence[Sequence[int]],
    ) -> list[Array]:
        """In the joined map each head has its query, key and value beside each other."""
        queries, keys, values = [], [], []
        for x, one, other in zip(inputs, first, second):
            joined = self.linear(f"{at}.attention.query_key_value", x)
            q, k, v = [], [], []
            for head in np.split(joined, HEADS):
                own_q, own_k, own_v = np.split(head, 3)
                q.append(turned(own_q, one, other))
                k.append(turned(own_k, one, other))
                v.append(own_v)
            queries.append(np.concatenate(q))
            keys.append(np.concatenate(k))
            values.append(np.concatenate(v))
        looked = attention(queries, keys, values, HEADS, visible)
        return [self.linear(f"{at}.attention.dense", x) for x in looked]

    def log_likelihood(self, prompt: list[Array], answer: str) -> tuple[float, int]:
        """Sum over an answer's tokens, tokenised by itself, and how many they are."""
        ids = ice_ids(self.words, answer)
        rows = self.logits(prompt, ids)[len(prompt) - 1 : -1]
        total = 0.0
        for row, token in zip(rows, ids, strict=True):
            total += row[token] - row.max() - math.log(np.sum(np.exp(row - row.max())))
        return total, len(ids)

    def greedy(self, prompt: list[Array], most: int) -> list[int]:
        said: list[int] = []
        while len(said) < most:
            token = int(np.argmax(self.logits(prompt, said)[-1]))
            if token == self.told["eos_token_id"]:
                break
            said.append(token)
        return said


def attention(
    queries: Sequence[Array],
    keys: Sequence[Array],
    values: Sequence[Array],
    heads: int,
    visible: Sequence[Sequence[int]],
) -> list[Array]:
    width = len(queries[0]) // heads
    looked = []
    for query, seen in zip(queries, visible, strict=True):
        out = np.zeros(heads * width)
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            scores = [query[own] @ keys[j][own] / math.sqrt(width) for j in seen]
            shares = [math.exp(score - max(scores)) for score in scores]
            for share, j in zip(shares, seen):
                out[own] += share / sum(shares) * values[j][own]
        looked.append(out)
    return looked


def turned(head: Array, first: int, second: int) -> Array:
    """Either half of a head by its own position; partners stand half of that half apart."""
    parts = []
    for half, place in zip(np.split(head, 2), (first, second)):
        pairs = len(half) // 2
        out = np.zeros(2 * pairs)
        for i in range(pairs):
            speed = float(np.float16(1.0 / 10000 ** (2 * i / len(half))))
            a, b = half[i], half[i + pairs]
            out[i] = a * math.cos(place * speed) - b * math.sin(place * speed)
            out[i + pairs] = b * math.cos(place * speed) + a * math.sin(place * speed)
        parts.append(out)
    return np.concatenate(parts)


def erf_gelu(x: float) -> float:
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def tanh_gelu(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)))
