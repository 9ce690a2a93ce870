"""Files that outlast a loss of power, and reading of files that nobody vouches for.

What a rename publishes is on the disk before the rename, and the rename right after it. A rename
alone protects against a kill, not against a loss of power: the new name can reach the disk before
the content, which leaves an empty file where a whole one was. How far a flush reaches is up to
``os.fsync``, the file system and the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub.utils import WeakFileLock

NOT_SUPPORTED = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EBADF,
}
"""How file systems say that they cannot flush a file at all."""


def read_regular(file: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises OSError, also for a pipe or a device, which may never end, and for a larger file; its
    ``strerror`` says what came.
    """
    size = regular_size(file)
    if size > most:
        raise OSError(
            errno.EFBIG, f"it has {size} bytes, at most {most} are expected", str(file)
        )
    with file.open("rb") as handle:
        return handle.read(most)


def regular_size(file: Path) -> int:
    """Bytes of a regular file, which is not opened. Raises OSError where it is another kind."""
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(
            errno.EINVAL, "a pipe, socket or device, not a regular file", str(file)
        )
    return found.st_size


def publish(finished: Path, target: Path) -> None:
    """Move a finished file, or a folder of finished files, to its place, replacing a file that is
    there.

    Raises OSError where the content does not fit on the disk or the move fails; what was at the
    target is then untouched.
    """
    inside = sorted(finished.rglob("*")) if finished.is_dir() else []
    for path in [*inside, finished]:
        if path.is_dir():
            flush_folder(path)
        else:
            flush(path)
    finished.replace(target)
    flush_folder(target.parent)


def write_whole(target: Path, content: bytes, *, replace: bool) -> None:
    """Write a file that is never seen half, not even by who comes after a kill.

    Where the system can (Linux), it has no name until it is whole and flushed, so that a kill
    leaves nothing behind; elsewhere it is written under a hidden name and moved.

    Raises FileExistsError where there is a file and ``replace`` is False; OSError where it cannot
    be written. What was at the target is then untouched.
    """
    if not replace and target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        _write_nameless(target, content, replace)
    except (NotImplementedError, IsADirectoryError, FileNotFoundError):
        _write_aside(target, content)
    except OSError as error:
        if error.errno not in {*NOT_SUPPORTED, errno.EXDEV, errno.EPERM}:
            raise
        _write_aside(target, content)
    flush_folder(target.parent)


def _write_nameless(target: Path, content: bytes, replace: bool) -> None:
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is None:
        raise NotImplementedError
    descriptor = os.open(target.parent, nameless | os.O_WRONLY, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
        if not replace:
            _link(descriptor, target)
            return
        # A link cannot replace. Under this name only whole files ever lie, so another process, or
        # the next after a kill, may take it away or use it.
        whole = target.with_name(f".{target.name}.whole")
        whole.unlink(missing_ok=True)
        _link(descriptor, whole)
        try:
            whole.replace(target)
        except FileNotFoundError:
            return
        except OSError:
            whole.unlink(missing_ok=True)
            raise


def _link(descriptor: int, name: Path) -> None:
    """Give a nameless file its name, as open(2) says under O_TMPFILE."""
    # Without a folder's descriptor Python would link the symbolic link itself.
    os.link(
        f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor, follow_symlinks=True
    )


def _write_aside(target: Path, content: bytes) -> None:
    aside = target.with_name(f".{target.name}-{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        flush(aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """A file or folder that is costly to make: made where it is missing, by one process at a time.

    It is made aside, in a folder of this process's own, and published whole; who waited for it
    takes what the other made. What a killed process left aside is removed.

    Args:
        make: makes the file or folder at the path that it is given, whose parent exists.

    Raises OSError, and whatever ``make`` raises; nothing is published then.
    """
    if target.exists():
        return target
    make_folder(target.parent)
    aside = f".making-{target.name}-"
    with WeakFileLock(target.with_name(f".{target.name}.lock")):
        if not target.exists():
            for left in target.parent.glob(f"{aside}*"):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(
                dir=target.parent, prefix=aside
            ) as scratch:
                fresh = Path(scratch) / target.name
                make(fresh)
                publish(fresh, target)
    return target


def make_folder(folder: Path) -> None:
    """Create a folder and what is missing above it, and flush those entries. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush_folder(path.parent)


def look_again(folder: Path) -> None:
    """See what other machines have put into a folder. Raises OSError where it cannot be written.

    NFS may tell for a minute what a folder held before. A file that is created there brings the
    folder as it is now: the server's answer says when it changed (RFC 1813, 4.3; RFC 8881, 10.8).
    """
    if folder.is_dir():
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".look-", suffix=".part"):
            pass


def flush(file: Path) -> None:
    """Bring a file's content to the disk, where the file system can. Raises OSError: the disk is
    full or broken.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk. Some systems refuse this; the entries are right all the
    same, so no error is raised.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
