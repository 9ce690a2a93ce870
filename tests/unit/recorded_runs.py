"""The recorded tiny runs, and what their pages say. See ``tests/recorded/record.py``."""

from __future__ import annotations

import re
from pathlib import Path

from matboard.results import StreamResults, TransferResults, read

RECORDED = Path(__file__).parents[1] / "recorded"
TRANSFER = RECORDED / "transfer"
STREAM = RECORDED / "stream"
CHOICE = RECORDED / "choice"


def transfer_results() -> TransferResults:
    """Those of the recorded study of prompts."""
    results = read(TRANSFER)
    assert isinstance(results, TransferResults)
    return results


def stream_results() -> StreamResults:
    """Those of the recorded stream."""
    results = read(STREAM)
    assert isinstance(results, StreamResults)
    return results


def text_of(page: str) -> str:
    """A page as people read it: no tags, single spaces."""
    body = page[page.index("<main>") :] if "<main>" in page else page
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unwrapped(body)))


def unwrapped(page: str) -> str:
    """A page without what keeps its names whole."""
    return re.sub(r'<span class="whole">([^<]*)</span>', r"\1", page)
