"""What a rename publishes is flushed before it, and the rename after it. The operating system's
calls are recorded, and then made.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matboard.disk import make_folder, make_once, publish, write_whole
from matboard.errors import RunError
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.canvas import Canvas
from matboard.runs import Checkpoint, Run
from matboard.studies.apply import prompt_file

Calls = list[tuple[str, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What was flushed or moved, in order, by inode: a file keeps it when its name changes."""
    made: Calls = []
    fsync = os.fsync
    replace = os.replace
    link = os.link

    def recording_fsync(descriptor: int) -> None:
        made.append(("flush", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def recording_replace(source: Path, target: Path) -> None:
        made.append(("move", Path(source).stat().st_ino))
        replace(source, target)

    def recording_link(source: Path, target: Path, **options: bool) -> None:
        made.append(("move", Path(source).stat().st_ino))
        link(source, target, **options)

    monkeypatch.setattr(os, "link", recording_link)
    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    return made


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_a_file_is_flushed_then_moved_then_its_folder_is_flushed(tmp_path, calls):
    (tmp_path / "part").write_text("content")
    publish(tmp_path / "part", tmp_path / "whole")
    file = inode(tmp_path / "whole")
    assert calls == [("flush", file), ("move", file), ("flush", inode(tmp_path))]


def test_a_folder_is_moved_when_all_in_it_is_flushed(tmp_path, calls):
    (tmp_path / "part" / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (tmp_path / "part" / name).write_text(name)
    publish(tmp_path / "part", tmp_path / "whole")
    whole = tmp_path / "whole"
    inside = {
        ("flush", inode(path))
        for path in (whole, whole / "a", whole / "deep", whole / "deep" / "b")
    }
    assert set(calls[:4]) == inside
    assert calls[4:] == [
        ("move", inode(whole)),
        ("flush", inode(tmp_path)),
    ]


def test_new_folders_are_entries_that_are_flushed_too(tmp_path, calls):
    make_folder(tmp_path / "a" / "b")
    assert {ino for _, ino in calls} == {inode(tmp_path), inode(tmp_path / "a")}
    calls.clear()
    make_folder(tmp_path / "a" / "b")
    assert not calls


def test_a_checkpoint_comes_after_the_log_it_counts_on(tmp_path, calls):
    run = Run.open(tmp_path / "run", {})
    run.log({"step": 1})
    calls.clear()
    run.save_checkpoint(Checkpoint(1, {"delta": np.zeros(3)}, {}))
    log = inode(run.path("metrics.jsonl"))
    checkpoint = inode(run.path("checkpoint.safetensors"))
    assert calls == [
        ("flush", log),
        ("flush", checkpoint),
        ("move", checkpoint),
        ("flush", inode(run.folder)),
    ]


def test_a_prompt_is_whole_on_the_disk_before_it_takes_its_place(tmp_path, calls):
    prompt = VisualPrompt(Canvas(24, 4), np.zeros((3, 24, 24), np.float32))
    prompt.save_pretrained(tmp_path / "prompt")
    files = {inode(file) for file in (tmp_path / "prompt").iterdir()}
    moves = [position for position, (act, _) in enumerate(calls) if act == "move"]
    assert len(files) == 4
    assert files < {ino for act, ino in calls[: moves[0]] if act == "flush"}
    assert calls[moves[0] + 1] == calls[-1] == ("flush", inode(tmp_path / "prompt"))
    assert {ino for act, ino in calls[moves[1] :] if act == "move"} == files


def test_a_prompted_picture_is_flushed_before_it_counts_as_done(tmp_path, calls):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    prompt = VisualPrompt(Canvas(24, 4), np.zeros((3, 24, 24), np.float32))
    prompt_file(prompt, tmp_path / "a.png", tmp_path / "out" / "a.png")
    result = inode(tmp_path / "out" / "a.png")
    assert calls[-3:] == [
        ("flush", result),
        ("move", result),
        ("flush", inode(tmp_path / "out")),
    ]


def refusing(code: int, folders: bool) -> Callable[[int], None]:
    """A file system that cannot flush folders, or files."""
    fsync = os.fsync

    def act(descriptor: int) -> None:
        if os.path.isdir(f"/dev/fd/{descriptor}") == folders:  # noqa: PTH112
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    return act


@pytest.mark.parametrize(
    "code, folders",
    [
        (errno.EINVAL, True),
        (errno.EACCES, True),
        (errno.EIO, True),
        (errno.ENOTSUP, False),
    ],
)
def test_a_file_system_that_cannot_flush_saves_all_the_same(
    tmp_path, monkeypatch, code, folders
):
    monkeypatch.setattr(os, "fsync", refusing(code, folders))
    run = Run.open(tmp_path / "run", {})
    run.write_results({"kind": "fit"})
    VisualPrompt(Canvas(24, 4), np.zeros((3, 24, 24), np.float32)).save_pretrained(
        tmp_path / "prompt"
    )
    assert run.results() == {"kind": "fit"}
    assert load_prompt(tmp_path / "prompt").width == 4


def test_a_disk_that_turns_out_full_at_the_flush_leaves_the_previous_file(
    tmp_path, monkeypatch
):
    run = Run.open(tmp_path / "run", {})
    run.write_results({"value": 1})
    monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC, folders=False))
    with pytest.raises(
        RunError,
        match=(
            r"could not be written \(No space left on device\). What stood there before is"
            r" unchanged"
        ),
    ):
        run.write_results({"value": 2})
    assert run.results() == {"value": 1}
    assert not list(run.folder.glob(".*"))


def forked(act: Callable[[], None]) -> int:
    """Do it in a process of its own; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
        os._exit(0)
    finally:
        os._exit(1)


def code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_is_costly_is_made_by_one_process_and_taken_by_the_others(tmp_path):
    target = tmp_path / "cache" / "shard"
    log = tmp_path / "log"

    def make(fresh: Path) -> None:
        with log.open("a") as lines:
            lines.write("made\n")
        with fresh.open("w") as file:
            for _ in range(50):  # long enough for the others to come by
                file.write("x" * 1000)
                file.flush()
                time.sleep(0.002)

    def act() -> None:
        assert make_once(target, make).stat().st_size == 50_000

    assert [code(pid) for pid in [forked(act) for _ in range(4)]] == [0] * 4
    assert log.read_text() == "made\n"


def test_a_kill_while_making_publishes_nothing_and_leaves_nothing_for_long(tmp_path):
    target = tmp_path / "folder"

    def killed(fresh: Path) -> None:
        fresh.mkdir()
        (fresh / "half").write_text("half")
        os._exit(9)

    def make(fresh: Path) -> None:
        fresh.mkdir()
        (fresh / "whole").write_text("whole")

    assert code(forked(lambda: make_once(target, killed))) == 9
    assert not target.exists()
    assert list(tmp_path.glob(".making-*"))
    make_once(target, make)
    assert [file.name for file in target.iterdir()] == ["whole"]
    assert not list(tmp_path.glob(".making-*"))


def test_an_error_while_making_publishes_nothing(tmp_path):
    def make(fresh: Path) -> None:
        fresh.write_text("half")
        raise RunError("no")

    with pytest.raises(RunError):
        make_once(tmp_path / "file", make)
    assert [file.name for file in tmp_path.iterdir()] == [".file.lock"]


@pytest.mark.parametrize("nameless", [True, False])
def test_a_whole_file_is_written_where_files_may_be_nameless_and_where_not(
    tmp_path, monkeypatch, nameless
):
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    write_whole(tmp_path / "a", b"one", replace=False)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a", b"two", replace=False)
    assert (tmp_path / "a").read_bytes() == b"one"
    write_whole(tmp_path / "a", b"two", replace=True)
    assert (tmp_path / "a").read_bytes() == b"two"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "folder", b"x", replace=True)
    assert {file.name for file in tmp_path.iterdir()} == {"a", "folder"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
