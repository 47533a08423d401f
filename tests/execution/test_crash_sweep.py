"""Kill the study, or fail a system call, at every point where it writes; run again; the bytes must be the same."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import execution_stub_study as stub
import pytest

from retrain_equivalence.core.errors import InstrumentError
from retrain_equivalence.store.local import LocalStore

Fingerprint = dict[str, str]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory where there is one: hundreds of runs, each with hundreds of fsyncs."""
    base = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as name:
        yield Path(name)


@pytest.fixture
def whole(place: Path) -> Fingerprint:
    stub.run_stub(place / "whole")
    return stub.fingerprint(place / "whole")


def faulty(root: Path, faults: stub.Faults) -> int:
    def work() -> int:
        faults.install()
        try:
            return stub.run_stub(root).exit_code
        except InstrumentError as error:
            return error.exit_code

    return stub.in_fork(work)


def points(place: Path) -> list[str]:
    """The names of all writing system calls of an uninterrupted run."""
    names = place / "names"

    def work() -> int:
        faults = stub.Faults()
        faults.install()
        stub.run_stub(place / "counted")
        names.write_text("\n".join(faults.names))
        return 0

    assert stub.in_fork(work) == 0
    return names.read_text().split("\n")


def recovered(root: Path, whole: Fingerprint, at: str) -> None:
    """Run again, in a process of its own as a user would, and compare every byte."""

    def work() -> int:
        store = LocalStore(root)
        if list(store.verify()):
            return 50
        return stub.run_stub(root).exit_code

    assert stub.in_fork(work) == 0, f"{at}: half an object is visible, or the run does not resume"
    assert stub.fingerprint(root) == whole, at
    assert stub.leftovers(root) == [], at
    assert list((root / "quarantine").iterdir()) == [], at


def sweep(place: Path, whole: Fingerprint, at: range) -> None:
    for k in at:
        root = place / f"crash-{k}"
        assert faulty(root, stub.Faults(at=k)) == 137, f"call {k}"
        recovered(root, whole, f"killed at call {k}")
        shutil.rmtree(root)


def test_the_sweep_meets_every_kind_of_call(place: Path) -> None:
    names = points(place)
    assert set(names) == set(stub.SYSCALLS)
    assert len(names) > 300


def test_killed_at_a_sample_of_all_points(place: Path, whole: Fingerprint) -> None:
    n = len(points(place))
    # The stride has no factor in common with the calls of one commit, so every position in a commit is met.
    sweep(place, whole, range(1, n + 1, 7))


def test_killed_at_every_point_of_the_beginning(place: Path, whole: Fingerprint) -> None:
    # Making the store, the first commit, and the first checkpoints.
    sweep(place, whole, range(1, 70))


@pytest.mark.slow
def test_killed_at_every_point(place: Path, whole: Fingerprint) -> None:
    sweep(place, whole, range(1, len(points(place)) + 1))


def test_the_recovery_may_be_killed_as_well(place: Path, whole: Fingerprint) -> None:
    for first in (40, 95, 150, 211, 290):
        root = place / f"again-{first}"
        assert faulty(root, stub.Faults(at=first)) == 137
        for later in (3, 11, 26, 55):
            assert faulty(root, stub.Faults(at=later)) == 137
        recovered(root, whole, f"killed at {first} and in four recoveries")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_refused_call_costs_the_task_and_nothing_else(place: Path, whole: Fingerprint, number: int) -> None:
    n = len(points(place))
    codes = set()
    for k in range(1, n, 17):
        root = place / f"error-{k}"
        code = faulty(root, stub.Faults(at=k, fails_with=number))
        codes.add(code)
        # A chmod of a committed folder and the removal of leftovers are best effort: they may fail unseen.
        assert code in (0, 6), f"{errno.errorcode[number]} at call {k} gave exit code {code}"
        recovered(root, whole, f"{errno.errorcode[number]} at call {k}")
        shutil.rmtree(root)
    assert 6 in codes


def test_a_full_disk_stays_full_and_nothing_is_lost(place: Path, whole: Fingerprint) -> None:
    class Full(stub.Faults):
        """From the k-th write on, every write is refused."""

        def _wrapped(self, name, real):  # type: ignore[no-untyped-def]
            def call(*args, **kwargs):  # type: ignore[no-untyped-def]
                self.count += 1
                if self.count >= self.at:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(*args, **kwargs)

            return call

    for k in (1, 10, 25, 40):
        root = place / f"full-{k}"
        assert faulty(root, Full(at=k, only=("write",))) == 6
        assert stub.leftovers(root) == []
        recovered(root, whole, f"full from write {k} on")
