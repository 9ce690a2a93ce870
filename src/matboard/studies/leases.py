"""Who works on what: each unit has one holder at a time, among processes that see the same folder.

A *lease* is a small file that its holder touches every few seconds. It is there or it is not, so
all that a disk must be able to do is to create a file for one process only, and to show its time of
change to the others; locks of the operating system are not needed. They are no safe ground for
shared disks: Lustre mounted with ``localflock``, BeeGFS by default, NFS with ``nolock`` and most
object stores keep them to one machine and say nothing, and NFS 3 keeps the lock of a machine that
is gone for good.

What is guaranteed where, for what `filelock.SoftFileLease` does:

* **A worker that is killed gives its units back**: at once to workers on the same machine, which
  see by process id, start time and boot that it is gone; to workers on other machines once the
  lease has not been touched for `LEASE` seconds, by each worker's own clock, so clocks need not
  agree. In containers whose first process collects no dead children it takes as long.
* **A unit runs once** on a disk whose creation of a file is exclusive (local disks, NFS 3 and 4,
  Lustre, GPFS, BeeGFS, CephFS, SMB), among machines whose host names differ, as long as no worker
  is held up for longer than `LEASE` seconds (suspended, or cut off from the disk) and goes on.
* **One that is held up so long finds its lease lost** and leaves the unit to whoever took it. For
  one step or one touch of the lease both may have worked. That does no harm: every file but the
  log is replaced as a whole, both reach the same bits, and lines that both logged count once.
* **Nothing is guaranteed** on disks without exclusive creation (some object stores mounted as
  folders), and none is needed for processes that share each batch, see `engine.InStep`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

from matboard.disk import make_folder
from matboard.errors import RunError

LEASE = 60.0
"""Seconds without a touch after which others take a lease (guess: far more than a stall of a busy
disk, and little beside the hours of a fit); its holder touches it three times as often.
"""
WAIT = 0.5
"""Seconds between two looks at what others hold (guess)."""


class Leases:
    """Leases of one folder, as one process takes them.

    Args:
        folder: that all workers see; created when the first lease is taken.
        seconds: see `LEASE`; the same for all who work there.
    """

    def __init__(self, folder: Path, seconds: float = LEASE) -> None:
        self.folder = folder
        self._seconds = seconds
        # Kept, since each remembers since when it has seen its holder's file unchanged.
        self._seen: dict[str, SoftFileLease] = {}

    def take(self, name: str) -> SoftFileLease | None:
        """The lease of that name, held until its ``release()``; None where another has it.

        Raises:
            RunError: the folder cannot be written, or is worked in by a matboard whose leases last
                for another time.
        """
        try:
            make_folder(self.folder)
            lease = self._lease(name)
            lease.acquire(timeout=0)
        except Timeout:
            return None
        except LeaseSettingsMismatch as error:
            raise RunError(
                f"Another version of matboard works in {self.folder.parent}. Use one version for"
                " all workers."
            ) from error
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"{self.folder} cannot be written ({reason}).") from error
        del self._seen[name]
        return lease

    @contextmanager
    def wait(self, name: str) -> Iterator[None]:
        """Hold the lease of that name, waiting for whoever has it. Raises like `take`."""
        while (lease := self.take(name)) is None:
            time.sleep(WAIT)
        try:
            yield
        finally:
            lease.release()

    def _lease(self, name: str) -> SoftFileLease:
        if name not in self._seen:
            path = self.folder / f"{name}.lease"
            self._seen[name] = SoftFileLease(path, lease_duration=self._seconds)
        return self._seen[name]
