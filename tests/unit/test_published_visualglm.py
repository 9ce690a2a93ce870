"""A folder made of VisualGLM-6B's published layout answers as a naive forward of the same files."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from matboard.cli import app
from matboard.errors import ModelError
from matboard.models.processors.check import probe, to_tensor
from matboard.zoo import architectures, load_model
from matboard.zoo.chatglm import ChatGlmConfig
from matboard.zoo.published import visualglm as module
from matboard.zoo.published.sizes import PUBLISHED
from matboard.zoo.published.visualglm import convert_visualglm, published
from matboard.zoo.visualglm import VisualGlmConfig, VisualGlmForConditionalGeneration
from tests.unit.published_visualglm import SIZES, Naive, ice_ids, publish, save

QUESTIONS = ["What is this?", "这是什么？ how many  cats are in\tthe picture?"]
CANDIDATES = [["dog", "an airplane", "一只狗"]] * 2
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = np.array([0.26862954, 0.26130258, 0.27577711])[:, None, None]
PAPER = "<img>{image}</img> {question}"
"""As the code of arXiv 2404.11207 scores it."""


@dataclass
class Made:
    """The published files, the folder made of them, both as models, and the naive prompts."""

    files: Path
    folder: Path
    naive: Naive
    model: Any
    prompts: list[Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any) -> Made:
    folder = tmp_path_factory.mktemp("visualglm")
    files = publish(folder / "files")
    out = convert_visualglm(str(files), folder / "made", sizes=SIZES)
    naive = Naive(files)
    each = zip(pictures(), QUESTIONS)
    prompts = [asked(naive, pixels(picture), question) for picture, question in each]
    return Made(files, out, naive, load_model(str(out), device="cpu"), prompts)


def pictures() -> list[Image.Image]:
    """Of the eye's own size, so that the naive forward needs no resizing."""
    first = probe(SIZES.side, SIZES.side)
    return [first, first.rotate(90)]


def pixels(picture: Image.Image) -> Any:
    return (to_tensor([picture])[0].double().numpy() - MEAN) / STD


def asked(naive: Naive, picture: Any, question: str) -> list[Any]:
    seen = naive.picture(picture)
    return naive.prompt(seen, "<img>", f"</img>问：{question}\n答：")


def test_it_answers_as_the_published_files_do(made: Made) -> None:
    first, expected = [], []
    for prompt, options in zip(made.prompts, CANDIDATES):
        first.append(made.naive.logits(prompt, [])[-1])
        sums = [made.naive.log_likelihood(prompt, option) for option in options]
        expected.append([total / count for total, count in sums])
    model = made.model
    with torch.no_grad():
        ranked = model.candidate_log_likelihoods(pictures(), QUESTIONS, CANDIDATES)
        logits = model.language.prefill(model.read(pictures(), QUESTIONS)).logits
    np.testing.assert_allclose(logits, np.array(first), rtol=0, atol=2e-5)
    assert np.std(first) > 0.5
    np.testing.assert_allclose(ranked, np.array(expected), rtol=0, atol=2e-5)


def test_an_answer_is_scored_in_one_pass_as_behind_its_prompt(made: Made) -> None:
    answers = ["an airplane", "dog"]
    with torch.no_grad():
        losses = made.model.answer(pictures(), QUESTIONS, answers, terminator=True)
    for row, (prompt, said) in enumerate(zip(made.prompts, answers)):
        ids = [*ice_ids(made.naive.words, said), made.naive.told["eos_token_id"]]
        rows = np.array(made.naive.logits(prompt, ids)[len(prompt) - 1 : -1])
        scores = rows - np.log(np.exp(rows).sum(1, keepdims=True))
        expected = -scores[np.arange(len(ids)), ids].sum()
        assert float(losses.negative_log_likelihood[row]) == pytest.approx(
            expected, abs=5e-5
        )


def test_what_the_paper_scored_is_a_template(made: Made) -> None:
    model = load_model(str(made.folder), device="cpu", template=PAPER)
    picture, question = pictures()[0], "This is a photo of a"
    seen = made.naive.picture(pixels(picture))
    prompt = made.naive.prompt(seen, "<img>", f"</img> {question}")
    total, count = made.naive.log_likelihood(prompt, "dog")
    with torch.no_grad():
        scored = model.candidate_log_likelihoods([picture], [question], [["dog"]])
    assert float(scored) == pytest.approx(total / count, abs=2e-5)


