"""Small random weights, laid out like the files that MiniGPT-4, VPGTrans and BLIVA publish, and a
naive forward of those models on such files, from their papers and LAVIS's code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers as hf
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from matboard.zoo.published.sizes import Sizes

BERT = "[PAD] [UNK] [CLS] [SEP] [MASK] what is this ? question : answer a photo of how many cats"
BERT_WORDS = [*BERT.split(), "[DEC]"]

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
    words=len(BERT_WORDS),
    positions=24,
)
TEXT = 32
"""Width of the language model."""
State = dict[str, Tensor]


# Files
# ------------------------------------------------------------------------------------------------


def random(generator: torch.Generator, *shape: int, scale: float = 0.3) -> Tensor:
    return torch.randn(*shape, generator=generator) * scale


def linear(
    state: State, name: str, out: int, into: int, g: torch.Generator, half: bool = False
) -> None:
    dtype = torch.float16 if half else torch.float32
    state[f"{name}.weight"] = random(g, out, into, scale=into**-0.5).to(dtype)
    state[f"{name}.bias"] = random(g, out).to(dtype)


def norm(state: State, name: str, width: int, g: torch.Generator) -> None:
    state[f"{name}.weight"] = 1 + random(g, width)
    state[f"{name}.bias"] = random(g, width)


def eva_vit_g(seed: int) -> State:
    """LAVIS's ``eva_vit_g.pth``: bare names, float16, one block more than BLIP-2 uses, a head."""
    g = torch.Generator().manual_seed(seed)
    s = SIZES
    state: State = {
        "cls_token": random(g, 1, 1, s.width),
        "pos_embed": random(g, 1, (s.side // s.patch) ** 2 + 1, s.width),
        "patch_embed.proj.weight": random(g, s.width, 3, s.patch, s.patch),
        "patch_embed.proj.bias": random(g, s.width),
    }
    for block in range(s.blocks + 1):
        at = f"blocks.{block}"
        norm(state, f"{at}.norm1", s.width, g)
        state[f"{at}.attn.q_bias"] = random(g, s.width)
        state[f"{at}.attn.v_bias"] = random(g, s.width)
        state[f"{at}.attn.qkv.weight"] = random(g, 3 * s.width, s.width)
        linear(state, f"{at}.attn.proj", s.width, s.width, g)
        norm(state, f"{at}.norm2", s.width, g)
        linear(state, f"{at}.mlp.fc1", s.hidden, s.width, g)
        linear(state, f"{at}.mlp.fc2", s.width, s.hidden, g)
    norm(state, "norm", s.width, g)
    linear(state, "head", 8, s.width, g)
    return {name: tensor.half() for name, tensor in state.items()}


def qformer(seed: int, *, reads_text: bool) -> State:
    """What a BLIP-2 checkpoint of LAVIS holds of its Q-Former, and the norm behind the eye."""
    g = torch.Generator().manual_seed(seed)
    s, w = SIZES, SIZES.qformer_width
    state: State = {"query_tokens": random(g, 1, s.queries, w, scale=1)}
    norm(state, "ln_vision", s.width, g)
    inside = "Qformer.bert.embeddings"
    state[f"{inside}.position_ids"] = torch.arange(s.positions)[None]
    if reads_text:
        state[f"{inside}.word_embeddings.weight"] = random(g, s.words, w, scale=1)
        state[f"{inside}.position_embeddings.weight"] = random(g, s.positions, w)
    norm(state, f"{inside}.LayerNorm", w, g)
    for layer in range(s.qformer_layers):
        at = f"Qformer.bert.encoder.layer.{layer}"
        kinds = {"attention": w}
        if layer % 2 == 0:
            kinds["crossattention"] = s.width
        for kind, into in kinds.items():
            linear(state, f"{at}.{kind}.self.query", w, w, g)
            linear(state, f"{at}.{kind}.self.key", w, into, g)
            linear(state, f"{at}.{kind}.self.value", w, into, g)
            linear(state, f"{at}.{kind}.output.dense", w, w, g)
            norm(state, f"{at}.{kind}.output.LayerNorm", w, g)
        for side in ("_query", "") if reads_text else ("_query",):
            linear(state, f"{at}.intermediate{side}.dense", s.qformer_hidden, w, g)
            linear(state, f"{at}.output{side}.dense", w, s.qformer_hidden, g)
            norm(state, f"{at}.output{side}.LayerNorm", w, g)
    return state


def projection(name: str, seed: int, into: int = SIZES.qformer_width) -> State:
    state: State = {}
    linear(state, name, TEXT, into, torch.Generator().manual_seed(seed))
    return state


def runner_file(state: State) -> dict[str, Any]:
    """What LAVIS's runner saves: the model's tensors beside its optimiser's, settings and more."""
    steps = {0: {"step": 7, "exp_avg": torch.zeros(2)}}
    return {
        "model": state,
        "optimizer": {"state": steps, "param_groups": [{"lr": 1e-5, "params": [0]}]},
        "config": {"run": {"amp": True, "seed": 42}},
        "scaler": {"scale": 1024.0},
        "epoch": 4,
    }


@dataclass(frozen=True)
class Published:
    """The files of one model, and what is in them by LAVIS's names."""

    folder: Path
    state: State

    def place(self, name: str) -> str:
        return str(self.folder / name)


def publish(family: str, folder: Path, seed: int = 0) -> Published:
    """Write ``eva_vit_g.pth``, ``blip2.pth`` for MiniGPT-4, ``own.pth``, ``llm/`` and ``bert/``."""
    folder.mkdir(parents=True, exist_ok=True)
    eye = eva_vit_g(seed)
    behind = qformer(seed + 1, reads_text=family == "bliva")
    own = projection("llm_proj" if family == "bliva" else "llama_proj", seed + 2)
    if family == "bliva":
        own |= projection("vision_project", seed + 3, SIZES.width)
    torch.save(eye, folder / "eva_vit_g.pth")
    if family == "minigpt4":
        t5 = projection("t5_proj", 9)
        torch.save({"model": {**behind, **t5}}, folder / "blip2.pth")
        torch.save(runner_file(own), folder / "own.pth")
    else:
        torch.save(runner_file({**behind, **own}), folder / "own.pth")
    llama(folder / "llm")
    bert(folder / "bert")
    named = {f"visual_encoder.{name}": tensor for name, tensor in eye.items()}
    return Published(folder, {**named, **behind, **own})


def llama(folder: Path) -> None:
    """A Vicuna in small: float16, untied, its tokenizer as ``tokenizer.model`` only."""
    folder.mkdir()
    torch.manual_seed(4)
    config = hf.LlamaConfig(
        vocab_size=len(sentences(folder / "tokenizer.model")),
        hidden_size=TEXT,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
    )
    hf.LlamaForCausalLM(config).half().save_pretrained(folder)
    told = {"tokenizer_class": "LlamaTokenizer", "model_max_length": 2048}
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, **marks}))


