"""A run folder: everything about one execution, readable by people and machines.

    environment.json   versions and machine; what changed in them when the run was taken up again
    config.yaml        what was asked; it is written last, so a folder that has it is whole
    metrics.jsonl      one line a logged step
    checkpoint.safetensors   the latest state of a run that is not finished
    results.json       what came out; its presence means the run is finished

Every file but the log is replaced as a whole: a full disk, a kill or a loss of power leaves the
previous one or the new one. The log is brought to the disk before a checkpoint that counts on it.
A checkpoint says which configuration it belongs to and what its content hashes to: another run's,
or a damaged one, is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
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

PACKAGES = (
    "matboard",
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "pillow",
    "safetensors",
)
CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
STORE = "store"
"""Where ``environment.json`` says that fits and scores lie, as seen from the run folder."""
LOG = "metrics.jsonl"
CHECKPOINT = "checkpoint.safetensors"
RESULTS = "results.json"
STEP_BY_STEP = ("", "-c", "ipykernel_launcher.py", "ipython")
"""What Python calls a program of which no command is known."""
DECIDES_NUMBERS = ("python", "packages", "threads", "processes", "device")
"""What of an environment can change the last digits of what is learned."""


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
    def open(
        cls,
        folder: Path,
        config: Mapping[str, Any],
        machine: Mapping[str, Any] | None = None,
    ) -> Run:
        """Create the folder, or take up a run that was started there with the same configuration.

        Args:
            machine: facts about the machine that only the caller knows, for `environment`.

        Raises:
            RunError: the folder holds a run with another configuration, or something that is no
                run, or cannot be written.
        """
        run = cls(folder)
        wanted = json.loads(json.dumps(config))
        now = {**environment(), **(machine or {})}
        if run.path(CONFIG).exists():
            run._check_same(wanted)
            run._note_session(now)
            return run
        run._check_empty()
        write_atomically(run.path(ENVIRONMENT), json.dumps(now, indent=1).encode())
        text = yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)
        write_atomically(run.path(CONFIG), text.encode())
        return run

    def path(self, name: str) -> Path:
        """Where a file of this run lies."""
        return self.folder / name

    def config(self) -> dict[str, Any]:
        """What was asked. Raises RunError where it cannot be read."""
        content = self._read(CONFIG, yaml.safe_load, yaml.YAMLError)
        return dict(content)

    def environment(self) -> dict[str, Any]:
        """Versions and machine. Raises RunError where they cannot be read."""
        return dict(self._read(ENVIRONMENT, json.loads, ValueError))

    @property
    def store(self) -> Path:
        """Where its fits and scores lie: the folder that it was begun with, or its own, as where a
        run was copied without saying how it was made.
        """
        known = self.environment() if self.path(ENVIRONMENT).exists() else {}
        return self.folder.resolve() / str(known.get(STORE, "."))

    @property
    def finished(self) -> bool:
        """Whether results are written."""
        return self.path(RESULTS).exists()

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``. Raises RunError where the disk is full."""
        try:
            with self.path(LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise RunError(_not_written(self.path(LOG), error)) from error

    def metrics(self) -> list[dict[str, Any]]:
        """Every logged line; a line cut by a kill is left out, and of a step that two processes
        logged the first line counts.
        """
        if not self.path(LOG).exists():
            return []
        rows: list[Any] = []
        for line in (
            self.path(LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
        logged: dict[Any, dict[str, Any]] = {}
        for place, row in enumerate(rows):
            if isinstance(row, dict):
                step = row.get("run"), row.get("step", f"line {place}")
                logged.setdefault(step, row)
        return list(logged.values())

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json``: the run is finished."""
        write_atomically(self.path(RESULTS), json.dumps(results, indent=1).encode())

    def results(self) -> dict[str, Any]:
        """Read ``results.json``. Raises RunError where it cannot be read."""
        return dict(self._read(RESULTS, json.loads, ValueError))

    # -- checkpoints -------------------------------------------------------------------------------

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint. Raises RunError where the disk is full; the last one stays."""
        if self.path(LOG).exists():
            flush(self.path(LOG))
        meta = {
            "step": str(checkpoint.step),
            "values": json.dumps(checkpoint.values),
            "belongs_to": self._identity(),
        }
        meta["sha256"] = _digest(checkpoint.arrays, meta)
        write_atomically(self.path(CHECKPOINT), save(checkpoint.arrays, metadata=meta))

    def checkpoint(self) -> Checkpoint | None:
        """The latest checkpoint, or None; nothing is changed.

        Raises:
            RunError: it is damaged or belongs to another run.
        """
        path = self.path(CHECKPOINT)
        if not path.exists():
            return None
        with _opened(path) as file:
            meta = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = meta.pop("sha256", None)
        if meta.get("belongs_to") != self._identity():
            raise RunError(
                f"{path} belongs to a run with another configuration. Delete it to start this run"
                " again."
            )
        if said != _digest(arrays, meta):
            raise RunError(f"{path} is damaged. Delete it to start this run again.")
        return Checkpoint(int(meta["step"]), arrays, json.loads(meta["values"]))

    def resume(self) -> Checkpoint | None:
        """The latest checkpoint, or None. Logged lines after it are dropped, so that the log of a
        run that goes on has no doubles; what a kill left half written is removed. Raises like
        `checkpoint`.
        """
        for path in self.folder.iterdir():
            if is_temporary(path.name):
                path.unlink(missing_ok=True)
        checkpoint = self.checkpoint()
        step = 0 if checkpoint is None else checkpoint.step
        kept = [row for row in self.metrics() if row.get("step", 0) <= step]
        if self.path(LOG).exists():
            lines = "".join(json.dumps(row) + "\n" for row in kept)
            write_atomically(self.path(LOG), lines.encode())
        return checkpoint

    def checkpoint_values(self) -> dict[str, Any] | None:
        """The latest checkpoint's small values, without loading its arrays; None where there is no
        checkpoint. Raises RunError where it cannot be read.
        """
        if not self.path(CHECKPOINT).exists():
            return None
        with _opened(self.path(CHECKPOINT)) as file:
            return dict(json.loads(file.metadata()["values"]))

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a finished run."""
        self.path(CHECKPOINT).unlink(missing_ok=True)

    # -- parts -------------------------------------------------------------------------------------

    def _identity(self) -> str:
        """A hash of what was asked."""
        return address(self.config())

    def _check_same(self, wanted: Mapping[str, Any]) -> None:
        changed = _differences(self.config(), wanted)
        if changed:
            raise RunError(
                f"{self.folder} holds a run with another configuration"
                f" ({', '.join(changed)} differ). Choose another --out or delete it."
            )

    def _check_empty(self) -> None:
        """What a kill left before the configuration was written is no content."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise RunError(
                f"{self.folder} is a file, not a folder. Choose another --out."
            )
        left = [path.name for path in self.folder.iterdir()]
        if any(name != ENVIRONMENT and not is_temporary(name) for name in left):
            raise RunError(
                f"{self.folder} is not empty and holds no run. Choose another --out."
            )

    def _note_session(self, now: Mapping[str, Any]) -> None:
        """Write down in what the environment of a run that goes on differs from its first one."""
        if self.finished:
            return
        first = self.environment() if self.path(ENVIRONMENT).exists() else dict(now)
        sessions = first.get("sessions", [])
        before = {**first, **(sessions[-1] if sessions else {})}
        changed = {
            key: now.get(key)
            for key in DECIDES_NUMBERS
            if now.get(key) != before.get(key)
        }
        if changed:
            content = {**first, "sessions": [*sessions, changed]}
            write_atomically(
                self.path(ENVIRONMENT), json.dumps(content, indent=1).encode()
            )

    def _read(
        self, name: str, parse: Callable[[str], Any], wrong: type[Exception]
    ) -> Any:
        path = self.path(name)
        try:
            content = parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, wrong) as error:
            raise RunError(f"{path} cannot be read ({_first_line(error)}).") from error
        if not isinstance(content, dict):
            raise RunError(
                f"{path} holds {type(content).__name__}; expected keys and values."
            )
        return content


def address(content: Any) -> str:
    """The content address of JSON values: equal content, equal address."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_temporary(name: str) -> bool:
    """Whether a file of that name is one that `write_atomically` had not finished."""
    return name.startswith(".") and name.endswith(".part")


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
        raise RunError(_not_written(path, error)) from error


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "command": _command(),
    }


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except (SafetensorError, OSError, KeyError) as error:
        raise RunError(
            f"{path} cannot be read ({_first_line(error)}). Delete it to start this run again."
        ) from error


def _digest(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _command() -> list[str]:
    """The command line as a person would give it again; none where Python was asked step by step:
    in a notebook, at its prompt, or by ``-c``.
    """
    program = Path(sys.argv[0])
    if program.name in STEP_BY_STEP:
        return []
    if program.name == "__main__.py":
        return ["python", "-m", program.parent.name, *sys.argv[1:]]
    return [program.name, *sys.argv[1:]]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [path]
    found = []
    for key in sorted(set(old) | set(new), key=str):
        below = f"{path}.{key}" if path else str(key)
        found += _differences(old.get(key), new.get(key), below)
    return found


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _not_written(path: Path, error: OSError) -> str:
    reason = error.strerror or error
    return (
        f"{path} could not be written ({reason}). What stood there before is unchanged."
    )