def test_it_says_the_likeliest_words(made: Made) -> None:
    said = made.model.generate(pictures(), QUESTIONS, max_new_tokens=4)
    for prompt, text in zip(made.prompts, said):
        ids = made.naive.greedy(prompt, 4)
        assert len(set(ids)) > 1
        assert text == made.model.spelled(ids)


def test_the_gradient_reaches_the_pixels(made: Made) -> None:
    """Along its own direction, against differences of the naive forward."""
    assert made.model.refusal is None
    image = to_tensor([pictures()[0]]).requires_grad_()
    (loss,) = made.model.answer(image, QUESTIONS[:1], ["dog"]).negative_log_likelihood
    (gradient,) = torch.autograd.grad(loss, image)
    way = (gradient / gradient.norm())[0].double().numpy()
    start = to_tensor([pictures()[0]])[0].double().numpy()

    def naive(step: float) -> float:
        shifted = (start + step * way - MEAN) / STD
        prompt = asked(made.naive, shifted, QUESTIONS[0])
        return -made.naive.log_likelihood(prompt, "dog")[0]

    slope = (naive(1e-4) - naive(-1e-4)) / 2e-4
    assert float(gradient.norm()) == pytest.approx(slope, rel=1e-3)


def test_a_transformers_forward_reads_the_prompt_too(made: Made) -> None:
    model = made.model.model
    picture, question = pictures()[0], QUESTIONS[0]
    image = "<image>" * SIZES.queries
    text = f"<img>{image}</img>问：{question}\n答："
    inputs = made.model.tokenizer(text, return_tensors="pt")
    shown = made.model.preprocess([picture], "cpu", torch.float32)
    with torch.no_grad():
        logits = model(**inputs, **shown).logits[0, -1]
    expected = made.naive.logits(made.prompts[0], [])[-1]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5)


def test_every_tensor_is_taken_as_it_is(made: Made) -> None:
    kept = load_file(made.folder / "model.safetensors")
    own = {n: t for n, t in made.naive.w.items() if not n.endswith("inv_freq")}
    assert {t.dtype for t in kept.values()} == {torch.float16}
    assert sum(t.numel() for t in kept.values()) == sum(t.size for t in own.values())
    theirs = made.naive.w["lm_head.weight"]
    np.testing.assert_array_equal(kept["language_model.lm_head.weight"], theirs)


def test_at_its_published_sizes_it_has_as_many_numbers_as_its_authors_say() -> None:
    """7.8 billion, by the README of THUDM/visualglm-6b."""
    architectures.register()
    config = VisualGlmConfig(
        vision_config=PUBLISHED.eye(),
        qformer_config=PUBLISHED.qformer(),
        text_config=ChatGlmConfig().to_dict(),
    )
    with torch.device("meta"):
        whole = VisualGlmForConditionalGeneration(config).state_dict()
    there = published({name: tuple(t.shape) for name, t in whole.items()})
    count = sum(math.prod(joined.shape) for joined in there.values())
    assert count == sum(t.numel() for t in whole.values())
    assert round(count / 1e9, 1) == 7.8


# Words
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "What is this?",
        "two  spaces,   three, a\ttab\nand a line",
        "x" + " " * 200 + "y",
        "图 ß \U0001f600 bytes",
        "问：这是什么？",
        " leading and trailing ",
        "<n> written out, [gMASK] too",
    ],
)
def test_words_are_the_published_ones(made: Made, text: str) -> None:
    words = made.model.tokenizer
    ids = words(text, add_special_tokens=False)["input_ids"]
    assert ids == ice_ids(made.naive.words, text)
    closed = [made.naive.told["gmask_token_id"], made.naive.told["bos_token_id"]]
    assert words(text)["input_ids"] == [*ids, *closed]


def test_words_come_back_as_text(made: Made) -> None:
    words = made.model.tokenizer
    text = "two  spaces, a\ttab\nand an airplane"
    ids = words(text, add_special_tokens=False)["input_ids"]
    spare = len(words) + 1
    assert words.decode([*ids, spare], skip_special_tokens=True) == text


def test_the_picture_stands_behind_the_last_word(made: Made) -> None:
    """No text yields it, and the head keeps its size."""
    config = made.model.model.config
    assert config.image_token_index == made.naive.words.get_piece_size()
    assert made.model.tokenizer.convert_tokens_to_ids("<image>") == (
        config.image_token_index
    )
    assert config.text_config.vocab_size == made.naive.told["vocab_size"]


