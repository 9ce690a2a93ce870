import itertools
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from matboard.errors import ConfigError, PromptError
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.canvas import Canvas, Patch, region

CANVAS = Canvas(24, 4)
FILES = {"README.md", "preview.png", "prompt.safetensors", "prompt_config.json"}


def border(seed: int = 0, **config) -> VisualPrompt:
    values = np.random.default_rng(seed).uniform(size=(3, 24, 24)) * CANVAS.mask()
    return VisualPrompt(CANVAS, values.astype(np.float32), config=config)


def edit(folder: Path, **changes) -> None:
    file = folder / "prompt_config.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "tensor_sha256": None, **changes})
    )


@pytest.fixture
def saved(tmp_path) -> Path:
    border().save_pretrained(tmp_path / "prompt")
    return tmp_path / "prompt"


@pytest.mark.parametrize(
    "canvas, layout, range, patch",
    [
        (CANVAS, "border", "clamped", None),
        (Canvas(24, 0, "letterbox"), "patch", "sigmoid", Patch(7, 2, 3)),
        (Canvas(24, 0), "full", "free", None),
    ],
)
def test_saved_and_loaded_is_the_same(canvas, layout, range, patch, tmp_path):
    values = np.random.default_rng(1).uniform(size=(3, 24, 24)) * region(
        canvas, layout, patch
    )
    prompt = VisualPrompt(
        canvas,
        values.astype(np.float32),
        layout,
        range,
        patch,
        {"seed": 7, "metrics": {"accuracy": 0.5}},
    )
    prompt.save_pretrained(tmp_path)
    again = load_prompt(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == FILES
    assert np.array_equal(again.perturbation, prompt.perturbation)
    assert again.perturbation.dtype == np.float32
    assert (again.canvas, again.layout, again.range, again.patch) == (
        canvas,
        layout,
        range,
        patch,
    )
    assert again.description() == {**prompt.description()}
    again.save_pretrained(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (
            tmp_path / name
        ).read_bytes()


def test_configuration_says_what_it_is(saved):
    config = json.loads((saved / "prompt_config.json").read_text())
    assert config.pop("tensor_sha256")
    assert config.pop("matboard_version")
    canvas = {"size": 24, "width": 4, "policy": "crop"}
    assert config == {
        "schema_version": 1,
        "kind": "pixel",
        "layout": "border",
        "range": "clamped",
        "canvas": canvas,
    }


def test_apply_is_the_picture_in_its_border():
    prompt = border()
    picture = Image.fromarray(
        np.random.default_rng(2).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    )
    result = np.asarray(prompt.apply(picture))
    assert prompt.width == 4
    assert result.shape == (24, 24, 3)
    assert np.array_equal(result[4:-4, 4:-4], np.asarray(CANVAS.shrink(picture)))
    learned = prompt.perturbation.transpose(1, 2, 0)[CANVAS.mask()] * 255
    assert np.abs(result[CANVAS.mask()] - learned).max() <= 0.5 + 1e-4


def test_apply_leaves_prompt_and_picture_alone():
    prompt = border()
    picture = Image.new("RGBA", (9, 9), (1, 2, 3, 100))
    first = prompt.apply(picture)
    first.putdata([(0, 0, 0)] * 576)
    assert np.asarray(prompt.apply(picture)).any()
    assert picture.getpixel((0, 0)) == (1, 2, 3, 100)
    with pytest.raises(ValueError, match="read-only"):
        prompt.perturbation[0, 0, 0] = 1


def test_baselines_share_the_geometry():
    prompt = border()
    blank = prompt.blank()
    noise = prompt.noise(seed=5)
    assert not np.asarray(blank.apply(Image.new("RGB", (9, 9), "white")))[
        CANVAS.mask()
    ].any()
    assert np.array_equal(noise.perturbation, prompt.noise(seed=5).perturbation)
    assert not np.array_equal(noise.perturbation, prompt.noise(seed=6).perturbation)
    values = noise.perturbation[:, CANVAS.mask()]
    assert 0 <= values.min() < 0.05
    assert 0.95 < values.max() <= 1
    assert noise.canvas == CANVAS


def test_preview_shows_the_border_around_grey():
    preview = border().preview()
    assert preview.size == (24, 24)
    assert preview.getpixel((12, 12)) == (128, 128, 128)


def test_free_prompt_says_that_apply_clamps():
    values = CANVAS.mask()[None].repeat(3, 0) * np.float32(0.5)
    values[0, 0, 0] = -1
    values[1, 0, 0] = 2
    prompt = VisualPrompt(CANVAS, values, range="free")
    assert prompt.clipped == pytest.approx(2 / (3 * CANVAS.mask().sum()))
    assert prompt.config["warning"] == (
        "0.2% of the learned values cannot be carried by an 8-bit picture; apply clamps them."
    )
    assert prompt.apply(Image.new("RGB", (9, 9))).getpixel((0, 0)) == (0, 255, 128)
    assert "warning" not in border().config


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (
            lambda p: p[:, :20],
            r"has shape \(3, 20, 24\); its canvas needs \(3, 24, 24\)\.",
        ),
        (lambda p: np.where(p > 0.5, np.nan, p), "holds values that are not finite"),
        (lambda p: np.where(p > 0.5, np.inf, p), "holds values that are not finite"),
        (
            lambda p: p * 2,
            r"% of the perturbation lies outside \[0, 1\], which range 'clamped' does not allow",
        ),
        (
            lambda p: p + 0.1,
            "is not zero outside its border; canvas and tensor do not belong together",
        ),
    ],
)
def test_wrong_tensors_are_refused_with_the_files_name(saved, spoil, sentence):
    save_file(
        {"perturbation": spoil(border().perturbation).astype(np.float32)},
        saved / "prompt.safetensors",
    )
    edit(saved)
    with pytest.raises(PromptError, match=f"{saved}: .*{sentence}"):
        load_prompt(saved)


