"""Replies of models behind an API, kept: one file each, by the content of what was asked."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from matboard.disk import make_folder, read_regular, write_whole
from matboard.errors import ModelError
from matboard.models.replies import Reply

MOST_BYTES = 64 * 2**20
"""Of a kept reply (guess)."""


def read(folder: Path, address: str) -> Reply | None:
    """A kept reply; a file that cannot be read counts as none."""
    try:
        content = read_regular(_file(folder, address), MOST_BYTES)
        return Reply.model_validate_json(content)
    except (OSError, ValidationError):
        return None


def write(folder: Path, address: str, reply: Reply) -> None:
    """Keep a reply. Raises ModelError where there is no room."""
    file = _file(folder, address)
    try:
        make_folder(file.parent)
        content = reply.model_dump_json(exclude_none=True).encode()
        write_whole(file, content, replace=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ModelError(
            f"The answer of a model behind an API cannot be kept: {file}: {reason}. Make room, or"
            " set MATBOARD_CACHE to another folder; asked again it would cost again."
        ) from error


def _file(folder: Path, address: str) -> Path:
    return folder / address[:2] / f"{address}.json"
