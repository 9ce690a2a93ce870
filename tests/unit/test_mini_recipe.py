"""The recipe of the mini zoo: names, questions, training on cached tokens, and its measures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from matboard.zoo import mini
from matboard.zoo.mini_shapes import SHAPES
from recipes.mini import connectors, guide, measure, pictures, training
from recipes.mini.names import broad_names, cifar100_names, coco_names, imagenet_names
from recipes.mini.questions import Album, Questions, Shown
from recipes.mini.text import Encoder


def test_framed_is_the_prompt_canvas_without_a_prompt() -> None:
    picture = Image.new("RGB", (60, 40), (255, 255, 255))
    canvas = np.asarray(pictures.framed(picture))
    assert canvas.shape == (224, 224, 3)
    assert (canvas[30:194, 30:194] == 255).all()
    assert canvas.sum() == 164 * 164 * 3 * 255


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (imagenet_names(281, "tabby, tabby cat"), ("tabby", "cat", "animal")),
        (imagenet_names(30, "bullfrog"), ("bullfrog", "frog")),
        (imagenet_names(404, "airliner"), ("airliner", "airplane")),
        (imagenet_names(353, "gazelle"), ("gazelle", "deer", "animal")),
        (cifar100_names("pickup_truck"), ("pickup truck", "truck")),
        (coco_names("car"), ("car", "automobile")),
    ],
)
def test_broader_names(found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert found == expected


def test_every_cifar10_name_is_a_broad_name() -> None:
    assert {
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    } <= set(broad_names())


def album(rows: int = 60, dim: int = 1280, tokens: int = 5) -> Album:
    """Pictures of frogs, ships and counted cats, each kind a direction of its own."""
    generator = np.random.default_rng(0)
    kinds = [
        Shown(("bullfrog", "frog")),
        Shown(("liner", "ship")),
        Shown(("cat",), {"cat": 2}),
    ]
    centres = generator.normal(size=(3, 1, dim))
    values = [
        centres[i % 3] + 0.1 * generator.normal(size=(tokens, dim)) for i in range(rows)
    ]
    return Album(
        [kinds[i % 3] for i in range(rows)],
        [
            np.stack(values[:20]).astype(np.float16),
            np.stack(values[20:]).astype(np.float16),
        ],
    )


def test_questions_are_true_and_of_every_kind() -> None:
    questions = Questions(album(), range(60), seed=0)
    drawn = [questions.draw() for _ in range(600)]
    for example in drawn:
        shown = questions.album.shown[example.row]
        if example.answer == "yes":
            assert any(
                f" {name} " in example.question or f" {name}?" in example.question
                for name in shown.names
            )
        elif example.answer == "no":
            assert not any(
                f"a {name} " in example.question or f"a {name}?" in example.question
                for name in shown.names
            )
        elif example.answer.isdigit():
            assert example.answer == "2"
            assert "cats" in example.question
        else:
            assert example.answer in shown.names
    answers = [e.answer for e in drawn]
    yes = answers.count("yes") / 600
    no = answers.count("no") / 600
    counts = sum(map(str.isdigit, answers)) / 600
    assert 0.04 < yes < 0.12
    assert 0.04 < no < 0.12
    assert 0.01 < counts < 0.08
    again = Questions(album(), range(60), seed=0)
    assert drawn == [again.draw() for _ in drawn]


def test_pictures_without_names_are_never_asked_about() -> None:
    bare = Album(
        [Shown(()), Shown(("cat",)), Shown(("frog",))],
        [np.zeros((3, 5, 4), np.float16)],
    )
    questions = Questions(bare, range(3), seed=0)
    assert {questions.draw().row for _ in range(50)} == {1, 2}


def test_an_album_joins_its_parts_in_order() -> None:
    made = Album(
        [Shown(("cat",))] * 5,
        [
            np.full((2, 1, 1), 1.0, np.float16),
            np.arange(3, dtype=np.float16).reshape(3, 1, 1),
        ],
    )
    assert made.tokens([4, 0, 2, 1]).flatten().tolist() == [2, 1, 0, 1]


@torch.no_grad()
def likelihoods(
    model: Any,
    encoder: Encoder,
    tokens: torch.Tensor,
    question: str,
    names: list[str],
) -> torch.Tensor:
    """Mean token log-likelihood of every name for every picture, as training computes it."""
    columns = []
    for name in names:
        batch = encoder([question] * len(tokens), [name] * len(tokens), end=False)
        seen = connectors.see(model, batch, tokens)
        columns.append(connectors.answer_log_likelihood(model, batch, seen))
    return torch.stack(columns, 1)


SMALL = SHAPES["mini-bliva-cnn"]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, Encoder, list[float]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small products: threads only wait for each other
    tokenizer = mini.load_tokenizer(SMALL, tmp_path_factory.mktemp("cache"))
    model = training.new_model(SMALL, tokenizer, tmp_path_factory.mktemp("parts"))
    encoder = Encoder(tokenizer, training.image_tokens(SMALL), asks_qformer=True)
    made = album()
    how = connectors.Training(steps=30, batch=16, rate=2e-3, noise=0.1, contrast=1.0)
    losses = [
        u.loss
        for u in connectors.train(
            model, encoder, made, Questions(made, range(60), 0), how
        )
    ]
    torch.set_num_threads(threads)
    return model, encoder, losses


def test_a_connector_learns_three_names(
    trained: tuple[Any, Encoder, list[float]],
) -> None:
    model, encoder, losses = trained
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    names = ["frog", "ship", "cat"]
    scores = likelihoods(
        model, encoder, album().tokens(range(12)), "This is a photo of a", names
    )
    assert (scores.argmax(1) == torch.arange(12) % 3).float().mean() > 0.8


def test_an_answers_log_likelihood_is_the_mean_of_its_tokens(
    trained: tuple[Any, Encoder, list[float]],
) -> None:
    model, encoder, _ = trained
    tokens = album().tokens(range(2))
    question = "What is in the picture?"
    names = ["bullfrog", "cat"]
    scores = likelihoods(model, encoder, tokens, question, names)
    for i, j in np.ndindex(2, 2):
        batch = encoder([question], [names[j]], end=False)
        labels = batch.pop("labels")
        with torch.no_grad():
            logits = (
                model(pixel_values=tokens[i : i + 1], **batch).logits[0].log_softmax(-1)
            )
        naive = [
            logits[k - 1, label].item()
            for k, label in enumerate(labels[0].tolist())
            if label >= 0
        ]
        assert scores[i, j].item() == pytest.approx(np.mean(naive), abs=1e-4)


def test_a_name_embedding_is_the_mean_of_its_tokens(
    trained: tuple[Any, Encoder, list[float]],
) -> None:
    model, encoder, _ = trained
    names = ["cat", "great white shark"]
    table = connectors.NameTable(encoder.tokenizer, names)(model)
    for row, name in zip(table, names):
        ids = encoder.tokenizer(f" {name}", add_special_tokens=False)["input_ids"]
        torch.testing.assert_close(
            row, model.get_input_embeddings().weight[ids].mean(0)
        )


def test_views_show_what_they_say() -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (80, 100, 3), dtype=np.uint8))
    assert pictures.View(flip=False)(picture, rng).tobytes() == picture.tobytes()
    assert pictures.View(small=True)(picture, rng).size == (32, 32)
    cropped = pictures.View(crop=True)(picture, rng)
    assert cropped.width == cropped.height
    assert 40 <= cropped.width <= 80
    assert pictures.View(framed=True, small=True)(picture, rng).size == (224, 224)


def test_pieces_are_cached_once(tmp_path: Path) -> None:
    files = []
    for shade in (0, 128, 255):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (shade,) * 3).save(stream, "PNG")
        files.append(np.frombuffer(stream.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, files)])
    labels = np.array([0, 1, 1], np.int32)
    classes = np.array(["a", "b"])
    np.savez(
        tmp_path / "set.npz",
        data=np.concatenate(files),
        offsets=offsets,
        labels=labels,
        classes=classes,
    )
    piece = pictures.Piece("set", 0, pictures.View(), only=(1,))
    calls: list[int] = []

    def eye(pixels: torch.Tensor) -> torch.Tensor:
        calls.append(len(pixels))
        return pixels.mean((2, 3))[:, None]

    def processor(
        pictures: list[Image.Image], return_tensors: str
    ) -> dict[str, torch.Tensor]:
        return {
            "pixel_values": torch.stack(
                [torch.from_numpy(np.array(p)).permute(2, 0, 1) / 255 for p in pictures]
            )
        }

    for _ in range(2):
        path = pictures.cache_piece(piece, eye, processor, tmp_path, tmp_path)
    np.testing.assert_allclose(np.load(path)[:, 0, 0], [128 / 255, 1], atol=1e-3)
    assert sum(calls) == 2


def test_the_guides_head_is_ridge_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, w = (
        torch.rand(shape, generator=generator) for shape in ((30, 4), (30, 3), (30,))
    )
    weight, bias = guide.fit_head(x, y, w, ridge=0.5)
    theta = torch.cat([weight.T, bias[None]]).double().requires_grad_()
    error = x.double() @ theta[:4] + theta[4] - y.double()
    loss = (w[:, None].double() * error**2).sum() + 0.5 * (theta[:4] ** 2).sum()
    (slope,) = torch.autograd.grad(loss, theta)
    assert slope.abs().max() < 1e-4


def test_where_captions_should_lie() -> None:
    pictures = {"cat": torch.eye(3)[[0, 0]], "dog": torch.eye(3)[[1, 1]]}
    texts = {"cat": torch.tensor([0.0, 0.0, 1.0]), "car": torch.tensor([0.0, 0.6, 0.8])}
    targets = guide.text_targets(pictures, texts, ["cat", "car"])
    assert torch.equal(targets["cat"], texts["cat"])
    middle = (texts["cat"] + texts["car"]) / 2
    assert (targets["dog"] - middle).norm().item() == pytest.approx(
        (texts["cat"] - middle).norm().item()
    )
    assert torch.allclose(
        torch.cosine_similarity(
            targets["dog"] - middle, torch.tensor([-1.0, 1.0, 0.0]), dim=0
        ),
        torch.tensor(1.0),
    )


@pytest.mark.parametrize("name", mini.NAMES)
def test_facts_tell_the_plan_that_stands_in_the_recipe(name: str) -> None:
    shipped = json.loads((mini.WEIGHTS / name / "facts.json").read_text())
    told = json.loads(
        json.dumps(training.facts(name, shipped["zero_shot"]))
    )  # tuples become lists
    assert shipped == told


def oracle(classes: list[str], always: int | None = None) -> measure.Ask:
    """Names and counts pictures by their grey: answers every question right, or always the same."""

    def right(picture: Image.Image, question: str, options: list[str]) -> int:
        shown = classes[picture.getpixel((0, 0))[0] // 20]
        return options.index(
            shown
            if shown in options
            else "yes"
            if f"a {shown} in" in question
            else "no"
        )

    def ask(pictures: Any, questions: Any, options: Any) -> list[int]:
        return [
            right(p, q, list(options)) if always is None else always
            for p, q in zip(pictures, questions, strict=True)
        ]

    return ask


def pack(path: Path, classes: list[str], labels: list[int], **more: Any) -> Path:
    files = []
    for label in labels:
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (20 * label,) * 3).save(stream, "PNG")
        files.append(np.frombuffer(stream.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, files)])
    np.savez(
        path,
        data=np.concatenate(files),
        offsets=offsets,
        labels=np.array(labels, np.int32),
        classes=np.array(classes),
        **more,
    )
    return path


def test_presence_asks_about_half_of_what_is_there(tmp_path: Path) -> None:
    classes = ["cat", "dog", "frog"]
    packed = pictures.Packed.load(pack(tmp_path / "p.npz", classes, [0, 1, 2] * 8))
    assert measure.presence(oracle(classes), packed, most=24) == 1.0
    assert measure.presence(oracle(classes, always=0), packed, most=24) == 0.5


def test_counting_is_told_beside_the_commonest_number(tmp_path: Path) -> None:
    numbers = ["0", "1", "2"]
    asked = {
        "question": np.array(["How many?"] * 4),
        "answer": np.array(["2", "2", "1", "yes"]),
        "question_image": np.array([0, 1, 2, 2]),
    }
    path = pack(tmp_path / "c.npz", numbers, [2, 2, 1], **asked)
    assert measure.counting(oracle(numbers), path, most=10) == {
        "n": 3.0,
        "counting": 1.0,
        "commonest": 0.667,
    }
    assert (
        measure.counting(oracle(numbers, always=0), path, most=10)["counting"] == 0.333
    )
