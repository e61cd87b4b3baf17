"""The server as a process of its own."""

from __future__ import annotations

import http.client
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradcon_ext.serving.server import listening
from support.pages import blocks_of, commands_of
from support.served import encoded, random_bytes

LONG = 300  # Seconds, after which a process hangs: others on the machine may slow it.
IMAGES = random_bytes(count=3)
SCORE = "/score?shape=3,1,8,8"
RAW = {"content-type": "application/octet-stream"}


class Process:
    """A server on a free port."""

    def __init__(self, tmp_path: Path, *words: str | Path, module: str = "gradcon_ext.serving") -> None:
        # Not in the folder of the source, which has no binaries.
        command = [sys.executable, "-m", module, *words, "--port", "0"]
        self.popen = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line.startswith("Serving "), self.popen.communicate()
        self.address = line.split()[-1]
        self.port = int(self.address.rpartition(":")[2])

    def connected(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit code, and what was said on standard error."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        _, err = self.popen.communicate(timeout=LONG)
        return self.popen.returncode, err


@pytest.fixture
def start(detector_file: Path, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def begin(*options: str, **module: str) -> Process:
        words = options if module else (detector_file, *options)
        processes.append(Process(tmp_path, *words, **module))
        return processes[-1]

    yield begin
    for process in processes:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate()


def answer_of(connection: http.client.HTTPConnection) -> tuple[int, Any, bool]:
    """Status, content, and whether the connection goes on."""
    response = connection.getresponse()
    content = json.loads(response.read())
    return response.status, content, response.getheader("connection") != "close"


def ask(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", SCORE, IMAGES.tobytes(), RAW)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_at_work_at_the_end_is_answered(start: Callable[..., Process], number: signal.Signals) -> None:
    process = start("--batch-wait", "500")
    connections = [process.connected() for _ in range(8)]
    for connection in connections:
        ask(connection)
    assert answer_of(connections[0])[0] == 200
    for connection in connections[1:]:
        assert answer_of(connection)[0] == 200
    for connection in connections:
        ask(connection)  # which waits to be gathered when the signal comes
    code, err = process.end(number)
    assert (code, err) == (0, "")
    for connection in connections:
        status, content, _ = answer_of(connection)
        assert status == 200
        assert len(content["images"]) == 3


def test_what_is_not_at_its_end_after_the_grace_is_told_so(start: Callable[..., Process]) -> None:
    process = start("--grace", "1")
    connection = process.connected()
    connection.putrequest("POST", SCORE)
    connection.putheader("content-type", RAW["content-type"])
    connection.putheader("content-length", str(IMAGES.nbytes))
    connection.endheaders(IMAGES.tobytes()[:9])
    code, err = process.end()
    assert code == 0
    assert "Cancel 1 running task(s)" in err
    assert len(err.splitlines()) == 1, err
    assert answer_of(connection) == (503, {"error": "The server has ended."}, False)


def test_nothing_is_lost_in_a_stream_of_requests(start: Callable[..., Process]) -> None:
    process = start()
    answered, failed = [0] * 8, list[BaseException]()
    is_under_way = threading.Barrier(9)

    def stream(number: int) -> None:
        try:
            connection, goes_on = process.connected(), True
            while goes_on:
                ask(connection)
                status, content, goes_on = answer_of(connection)
                assert status == 200
                assert len(content["images"]) == 3
                answered[number] += 1
                if answered[number] == 10:
                    is_under_way.wait(LONG)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=stream, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    is_under_way.wait(LONG)
    code, err = process.end()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (code, err) == (0, "")
    assert min(answered) >= 11
    with pytest.raises(ConnectionRefusedError):
        process.connected().connect()


def test_it_listens_on_loopback_and_warns_elsewhere(start: Callable[..., Process]) -> None:
    process = start()
    assert process.address == f"http://127.0.0.1:{process.port}"
    assert process.end() == (0, "")
    code, err = start("--host", "0.0.0.0").end()
    assert code == 0
    assert err == "Warning: anybody who reaches this address may use it.\n"


def test_what_clients_send_does_not_reach_the_log(start: Callable[..., Process]) -> None:
    process = start()
    evil = b"\x1b[2Jforged\rline"
    name = b'Content-Disposition: form-data; name="a"; filename="' + evil + b'"\r\n\r\n?'
    body = b"--x\r\n" + name + b"\r\n--x--\r\n"
    head = b"POST /%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary=x\r\n"
    for path, header in (
        (b"score", b"x-shape: forged"),
        (b"forged%1b%0d%0aline", b"a: forged"),
        (b"score", evil + b": forged"),
    ):
        with socket.create_connection(("127.0.0.1", process.port), timeout=LONG) as connection:
            connection.sendall(head % path + header + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            assert connection.recv(100).startswith(b"HTTP/1.1 4")
    with socket.create_connection(("127.0.0.1", process.port), timeout=LONG) as connection:
        connection.sendall(b"\x1b forged\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    code, err = process.end()
    assert code == 0
    assert "forged" not in err
    assert "\x1b" not in err


def test_the_example_in_the_documentation_runs(
    start: Callable[..., Process], capsys: pytest.CaptureFixture[str]
) -> None:
    process = start()
    (code,) = blocks_of("serving.md", "python")
    exec(compile(code.replace("127.0.0.1:8000", f"127.0.0.1:{process.port}"), "serving.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1"]
    assert process.end()[0] == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("command", [line for line in commands_of("serving.md") if "--port 8000" in line])
def test_the_commands_in_the_documentation_run(
    command: str, start: Callable[..., Process], detector_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    shutil.copy(detector_file, tmp_path / "runs" / "photos" / "detector.safetensors")
    for name, kind in (("one.png", "PNG"), ("other.jpg", "JPEG")):
        (tmp_path / name).write_bytes(encoded(IMAGES[0, 0], kind))
    _, _, module, *words = shlex.split(command.replace("gradcon serve", "python -m gradcon_ext serve"))
    process = start(*words, module=module)
    answers = []
    for line in commands_of("serving.md"):
        if line.startswith("curl "):
            curl = shlex.split(line.replace("127.0.0.1:8000", f"127.0.0.1:{process.port}"))
            done = subprocess.run([*curl, "--fail-with-body"], cwd=tmp_path, capture_output=True, check=True)
            answers.append(json.loads(done.stdout)["images"])
    assert [row["name"] for row in answers[0]] == ["one.png", "other.jpg"]
    assert all("heat_map" in row for row in answers[0])
    assert len(answers[1]) == 1
    assert process.end()[0] == 0


def test_a_slow_request_is_given_up(start: Callable[..., Process]) -> None:
    process = start("--timeout", "0.3")
    with socket.create_connection(("127.0.0.1", process.port), timeout=LONG) as connection:
        connection.sendall(
            b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\n12"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    assert process.end()[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing"], "there is no nothing"),
        (["DETECTOR", "--port", "PORT"], "Address already in use"),
        (["DETECTOR", "--threads", "0"], "threads must be positive, got 0"),
        (["DETECTOR", "--max-body", "9999999999"], "max_body is 9999999999 bytes; max_memory allows"),
    ],
)
def test_what_cannot_be_served_is_an_error(
    detector_file: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = {"DETECTOR": str(detector_file), "PORT": str(taken.getsockname()[1])}
        command = [sys.executable, "-m", "gradcon_ext.serving", *(given.get(word, word) for word in options)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("gradcon_ext.serving: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


WITHOUT_TORCH = """
import sys

ABSENT = {"torch", "sklearn", "matplotlib", "tqdm", "scipy", "pooch", "threadpoolctl", "filelock"}

class Absence:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is not to be imported")

sys.meta_path.insert(0, Absence())
"""


def python(code: str, *arguments: Any) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=sys.prefix, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_torch_is_needed(detector_file: Path) -> None:
    code = """
from starlette.testclient import TestClient
from gradcon_ext.serving.app import create_app
from gradcon_ext.serving.detector import ServedDetector
from gradcon_ext.serving.settings import Settings
import gradcon_ext.serving.server
with TestClient(create_app(ServedDetector.load(sys.argv[1]), Settings())) as client:
    headers = {"content-type": "application/octet-stream"}
    answer = client.post("/score?shape=1,1,8,8&heat_map=1", content=bytes(64), headers=headers)
assert not ABSENT & set(sys.modules), set(sys.modules)
print(answer.status_code)
"""
    assert python(WITHOUT_TORCH + code, detector_file) == "200"


def test_nothing_of_the_extra_is_imported_without_need() -> None:
    code = """
import sys
import gradcon_ext.runtime, gradcon_ext.cli, gradcon_ext.serving.options
print(sorted({"fastapi", "starlette", "uvicorn", "prometheus_client", "python_multipart"} & set(sys.modules)))
"""
    assert python(code) == "[]"
    code = "import sys; import gradcon_ext.runtime; print(sorted({'PIL', 'fastapi', 'torch'} & set(sys.modules)))"
    assert python(code) == "[]"


def test_without_the_extra_it_says_what_to_install(detector_file: Path) -> None:
    code = """
import sys
sys.modules["fastapi"] = None
sys.argv = ["serving", sys.argv[1]]
from gradcon_ext.serving.__main__ import main
sys.stderr = sys.stdout
print(main())
"""
    out = python(code, detector_file)
    assert out.endswith("pip install 'gradcon_ext[serve]' has what a server needs\n1")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    """By the connections themselves: how long it would take depends on the system."""
    try:
        listener = listening(host, 0)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with listener, socket.create_connection(listener.getsockname()[:2]), listener.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