def sentences(file: Path) -> Any:
    """SentencePiece in the manner of LLaMA's: byte pairs that fall back to bytes."""
    lines = [
        "This is a photo of a dog.",
        "###Human: <Img></Img> What is this? ###Assistant:",
        "Question: how many cats? Answer: two",
        "an airplane, a ship, a truck ###",
    ]
    source = file.with_name("lines.txt")
    source.write_text("\n".join(lines * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(source),
        model_prefix=str(file.with_suffix("")),
        vocab_size=340,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    source.unlink()
    file.with_suffix(".vocab").unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(file))


def bert(folder: Path) -> None:
    """BERT's tokenizer in small, without ``[DEC]``."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(BERT_WORDS[:-1]))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": true}'
    )


# The naive forward
# ------------------------------------------------------------------------------------------------


class Naive:
    """MiniGPT-4, VPGTrans and BLIVA, one picture and one text at a time, in float32."""

    def __init__(self, published: Published) -> None:
        self.w = {name: t.float() for name, t in published.state.items()}
        file = published.folder / "llm" / "tokenizer.model"
        self.words = sentencepiece.SentencePieceProcessor(model_file=str(file))
        self.llama = hf.LlamaForCausalLM.from_pretrained(
            published.folder / "llm", dtype=torch.float32
        )

    def lin(self, name: str, x: Tensor) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def ln(self, name: str, x: Tensor, eps: float) -> Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, keepdim=True, unbiased=False) + eps
        ).sqrt()
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def blocks(self, pixels: Tensor) -> list[Tensor]:
        """The eye's tokens behind each block, ``token dim``."""
        s = SIZES
        rows = []
        for i in range(s.side // s.patch):
            for j in range(s.side // s.patch):
                ys = slice(i * s.patch, (i + 1) * s.patch)
                xs = slice(j * s.patch, (j + 1) * s.patch)
                rows.append(pixels[:, ys, xs].reshape(-1))
        kernel = self.w["visual_encoder.patch_embed.proj.weight"].flatten(1)
        patches = torch.stack(rows) @ kernel.T
        patches = patches + self.w["visual_encoder.patch_embed.proj.bias"]
        x = torch.cat([self.w["visual_encoder.cls_token"][0], patches])
        x = x + self.w["visual_encoder.pos_embed"][0]
        seen = []
        for block in range(s.blocks):
            at = f"visual_encoder.blocks.{block}"
            x = x + self.eva_attention(at, self.ln(f"{at}.norm1", x, 1e-6))
            inner = self.lin(f"{at}.mlp.fc1", self.ln(f"{at}.norm2", x, 1e-6))
            x = x + self.lin(f"{at}.mlp.fc2", F.gelu(inner))
            seen.append(x)
        return seen

    def eva_attention(self, at: str, x: Tensor) -> Tensor:
        """Query and value have a bias, the key has none."""
        q, k, v = (x @ self.w[f"{at}.attn.qkv.weight"].T).chunk(3, -1)
        q = q + self.w[f"{at}.attn.q_bias"]
        v = v + self.w[f"{at}.attn.v_bias"]
        return self.lin(f"{at}.attn.proj", attention(q, k, v, SIZES.heads))

    def qformer(self, image: Tensor, text: Sequence[int]) -> Tensor:
        """Query tokens that have looked at the picture and read the text."""
        inside = "Qformer.bert.embeddings"
        x = self.w["query_tokens"][0]
        count = len(x)
        if text:
            words = self.w[f"{inside}.word_embeddings.weight"][list(text)]
            places = self.w[f"{inside}.position_embeddings.weight"][: len(text)]
            x = torch.cat([x, words + places])
        x = self.ln(f"{inside}.LayerNorm", x, 1e-12)
        for layer in range(SIZES.qformer_layers):
            at = f"Qformer.bert.encoder.layer.{layer}"
            x = self.bert_attention(f"{at}.attention", x, x)
            queries, rest = x[:count], x[count:]
            if layer % 2 == 0:
                queries = self.bert_attention(f"{at}.crossattention", queries, image)
            queries = self.feed(at, queries, "_query")
            x = torch.cat([queries, self.feed(at, rest, "")]) if text else queries
        return x[:count]

    def bert_attention(self, at: str, x: Tensor, memory: Tensor) -> Tensor:
        q = self.lin(f"{at}.self.query", x)
        k = self.lin(f"{at}.self.key", memory)
        v = self.lin(f"{at}.self.value", memory)
        out = self.lin(f"{at}.output.dense", attention(q, k, v, SIZES.qformer_heads))
        return self.ln(f"{at}.output.LayerNorm", out + x, 1e-12)

    def feed(self, at: str, x: Tensor, side: str) -> Tensor:
        inner = F.gelu(self.lin(f"{at}.intermediate{side}.dense", x))
        out = self.lin(f"{at}.output{side}.dense", inner)
        return self.ln(f"{at}.output{side}.LayerNorm", out + x, 1e-12)

    def visual(self, pixels: Tensor, asked: Sequence[int] = ()) -> Tensor:
        """What enters the language model: ``token dim``."""
        seen = self.blocks(pixels)
        queries = self.qformer(self.ln("ln_vision", seen[-1], 1e-5), asked)
        if "vision_project.weight" not in self.w:
            return self.lin("llama_proj", queries)
        patches = self.lin("vision_project", seen[-2][1:])
        return torch.cat([self.lin("llm_proj", queries), patches])

    def said(self, *pieces: str | int | Tensor) -> Tensor:
        """Embeddings: each text tokenised by itself, numbers as tokens, tensors as they are."""
        table = self.llama.get_input_embeddings().weight.detach()
        rows = []
        for piece in pieces:
            if isinstance(piece, Tensor):
                rows.append(piece)
            else:
                ids = [piece] if isinstance(piece, int) else self.words.encode(piece)
                rows.append(table[ids])
        return torch.cat(rows)

    def logits(self, embedded: Tensor) -> Tensor:
        """LLaMA (arXiv 2302.13971) behind its embeddings: ``token vocabulary``."""
        w = {name: t.detach() for name, t in self.llama.state_dict().items()}
        config = self.llama.config
        x = embedded
        for layer in range(config.num_hidden_layers):
            at = f"model.layers.{layer}"
            y = rms(x, w[f"{at}.input_layernorm.weight"], config.rms_norm_eps)
            q, k, v = (y @ w[f"{at}.self_attn.{n}_proj.weight"].T for n in "qkv")
            heads = config.num_attention_heads
            y = attention(turned(q, heads), turned(k, heads), v, heads, causal=True)
            x = x + y @ w[f"{at}.self_attn.o_proj.weight"].T
            y = rms(x, w[f"{at}.post_attention_layernorm.weight"], config.rms_norm_eps)
            gate = F.silu(y @ w[f"{at}.mlp.gate_proj.weight"].T)
            y = gate * (y @ w[f"{at}.mlp.up_proj.weight"].T)
            x = x + y @ w[f"{at}.mlp.down_proj.weight"].T
        x = rms(x, w["model.norm.weight"], config.rms_norm_eps)
        return x @ w["lm_head.weight"].T

    def log_likelihood(self, prompt: Tensor, answer: str) -> Tensor:
        """Sum over the answer's tokens."""
        ids = self.words.encode(answer)
        logits = self.logits(torch.cat([prompt, self.said(answer)]))
        scores = logits[len(prompt) - 1 : -1].log_softmax(-1)
        return scores[torch.arange(len(ids)), ids].sum()


def attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, causal: bool = False
) -> Tensor:
    parts = []
    for one_q, one_k, one_v in zip(*(t.chunk(heads, -1) for t in (q, k, v))):
        scores = one_q @ one_k.T / math.sqrt(one_q.shape[-1])
        if causal:
            ahead = torch.ones_like(scores).triu(1).bool()
            scores = scores.masked_fill(ahead, -math.inf)
        parts.append(scores.softmax(-1) @ one_v)
    return torch.cat(parts, -1)


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def turned(x: Tensor, heads: int) -> Tensor:
    """Rotary positions (arXiv 2104.09864), the two halves of each head as pairs."""
    parts = []
    for head in x.chunk(heads, -1):
        first, second = head.chunk(2, -1)
        half = first.shape[-1]
        speed = 10000.0 ** (-torch.arange(half) / half)
        angle = torch.arange(len(x))[:, None] * speed
        turned_first = first * angle.cos() - second * angle.sin()
        turned_second = second * angle.cos() + first * angle.sin()
        parts.append(torch.cat([turned_first, turned_second], -1))
    return torch.cat(parts, -1)
