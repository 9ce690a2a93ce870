"""The mini zoo: parts that cannot be trusted, shipped connectors, folders put together."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import AutoModel, AutoModelForImageTextToText

from matboard.errors import ModelError, UnknownName
from matboard.zoo import architectures, build_mini, load_model, mini, mini_guide, parts
from matboard.zoo.mini_shapes import SHAPES, Shape, eye_config
from recipes.mini import connectors, training
from recipes.mini.text import Encoder

architectures.register()


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
    assert str(error.value) == (
        f"a.whl has sha256 {known}, expected {'0' * 64}. Do not use it; download it again from a"
        " trusted index."
    )


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a/../../evil"])
def test_a_wheel_that_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError) as error:
        parts.unpack(wheel(tmp_path / "a.whl", name), "a", tmp_path / "out")
    assert (
        str(error.value)
        == f"a.whl holds {name!r}, which no honest wheel does. Do not use it."
    )
    assert not (tmp_path / "evil.txt").exists()


def test_only_the_wanted_folder_is_unpacked(tmp_path: Path) -> None:
    parts.unpack(
        wheel(tmp_path / "a.whl", "a/b.txt", "ab/c.txt", "d.txt"), "a", tmp_path / "out"
    )
    assert [
        p.relative_to(tmp_path / "out").as_posix()
        for p in (tmp_path / "out").rglob("*.txt")
    ] == ["a/b.txt"]


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown part 'clip'"):
        parts.fetch("clip", tmp_path)
    with pytest.raises(
        UnknownName,
        match=r"Unknown mini model 'mini-llava-cnm'. Did you mean 'mini-llava-cnn'\?",
    ):
        mini.build(["mini-llava-cnm"], tmp_path, lambda _: None)


def test_position_embeddings_keep_the_class_token_and_a_linear_ramp() -> None:
    ramp = torch.cat(
        [torch.tensor([[9.0]]), torch.linspace(0, 1, 14).repeat_interleave(14)[:, None]]
    )
    assert torch.equal(mini.resize_positions(ramp, 14), ramp)
    small = mini.resize_positions(ramp, 7)
    assert small.shape == (50, 1)
    assert small[0] == 9
    rows = small[1:, 0].view(7, 7)
    torch.testing.assert_close(
        rows[1:-1, 0], torch.linspace(0, 1, 14).view(7, 2).mean(1)[1:-1]
    )
    assert torch.equal(rows[:, :1].expand(7, 7), rows)


@pytest.mark.parametrize("name", mini.NAMES)
def test_shipped_connectors_are_small_and_say_what_they_measured(name: str) -> None:
    file = mini.WEIGHTS / name / "connector.safetensors"
    assert file.stat().st_size <= 6_000_000
    with safe_open(file, "pt") as tensors:
        types = {str(tensors.get_slice(key).get_dtype()) for key in tensors.keys()}  # noqa: SIM118
    assert types == {"F16"}
    facts = json.loads((mini.WEIGHTS / name / "facts.json").read_text())
    measured = facts["zero_shot"]
    assert isinstance(measured, dict)
    assert measured["cifar10_test"]["full"] > (
        0.5 if "clip" in SHAPES[name].eye else 0.3
    )


def drawn_eye(shape: Shape, cache: Path) -> Path:
    """An eye file of the right names and shapes, its weights drawn: no download in a test."""
    torch.manual_seed(0)
    eye = AutoModel.from_config(eye_config(shape.eye))
    return mini.once(
        cache / "eye.safetensors",
        lambda: mini.prefixed(eye.state_dict(), shape.eye_prefix),
    )


def test_a_folder_is_what_transformers_and_the_adapter_expect(tmp_path: Path) -> None:
    name = "mini-bliva-cnn"
    shape = SHAPES[name]
    target = tmp_path / name
    target.mkdir()
    connector = mini.WEIGHTS / name / "connector.safetensors"
    mini.write_folder(
        target,
        shape,
        {
            "eye.safetensors": drawn_eye(shape, tmp_path),
            "connector.safetensors": connector,
        },
        tmp_path,
    )
    model, said = AutoModelForImageTextToText.from_pretrained(
        target, output_loading_info=True
    )
    assert not said["missing_keys"] - {"language_model.lm_head.weight"}
    assert not said["unexpected_keys"]
    assert (target / "eye.safetensors").samefile(tmp_path / "eye.safetensors")
    assert not (target / "connector.safetensors").samefile(connector)
    vlm = load_model(str(target))
    assert vlm.template.text("What is this?") == "<s><image> What is this?"
    picture = Image.effect_noise((50, 40), 60).convert("RGB")
    scores = vlm.candidate_log_likelihoods(
        [picture], ["This is a photo of a"], [["cat", "frog"]]
    )
    encoder = Encoder(vlm.tokenizer, training.image_tokens(shape), asks_qformer=True)
    connectors.blindfold(model)
    tokens = vlm.visual_features([picture], "vision")
    for column, name in enumerate(["cat", "frog"]):
        batch = encoder(["This is a photo of a"], [name], end=False)
        with torch.no_grad():
            seen = connectors.see(model.eval(), batch, tokens)
            cached = connectors.answer_log_likelihood(model, batch, seen)
        torch.testing.assert_close(cached, scores[:, column], atol=1e-4, rtol=1e-4)


def test_half_a_shard_of_an_earlier_time_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "eye.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    made = mini.once(tmp_path / "eye.safetensors", lambda: {"a": torch.ones(3)})
    with safe_open(made, "pt") as tensors:
        assert list(tensors.keys()) == ["a"]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(
        ModelError, match=r"cannot be written or read \(not a directory\)"
    ):
        build_mini(["mini-bliva-cnn"], tmp_path / "file", lambda _: None)


def test_a_missing_connector_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        mini.build_folder(
            "mini-llava-cnn", tmp_path / "x", tmp_path, tmp_path, lambda _: None
        )
    assert str(error.value) == (
        "The connector of 'mini-llava-cnn' is not shipped with this installation. Reinstall"
        " matboard."
    )


def test_the_guides_head_is_shipped_and_measured() -> None:
    folder = mini.WEIGHTS / mini_guide.NAME
    assert (folder / "connector.safetensors").stat().st_size < 500_000
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["zero_shot"]["cifar10_test"]["full"] > 0.6


def test_a_configuration_can_be_made_before_any_model_is_loaded() -> None:
    """As ``matboard zoo build`` does, in a process where nothing has registered our classes."""
    code = (
        "from pathlib import Path\n"
        "from matboard.zoo import mini, mini_shapes\n"
        "shape = mini_shapes.SHAPES['mini-bliva-cnn']\n"
        "tokenizer = mini.load_tokenizer(shape, Path())\n"
        "eye = mini_shapes.eye_config(shape.eye)\n"
        "print(mini_shapes.configuration(shape, eye, None, tokenizer).vision_config.model_type)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "efficientnet_lite\n", done.stderr
