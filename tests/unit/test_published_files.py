"""Published checkpoints that are not what they should be: one sentence each, nothing run, nothing
left behind.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from matboard.cli import app
from matboard.errors import MatboardError, ModelError
from matboard.zoo.published import PAPER
from matboard.zoo.published import convert as module
from matboard.zoo.published import files as reading
from matboard.zoo.published.convert import Places, convert
from tests.unit.published import SIZES, Published, publish


@pytest.fixture(scope="module")
def whole(tmp_path_factory: Any) -> Published:
    return publish("vpgtrans", tmp_path_factory.mktemp("whole") / "files")


@pytest.fixture
def files(whole: Published, tmp_path: Path) -> Iterator[Path]:
    """A copy of VPGTrans's files; afterwards nothing else may lie beside it."""
    shutil.copytree(whole.folder, tmp_path / "files")
    yield tmp_path / "files"
    left = {path.name for path in tmp_path.iterdir()} - {"files"}
    assert left <= {".made.lock"}


def attempt(files: Path, **other: Any) -> None:
    own, language = str(files / "own.pth"), str(files / "llm")
    places = replace(Places(own, language, str(files / "eva_vit_g.pth")), **other)
    convert("vpgtrans", places, files.parent / "made", sizes=SIZES)


def change(files: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    kept = torch.load(files / "own.pth", weights_only=True)
    edit(kept["model"])
    torch.save(kept, files / "own.pth")


def test_a_missing_tensor_is_named_with_its_shape(files: Path) -> None:
    def edit(state: dict[str, Any]) -> None:
        del state["llama_proj.bias"]
        for layer in (0, 2, 3):
            del state[f"Qformer.bert.encoder.layer.{layer}.output_query.dense.weight"]

    change(files, edit)
    with pytest.raises(ModelError) as told:
        attempt(files)
    said = str(told.value)
    assert "do not make VPGTrans" in said and "Nothing was written." in said
    assert "missing in --checkpoint: llama_proj.bias (32,)" in said
    ranged = "Qformer.bert.encoder.layer.[0,2-3].output_query.dense.weight (16, 24)"
    assert f"missing in --blip2: {ranged}" in said


def test_an_unknown_tensor_is_named(files: Path) -> None:
    change(files, lambda state: state.update({"adapter.up": torch.zeros(3, 4)}))
    with pytest.raises(
        ModelError, match=r"not known: adapter\.up of .*own\.pth \(3, 4\)"
    ):
        attempt(files)


def test_a_misnamed_tensor_is_told_its_name(files: Path) -> None:
    change(
        files,
        lambda state: state.update({"llama_prj.bias": state.pop("llama_proj.bias")}),
    )
    said = r"llama_prj\.bias of .* is expected to be called llama_proj\.bias, \(32,\)"
    with pytest.raises(ModelError, match=said) as told:
        attempt(files)
    assert "missing" not in str(told.value)


def test_a_tensor_of_another_shape_is_named_with_both(files: Path) -> None:
    change(
        files,
        lambda state: state.update({"llama_proj.weight": torch.zeros(32, 15)}),
    )
    said = r"llama_proj\.weight of .*own\.pth has shape \(32, 15\), expected \(32, 16\)"
    with pytest.raises(ModelError, match=said):
        attempt(files)


def test_another_language_model_shows_in_the_projection(files: Path) -> None:
    """As Vicuna-13B's does for a projection into Vicuna-7B."""
    change(files, lambda state: state.update({"llama_proj.bias": torch.zeros(40)}))
    with pytest.raises(
        ModelError, match=r"llama_proj\.bias .* \(40,\), expected \(32,\)"
    ):
        attempt(files)


def test_an_eye_of_fewer_blocks_is_not_taken(files: Path) -> None:
    eye = torch.load(files / "eva_vit_g.pth", weights_only=True)
    torch.save(
        {n: t for n, t in eye.items() if not n.startswith(("blocks.2.", "blocks.3."))},
        files / "eva_vit_g.pth",
    )
    with pytest.raises(ModelError) as told:
        attempt(files)
    assert "missing in --eye" in str(told.value)
    assert "visual_encoder.blocks.2.attn.q_bias (24,)" in str(told.value)


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran-by-a-pickle",)


def test_a_pickle_with_code_is_not_run(files: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(files)
    torch.save({"model": {"llama_proj.bias": _Runs()}}, files / "own.pth")
    with pytest.raises(ModelError, match=r"asks for (posix|os)\.system, which is code"):
        attempt(files)
    (files / "own.pth").write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(ModelError, match=r"own\.pth"):
        attempt(files)
    assert not (files / "ran-by-a-pickle").exists()


def whole_module(files: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), files / "own.pth")


def truncated(files: Path) -> None:
    content = (files / "own.pth").read_bytes()
    (files / "own.pth").write_bytes(content[: len(content) // 2])


def folder_for_a_file(files: Path) -> None:
    (files / "own.pth").unlink()
    (files / "own.pth").mkdir()


def pipe(files: Path) -> None:
    (files / "own.pth").unlink()
    os.mkfifo(files / "own.pth")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (whole_module, r"asks for torch\.nn\.modules\.linear\.Linear, which is code"),
        (truncated, r"own\.pth cannot be read \(.*\): it is damaged"),
        (lambda f: (f / "own.pth").write_bytes(b""), r"own\.pth cannot be read"),
        (lambda f: (f / "own.pth").write_bytes(b"<html>"), r"own\.pth cannot be read"),
        (lambda f: (f / "own.pth").unlink(), r"There is no file .*own\.pth"),
        (folder_for_a_file, r"own\.pth'? (is a folder|holds no weights)"),
        (pipe, r"own\.pth cannot be read \(a pipe, socket or device"),
        (lambda f: torch.save([1], f / "own.pth"), r"own\.pth holds 'list'"),
        (lambda f: torch.save({}, f / "own.pth"), r"own\.pth holds 'dict'"),
        (
            lambda f: torch.save({"model": {"a": 1}}, f / "own.pth"),
            r"something else than tensors: 'a' is 'int'",
        ),
    ],
)
def test_a_file_that_is_no_checkpoint_is_said_so(
    files: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    spoil(files)
    with pytest.raises(ModelError, match=said):
        attempt(files)


def damaged(content: bytes, seed: int) -> bytes:
    """Some bytes changed, a piece cut out or doubled, or another zip in front."""
    random = Random(seed)
    where = random.randrange(len(content))
    piece = content[where : where + random.randrange(1, 400)]
    kinds = (
        content[:where] + random.randbytes(len(piece)) + content[where + len(piece) :],
        content[:where] + content[where + len(piece) :],
        content[:where] + piece + content[where:],
        content[where:] + content[:where],
        content[:200] + random.randbytes(40) + content[240:],
    )
    return kinds[seed % len(kinds)]


@pytest.mark.parametrize("older", [False, True], ids=["zip", "before zip"])
def test_damage_anywhere_is_a_sentence_or_harmless(tmp_path: Path, older: bool) -> None:
    """A file whose damage lies in the numbers is read: nothing else tells them from others."""
    state = {"a.weight": torch.randn(30, 20), "b": torch.arange(9)}
    file = tmp_path / "own.pth"
    torch.save(
        {"model": state, "epoch": 3}, file, _use_new_zipfile_serialization=not older
    )
    whole = file.read_bytes()
    refused = 0
    for seed in range(150):
        file.write_bytes(damaged(whole, seed))
        try:
            reading.checkpoint(file)
        except ModelError as error:
            refused += 1
            assert str(file) in str(error)
    assert refused > 50


def test_a_file_that_promises_more_than_it_holds_takes_no_memory(
    tmp_path: Path,
) -> None:
    file = tmp_path / "own.pth"
    torch.save({"model": {"a": torch.zeros(1000)}}, file)
    promised = tmp_path / "promised.pth"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(promised, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith("data.pkl"):
                many = b"J" + (2**31 - 1).to_bytes(4, "little")
                assert b"M\xe8\x03" in content  # 1000
                content = content.replace(b"M\xe8\x03", many)
            new.writestr(item.filename, content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"promised\.pth cannot be read"):
        reading.checkpoint(promised)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


def test_a_truncated_language_model_is_said_so(files: Path) -> None:
    weights = files / "llm" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="yields no language model"):
        attempt(files)


def test_a_language_model_with_a_missing_tensor_is_not_filled_up(files: Path) -> None:
    weights = files / "llm" / "model.safetensors"
    kept = load_file(weights)
    del kept["model.layers.1.mlp.up_proj.weight"]
    save_file(kept, weights, metadata={"format": "pt"})
    said = r"is not whole: missing model\.layers\.1\.mlp\.up_proj\.weight \(48, 32\)"
    with pytest.raises(ModelError, match=said):
        attempt(files)


def test_what_is_no_llama_is_refused(files: Path) -> None:
    (files / "llm" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError, match="is a gpt2; expected the LLaMA or Vicuna"):
        attempt(files)


def test_a_truncated_shard_of_a_folder_is_said_so(files: Path, tmp_path: Path) -> None:
    folder = files / "blip2"
    folder.mkdir()
    save_file({"query_tokens": torch.zeros(1, 5, 16)}, folder / "model.safetensors")
    cut = (folder / "model.safetensors").read_bytes()[:40]
    (folder / "model.safetensors").write_bytes(cut)
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        attempt(files, blip2=str(folder))
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "../b"}}'
    )
    with pytest.raises(ModelError, match="names files outside its own folder"):
        attempt(files, blip2=str(folder))
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(ModelError, match="holds no weights"):
        attempt(files, blip2=str(folder))


