"""What every vision-language model must keep, over every family, tiny and random."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from families import FAMILIES, Parts
from PIL import Image
from torch import Tensor
from transformers.models.mllama.processing_mllama import (
    convert_sparse_cross_attention_mask_to_dense,
    get_cross_attention_token_mask,
)

from matboard.errors import UnknownName
from matboard.models.processors import check
from matboard.models.processors.check import PROBES, disagreement, probe, to_tensor
from matboard.models.vlm import rank
from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.models.vlm.fusion import Prompts

QUESTIONS = ["what is this?", "how many cats are in the picture?", "a"]
ANSWERS = ["a cat", "dog", "a plane or two"]
CANDIDATES = [
    ["a cat", "yes", "a plane or two"],
    ["y", "a dog", "no cats at all"],
    ["plane", "?", "a car"],
]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@dataclass(frozen=True)
class Driven:
    name: str
    parts: Parts
    vlm: HuggingFaceVLM


def drive(name: str, parts: Parts, official: bool = True) -> HuggingFaceVLM:
    return HuggingFaceVLM(
        parts.model,
        parts.image_processor,
        parts.tokenizer,
        parts.qformer_tokenizer,
        official=parts.official() if official else None,
        name=name,
    )


@pytest.fixture(scope="module", params=FAMILIES)
def driven(request: pytest.FixtureRequest) -> Driven:
    parts = FAMILIES[request.param]()
    return Driven(request.param, parts, drive(request.param, parts))


@pytest.fixture(scope="module")
def canvas() -> Tensor:
    return torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))


def own_inputs(
    driven: Driven, picture: Tensor, question: str, spoken: Sequence[int] = ()
) -> dict[str, Tensor]:
    """What the model's own forward and generate take for one unpadded sequence, as its own
    processor would write it.
    """
    vlm = driven.vlm
    encoded = vlm._encode(picture, [question])
    ids = vlm._prompts(encoded, picture, [question]).ids[0].tolist()
    if driven.name == "blip":
        ids = [vlm.model.config.text_config.bos_token_id, *ids[1:-1]]
    if driven.name == "git":
        ids = ids[:-1]
    whole = torch.tensor([[*ids, *spoken]])
    inputs = {
        k: v
        for k, v in vlm.preprocess(picture).items()
        if k not in {"rows", "cols", "num_patches", "num_crops", "num_tiles"}
    }
    inputs |= {"input_ids": whole, "attention_mask": torch.ones_like(whole)}
    visual = (whole == getattr(vlm.model.config, "image_token_id", -1)).long()
    if vlm.reads_question:
        inputs["qformer_input_ids"] = torch.tensor(
            [vlm.qformer_tokenizer(vlm.template.instruction(question))["input_ids"]]
        )
    if driven.name.startswith("qwen"):
        inputs["mm_token_type_ids"] = visual
    if driven.name == "gemma3":
        inputs["token_type_ids"] = visual
    if driven.name == "paligemma":
        inputs["token_type_ids"] = torch.tensor([[0] * len(ids) + [1] * len(spoken)])
    if driven.name.startswith("mllama"):
        spans, tiles = (
            [
                get_cross_attention_token_mask(
                    whole[0].tolist(), vlm.model.config.image_token_id
                )
            ],
            inputs["aspect_ratio_mask"],
        )
        mask = convert_sparse_cross_attention_mask_to_dense(
            spans, tiles.sum(-1).tolist(), tiles.shape[-1], whole.shape[1]
        )
        inputs["cross_attention_mask"] = torch.from_numpy(mask)
    return inputs


def naive_loss(driven: Driven, picture: Tensor, question: str, answer: str) -> float:
    """The model's own forward over one unpadded sequence: no cache, no given positions, no
    precomputed features.
    """
    model, vlm = driven.vlm.model, driven.vlm
    spoken = torch.tensor([vlm.template.answer_ids(question, answer, False)])
    if (
        driven.name == "florence2"
    ):  # its first token is forced, which labels do not know
        forced = torch.tensor(
            [[2, model.generation_config.forced_bos_token_id, *spoken[0, :-1]]]
        )
        logits = model(
            **own_inputs(driven, picture, question), decoder_input_ids=forced
        ).logits[0, 1:]
        return float(
            torch.nn.functional.cross_entropy(logits, spoken[0], reduction="sum")
        )
    if vlm.language.padding == "right":
        return (
            float(model(**own_inputs(driven, picture, question), labels=spoken).loss)
            * spoken.numel()
        )
    logits = model(**own_inputs(driven, picture, question, spoken[0].tolist())).logits[
        0, -spoken.numel() - 1 : -1
    ]
    if driven.name.startswith("qwen"):
        model.model.rope_deltas = None
    return float(
        torch.nn.functional.cross_entropy(logits.float(), spoken[0], reduction="sum")
    )


def test_the_loss_is_that_of_the_models_own_forward(
    driven: Driven, canvas: Tensor
) -> None:
    ours = driven.vlm.answer_loss(canvas, QUESTIONS, ANSWERS)
    theirs = [
        naive_loss(driven, canvas[i : i + 1], QUESTIONS[i], ANSWERS[i])
        for i in range(3)
    ]
    torch.testing.assert_close(ours, torch.tensor(theirs), **CLOSE)


def test_gradient_reaches_every_pixel(driven: Driven, canvas: Tensor) -> None:
    pixels = canvas.clone().requires_grad_()
    driven.vlm.answer_loss(pixels, QUESTIONS, ANSWERS).sum().backward()
    assert pixels.grad is not None and pixels.grad.isfinite().all()
    reached = (pixels.grad != 0).float().mean()
    assert reached == 1 or (
        driven.name == "pooled_llava" and reached > 0.9
    )  # its eye is a CNN whose ReLU6 is flat at both ends


def test_a_batch_gives_what_its_samples_give(driven: Driven, canvas: Tensor) -> None:
    whole = driven.vlm.answer(
        canvas, QUESTIONS, ANSWERS, taps=driven.vlm.taps, terminator=True
    )
    for i in range(3):
        one = driven.vlm.answer(
            canvas[i : i + 1],
            QUESTIONS[i : i + 1],
            ANSWERS[i : i + 1],
            taps=driven.vlm.taps,
            terminator=True,
        )
        torch.testing.assert_close(
            one.negative_log_likelihood[0], whole.negative_log_likelihood[i], **CLOSE
        )
        assert one.token_count[0] == whole.token_count[i]
        for tap in driven.vlm.taps:
            torch.testing.assert_close(
                one.features[tap][0], whole.features[tap][i], **CLOSE
            )


def test_candidates_score_as_separate_answers(
    driven: Driven, canvas: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = [
        driven.vlm.answer(canvas, QUESTIONS, [row[k] for row in CANDIDATES])
        for k in range(3)
    ]
    expected = -torch.stack([out.negative_log_likelihood for out in columns], 1)
    lengths = torch.stack([out.token_count for out in columns], 1)
    assert lengths.unique().numel() > 2
    total = driven.vlm.candidate_log_likelihoods(
        canvas, QUESTIONS, CANDIDATES, length_normalised=False
    )
    torch.testing.assert_close(total, expected, **CLOSE)
    torch.testing.assert_close(
        -driven.vlm.answer_loss(canvas[1:2], QUESTIONS[1:2], ["y"])[0],
        total[1, 0],
        **CLOSE,
    )  # one token
    monkeypatch.setattr(
        rank, "RANKING_BYTES", 1
    )  # one row a pass: the prompt's cache serves many passes unchanged
    mean = driven.vlm.candidate_log_likelihoods(canvas, QUESTIONS, CANDIDATES)
    torch.testing.assert_close(mean, expected / lengths, **CLOSE)


def test_candidate_scores_carry_the_same_gradient(
    driven: Driven, canvas: Tensor
) -> None:
    gradients = []
    for ranked in (True, False):
        pixels = canvas[:1].clone().requires_grad_()
        score = (
            driven.vlm.candidate_log_likelihoods if ranked else driven.vlm.answer_loss
        )
        options = {"length_normalised": False} if ranked else {}
        loss = score(
            pixels, QUESTIONS[:1], [ANSWERS[:1]] if ranked else ANSWERS[:1], **options
        ).sum()
        gradients.append(torch.autograd.grad(-loss if ranked else loss, pixels)[0])
    scale = gradients[1].abs().max()
    torch.testing.assert_close(
        gradients[0] / scale, gradients[1] / scale, rtol=1e-3, atol=1e-3
    )


def test_each_picture_is_encoded_once(driven: Driven, canvas: Tensor) -> None:
    calls: list[int] = []
    hook = driven.vlm.fusion.eye.register_forward_hook(lambda *_: calls.append(1))
    driven.vlm.answer(canvas, QUESTIONS, ANSWERS, taps=driven.vlm.taps)
    driven.vlm.candidate_log_likelihoods(canvas, QUESTIONS, CANDIDATES)
    driven.vlm.generate(canvas, QUESTIONS, max_new_tokens=3)
    driven.vlm.visual_features(canvas, "vision")
    hook.remove()
    assert len(calls) == 4


def state(vlm: HuggingFaceVLM) -> tuple[str, object, bool]:
    digest = hashlib.sha256()
    for name, value in vlm.model.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    deltas = getattr(getattr(vlm.model, "model", None), "rope_deltas", None)
    return digest.hexdigest(), deltas, vlm.model.training


def test_nothing_but_the_input_gets_a_gradient_or_changes(
    driven: Driven, canvas: Tensor
) -> None:
    before, pixels = state(driven.vlm), canvas.clone().requires_grad_()
    driven.vlm.answer_loss(pixels, QUESTIONS, ANSWERS).sum().backward()
    driven.vlm.candidate_log_likelihoods(pixels, QUESTIONS, CANDIDATES)
    driven.vlm.generate(pixels, QUESTIONS, max_new_tokens=2)
    assert state(driven.vlm) == before and before[2] is False
    assert all(
        not p.requires_grad and p.grad is None for p in driven.vlm.model.parameters()
    )
    assert torch.equal(pixels, canvas)


def test_generation_is_the_models_own(driven: Driven, canvas: Tensor) -> None:
    spoken = driven.vlm.generate(canvas, QUESTIONS, max_new_tokens=4)
    assert spoken == [
        driven.vlm.generate(canvas[i : i + 1], QUESTIONS[i : i + 1], max_new_tokens=4)[
            0
        ]
        for i in range(3)
    ]
    assert any(spoken) or driven.name in {
        "paligemma",
        "gemma3",
    }  # tied embeddings: they repeat the line break that ends their prompt
    vlm, inputs = driven.vlm, own_inputs(driven, canvas[:1], QUESTIONS[0])
    ids, count = (
        inputs["input_ids"],
        6 if driven.name == "florence2" else 4,
    )  # BART's settings force its first and its last token
    if driven.name == "blip":  # it cuts off the end itself
        inputs |= {
            name: torch.cat([inputs[name], torch.ones(1, 1, dtype=torch.long)], 1)
            for name in ("input_ids", "attention_mask")
        }
    out = vlm.model.generate(**inputs, do_sample=False, max_new_tokens=count)[
        0
    ].tolist()
    if driven.name.startswith("qwen"):
        vlm.model.model.rope_deltas = None
    new = out[ids.shape[1] :] if out[: ids.shape[1]] == ids[0].tolist() else out
    assert (
        spoken[0]
        == driven.parts.tokenizer.decode(new, skip_special_tokens=True).strip()
    )


def test_pictures_and_tensors_take_two_routes_to_one_loss(driven: Driven) -> None:
    pictures = [probe(40, 40), probe(40, 40).transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    official = driven.vlm.answer_loss(pictures, QUESTIONS[:2], ANSWERS[:2])
    twins = driven.vlm.answer_loss(to_tensor(pictures), QUESTIONS[:2], ANSWERS[:2])
    assert not torch.equal(official[0], official[1])
    torch.testing.assert_close(official, twins, rtol=0.05, atol=0.05)


def test_pictures_of_several_sizes(driven: Driven) -> None:
    pictures = [probe(40, 40), probe(30, 64)]
    both = driven.vlm.answer_loss(pictures, QUESTIONS[:2], ANSWERS[:2])
    for i in range(2):
        torch.testing.assert_close(
            driven.vlm.answer_loss(
                pictures[i : i + 1], QUESTIONS[i : i + 1], ANSWERS[i : i + 1]
            )[0],
            both[i],
            **CLOSE,
        )


def test_learning_sees_what_the_official_processor_makes(driven: Driven) -> None:
    preprocess = driven.vlm.preprocess
    for size in (*PROBES, (56, 56), (100, 70)):
        found = disagreement(
            preprocess.differentiable, preprocess.processor, probe(*size)
        )
        assert found < check.TOLERANCE
    assert preprocess.deviation is None
    assert driven.vlm.refusal is None


def test_the_prompt_is_the_official_processors_and_the_familys_text_is_the_same(
    driven: Driven,
) -> None:
    """Also where a chat template or a size changes what is asked."""
    if driven.parts.processor is None:
        pytest.skip("its processor needs torchvision")
    tabled = drive(driven.name, driven.parts, official=False)
    assert driven.vlm.asks_officially and not tabled.asks_officially
    for size in ((56, 56), (40, 90)):
        picture = [probe(*size)]
        for question in QUESTIONS:
            theirs = asked(driven.vlm, picture, question)
            ours = asked(tabled, picture, question)
            assert theirs.ids.tolist() == ours.ids.tolist()
    torch.testing.assert_close(
        driven.vlm.answer_loss(picture, QUESTIONS[:1], ANSWERS[:1]),
        tabled.answer_loss(picture, QUESTIONS[:1], ANSWERS[:1]),
    )


def asked(vlm: HuggingFaceVLM, picture: list[Image.Image], question: str) -> Prompts:
    return vlm._prompts(vlm._encode(picture, [question]), picture, [question])


def test_the_head_reads_contiguous_tokens(driven: Driven, canvas: Tensor) -> None:
    head = driven.vlm.language.language.get_output_embeddings()
    seen = []
    handle = head.register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0].is_contiguous())
    )
    driven.vlm.answer_loss(canvas, QUESTIONS, ANSWERS)
    driven.vlm.candidate_log_likelihoods(canvas, QUESTIONS, CANDIDATES)
    handle.remove()
    assert len(seen) > 1 and all(seen)


def test_bfloat16_says_about_the_same(driven: Driven, canvas: Tensor) -> None:
    parts = FAMILIES[driven.name]()
    parts.model.to(torch.bfloat16)
    halved = drive(driven.name, parts)
    pixels = canvas.clone().requires_grad_()
    out = halved.answer(pixels, QUESTIONS, ANSWERS, taps=halved.taps)
    out.negative_log_likelihood.sum().backward()
    assert (
        out.negative_log_likelihood.dtype == torch.float32
        and pixels.grad is not None
        and pixels.grad.isfinite().all()
    )
    torch.testing.assert_close(
        out.negative_log_likelihood,
        driven.vlm.answer_loss(canvas, QUESTIONS, ANSWERS),
        rtol=0.4,
        atol=0.1,
    )
    assert (
        halved.candidate_log_likelihoods(canvas, QUESTIONS, CANDIDATES).isfinite().all()
    )


def test_taps_and_fingerprint(driven: Driven, canvas: Tensor) -> None:
    vlm = driven.vlm
    assert {"vision", "projector"} <= set(vlm.taps)
    shapes = {tap: vlm.visual_features(canvas[:2], tap).shape for tap in vlm.taps}
    assert all(shape[0] == 2 and len(shape) == 3 for shape in shapes.values())
    with pytest.raises(
        UnknownName, match=r"Unknown tap 'visoin'\. Did you mean 'vision'"
    ):
        vlm.visual_features(canvas[:1], "visoin")
    assert (
        vlm.encoder == drive(driven.name, driven.parts).encoder
        and len(vlm.encoder) == 12
    )
