from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from gradcon_ext.storage.lock import FolderInUse, locked, refuse_in_use, reserved

HOLD = """
import sys, time
from gradcon_ext.storage.lock import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "made")],
        cwd=tmp_path,  # in the source's folder Python would import what is not installed
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_refused_and_named(holder, tmp_path):
    with pytest.raises(FolderInUse) as refused, locked(tmp_path / "made"):
        pass
    for fact in (str(tmp_path / "made"), f"process {holder.pid} on {socket.gethostname()}", " since 20"):
        assert fact in str(refused.value)
    with pytest.raises(FolderInUse):
        refuse_in_use(tmp_path / "made")
    holder.communicate("")
    assert os.listdir(tmp_path / "made") == []
    with locked(tmp_path / "made"):
        pass


def test_a_killed_process_holds_nothing(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert sorted(os.listdir(tmp_path / "made")) == [".lock", ".lock.json"]
    refuse_in_use(tmp_path / "made")
    with locked(tmp_path / "made"), pytest.raises(FolderInUse, match=f"process {os.getpid()} "):
        refuse_in_use(tmp_path / "made")
    assert os.listdir(tmp_path / "made") == []


def test_who_is_patient_gets_the_folder_when_it_is_free(holder, tmp_path):
    with pytest.raises(FolderInUse, match=f"process {holder.pid} "), locked(tmp_path / "made", 0.1):
        pass
    leave = threading.Timer(0.2, holder.communicate, [""])
    leave.start()
    with locked(tmp_path / "made", 60):
        leave.join()
    assert holder.returncode == 0


@pytest.mark.parametrize("name", [".lock", ".lock.json"])
@pytest.mark.parametrize("content", ["mine", '{"mine": 1}', "[]"])
def test_a_file_of_somebody_else_stays(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name} is not what gradcon_ext writes"), locked(tmp_path):
        pass
    assert [path.read_text() for path in tmp_path.iterdir()] == [content]


@pytest.mark.parametrize("name", [".lock", ".lock.json"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_stays(tmp_path, name, exists):
    target = tmp_path / "target"
    if exists:
        target.write_text("")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).symlink_to(target)
    with pytest.raises(ValueError, match=f"{name} is not what gradcon_ext writes"), locked(folder):
        pass
    assert (folder / name).is_symlink()
    assert target.exists() == exists


def test_who_it_is_may_be_unknown(tmp_path):
    with locked(tmp_path):
        (tmp_path / ".lock.json").unlink()
        with pytest.raises(FolderInUse, match="another process"), locked(tmp_path):
            pass


def test_two_blocks_of_one_process_do_not_meet(tmp_path):
    refused = []

    def enter():
        try:
            with locked(tmp_path):
                pass
        except FolderInUse as error:
            refused.append(error)

    with locked(tmp_path):
        enter()
        other = threading.Thread(target=enter)
        other.start()
        other.join()
    assert len(refused) == 2
    with locked(tmp_path):
        pass


def test_a_reserved_folder_is_granted_to_what_is_called_and_to_nobody_else(tmp_path):
    refused = []

    def enter():
        with pytest.raises(FolderInUse), locked(tmp_path):
            pass
        refused.append(True)

    with reserved(tmp_path):
        with locked(f"{tmp_path}/"):
            pass
        assert (tmp_path / ".lock").exists()
        other = threading.Thread(target=enter)
        other.start()
        other.join()
    assert refused == [True]
    assert os.listdir(tmp_path) == []


def test_a_failure_gives_the_folder_back(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_link_to_the_folder_is_the_same_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with locked(tmp_path / "folder"), pytest.raises(FolderInUse), locked(tmp_path / "link"):
        pass


def test_a_forked_child_does_not_give_the_lock_of_its_parent_back(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(locked(tmp_path))
        child = os.fork()
        if child == 0:
            stack.close()  # as the child's end would
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(FolderInUse):
            refuse_in_use(tmp_path)


def test_one_at_a_time_whoever_is_first(tmp_path):
    inside, overlaps, entered = [], [], []

    def work():
        while len(entered) < 200:
            try:
                with locked(tmp_path):
                    inside.append(True)
                    overlaps.append(len(inside) > 1)
                    inside.pop()
                    entered.append(True)
            except FolderInUse:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(overlaps)
