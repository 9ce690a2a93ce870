"""Folders made of published checkpoints answer as a naive forward of the same files does."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from matboard.models.processors.check import probe, to_tensor
from matboard.zoo import load_model
from matboard.zoo.published.convert import Places, convert
from matboard.zoo.published.words import language_words
from tests.unit.published import BERT_WORDS, SIZES, Naive, Published, publish

FAMILIES = ("minigpt4", "vpgtrans", "bliva")
QUESTIONS = ["What is this?", "how many cats: a photo of a question?"]
CANDIDATES = [["dog", "an airplane", "ship"]] * 2
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


@dataclass
class Made:
    """A family's files, the folder made of them, both as models."""

    family: str
    files: Published
    folder: Path
    naive: Naive
    model: Any


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: Any, tmp_path_factory: Any) -> Made:
    family = request.param
    folder = tmp_path_factory.mktemp(family)
    files = publish(family, folder / "files", seed=10 * FAMILIES.index(family))
    out = convert(family, places(family, files), folder / "made", sizes=SIZES)
    model = load_model(str(out), device="cpu")
    return Made(family, files, out, Naive(files), model)


def places(family: str, files: Published) -> Places:
    return Places(
        checkpoint=files.place("own.pth"),
        language=files.place("llm"),
        eye=files.place("eva_vit_g.pth"),
        blip2=files.place("blip2.pth") if family == "minigpt4" else None,
        qformer_tokenizer=files.place("bert"),
    )


def pictures() -> list[Image.Image]:
    """Of the eye's own size, so that the naive forward needs no resizing."""
    first = probe(SIZES.side, SIZES.side)
    return [first, first.rotate(90)]


def pixels(picture: Image.Image) -> Tensor:
    return (to_tensor([picture])[0] - MEAN) / STD


def prompt(made: Made, picture: Image.Image, question: str) -> Tensor:
    """The published prompt as embeddings."""
    naive = made.naive
    if made.family == "bliva":
        words = question.lower().replace("?", " ?").replace(":", " :").split()
        read = ["[CLS]", *words, "[SEP]"]
        seen = naive.visual(pixels(picture), [BERT_WORDS.index(word) for word in read])
        return naive.said(seen, 2, question)
    after = f"</Img> {question} ###Assistant:"
    seen = naive.visual(pixels(picture))
    return naive.said(1, "###Human: <Img>", seen, after)


def test_a_converted_folder_answers_as_the_published_files_do(made: Made) -> None:
    expected = []
    first = []
    for picture, question, options in zip(pictures(), QUESTIONS, CANDIDATES):
        asked = prompt(made, picture, question)
        expected.append([made.naive.log_likelihood(asked, one) for one in options])
        first.append(made.naive.logits(asked)[-1])
    model = made.model
    with torch.no_grad():
        ranked = model.candidate_log_likelihoods(
            pictures(), QUESTIONS, CANDIDATES, length_normalised=False
        )
        encoded = model._encode(pictures(), QUESTIONS)
        prompts = model._prompts(encoded, pictures(), QUESTIONS)
        logits = model.language.prefill(prompts).logits
    torch.testing.assert_close(logits, torch.stack(first), rtol=0, atol=2e-5)
    torch.testing.assert_close(ranked, torch.tensor(expected), rtol=0, atol=5e-5)


def test_what_the_paper_scored_is_a_template(made: Made) -> None:
    """The code of arXiv 2404.11207 wraps the picture, and tokenises wrapping, instruction and class
    name each by itself.
    """
    if made.family == "bliva":
        pytest.skip("it is asked the bare instruction, as above")
    wrapped = "<Img>{image}</Img> {question}"
    model = load_model(str(made.folder), device="cpu", template=wrapped)
    picture, question = pictures()[0], "This is a photo of a"
    seen = made.naive.visual(pixels(picture))
    asked = made.naive.said(1, "<Img>", seen, "</Img>", question)
    with torch.no_grad():
        scored = model.candidate_log_likelihoods(
            [picture], [question], [["dog"]], length_normalised=False
        )
    expected = made.naive.log_likelihood(asked, "dog")
    torch.testing.assert_close(scored[0, 0], expected, rtol=0, atol=5e-5)


def test_a_prompt_can_be_learned_on_it(made: Made) -> None:
    assert made.model.refusal is None


def test_tensors_keep_the_precision_they_were_published_in(made: Made) -> None:
    kept, state = load_file(made.folder / "model.safetensors"), made.files.state
    eye = kept["vision_model.encoder.layers.1.mlp.fc1.weight"]
    assert torch.equal(eye, state["visual_encoder.blocks.1.mlp.fc1.weight"])
    assert eye.dtype == torch.float16
    assert torch.equal(kept["query_tokens"], state["query_tokens"])
    assert kept["query_tokens"].dtype == torch.float32
    assert kept["language_model.lm_head.weight"].dtype == torch.float16


def test_what_is_no_word_falls_back_to_bytes(made: Made) -> None:
    """And never becomes the image token, which has the unknown token's place."""
    text = "ß 图 \U0001f600"
    ids = made.model.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids == made.naive.words.encode(text)


def test_a_text_begins_as_the_language_models_own_tokenizer_says(
    made: Made, tmp_path: Path
) -> None:
    """Some Vicunas begin with ``</s>``, and call it unknown as well."""
    shutil.copytree(made.files.folder / "llm", tmp_path / "llm")
    told = json.loads((tmp_path / "llm/tokenizer_config.json").read_text())
    told |= {"bos_token": "</s>", "unk_token": "</s>"}
    (tmp_path / "llm/tokenizer_config.json").write_text(json.dumps(told))
    ids = made.naive.words.encode("a dog")
    older = language_words(str(tmp_path / "llm"))
    assert older("a dog")["input_ids"] == [2, *ids]
    assert older.convert_tokens_to_ids("<image>") == 0
    newer = language_words(made.files.place("llm"))
    assert newer("a dog")["input_ids"] == [1, *ids]


def test_answers_end_where_the_published_model_ends_them(made: Made) -> None:
    """``###`` is one token behind a space; behind a word it is ``##`` and ``#``, as in LLaMA."""
    words = made.naive.words
    marks = {*words.encode("###"), words.piece_to_id("##")}
    assert len(marks) == 2
    assert made.model.ends == ({2} if made.family == "bliva" else {2, *marks})


def test_eye_and_qformer_may_come_from_a_transformers_folder(
    made: Made, tmp_path: Path
) -> None:
    if made.family != "minigpt4":
        pytest.skip("one will do")
    own, language = made.files.place("own.pth"), made.files.place("llm")
    again = Places(own, language, blip2=str(made.folder))
    second = convert("minigpt4", again, tmp_path / "again", sizes=SIZES)
    one, two = (load_file(f / "model.safetensors") for f in (made.folder, second))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_is_an_ordinary_transformers_folder(made: Made) -> None:
    """transformers' own processor and forward, without matboard's adapter."""
    if made.family != "bliva":
        pytest.skip("transformers' processor knows no wrapping of pictures")
    processor = hf.AutoProcessor.from_pretrained(made.folder, backend="pil")
    picture, question = pictures()[0], "What is this?"
    inputs = processor(images=picture, text=question, return_tensors="pt")
    with torch.no_grad():
        logits = made.model.model(**inputs).logits[0, -1]
    expected = made.naive.logits(prompt(made, picture, question))[-1]
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5)
