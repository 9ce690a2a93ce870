"""Prompt files that nobody vouches for: one sentence each, in bounded memory, nothing run.

The corpus is made by seeded code below: every known field of a description with every nasty value,
damaged bytes, tensors that are not what they say, and torch files that promise more than they hold.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from matboard.disk import read_regular
from matboard.errors import PromptError
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.canvas import Canvas
from matboard.prompts.card import model_card

CANVAS = Canvas(24, 4)
CONFIG = "prompt_config.json"
TENSOR = "prompt.safetensors"

NASTY: dict[str, Any] = {
    "null": None,
    "yes": True,
    "minus": -1,
    "huge": 10**30,
    "long": 10**4000,
    "half": 24.5,
    "infinite": float("inf"),
    "nan": float("nan"),
    "text": "24",
    "empty": "",
    "surrogate": "\ud800",
    "long text": "x" * 100_000,
    "markup": "[/]<script>|\n---\n",
    "list": [1, "a", None],
    "mapping": {"a": {"b": {}}},
    "list of lists": [[[]]],
    "nul": "a\0b",
}
FIELDS = (
    "schema_version",
    "kind",
    "layout",
    "range",
    "canvas",
    "patch",
    "tensor_sha256",
    "matboard_version",
    "sources",
    "method",
    "skipped_terms",
    "task",
    "seed",
    "level",
    "resolution",
    "license",
    "metrics",
    "scores",
    "warning",
    "anything",
)
INNER = {
    "canvas": ("size", "width", "policy", "depth"),
    "patch": ("side", "top", "left"),
}


def tensor(**changes: Any) -> np.ndarray:
    values = np.random.default_rng(0).uniform(size=(3, 24, 24)) * CANVAS.mask()
    return values.astype(changes.get("dtype", np.float32))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    VisualPrompt(CANVAS, tensor()).save_pretrained(tmp_path / "prompt")
    return tmp_path / "prompt"


def use(path: Path, again: Path) -> str:
    """Load a prompt and do with it all that matboard does; "" where it is good, else the sentence
    that refuses it.
    """
    try:
        prompt = load_prompt(path)
    except PromptError as error:
        return str(error)
    prompt.apply(Image.new("RGB", (30, 20)))
    told = prompt.description()
    assert model_card(told).encode()
    assert json.loads(json.dumps(told)) == told
    if not again.exists():
        prompt.save_pretrained(again)
        assert load_prompt(again).description() == told
    return ""


def descriptions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and change of a description, for each field and value."""
    for field in FIELDS:
        for name, value in NASTY.items():
            yield f"{field} {name}", {field: value}
        for inner in INNER.get(field, ()):
            for name, value in NASTY.items():
                yield (
                    f"{field}.{inner} {name}",
                    {field: {"size": 24, "width": 4, inner: value}},
                )
    scores = {"model": "m", "task": "t", "n": 5, "value": 0.5}
    for field in (*scores, "low", "untouched", "more"):
        for name, value in NASTY.items():
            yield f"scores.{field} {name}", {"scores": [{**scores, field: value}]}
    for name, value in NASTY.items():
        yield f"sources {name}", {"sources": [{"model": value}]}


def test_no_description_breaks_anything(saved, tmp_path):
    whole = {**json.loads((saved / CONFIG).read_text()), "tensor_sha256": None}
    good = 0
    for name, change in descriptions():
        (saved / CONFIG).write_text(_dumped({**whole, **change}))
        sentence = use(saved, tmp_path / "again")
        good += not sentence
        assert len(sentence) < 600 and "\n" not in sentence, name
    assert good > 50


def _dumped(value: Any) -> str:
    """JSON, also of numbers that Python would not write."""
    long = json.dumps(value, default=str).replace('"long"', "1" * 5000)
    return long


