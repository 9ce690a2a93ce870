"""``matboard apply``: pictures and folders in, prompted PNG files out."""

import itertools
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from matboard.cli.apply import apply
from matboard.prompts.artifact import load_prompt
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.studies import apply as jobs
from matboard.studies.apply import distinct_names


def run(*words: object):
    app = typer.Typer()
    app.command()(apply)
    return CliRunner().invoke(app, [str(word) for word in words])


def paint(file: Path, color: str = "red", size: tuple[int, int] = (30, 20)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(file)
    return file


def written(out: Path) -> set[str]:
    return {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def prompt(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prompt")
    PixelPrompt(Canvas(32, 4)).to_artifact().noise(0).save_pretrained(folder)
    return folder


def test_files_and_folders_keep_their_structure(prompt, tmp_path):
    paint(tmp_path / "in" / "a.jpg")
    paint(tmp_path / "in" / "deep" / "er" / "b.png", "blue")
    single = paint(tmp_path / "single.gif")
    result = run(prompt, tmp_path / "in", single, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "3 written" in result.stdout
    assert "0 skipped" in result.stdout
    assert written(tmp_path / "out") == {"a.png", "deep/er/b.png", "single.png"}
    with Image.open(tmp_path / "out" / "deep" / "er" / "b.png") as picture:
        expected = load_prompt(prompt).apply(Image.new("RGB", (30, 20), "blue"))
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), np.asarray(expected))


def test_bad_pictures_are_skipped_counted_and_named(prompt, tmp_path):
    paint(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "half.png").write_bytes(
        (tmp_path / "in" / "good.png").read_bytes()[:60]
    )
    (tmp_path / "in" / "text.jpg").write_text("no")
    result = run(
        prompt, tmp_path / "in", tmp_path / "gone.png", "--out", tmp_path / "out"
    )
    assert result.exit_code == 0
    assert "1 written" in result.stdout
    assert "3 skipped" in result.stdout
    assert written(tmp_path / "out") == {"good.png"}
    for sentence in (
        "text.jpg is not a picture",
        "half.png",
        "gone.png does not exist",
    ):
        assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_pictures_of_phones_are_prompted_or_named(prompt, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    sides = ("RGB", (30, 20), bytes(1800))
    pillow_heif.encode(*sides, tmp_path / "in" / "phone.heic", quality=90)
    Image.new("RGB", (30, 20)).save(tmp_path / "in" / "web.avif")
    Image.new("RGB", (30, 20)).save(tmp_path / "in" / "old.jfif", "JPEG")
    result = run(prompt, tmp_path / "in", "--out", tmp_path / "out")
    assert "3 written" in result.stdout and "0 skipped" in result.stdout
    assert written(tmp_path / "out") == {"phone.png", "web.png", "old.png"}
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    again = run(prompt, tmp_path / "in", "--out", tmp_path / "out", "--overwrite")
    assert "2 written" in again.stdout and "1 skipped" in again.stdout
    assert (
        "phone.heic is a HEIC picture, which is read with pillow-heif." in again.stderr
    )


@pytest.mark.parametrize("inputs", [["empty"], ["gone"], ["bad.png"]])
def test_nothing_written_is_exit_code_2(prompt, tmp_path, inputs):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_text("no")
    result = run(
        prompt, *(tmp_path / name for name in inputs), "--out", tmp_path / "out"
    )
    assert result.exit_code == 2
    assert "0 written" in result.stdout
    assert f"skipped: {tmp_path / inputs[0]}" in result.stderr


def test_colliding_names_lose_nothing(prompt, tmp_path):
    colors = {
        "a.jpg": "red",
        "a.png": "blue",
        "A.gif": "lime",
        "a.jpg.png": "white",
        "b.png": "black",
    }
    for name, color in colors.items():
        paint(tmp_path / "in" / name, color)
    paint(tmp_path / "other" / "b.png", "yellow")
    result = run(
        prompt,
        tmp_path / "in",
        tmp_path / "other",
        tmp_path / "in" / "a.png",
        "--out",
        tmp_path / "out",
    )
    assert result.exit_code == 0
    assert "6 written" in result.stdout
    assert written(tmp_path / "out") == {
        "A.gif.png",
        "a.jpg-2.png",
        "a.jpg.png",
        "a.png.png",
        "b.png.png",
        "b.png-2.png",
    }
    centres = {
        tuple(np.asarray(Image.open(file))[16, 16] // 128)
        for file in (tmp_path / "out").iterdir()
    }
    assert len(centres) == 6


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.from_regex(r"[aA](\.jpg|\.png|-2|/a\.gif){1,3}", fullmatch=True).map(Path),
        unique=True,
        max_size=12,
    )
)
def test_no_two_pictures_share_a_result(places):
    names = distinct_names(places)
    assert len({str(name).casefold() for name in names}) == len(places)
    assert all(
        name.suffix == ".png" and name.parent == place.parent
        for name, place in zip(names, places, strict=True)
    )


def test_existing_results_stay_unless_told(prompt, tmp_path):
    source = paint(tmp_path / "a.jpg")
    target = paint(tmp_path / "out" / "a.png", "green")
    before = target.read_bytes()
    result = run(prompt, source, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "has a result already" in result.stderr
    assert target.read_bytes() == before
    assert run(prompt, source, "--out", tmp_path / "out", "--overwrite").exit_code == 0
    assert target.read_bytes() != before


def test_a_source_is_never_replaced(prompt, tmp_path):
    source = paint(tmp_path / "a.png")
    beside = paint(tmp_path / "b.jpg")
    before = source.read_bytes()
    result = run(prompt, tmp_path, "--out", tmp_path, "--overwrite")
    assert result.exit_code == 0
    assert f"The result of {source} would replace an input" in result.stderr
    assert source.read_bytes() == before
    assert beside.exists()
    assert (tmp_path / "b.png").exists()


def test_a_result_never_replaces_another_source(prompt, tmp_path):
    source = paint(tmp_path / "in" / "sub" / "a.jpg")
    other = paint(tmp_path / "out" / "sub" / "a.png", "blue")
    before = other.read_bytes()
    result = run(
        prompt, tmp_path / "in", other, "--out", tmp_path / "out", "--overwrite"
    )
    assert result.exit_code == 0
    assert f"The result of {source} would replace an input" in result.stderr
    assert other.read_bytes() == before
    assert written(tmp_path / "out") == {"sub/a.png", "a.png"}


def test_results_inside_the_input_are_no_input(prompt, tmp_path):
    paint(tmp_path / "a.jpg")
    for _ in range(2):
        run(prompt, tmp_path, "--out", tmp_path / "out", "--overwrite")
    assert written(tmp_path / "out") == {"a.png"}


def test_out_that_cannot_be_written(prompt, tmp_path):
    (tmp_path / "out").write_text("a file")
    result = run(prompt, paint(tmp_path / "a.jpg"), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert (tmp_path / "out").read_text() == "a file"


SCRIPT = """
import sys
from matboard.cli import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""


def matboard(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", SCRIPT, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_torch_is_never_imported(prompt, tmp_path):
    done = matboard(
        "apply", prompt, paint(tmp_path / "a.jpg"), "--out", tmp_path / "out"
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "False"
    assert (tmp_path / "out" / "a.png").exists()


def test_a_wrong_prompt_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    done = matboard(
        "apply",
        tmp_path / "empty",
        paint(tmp_path / "a.jpg"),
        "--out",
        tmp_path / "out",
    )
    assert done.returncode == 2
    assert "prompt_config.json cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_how_to_go_on(prompt, tmp_path, monkeypatch):
    write = jobs.prompt_file

    def interrupted(prompt, file, target, overwrite):
        if file.name == "b.jpg":
            raise KeyboardInterrupt
        write(prompt, file, target, overwrite)

    monkeypatch.setattr(jobs, "prompt_file", interrupted)
    inputs = paint(tmp_path / "a.jpg"), paint(tmp_path / "b.jpg")
    result = run(prompt, *inputs, "--out", tmp_path / "out")
    assert result.exit_code == 130
    sentence = "Interrupted; 1 of 2 pictures are written. The same command goes on with the rest."
    assert sentence in result.stderr
    assert written(tmp_path / "out") == {"a.png"}


def test_what_is_no_picture_is_named_and_counted(prompt, tmp_path):
    paint(tmp_path / "in" / "a.jpg")
    for name in ("notes.txt", "deep/data.json", ".hidden", ".cache/b.jpg", "Makefile"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    os.mkfifo(tmp_path / "in" / "pipe.png")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    result = run(prompt, tmp_path / "in", "/dev/zero", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "1 written" in result.stdout
    assert "9 skipped" in result.stdout
    for sentence in (
        "in holds files that are no pictures: Makefile, notes.txt, deep/data.json.",
        "in holds hidden files, which are left alone: .cache, .hidden.",
        "pipe.png cannot be read: a pipe, socket or device, not a regular file.",
        "gone.png cannot be read: no such file or directory.",
        "link is a link to a folder, which is not followed.",
        "/dev/zero cannot be read: a pipe, socket or device, not a regular file.",
    ):
        assert sentence in result.stderr
    assert written(tmp_path / "out") == {"a.png"}


def test_many_files_that_are_no_pictures_take_one_line(prompt, tmp_path):
    paint(tmp_path / "in" / "a.jpg")
    for number in range(25):
        (tmp_path / "in" / f"{number:02}.{'mov' if number > 22 else 'txt'}").touch()
    result = run(prompt, tmp_path / "in", "--out", tmp_path / "out")
    assert "08.txt, 09.txt and 15 more (13 .txt, 2 .mov)." in result.stderr
    assert "25 skipped" in result.stdout


def test_another_pictures_result_of_an_earlier_time_is_not_taken_for_ones_own(
    prompt, tmp_path
):
    out = tmp_path / "out"
    first = paint(tmp_path / "a.jpg")
    second = paint(tmp_path / "a.png", "blue")
    assert run(prompt, first, "--out", out).exit_code == 0
    assert run(prompt, second, "--out", out).exit_code == 0
    assert written(out) == {"a.png", "a.png.png"}
    again = run(prompt, second, "--out", out)
    assert f"{second} has a result already, {out / 'a.png.png'}" in again.stderr


def test_results_beside_their_pictures_are_not_prompted_again(prompt, tmp_path):
    paint(tmp_path / "a.jpg")
    run(prompt, tmp_path, "--out", tmp_path)
    before = (tmp_path / "a.png").read_bytes()
    for words in ((), ("--overwrite",)):
        result = run(prompt, tmp_path, "--out", tmp_path, *words)
        assert "holds earlier results: a.png." in result.stderr
        assert written(tmp_path) == {"a.jpg", "a.png"}
    assert (tmp_path / "a.png").read_bytes() == before


def test_results_elsewhere_may_be_prompted_again(prompt, tmp_path):
    run(prompt, paint(tmp_path / "a.jpg"), "--out", tmp_path / "once")
    result = run(prompt, tmp_path / "once", "--out", tmp_path / "twice")
    assert result.exit_code == 0
    assert written(tmp_path / "twice") == {"a.png"}


def test_names_that_are_no_text(prompt, tmp_path):
    name = os.fsdecode(b"\xff\xfe.jpg")
    paint(tmp_path / "in" / "a.jpg").rename(tmp_path / "in" / name)
    for code, sentence in ((0, "1 written"), (2, "0 written")):
        result = run(prompt, tmp_path / "in", "--out", tmp_path / "out")
        assert result.exit_code == code
        assert sentence in result.stdout


EVENTS = ("open", "fsync", "link", "unlink", "replace")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_at_any_moment_leaves_whole_results_only(prompt, tmp_path, overwrite):
    """Killed before each event on files in turn; the same command then does the rest."""
    source = paint(tmp_path / "in" / "a.jpg")
    loaded = load_prompt(prompt)
    finished = False
    moment = 0
    while not finished:
        moment += 1
        out = tmp_path / f"out{moment}"
        target = out / "a.png"
        if overwrite:
            paint(target, "green")
        before = target.read_bytes() if overwrite else b""
        act = partial(jobs.prompt_file, loaded, source, target, overwrite)
        finished = killed_at(moment, act)
        left = {file.name for file in out.glob("*")} if out.exists() else set()
        assert left <= ({"a.png", ".a.png.whole"} if overwrite else {"a.png"})
        if target.exists() and target.read_bytes() != before:
            assert jobs.source_of(target) == "a.jpg"
            assert Image.open(target).getbbox()
        jobs.prompt_file(loaded, source, target, overwrite=True)
        assert written(out) == {"a.png"}
    assert moment > 3


def killed_at(moment: int, act) -> bool:
    """Do it in a process that dies before the so-manieth event; whether it came to its end."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    events = itertools.count(1)

    def dying(real):
        return lambda *a, **k: os._exit(9) if next(events) == moment else real(*a, **k)

    try:
        for name in EVENTS:
            setattr(os, name, dying(getattr(os, name)))
        act()
        os._exit(0)
    finally:
        os._exit(1)