def test_tensor_of_another_prompt_is_refused(saved):
    save_file({"perturbation": border(1).perturbation}, saved / "prompt.safetensors")
    with pytest.raises(
        PromptError,
        match=r"prompt\.safetensors is not the tensor that prompt_config\.json describes",
    ):
        load_prompt(saved)


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 100])
def test_unreadable_tensors_are_refused(saved, content):
    (saved / "prompt.safetensors").write_bytes(content)
    edit(saved)
    with pytest.raises(
        PromptError, match="is damaged or holds no tensor 'perturbation'"
    ):
        load_prompt(saved)


def test_tensor_under_another_name_is_refused(saved):
    save_file({"delta": border().perturbation}, saved / "prompt.safetensors")
    edit(saved)
    with pytest.raises(PromptError, match="holds no tensor 'perturbation'"):
        load_prompt(saved)


@pytest.mark.parametrize("name", ["prompt_config.json", "prompt.safetensors"])
def test_missing_files_are_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(
        PromptError,
        match=rf"{name} cannot be read \(no such file or directory\); a prompt's folder holds",
    ):
        load_prompt(saved)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"schema_version": 2},
            "has schema version 2; this matboard reads up to 1. Upgrade matboard.",
        ),
        (
            {"schema_version": None},
            "states no schema version; it does not describe a prompt",
        ),
        ({"canvas": {"size": 24, "width": 12}}, "leaves no room for a picture"),
        (
            {"canvas": {"size": 24, "depth": 12}},
            "does not describe a pixel prompt .*depth",
        ),
        ({"canvas": None}, "does not describe a pixel prompt"),
        ({"canvas": {"size": 10**9}}, r"needs \(3, 1000000000, 1000000000\)"),
        ({"canvas": {"size": "24"}}, "does not describe a pixel prompt"),
        ({"layout": "frame"}, "Unknown prompt layout 'frame'"),
        ({"range": "tanh"}, "Unknown value range 'tanh'"),
    ],
)
def test_wrong_configurations_are_refused(saved, changes, sentence):
    edit(saved, **changes)
    with pytest.raises(PromptError, match=sentence):
        load_prompt(saved)


@pytest.mark.parametrize("content", ["{", "[]", "3"])
def test_configurations_that_are_none(saved, content):
    (saved / "prompt_config.json").write_text(content)
    with pytest.raises(
        PromptError, match=r"prompt_config\.json (is not JSON|states no schema version)"
    ):
        load_prompt(saved)


