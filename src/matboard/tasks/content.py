"""What a task's files hold, as a number: equal wherever the files lie, another once they change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matboard.disk import regular_size

WHOLE = 2**26
"""Files up to so many bytes are hashed whole; 64 MiB take some 0.1 s."""
BLOCK = 2**20
BLOCKS = 64
"""Of a larger file so many blocks are hashed, evenly spaced, the first and the last among them: in
a zip archive (npz) the last holds the checksum of everything, in parquet the statistics.
"""
MISSING = "missing"


def digests(files: Iterable[Path | None]) -> dict[Path | None, str]:
    """File → SHA-256 (hex) of its content, each read once; None has an empty one."""
    distinct = [file for file in dict.fromkeys(files) if file is not None]
    found: dict[Path | None, str] = {None: ""}
    with ThreadPoolExecutor() as pool:
        found.update(zip(distinct, pool.map(digest, distinct), strict=True))
    return found


def digest(file: Path) -> str:
    """SHA-256 (hex) of a file's content; of a file above `WHOLE` bytes, of its size and `BLOCKS`
    blocks. A file that cannot be read is `MISSING`.
    """
    try:
        size = regular_size(file)
        if size > WHOLE:
            return _sampled(file, size)
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return MISSING


def _sampled(file: Path, size: int) -> str:
    found = hashlib.sha256(str(size).encode())
    with file.open("rb") as handle:
        for number in range(BLOCKS):
            handle.seek(number * (size - BLOCK) // (BLOCKS - 1))
            found.update(handle.read(BLOCK))
    return found.hexdigest()
