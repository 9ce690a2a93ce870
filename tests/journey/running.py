"""Commands that serve until they are interrupted."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Running:
    """A command of matboard.

    Attributes:
        address: its first line on stdout.
    """

    def __init__(self, *command: object) -> None:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)], preexec_fn=_heed_interrupts, **streams
        )
        self.address = self.process.stdout.readline().strip()

    def interrupted(self) -> tuple[int, str]:
        """Its exit code, and all it said beside its address."""
        self.process.send_signal(signal.SIGINT)
        said, told = self.process.communicate(timeout=300)
        return self.process.returncode, said + told


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores them, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running(*command: object) -> Iterator[Running]:
    served = Running(*command)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.communicate()