def test_hub_out_of_reach(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    sentence = (
        r"There is no folder 'someone/border' here, .* Expected a prompt's folder, a PNG or \.pth"
        r" file, or a Hub id \(owner/name\)\."
    )
    with pytest.raises(PromptError, match=sentence):
        load_prompt("someone/border")


def test_full_disk_leaves_the_previous_prompt(saved):
    before = {name: (saved / name).read_bytes() for name in FILES}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (2500, hard)
    )  # the tensor has 6912 bytes: its writing fails in the middle
    try:
        with pytest.raises(
            PromptError,
            match=r"cannot be written \(.*\); what was there before is untouched\.",
        ):
            border(1).save_pretrained(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before


def save_killed(prompt: VisualPrompt, folder: Path, move: int) -> int:
    """Save in a process of its own that dies before the so-manieth renaming, moving or removing;
    returns its exit code.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    moves = itertools.count(1)

    def dying(act):
        return lambda *args: os._exit(9) if next(moves) == move else act(*args)

    try:
        for name in ("rename", "replace", "rmdir"):
            setattr(Path, name, dying(getattr(Path, name)))
        prompt.save_pretrained(folder)
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("move", range(1, 8))
def test_a_kill_while_saving_leaves_the_old_prompt_or_the_new_one(saved, move):
    assert save_killed(border(1, note="new"), saved, move) == (9 if move < 7 else 0)
    loaded = load_prompt(saved)
    expected = 0 if move == 1 else 1
    assert np.array_equal(loaded.perturbation, border(expected).perturbation)
    assert loaded.config.get("note") == (None if move == 1 else "new")
    save_killed(
        border(2), saved, move
    )  # again, perhaps while it finishes the first saving
    assert any(
        np.array_equal(load_prompt(saved).perturbation, border(seed).perturbation)
        for seed in (expected, 2)
    )
    border(3).save_pretrained(saved)
    assert np.array_equal(load_prompt(saved).perturbation, border(3).perturbation)
    assert not (saved / ".saved").exists()
    assert {file.name for file in saved.iterdir() if file.is_file()} == FILES


@pytest.mark.parametrize("move", range(2, 7))
def test_a_first_saving_that_is_killed_loads_once_it_is_whole(tmp_path, move):
    folder = tmp_path / "prompt"
    save_killed(border(1), folder, move)
    assert np.array_equal(load_prompt(folder).perturbation, border(1).perturbation)
    assert (folder / "prompt_config.json").exists() == (move == 6)


def test_an_error_after_the_prompt_is_whole_says_so(saved, monkeypatch):
    replace = Path.replace

    def full(source, target):
        if Path(target).name != ".saved":
            raise OSError(28, "No space left on device")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(
        PromptError,
        match=(
            r"cannot be written \(no space left on device\); the new prompt is whole, and loads\."
        ),
    ):
        border(1).save_pretrained(saved)
    assert np.array_equal(load_prompt(saved).perturbation, border(1).perturbation)


def test_saving_keeps_a_strangers_files_and_replaces_ours(saved):
    (saved / "notes.txt").write_text("mine")
    border(1).save_pretrained(saved)
    assert (saved / "notes.txt").exists()
    assert np.array_equal(load_prompt(saved).perturbation, border(1).perturbation)


def test_impossible_geometry_is_a_config_error():
    with pytest.raises(ConfigError, match="Layout 'full' needs width 0"):
        VisualPrompt(CANVAS, np.zeros((3, 24, 24), np.float32), "full")


def test_authors_file(tmp_path):
    values = torch.randn(
        3, 24, 24, generator=torch.Generator().manual_seed(0)
    ) * torch.from_numpy(CANVAS.mask())
    torch.save({"perturbation": values}, tmp_path / "checkpoint_best.pth")
    prompt = load_prompt(tmp_path / "checkpoint_best.pth")
    assert (prompt.canvas, prompt.layout, prompt.range) == (CANVAS, "border", "free")
    assert np.array_equal(prompt.perturbation, values.numpy())
    assert prompt.config["imported_from"] == "checkpoint_best.pth"
    told = f"{prompt.clipped:.1%} of the learned values cannot be carried"
    assert told in prompt.config["warning"]


def test_authors_file_without_interior_lies_on_the_whole_picture(tmp_path):
    torch.save({"perturbation": torch.ones(3, 8, 8)}, tmp_path / "a.pth")
    assert (
        load_prompt(tmp_path / "a.pth").layout,
        load_prompt(tmp_path / "a.pth").width,
    ) == (
        "full",
        0,
    )


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("hacked"),)


@pytest.mark.parametrize(
    "content",
    [{"delta": torch.ones(1)}, torch.ones(3, 8, 8), {"perturbation": "no"}, Hostile()],
)
def test_other_torch_files_are_refused_and_never_run(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "a.pth")
    with pytest.raises(
        PromptError, match=r"a\.pth is not a file \{'perturbation': tensor\}"
    ):
        load_prompt("a.pth")
    assert not Path("hacked").exists()


def test_authors_file_with_a_wrong_shape_or_no_content(tmp_path):
    torch.save({"perturbation": torch.ones(3, 8, 9)}, tmp_path / "a.pth")
    with pytest.raises(
        PromptError, match=r"it has shape \(3, 8, 9\); expected \(3, size, size\)"
    ):
        load_prompt(tmp_path / "a.pth")
    with pytest.raises(PromptError, match="is not a file"):
        load_prompt(tmp_path / "gone.pth")


def test_a_picture_of_a_prompt_is_that_prompt_in_8_bits(tmp_path):
    prompt = border()
    prompt.preview().save(tmp_path / "seen.png")
    again = load_prompt(tmp_path / "seen.png")
    assert again.canvas == CANVAS and again.layout == "border"
    picture = Image.effect_noise((40, 30), 80).convert("RGB")
    assert again.apply(picture).tobytes() == prompt.apply(picture).tobytes()


@pytest.mark.parametrize("size", [(24, 24), (24, 20)])
def test_a_picture_without_a_border_is_no_prompt(tmp_path, size):
    file = tmp_path / "photo.png"
    Image.effect_noise(size, 80).save(file)
    with pytest.raises(PromptError, match=r"photo\.png shows no prompt: expected a sq"):
        load_prompt(file)
    with pytest.raises(PromptError, match=r"missing\.png"):
        load_prompt(tmp_path / "missing.png")


def test_a_run_folder_names_the_prompts_in_it(tmp_path):
    for place in ("prompt", "prompts/tvp-s0", "prompts/vp-s0"):
        border().save_pretrained(tmp_path / "run" / place)
    run = tmp_path / "run"
    with pytest.raises(PromptError) as error:
        load_prompt(run)
    assert str(error.value) == (
        f"{run} is a run's folder; give the prompt that lies in it: {run / 'prompt'} (it"
        f" also holds {run / 'prompts/tvp-s0'}, {run / 'prompts/vp-s0'})."
    )
    assert load_prompt(run / "prompt").width == 4
