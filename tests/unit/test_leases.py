"""Leases: one holder at a time, given back by whoever dies, lost by whoever is held up."""

import os
import signal
import subprocess
import sys
import time

import pytest

from matboard.errors import RunError
from matboard.studies import leases
from matboard.studies.engine import LOCKS, FitUnit, Together
from matboard.studies.leases import Leases
from matboard.studies.progress import Progress

HOLD = """
import sys, time
from pathlib import Path
import socket
if sys.argv[3]:
    socket.gethostname = lambda: sys.argv[3]
from matboard.studies.leases import Leases
lease = Leases(Path(sys.argv[1]), float(sys.argv[2])).take("a")
print("held" if lease else "taken", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts processes that take the lease ``a`` and sleep, on this machine or, for all that their
    lease says, on another one.
    """
    started = []

    def start(seconds=60.0, host=""):
        words = [sys.executable, "-c", HOLD, tmp_path, str(seconds), host]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_one_holds_a_lease_and_gives_it_back(tmp_path):
    first, second = Leases(tmp_path), Leases(tmp_path)
    held = first.take("a")
    assert held is not None and second.take("a") is None and second.take("b")
    held.release()
    assert second.take("a") is not None


def test_a_killed_holder_on_this_machine_gives_it_back_at_once(tmp_path, holder):
    process = holder()
    ours = Leases(tmp_path)
    assert ours.take("a") is None
    process.kill()
    process.wait()
    started = time.monotonic()
    while ours.take("a") is None:
        assert time.monotonic() - started < leases.LEASE / 10


def test_a_holder_elsewhere_keeps_it_while_it_lives_and_no_longer(tmp_path, holder):
    """Of a process on another machine nobody here knows whether it lives: only its touches tell."""
    process = holder(seconds=0.9, host="elsewhere")
    ours = Leases(tmp_path, 0.9)
    alive_until = time.monotonic() + 2
    while time.monotonic() < alive_until:
        assert ours.take("a") is None
        time.sleep(0.1)
    process.kill()
    killed = time.monotonic()
    while ours.take("a") is None:
        assert time.monotonic() - killed < 10
        time.sleep(0.1)
    assert time.monotonic() - killed > 0.3


def test_a_holder_that_was_held_up_leaves_the_unit_to_who_took_it(tmp_path):
    unit = Slow(tmp_path, "held up", 0, {})
    work = Together(tmp_path, seconds=0.6).run([unit])
    next(work)
    (tmp_path / LOCKS / f"{unit.address}.lease").unlink()
    other = Leases(tmp_path / LOCKS, 0.6).take(unit.address)
    time.sleep(1.0)  # two touches, which find another's lease
    assert next(work).stage == "wait for other workers" and unit.closed
    other.release()
    unit.run.write_results({})
    assert list(work) == []


class Slow(FitUnit):
    """Yields without end and notices when it is told to stop."""

    closed = False

    @property
    def planned(self):
        raise NotImplementedError

    def learn(self, run, checkpoint):
        try:
            while True:
                yield Progress("step", 0, 1)
        finally:
            self.closed = True


def test_workers_whose_leases_last_for_another_time_are_told(tmp_path, holder):
    holder(seconds=30.0, host="elsewhere")
    with pytest.raises(RunError, match="Another version of matboard works in"):
        Leases(tmp_path, 60.0).take("a")


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        Leases(tmp_path / "file").take("a")


def test_a_stopped_process_loses_nothing_on_its_own_machine(tmp_path, holder):
    process = holder()
    os.kill(process.pid, signal.SIGSTOP)
    assert Leases(tmp_path).take("a") is None
    os.kill(process.pid, signal.SIGCONT)