# Files that are not what they should be
# ------------------------------------------------------------------------------------------------


@pytest.fixture
def files(made: Made, tmp_path: Path) -> Path:
    shutil.copytree(made.files, tmp_path / "files")
    return tmp_path / "files"


def refused(files: Path) -> str:
    with pytest.raises(ModelError) as told:
        convert_visualglm(str(files), files.parent / "made", sizes=SIZES)
    assert {path.name for path in files.parent.iterdir()} <= {"files", ".made.lock"}
    return str(told.value)


def change(files: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    state: dict[str, Any] = {}
    for shard in files.glob("*.bin"):
        state |= torch.load(shard, weights_only=True)
    edit(state)
    save(files, state)


QFORMER = "image_encoder.qformer.transformer"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda s: s.pop(f"{QFORMER}.layers.1.attention.query_key_value.weight"),
            "missing in --checkpoint:"
            f" {QFORMER}.layers.1.attention.query_key_value.weight (48, 16)",
        ),
        (
            lambda s: s.update({"adapter.up": torch.zeros(3, 4)}),
            "not known: adapter.up of",
        ),
        (
            lambda s: s.update(
                {"image_encoder.glm_prj.bias": s.pop("image_encoder.glm_proj.bias")}
            ),
            "is expected to be called image_encoder.glm_proj.bias, (32,)",
        ),
        (
            lambda s: s.update({f"{QFORMER}.final_layernorm.bias": torch.zeros(15)}),
            "has shape (15,), expected (16,)",
        ),
    ],
)
def test_a_tensor_that_is_not_as_expected_is_named(
    files: Path, edit: Callable[[dict[str, Any]], Any], said: str
) -> None:
    change(files, edit)
    told = refused(files)
    assert "do not make VisualGLM-6B" in told and said in told


def configured(**other: Any) -> Callable[[Path], None]:
    def spoil(files: Path) -> None:
        told = json.loads((files / "config.json").read_text())
        (files / "config.json").write_text(json.dumps({**told, **other}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("{}"), "vocab_size: it is missing"),
        (lambda f: (f / "config.json").write_text("[]"), "not the configuration of"),
        (configured(num_layers=0), "num_layers: expected more than 0, came 0"),
        (configured(quantization_bit=4), "expected quantization_bit 0"),
        (configured(bos_token_id=9), "and 9 by config.json; they do not belong"),
        (configured(vocab_size=300), "there is no spare one to stand for pictures"),
        (lambda f: (f / "ice_text.model").unlink(), "ice_text.model cannot be read"),
        (
            lambda f: (f / "ice_text.model").write_bytes(b"<html>"),
            "ice_text.model cannot be read",
        ),
        (lambda f: next(f.glob("*1-of*.bin")).write_bytes(b""), "cannot be read"),
        (lambda f: next(f.glob("*1-of*.bin")).unlink(), "holds no weights"),
    ],
)
def test_what_is_not_as_published_is_a_sentence(
    files: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    spoil(files)
    assert said in refused(files)


def test_the_command_makes_a_folder(
    made: Made, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "PUBLISHED", SIZES)
    words = ["visualglm", str(tmp_path / "made"), "--checkpoint", str(made.files)]
    done = CliRunner().invoke(app, ["convert", *words])
    assert done.exit_code == 0
    weights = "model.safetensors"
    assert (tmp_path / "made" / weights).read_bytes() == (
        made.folder / weights
    ).read_bytes()


def test_parts_of_other_families_are_refused(tmp_path: Path) -> None:
    words = ["convert", "visualglm", str(tmp_path / "made"), "--checkpoint", "files"]
    done = CliRunner().invoke(app, [*words, "--eye", "eye.pth", "--blip2", "blip2"])
    assert str(done.exception) == (
        "--eye and --blip2 came, but visualglm's --checkpoint holds all of it; leave them out."
    )


def test_auto_classes_find_its_parts(made: Made) -> None:
    words = hf.AutoTokenizer.from_pretrained(made.folder)
    assert type(words).__name__ == "IceTokenizer"
    processor = hf.AutoProcessor.from_pretrained(made.folder, backend="pil")
    assert processor.num_query_tokens == SIZES.queries
