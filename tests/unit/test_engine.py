"""Units of work: done once, at the address of their content, by whoever comes first."""

import os
import threading

import pytest

from matboard.results import PlannedFit
from matboard.runs import Run
from matboard.studies.engine import (
    LOCKS,
    FitUnit,
    InStep,
    Together,
    already_made,
    merge_logs,
    write_plan,
)
from matboard.studies.leases import Leases
from matboard.studies.progress import Progress


class Counting(FitUnit):
    """Counts to three and remembers who did it."""

    def __init__(self, store, name, content, worker="", pause=None):
        super().__init__(store, name, 0, content)
        self.worker = worker
        self.pause = pause

    @property
    def planned(self):
        return PlannedFit(
            name=self.name, variant=self.name, method="count", seed=self.seed
        )

    def learn(self, run, checkpoint):
        yield Progress(self.name, 0, 3)
        if self.pause is not None:
            self.pause.wait(10)
        for step in (1, 2, 3):
            run.log({"step": step, "loss": 0.0})
        run.write_results({"worker": self.worker})
        yield Progress(self.name, 3, 3)


def worker_of(unit):
    return unit.run.results()["worker"]


def test_equal_content_is_one_fit_whatever_it_is_called(tmp_path):
    first = Counting(tmp_path, "a", {"x": 1, "y": [1.5]}, "first")
    list(Together(tmp_path).run([first]))
    again = Counting(tmp_path, "b", {"y": (1.5,), "x": 1}, "again")
    other = Counting(tmp_path, "a", {"x": 2, "y": [1.5]}, "other")
    assert again.finished and not other.finished
    list(Together(tmp_path).run([again, other]))
    assert (worker_of(again), worker_of(other)) == ("first", "other")
    assert len(list((tmp_path / "fits").iterdir())) == 2


def test_two_workers_share_the_units_and_do_each_once(tmp_path):
    names = [f"unit{i}" for i in range(8)]
    started = threading.Barrier(2)

    def work(worker):
        units = [Counting(tmp_path, name, {"name": name}, worker) for name in names]
        started.wait()
        for _ in Together(tmp_path).run(units):
            pass

    threads = [
        threading.Thread(target=work, args=(worker,)) for worker in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    units = [Counting(tmp_path, name, {"name": name}) for name in names]
    assert all(unit.finished for unit in units)
    assert all(len(unit.run.metrics()) == 3 for unit in units), (
        "done twice, a log has doubles"
    )


def test_a_unit_that_another_process_works_on_is_waited_for(tmp_path):
    unit = Counting(tmp_path, "a", {}, "me")
    with Leases(tmp_path / LOCKS).wait(unit.address):
        events = Together(tmp_path).run([unit])
        assert next(events).stage == "wait for other workers"
    assert [event.stage for event in events] == ["a-s0", "a-s0"]
    assert worker_of(unit) == "me"


def test_a_unit_finished_on_another_machine_is_not_done_again(tmp_path):
    """Though the disk still shows the folder as it was before, as NFS does."""

    class Remembering(Counting):
        seen = None

        @property
        def finished(self):
            changed = self.run.folder.stat().st_mtime_ns
            if self.seen is None or self.seen[0] != changed:
                self.seen = changed, self.run.finished
            return self.seen[1]

    unit = Remembering(tmp_path, "a", {}, "me")
    Run.open(unit.run.folder, unit.content)
    before = unit.run.folder.stat()
    assert not unit.finished
    unit.run.write_results({"worker": "another"})
    os.utime(unit.run.folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not unit.finished
    assert list(Together(tmp_path).run([unit])) == []
    assert worker_of(unit) == "another"


def test_in_step_every_process_does_every_unit(tmp_path):
    units = [Counting(tmp_path, name, {"name": name}) for name in "ab"]
    with Leases(tmp_path / LOCKS).wait(units[0].address):
        stages = [event.stage for event in InStep().run(units)]
    assert stages == ["a-s0", "a-s0", "b-s0", "b-s0"]


def test_a_study_knows_its_fits_and_what_it_was_made_from(tmp_path):
    study = Run.open(tmp_path / "study", {})
    units = [Counting(tmp_path / "store", name, {"name": name}) for name in "ab"]
    list(InStep().run(units))
    write_plan(study, "transfer", units)
    plan = study.path("plan.json").read_text()
    assert f"../store/fits/a-s0-{units[0].address}" in plan
    merge_logs(study, units)
    rows = [(row["run"], row["step"]) for row in study.metrics()]
    assert rows == [(f"{name}-s0", step) for name in "ab" for step in (1, 2, 3)]
    assert not already_made(study, "x")
    study.write_results({"made_from": "x"})
    assert already_made(study, "x") and not already_made(study, "y")
    study.path("results.json").write_text("{")
    assert not already_made(study, "x")


@pytest.mark.parametrize("content", [{"a": float("inf")}, {"a": 2**70}])
def test_any_json_content_has_an_address(tmp_path, content):
    assert (
        Counting(tmp_path, "a", content).address
        == Counting(tmp_path, "b", content).address
    )
