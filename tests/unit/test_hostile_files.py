"""Whatever a file holds: a task or a sentence, and nothing else changes."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from pathlib import Path

import hostile
import pytest

from matboard.errors import MatboardError
from matboard.tasks import load_task

resource = pytest.importorskip("resource", reason="memory is bounded on Unix only")

MOST_MEMORY = 3 * 2**30
"""Of address space over what the test process has already."""


def listing(folder: Path) -> set[tuple[str, int]]:
    return {(str(f.relative_to(folder)), f.stat().st_size) for f in folder.rglob("*")}


def check(case: hostile.Case, folder: Path) -> str | None:
    """What is wrong with how a case was taken."""
    source = hostile.lay(case, folder)
    before = listing(folder)
    try:
        task = load_task(source)
        for sample in (*task.train, *task.test):
            sample.load()
        assert len(task.fingerprint) == 64
    except MatboardError as error:
        if (
            "\n" in str(error)
            or not str(error).endswith((".", "?"))
            or len(str(error)) > 1500
        ):
            return f"{case.name}: no sentence: {str(error)[:300]!r}"
    except BaseException as error:
        return f"{case.name}: {type(error).__name__}: {str(error)[:200]}"
    if listing(folder) != before:
        return f"{case.name}: wrote something"
    return None


def faults(cases: Iterable[hostile.Case], folder: Path) -> list[str]:
    found = []
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, limits[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for case in cases:
                if fault := check(case, folder):
                    found.append(fault)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    return found


def test_whole_files_are_tasks(tmp_path):
    for case in hostile.whole():
        task = load_task(hostile.lay(case, tmp_path))
        assert not task.skipped, case.name


@pytest.mark.parametrize("kind", ["odd_lines", "odd_arrays", "odd_columns", "bombs"])
def test_odd_fields(tmp_path, kind):
    assert faults(getattr(hostile, kind)(), tmp_path) == []


def test_damaged_files(tmp_path):
    assert faults(hostile.damaged(15, seed=0), tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_damaged_files_exhaustively(tmp_path, seed):
    assert faults(hostile.damaged(400, seed), tmp_path) == []


def test_the_corpus_is_the_same_every_time():
    once, again = (
        list(itertools.islice(hostile.damaged(2, seed=0), 30)) for _ in range(2)
    )
    assert once == again