def test_of_the_hubs_shards_only_those_with_wanted_tensors_are_fetched(
    tmp_path: Path, monkeypatch: Any
) -> None:
    there, here, asked = tmp_path / "there", tmp_path / "here", []
    there.mkdir()
    here.mkdir()
    save_file({"query_tokens": torch.ones(2)}, there / "1.safetensors")
    save_file({"language_model.head": torch.ones(2)}, there / "2.safetensors")
    where = {"query_tokens": "1.safetensors", "language_model.head": "2.safetensors"}
    index = there / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))

    def fetch(repo: str, names: list[str]) -> Path:
        for name in names:
            asked.append(name)
            if (there / name).exists():
                shutil.copy(there / name, here)
        return here

    monkeypatch.setattr(reading, "fetch", fetch)
    held = reading.read("owner/name", lambda name: not name.startswith("language_"))
    assert list(held) == ["query_tokens"]
    assert "1.safetensors" in asked and "2.safetensors" not in asked


def test_what_is_there_is_not_overwritten(files: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="exists; name a new folder"):
        convert(
            "vpgtrans",
            Places(str(files / "own.pth"), str(files / "llm"), "eye.pth"),
            files,
            sizes=SIZES,
        )


# The command
# ------------------------------------------------------------------------------------------------


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["convert", *words])
    if isinstance(done.exception, MatboardError):
        return 2, str(done.exception)
    return done.exit_code, done.output


