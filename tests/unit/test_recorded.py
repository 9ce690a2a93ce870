"""Recorded runs are what today's studies write."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import CHOICE, RECORDED, STREAM, TRANSFER

from matboard.report.run_folder import read_folder
from matboard.results import read, read_step

FILES = sorted(RECORDED.rglob("results.json")) + sorted(RECORDED.rglob("plan.json"))
FILES += sorted(RECORDED.rglob("selection.json"))


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: str(path.relative_to(RECORDED))
)
def test_a_recorded_file_is_what_its_model_writes(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert read(path).as_json() == content, "run python tests/recorded/record.py"


def test_recorded_lines_are_what_their_model_writes() -> None:
    logs = sorted(RECORDED.rglob("metrics.jsonl"))
    assert len(logs) > 2
    for path in logs:
        for line in path.read_text(encoding="utf-8").splitlines():
            content = json.loads(line)
            assert read_step(content).as_line() == content


def test_what_is_recorded_is_small_and_says_nothing_of_a_machine() -> None:
    files = [
        path for path in RECORDED.rglob("*") if path.is_file() and path.suffix != ".py"
    ]
    assert sum(path.stat().st_size for path in files) < 400 * 1024
    assert {path.suffix for path in files} <= {
        ".json",
        ".jsonl",
        ".yaml",
        ".csv",
        ".png",
    }
    for path in files:
        if path.suffix != ".png":
            assert not any(
                f"/{place}/" in path.read_text("utf-8") for place in ("tmp", "home")
            )


@pytest.mark.slow
def test_a_fresh_run_has_the_same_shape(tmp_path: Path) -> None:
    """The same files and keys: only numbers may differ."""
    sys.path.insert(0, str(RECORDED))
    try:
        import record
    finally:
        sys.path.remove(str(RECORDED))
    record.record(tmp_path / "made")
    record.keep(tmp_path / "made", tmp_path / "kept")
    for recorded in (TRANSFER, STREAM, CHOICE):
        fresh = tmp_path / "kept" / recorded.name
        assert files_of(fresh) == files_of(recorded)
        for name in ("results.json", "plan.json"):
            if not (recorded / name).exists():
                continue
            shapes = [
                shape_of(json.loads((run / name).read_text()))
                for run in (fresh, recorded)
            ]
            assert shapes[0] == shapes[1]


def files_of(folder: Path) -> set[str]:
    """With each fit's name in place of its folder's, which bears an address."""
    names = {fit.folder: fit.name for fit in read_folder(folder).fits}
    files = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }
    for address, name in names.items():
        files = {file.replace(address, name) for file in files}
    return files


def shape_of(content: Any) -> Any:
    """Keys, lengths and kinds of values."""
    if isinstance(content, dict):
        return {key: shape_of(value) for key, value in content.items()}
    if isinstance(content, list):
        return [shape_of(value) for value in content]
    return isinstance(content, str)
