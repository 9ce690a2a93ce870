"""Loading from folders, wording, and every sentence the adapter says when something is wrong."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from families import FAMILIES, Parts, bert, tokenizer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from matboard.errors import ModelError, PreprocessingMismatch
from matboard.models.families.blip import BLIP
from matboard.models.families.blip2 import BLIP2
from matboard.models.families.family import Family, Picture
from matboard.models.families.idefics2 import IDEFICS2
from matboard.models.families.idefics3 import IDEFICS3
from matboard.models.families.llava import LLAVA
from matboard.models.families.pixtral import PIXTRAL, merged_patch
from matboard.models.processors import check
from matboard.models.processors.check import probe, to_tensor
from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.models.vlm.loading import load
from matboard.models.vlm.prompt import PromptTemplate, image_token

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}{% if part.type =="
    " 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}{%"
    " if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save(parts: Parts, folder: Path) -> Path:
    parts.model.save_pretrained(folder)
    parts.image_processor.save_pretrained(folder)
    parts.tokenizer.save_pretrained(folder)
    if parts.qformer_tokenizer is not None:
        parts.qformer_tokenizer.save_pretrained(folder / "qformer_tokenizer")
    return folder


@pytest.mark.parametrize(
    "family",
    [
        "blip2_t5",
        "bliva",
        "llava",
        "qwen2_5_vl",
        "smolvlm",
        "internvl",
        "mllama",
        "blip",
        "git",
    ],
)
def test_a_saved_folder_loads_and_says_the_same(family: str, tmp_path: Path) -> None:
    parts = FAMILIES[family]()
    loaded = load(str(save(parts, tmp_path)), device="cpu")
    direct = HuggingFaceVLM(
        parts.model, parts.image_processor, parts.tokenizer, parts.qformer_tokenizer
    )
    pictures = [probe(40, 40)]
    for images in (pictures, to_tensor(pictures)):
        torch.testing.assert_close(
            loaded.answer_loss(images, ["a?"], ["a cat"]),
            direct.answer_loss(images, ["a?"], ["a cat"]),
        )
    assert loaded.name == str(tmp_path) and loaded.encoder == direct.encoder
    assert next(loaded.model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("family", ["llava", "instructblip_llama"])
@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.bfloat16, "eager"), (torch.float32, "sdpa")]
)
def test_attention_is_the_one_with_the_quick_backward(
    family: str, dtype: torch.dtype, expected: str, tmp_path: Path
) -> None:
    place = str(save(FAMILIES[family](), tmp_path))
    loaded = load(place, dtype=dtype, device="cpu")
    config = loaded.model.config
    for part in (config.vision_config, config.get_text_config()):
        assert part._attn_implementation == expected
    pictures = [probe(40, 40)]
    told = loaded.answer_loss(pictures, ["a?"], ["a cat"])
    loaded.model.set_attn_implementation("sdpa")
    close = {"rtol": 0.02, "atol": 0.02}
    again = loaded.answer_loss(pictures, ["a?"], ["a cat"])
    torch.testing.assert_close(told, again, **close)


@pytest.mark.parametrize("family", ["llava", "instructblip_llama", "any_eye_blip2"])
def test_an_eye_stays_exact_beside_a_rounded_language_model(
    family: str, tmp_path: Path
) -> None:
    place = str(save(FAMILIES[family](), tmp_path))
    exact = load(place, device="cpu")
    mixed = load(place, dtype="mixed", device="cpu")
    eye = mixed.fusion.eye.state_dict()
    for name, weight in exact.fusion.eye.state_dict().items():
        assert torch.equal(eye[name], weight)
    words = mixed.model.get_input_embeddings().weight
    assert words.dtype == torch.bfloat16
    text = mixed.model.config.get_text_config()
    assert text._attn_implementation == "eager"
    assert mixed.fusion.eye.config._attn_implementation == "sdpa"
    images = to_tensor([probe(40, 40)])
    seen = mixed.visual_features(images, "vision", ["a?"])
    wanted = exact.visual_features(images, "vision", ["a?"])
    assert torch.equal(seen, wanted.bfloat16().float())
    torch.testing.assert_close(
        mixed.answer_loss(images, ["a?"], ["a cat"]),
        exact.answer_loss(images, ["a?"], ["a cat"]),
        rtol=0.02,
        atol=0.02,
    )


def test_a_model_whose_parts_do_not_mix_is_refused(tmp_path: Path) -> None:
    place = str(save(FAMILIES["mllama"](), tmp_path))
    expected = (
        r"cannot run with its eye in float32 and all else in bfloat16 \(.*\); load it in one"
        " precision, float32 or bfloat16"
    )
    with pytest.raises(ModelError, match=expected):
        load(place, dtype="mixed", device="cpu")


def test_a_folder_with_its_own_processor_is_asked_by_that(tmp_path: Path) -> None:
    parts = FAMILIES["instructblip_llama"]()
    parts.model.save_pretrained(tmp_path)
    words = (parts.tokenizer, parts.qformer_tokenizer)
    own = hf.InstructBlipProcessor(parts.image_processor, *words, num_query_tokens=4)
    own.save_pretrained(tmp_path)
    loaded = load(str(tmp_path), device="cpu")
    assert loaded.asks_officially
    assert loaded.answer_loss([probe(40, 40)], ["a?"], ["a cat"]).isfinite().all()


def test_a_folder_says_itself_how_it_wants_to_be_asked(tmp_path: Path) -> None:
    parts = FAMILIES["llava"]()
    parts.tokenizer.chat_template = CHAT
    folder = str(save(parts, tmp_path))
    assert (
        load(folder, device="cpu").template.text("why?")
        == "<|im_start|>user\n<image>why?<|im_end|>\n<|im_start|>assistant\n"
    )
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").write_text(
        '{"chat_template": "<image>older: {{ messages[0].content[1].text }}"}'
    )
    assert load(folder, device="cpu").template.text("why?") == "<image>older: why?"
    assert (
        load(folder, device="cpu", template="Q: {question}{image} A:").template.text(
            "why?"
        )
        == "Q: why?<image> A:"
    )


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match="'no/such' yields no model; expected a Hub id or a folder that transformers saved",
    ):
        load("no/such")
    folder = save(FAMILIES["bliva"](), tmp_path)
    shutil.rmtree(folder / "qformer_tokenizer")
    with pytest.raises(ModelError, match="yields no Q-Former tokenizer"):
        load(str(folder), device="cpu")
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match="yields no tokenizer"):
        load(str(folder), device="cpu")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="yields no image processor"):
        load(str(folder), device="cpu")


def test_models_that_cannot_be_driven_are_refused() -> None:
    text = hf.LlamaForCausalLM(
        hf.LlamaConfig(
            vocab_size=8,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
        )
    )
    with pytest.raises(
        ModelError, match="LlamaForCausalLM cannot encode pictures apart from text"
    ):
        HuggingFaceVLM(text, None, tokenizer())
    parts = FAMILIES["instructblip_llama"]()
    with pytest.raises(
        ModelError,
        match="has a Q-Former that reads the question: give its qformer_tokenizer",
    ):
        HuggingFaceVLM(parts.model, parts.image_processor, parts.tokenizer)


def test_weights_that_would_be_taken_for_another_model_are_refused(
    tmp_path: Path,
) -> None:
    parts = FAMILIES["blip"]()
    answering = Parts(
        hf.BlipForQuestionAnswering(parts.model.config),
        parts.image_processor,
        parts.tokenizer,
    )
    with pytest.raises(
        ModelError,
        match=(
            r"BlipForQuestionAnswering, which AutoModelForImageTextToText takes for a captioner;"
            r" expected"
        ),
    ):
        load(str(save(answering, tmp_path)), device="cpu")
    video = FAMILIES["git"]().model
    video.config.num_image_with_embedding = 6
    with pytest.raises(
        ModelError,
        match="GitForCausalLM reads videos of 6 frames; expected one that reads a picture",
    ):
        HuggingFaceVLM(video, parts.image_processor, parts.tokenizer)


@pytest.fixture(scope="module")
def llava() -> HuggingFaceVLM:
    parts = FAMILIES["llava"]()
    return HuggingFaceVLM(parts.model, parts.image_processor, parts.tokenizer)


def test_wrong_calls_say_what_came(llava: HuggingFaceVLM) -> None:
    images = torch.rand(2, 3, 28, 28)
    with pytest.raises(
        ModelError, match=r"one to one, at least one of each; got \[2, 1, 2\]"
    ):
        llava.answer(images, ["a"], ["b", "c"])
    with pytest.raises(ModelError, match="An empty answer to 'a' has no likelihood"):
        llava.answer(images, ["a", "a"], ["b", " "])
    with pytest.raises(
        ModelError, match="The answer 'an <image>' holds the image token '<image>'"
    ):
        llava.answer(images, ["a", "a"], ["b", "an <image>"])
    with pytest.raises(
        ModelError, match=r"the same number of candidates, at least one; got \[1, 2\]"
    ):
        llava.candidate_log_likelihoods(images, ["a", "a"], [["b"], ["b", "c"]])
    with pytest.raises(ModelError, match="An empty answer to 'a' has no likelihood"):
        llava.candidate_log_likelihoods(images, ["a", "a"], [["b"], [""]])
    with pytest.raises(
        ModelError, match="more than one '<image>'; keep it out of the question"
    ):
        llava.answer(images, ["a", "an <image>"], ["b", "c"])
    with pytest.raises(ModelError, match="does not say where the question goes"):
        PromptTemplate(tokenizer(), Family(), "<image>", "Answer:")


def test_a_processor_without_a_faithful_version_judges_but_does_not_train(
    llava: HuggingFaceVLM,
) -> None:
    class Inverting(hf.CLIPImageProcessorPil):  # type: ignore[misc]
        def rescale(self, image: Any, scale: float, **_: Any) -> Any:
            return 1 - image * scale

    strange = HuggingFaceVLM(
        llava.model,
        Inverting(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        llava.tokenizer,
    )
    assert strange.answer_loss([probe(40, 40)], ["a?"], ["a cat"]).isfinite().all()
    refused = r"version of Inverting differs from it by \d+\.\d levels of 255 .*refuse to train"
    with pytest.raises(PreprocessingMismatch, match=refused):
        strange.answer_loss(torch.rand(1, 3, 28, 28), ["a?"], ["a cat"])


def test_a_model_whose_processor_differs_loads_with_a_warning_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "TOLERANCE", 0.01)
    warned = r"for evaluation only, no prompt can be learned on it\. matboard's differentiable"
    with pytest.warns(UserWarning, match=warned):
        loaded = load(str(save(FAMILIES["llava"](), tmp_path)), device="cpu")
    assert loaded.refusal is not None and "refuse to train through it" in loaded.refusal
    assert loaded.answer_loss([probe(40, 40)], ["a?"], ["a cat"]).isfinite().all()
    with pytest.raises(PreprocessingMismatch, match="refuse to train through it"):
        loaded.answer_loss(torch.rand(1, 3, 28, 28), ["a?"], ["a cat"])


def test_learning_through_other_pixels_on_a_prompted_canvas_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "On a prompted canvas it differs."
    monkeypatch.setattr(check, "deviation", lambda made, processor: sentence)
    with pytest.warns(UserWarning, match=sentence):
        loaded = load(str(save(FAMILIES["llava"](), tmp_path)), device="cpu")
    assert loaded.refusal is None


def test_the_processor_is_compared_once_when_its_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    compare = check.faithful

    def counted(processor: Any, layout: Any) -> Any:
        asked.append(processor)
        return compare(processor, layout)

    monkeypatch.setattr(check, "faithful", counted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(str(save(FAMILIES["llava"](), tmp_path)), device="cpu")
    assert len(asked) == 1 and loaded.refusal is None
    loaded.answer_loss(torch.rand(1, 3, 28, 28), ["a?"], ["a cat"])
    assert len(asked) == 1


def test_duplicate_candidates_score_alike(llava: HuggingFaceVLM) -> None:
    scores = llava.candidate_log_likelihoods(
        torch.rand(1, 3, 28, 28), ["a"], [["a cat", "dog", "a cat"]]
    )[0]
    assert scores[0] == scores[2] != scores[1]


def template_of(
    template: str | None = None, chat: str | None = None, family: Family = LLAVA
) -> PromptTemplate:
    words = tokenizer()
    words.chat_template = chat
    return PromptTemplate(words, family, "<image>", template)


def test_the_answer_is_what_would_be_read_after_the_prompt() -> None:
    spaced, broken = template_of("{question} Answer:"), template_of("{question}\n")
    ids = spaced.tokenizer("is this a photo? Answer: a cat", add_special_tokens=False)[
        "input_ids"
    ]
    assert (
        list(spaced.answer_ids("is this a photo?", "a cat", False))
        == ids[-len(spaced.answer_ids("is this a photo?", "a cat", False)) :]
    )
    assert spaced.tokenizer.decode(spaced.answer_ids("q", "a cat", False)) == " a cat"
    assert broken.tokenizer.decode(broken.answer_ids("q", "a cat", False)) == "a cat"
    assert spaced.answer_ids("q", "a cat", True) == (
        *spaced.answer_ids("q", "a cat", False),
        spaced.tokenizer.eos_token_id,
    )


def test_a_prompt_without_a_place_for_pictures_is_text_alone() -> None:
    asked = PromptTemplate(bert(), BLIP, "", "{image}{question} Answer:")
    assert asked.text("what is <image>?") == "what is <image>? Answer:"
    assert asked.ids("a", Picture(9)).ids == tuple(
        asked.tokenizer("a Answer:")["input_ids"]
    )
    assert (
        asked.answer_ids("a", "cat <image>", True)[-1] == asked.tokenizer.sep_token_id
    )  # BERT has no end of sequence


def test_no_beginning_of_text_is_added_twice() -> None:
    for template in ("{bos}{image} {question}", "{image} {question}"):
        asked = template_of(template)
        assert asked.ids("a", Picture(2)).ids.count(asked.tokenizer.bos_token_id) == 1


def test_a_chat_template_that_knows_no_pictures_gets_one_anyway() -> None:
    plain = template_of(chat="{% for m in messages %}[{{ m.content }}]{% endfor %}")
    assert plain.text("why?") == "[<image>\nwhy?]"


def test_a_picture_that_is_not_placed_stands_first() -> None:
    assert template_of("{question} A:").text("why?") == "<image>why? A:"
    blip = template_of("{question} A:", family=BLIP2)
    assert blip.ids("why?", Picture(3)).ids[:4] == (
        *[blip.tokenizer.convert_tokens_to_ids("<image>")] * 3,
        blip.tokenizer.bos_token_id,
    )


def test_a_grid_of_tiles_is_spelled_out() -> None:
    text = IDEFICS3.expand(Picture(6, rows=1, columns=2), "*")
    around = "<fake_token_around_image>"
    assert (
        text
        == f"{around}<row_1_col_1>**{around}<row_1_col_2>**\n\n{around}<global-img>**{around}"
    )


def test_the_lines_of_a_picture_are_ended() -> None:
    # as transformers' PixtralProcessor.replace_image_token spells two lines of three tokens; it
    # needs torchvision, so not compared here
    text = PIXTRAL.expand(Picture(6, lines=2), "[IMG]")
    assert text == "[IMG][IMG][IMG][IMG_BREAK][IMG][IMG][IMG][IMG_END]"


def test_a_space_sets_a_picture_off_from_the_word_after_it() -> None:
    asked = template_of("{image}{question}", family=IDEFICS2)
    texts = [
        asked.tokenizer.decode(asked.ids(question, Picture(1)).ids)
        for question in ("why?", " why?", "<end_of_utterance>")
    ]
    around = "<fake_token_around_image>"
    assert [text.removeprefix(f"<s>{around}<image>{around}") for text in texts] == [
        " why?",
        " why?",
        "<end_of_utterance>",
    ]


def test_models_with_pixtrals_eye_know_their_patch() -> None:
    parts = FAMILIES["mistral3"]()
    driven = HuggingFaceVLM(parts.model, parts.image_processor, parts.tokenizer)
    assert driven.preprocess.processor.patch_size == {
        "height": 14,
        "width": 14,
    }  # what PixtralProcessor forces upon it
    assert merged_patch(FAMILIES["pixtral"]().model) == 7


def test_an_image_token_that_older_folders_leave_out_is_added() -> None:
    words = hf.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a"))
    )
    assert image_token(words, 2) == "<image>"
    assert words.convert_tokens_to_ids("<image>") == 2
    with pytest.raises(ModelError, match="they do not belong together"):
        image_token(tokenizer(), 10_000)
    with pytest.raises(ModelError, match="names no image token"):
        image_token(tokenizer(), None)