def test_the_command_makes_a_folder(
    whole: Published, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "PUBLISHED", SIZES)
    out = str(tmp_path / "made")
    own = ("--checkpoint", whole.place("own.pth"), "--language", whole.place("llm"))
    code, said = run("vpgtrans", out, *own, "--eye", whole.place("eva_vit_g.pth"))
    assert code == 0 and out in said
    assert (tmp_path / "made" / "config.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("vpgtrans", "out"), "--checkpoint is missing"),
        (("vpgtrans", "out", "--checkpoint", "a.pth"), "--language is missing"),
        (("minigpt", "out"), "Unknown family 'minigpt'. Did you mean 'minigpt4'?"),
        (("blip2", "out"), "Salesforce/blip2-flan-t5-xl is a model as it is"),
        (("visualglm", "out"), "--checkpoint is missing"),
        (
            ("minigpt4", "out", "--checkpoint", "a.pth", "--language", "b"),
            "MiniGPT-4's own file holds its projection only. Give --blip2",
        ),
        (
            ("bliva", "out", "--checkpoint", "a.pth", "--language", "b"),
            "BLIVA's own file does not hold its eye. Give --eye",
        ),
        (
            (
                *("bliva", "out", "--checkpoint", "a.pth"),
                *("--language", "x", "--eye", "y"),
            ),
            "'x' yields no configuration",
        ),
    ],
)
def test_what_the_command_lacks_is_said(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, told = run(*words)
    assert code == 2 and said in told


def test_the_list_of_models_names_all_six() -> None:
    listed = CliRunner().invoke(app, ["list", "models"]).output
    for model in PAPER.values():
        assert model.title in listed and model.how in listed