def _deep() -> bytes:
    return b'{"schema_version": 1, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[[]]",
        b'"schema_version"',
        _deep(),
        b'{"schema_version": ' + b"1" * 5000 + b"}",
        b'{"schema_version": 1e999}',
        b'{"schema_version": 1, "layout": NaN}',
        b" " * (2**22 + 1),
        "{}".encode("utf-16"),
    ],
    ids=range(11),
)
def test_contents_that_describe_nothing(saved, content, tmp_path):
    (saved / CONFIG).write_bytes(content)
    sentence = use(saved, tmp_path / "again")
    assert CONFIG in sentence
    assert len(sentence) < 400


def test_a_description_may_not_be_nested_without_end(saved, tmp_path):
    value: Any = 0
    for _ in range(25):
        value = {"a": value}
    whole = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps({**whole, "more": value}))
    assert "holds more than 20 levels of nesting" in use(saved, tmp_path / "again")


def test_flipped_and_missing_bytes_are_noticed_or_harmless(saved, tmp_path):
    rng = np.random.default_rng(0)
    for file in (CONFIG, TENSOR):
        content = (saved / file).read_bytes()
        for _ in range(60):
            broken = bytearray(content)
            for place in rng.integers(0, len(broken), 3):
                broken[place] ^= 1 << rng.integers(8)
            (saved / file).write_bytes(broken[: rng.integers(1, len(broken) + 1)])
            use(saved, tmp_path / "again")
        (saved / file).write_bytes(content)
    assert not use(saved, tmp_path / "again")


@pytest.mark.parametrize(
    "dtype", ["uint8", "int64", "bool", "complex64", "float16", "float64"]
)
def test_only_floats_are_pixels(saved, tmp_path, dtype):
    save_file({"perturbation": tensor(dtype=dtype)}, saved / TENSOR)
    edit(saved)
    sentence = use(saved, tmp_path / "again")
    assert ("float" in dtype) == (not sentence)
    assert not sentence or f"{dtype}" in sentence or "holds no tensor" in sentence


def edit(folder: Path) -> None:
    """Let the description vouch for no tensor in particular."""
    whole = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**whole, "tensor_sha256": None}))


def test_values_that_overflow_are_refused_without_a_warning(saved, tmp_path, recwarn):
    save_file({"perturbation": tensor(dtype=np.float64) * 1e300}, saved / TENSOR)
    edit(saved)
    assert "not finite" in use(saved, tmp_path / "again")
    assert not recwarn.list


def test_complex_values_are_refused_from_python_too():
    with pytest.raises(PromptError, match="complex values; expected real ones"):
        VisualPrompt(CANVAS, tensor(dtype=np.complex64))


@pytest.mark.parametrize("name", [CONFIG, TENSOR])
def test_pipes_and_large_files_are_not_read(saved, tmp_path, name):
    (saved / name).unlink()
    os.mkfifo(saved / name)
    assert f"{name} cannot be read (a pipe, socket or device" in use(
        saved, tmp_path / "again"
    )
    (saved / name).unlink()
    with (saved / name).open("wb") as sparse:
        sparse.truncate(10**10)
    assert "cannot be read (it has 10000000000 bytes" in use(saved, tmp_path / "again")


