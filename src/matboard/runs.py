"""A run folder: everything about one execution, readable by people and machines.

    config.yaml        what was asked
    environment.json   versions and machine
    metrics.jsonl      one line a logged step
    checkpoint.safetensors   the latest state of a run that is not finished
    results.json       what came out; its presence means the run is finished

Every file but the log is replaced as a whole: a full disk, a kill or a loss of power leaves the
previous one or the new one. The log is brought to the disk before a checkpoint that counts on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from matboard.disk import flush, make_folder, publish
from matboard.errors import RunError

PACKAGES = ("matboard", "torch", "transformers", "accelerate", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """State of an unfinished run after ``step`` steps: named arrays and small JSON values."""

    step: int
    arrays: dict[str, NDArray[Any]]
    values: dict[str, Any]


class Run:
    """One run folder.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: Path, config: Mapping[str, Any]) -> Run:
        """Create the folder, or take up a run that was started there with the same configuration.

        Raises:
            RunError: the folder holds a run with another configuration, or cannot be written.
        """
        run = cls(folder)
        wanted = json.loads(json.dumps(config))
        if run.path("config.yaml").exists():
            changed = _differences(run.config(), wanted)
            if changed:
                raise RunError(
                    f"{folder} holds a run with another configuration ({', '.join(changed)}"
                    " differ). Choose another --out or delete it."
                )
            return run
        if run.folder.exists() and any(run.folder.iterdir()):
            raise RunError(f"{folder} is not empty and holds no run. Choose another --out.")
        write_atomically(run.path("environment.json"), json.dumps(environment(), indent=1).encode())
        write_atomically(
            run.path("config.yaml"),
            yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True).encode(),
        )
        return run

    def path(self, name: str) -> Path:
        """Where a file of this run lies."""
        return self.folder / name

    def config(self) -> dict[str, Any]:
        """What was asked."""
        return dict(yaml.safe_load(self.path("config.yaml").read_text(encoding="utf-8")))

    @property
    def finished(self) -> bool:
        """Whether results are written."""
        return self.path("results.json").exists()

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``."""
        with self.path("metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Every logged line; a last line cut by a kill is left out."""
        if not self.path("metrics.jsonl").exists():
            return []
        rows = []
        for line in self.path("metrics.jsonl").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
        return rows

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json``: the run is finished."""
        write_atomically(self.path("results.json"), json.dumps(results, indent=1).encode())

    def results(self) -> dict[str, Any]:
        """Read ``results.json``."""
        return dict(json.loads(self.path("results.json").read_text(encoding="utf-8")))

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint. Raises RunError where the disk is full; the previous checkpoint
        stays.
        """
        if self.path("metrics.jsonl").exists():
            flush(self.path("metrics.jsonl"))
        meta = {"step": str(checkpoint.step), "values": json.dumps(checkpoint.values)}
        write_atomically(
            self.path("checkpoint.safetensors"), save(checkpoint.arrays, metadata=meta)
        )

    def load_checkpoint(self) -> Checkpoint | None:
        """The latest checkpoint, or None. Logged lines after it are dropped, so that a resumed log
        has no doubles.
        """
        path = self.path("checkpoint.safetensors")
        if not path.exists():
            return None
        with _opened(path) as file:
            meta = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step = int(meta["step"])
        kept = [row for row in self.metrics() if row.get("step", 0) <= step]
        write_atomically(
            self.path("metrics.jsonl"), "".join(json.dumps(row) + "\n" for row in kept).encode()
        )
        return Checkpoint(step, arrays, json.loads(meta["values"]))

    def checkpoint_values(self) -> dict[str, Any] | None:
        """The latest checkpoint's small values, for looking at a run that may be going on: nothing
        is loaded, nothing changed.

        None where there is no checkpoint. Raises RunError where it cannot be read.
        """
        path = self.path("checkpoint.safetensors")
        if not path.exists():
            return None
        with _opened(path) as file:
            return dict(json.loads(file.metadata()["values"]))

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a finished run."""
        self.path("checkpoint.safetensors").unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"{path} cannot be read ({error}). Delete it to start this run again."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        RunError: the disk is full or the folder cannot be written; a previous file stays as it was.
    """
    replace_atomically(path, lambda temporary: temporary.write_bytes(data))


def replace_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in its place. Raises
    RunError like write_atomically.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make_folder(path.parent)
        write(temporary)
        publish(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path} could not be written ({error.strerror or error}). What stood there before is"
            " unchanged."
        ) from error


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "command": _command(),
    }


def _command() -> list[str]:
    """The command line as a person would give it again."""
    program = Path(sys.argv[0])
    return [
        *(
            ["python", "-m", program.parent.name]
            if program.name == "__main__.py"
            else [program.name]
        ),
        *sys.argv[1:],
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [
            d
            for k in keys
            for d in _differences(old.get(k), new.get(k), f"{path}.{k}" if path else k)
        ]
    return [] if old == new else [path]
