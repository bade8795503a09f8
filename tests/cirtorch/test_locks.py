"""Locks that other machines must respect."""

import errno
import fcntl
import os
import socket

import pytest

from cirtorch.utils import locks
from cirtorch.utils.locks import held, moment_in, moment_now, process_here, why_not_shared


def refuse(holder):
    raise AssertionError(holder)


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Writes what the system tells of mounts; tells a point that holds the folder of the test."""
    point = str(tmp_path.parent).replace("\\", "\\134").replace(" ", "\\040")

    def write(options):
        lines = (
            f"root / ext4 rw 0 0\nserver:/x {point} nfs {options} 0 0\nother /else nfs nolock 0 0\n"
        )
        (tmp_path / "mounts").write_text(lines)
        monkeypatch.setattr(locks, "MOUNTS", tmp_path / "mounts")

    return write


def test_locks_that_reach_other_machines(tmp_path, mounts):
    mounts("rw,vers=4.2,local_lock=none")
    assert why_not_shared(tmp_path / "new" / "folder") is None


@pytest.mark.parametrize("option", ["nolock", "localflock", "local_lock=all", "local_lock=posix"])
def test_locks_that_stay_on_this_machine(tmp_path, mounts, option):
    mounts(f"rw,{option}")
    told = f"the locks of {tmp_path.parent} stay on this machine ({option})"
    assert why_not_shared(tmp_path) == told


def test_mounts_that_are_not_told(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "MOUNTS", tmp_path / "absent")
    assert why_not_shared(tmp_path) is None


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def lockf(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", lockf)
    assert why_not_shared(tmp_path) == "this file system knows no locks (No locks available)"
    assert [*tmp_path.iterdir()] == []


def removed_elsewhere(path, monkeypatch, tell):
    """Another machine removes a lock file just before it is locked, which is not known at once."""
    lockf, stat = fcntl.lockf, os.stat

    def remove_and_lock(file, how):
        old = stat(path)
        os.unlink(path)

        def tell_once(*given, **options):
            monkeypatch.setattr(os, "stat", stat)
            return tell(old)

        monkeypatch.setattr(os, "stat", tell_once)
        monkeypatch.setattr(fcntl, "lockf", lockf)
        lockf(file, how)

    monkeypatch.setattr(fcntl, "lockf", remove_and_lock)


def test_a_lock_file_that_another_machine_removed_is_not_held(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    removed_elsewhere(path, monkeypatch, tell=lambda old: old)
    with held(path, refuse):
        assert path.read_text().startswith(f"process {os.getpid()} ")


def test_a_lock_file_whose_handle_is_stale_is_opened_again(tmp_path, monkeypatch):
    def stale(old):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    path = tmp_path / "lock"
    removed_elsewhere(path, monkeypatch, tell=stale)
    with held(path, refuse):
        assert path.read_text().startswith(f"process {os.getpid()} ")


def test_an_instant_in_which_somebody_looks_at_a_lock_is_waited_for(tmp_path, monkeypatch):
    lockf, tries = fcntl.lockf, []

    def busy_once(file, how):
        tries.append(how)
        if len(tries) == 1:
            raise BlockingIOError
        lockf(file, how)

    monkeypatch.setattr(fcntl, "lockf", busy_once)
    with held(tmp_path / "lock", refuse):
        assert len(tries) == 2


def test_a_holder_tells_its_process_and_since_when(tmp_path):
    before = moment_now()
    with held(tmp_path / "lock", refuse):
        holder = (tmp_path / "lock").read_text().strip()
    assert process_here(holder) == os.getpid()
    assert before <= moment_in(holder) <= moment_now()
    elsewhere = holder.replace(f" on {socket.gethostname()} ", " on elsewhere ")
    assert process_here(elsewhere) is None and process_here(None) is None