def test_a_published_prompt_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.pth")
    assert "a pipe, socket or device, not a regular file" in use(
        tmp_path / "a.pth", tmp_path
    )
    assert "Is a directory" in use(_folder(tmp_path / "b.pth"), tmp_path)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def torch_file(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def values() -> torch.Tensor:
    return torch.from_numpy(tensor())


@pytest.mark.parametrize(
    "content, sentence",
    [
        (torch.zeros(1).expand(3, 29_000, 29_000), r"strides are \(0, 0, 0\)"),
        (
            torch.zeros(3, 8, 8, dtype=torch.complex64),
            "are a ComplexFloatStorage; expected one of",
        ),
        (torch.zeros(3, 8, 8, dtype=torch.bfloat16), "are a BFloat16Storage"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "are a LongStorage"),
        (
            torch.zeros(3, 8, 8).to_sparse(),
            "_rebuild_sparse_tensor, which no prompt needs",
        ),
        (
            torch.zeros(3, 8, 8, device="meta"),
            "_rebuild_meta_tensor_no_storage, which no",
        ),
        (torch.zeros(3, 0, 0), r"shape \(3, 0, 0\); expected \(3, size, size\)"),
        (
            torch.nn.Linear(1, 1),
            "asks for torch.nn.modules.linear.Linear, which no prompt needs",
        ),
    ],
)
def test_torch_files_that_hold_something_else(tmp_path, content, sentence):
    file = torch_file(tmp_path / "a.pth", {"perturbation": content})
    with pytest.raises(PromptError, match=sentence) as error:
        load_prompt(file)
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_published_prompts_are_read_as_torch_reads_them(tmp_path, dtype):
    stored = values().to(dtype)
    content = {"epoch": 3, "perturbation": torch.nn.Parameter(stored)}
    found = load_prompt(torch_file(tmp_path / "a.pth", content))
    assert np.array_equal(found.perturbation, stored.float().numpy())
    part = torch.cat([stored, stored * 0.5])[3:]
    found = load_prompt(torch_file(tmp_path / "b.pth", {"perturbation": part}))
    assert np.array_equal(found.perturbation, part.float().numpy())


def test_old_and_broken_torch_files(tmp_path):
    file = tmp_path / "a.pth"
    torch_file(file, {"perturbation": values()}, _use_new_zipfile_serialization=False)
    assert "is not a zip file" in use(file, tmp_path).lower()
    whole = torch_file(file, {"perturbation": values()}).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, min(len(broken), 1200), 2):
            broken[place] ^= 1 << rng.integers(8)
        file.write_bytes(broken[: rng.choice([len(broken), rng.integers(len(broken))])])
        use(file, tmp_path / "again")
    file.write_bytes(b"")
    assert "a.pth is not a file {'perturbation': tensor}" in use(
        file, tmp_path / "again"
    )


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("hacked"),)


def archive(path: Path, pickled: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("a/data.pkl", pickled)
        made.writestr("a/data/0", bytes(3 * 24 * 24 * 4))
    return path


@pytest.mark.parametrize(
    "pickled, method, sentence",
    [
        (pickle.dumps(Hostile()), zipfile.ZIP_STORED, "pathlib.Path|getattr"),
        (pickle.dumps({"perturbation": 3}), zipfile.ZIP_STORED, "no dense tensor"),
        (pickle.dumps({"a": 3}), zipfile.ZIP_DEFLATED, "is compressed, or larger than"),
        (
            b"\x80\x02N" + b"r\xff\xff\xff\x7f" + b".",
            zipfile.ZIP_STORED,
            "counts to 2147483647",
        ),
        (b"x" * 100, zipfile.ZIP_STORED, "is not a file"),
        (b"0" * 70_000, zipfile.ZIP_STORED, "larger than 65536 bytes"),
    ],
)
def test_archives_made_to_hurt(tmp_path, monkeypatch, pickled, method, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PromptError, match=sentence):
        load_prompt(archive(tmp_path / "a.pth", pickled, method))
    assert not Path("hacked").exists()


def test_a_hostile_file_takes_no_memory(tmp_path):
    """What 7.4 GB were taken for before: under a limit that leaves 1 GB, a sentence comes."""
    file = tmp_path / "a.pth"
    torch_file(file, {"perturbation": torch.zeros(1).expand(3, 29_000, 29_000)})
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, old[1]))
    try:
        assert "strides are (0, 0, 0)" in use(file, tmp_path / "again")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


def test_names_that_are_no_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("", "\0", "a" * 5000, "/dev/zero", "/dev/null/x", "[/]", "a/b/c/d"):
        with pytest.raises(PromptError) as error:
            load_prompt(name)
        assert "\n" not in str(error.value)


def test_read_regular_reads_what_is_there(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read_regular(tmp_path / "a", 3) == b"abc"
    with pytest.raises(OSError, match="it has 3 bytes, at most 2 are expected"):
        read_regular(tmp_path / "a", 2)
    with pytest.raises(OSError, match="a pipe, socket or device"):
        read_regular(Path("/dev/zero"), 10)
