"""How much does a server keep of the speed of direct scoring, how long do requests take, and does its memory stay?

    python -m benchmarks.serving [--rounds 5] [--requests 100000] [--out benchmarks/results/serving.md]

The server, its clients and what is compared with it share the processors of this machine. Each round runs each
contender once, in a new order; a ratio is the median over rounds of that with direct scoring in the same round. Every
loop is bounded: `--requests 0` leaves the memory out.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.workload import autoencoder
from gradcon_ext import Detector, calibrated
from gradcon_ext.data.reading import Preparation
from gradcon_ext.runtime import Scorer
from gradcon_ext.serving.files import decoded_images

SHAPE = (3, 28, 28)
RAW = 64
CLIENTS = (1, 4, 16, 64)
RAW_REQUESTS, ENCODED_REQUESTS = 192, 768
MEMORY_CLIENTS, MEMORY_STEPS = 16, 10
LARGEST_PIXELS = 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (RAW, *SHAPE), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "detector.safetensors")
        write_detector(path)
        server = Server(path)
        try:
            begun = os.getloadavg()[0]
            contenders = all_contenders(server, Scorer.load(path), images)
            measure(contenders, arguments.rounds)
            memory = asyncio.run(memory_of(server, encoded_request(images), arguments.requests))
        finally:
            server.end()
    lines = [
        *(f"- {line}" for line in facts(arguments.rounds, begun)),
        "",
        *table_of(contenders),
        "",
        *lines_of_memory(memory),
    ]
    print(*lines, sep="\n")
    if arguments.out is not None:
        arguments.out.write_text("\n".join(["# A server beside direct scoring", "", *lines]) + "\n", encoding="utf-8")


def write_detector(path: Path) -> None:
    workload = autoencoder()
    detector = Detector(workload.model, workload.references, 1, preprocessing={"channels": 3, "size": 28})
    calibrated(detector, workload.images[:100]).save(path)


class Server:
    """`gradcon serve` on a free port, with its defaults."""

    def __init__(self, detector: Path) -> None:
        command = [sys.executable, "-m", "gradcon_ext.serving", str(detector), "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])

    @property
    def resident(self) -> float:
        """MiB of memory that it holds."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(60) != 0:
            raise RuntimeError(f"the server ended with {self._process.returncode}")


@dataclass
class Contender:
    """A way to score `requests` times `images` images, and its rate and the times of its requests, round by round."""

    kind: str
    name: str
    images: int
    run: Callable[[], list[float]]
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def measure(self) -> None:
        begin = perf_counter()
        seconds = self.run()
        self.rates.append(len(seconds) / (perf_counter() - begin))
        self.seconds += seconds


def all_contenders(server: Server, scorer: Scorer, images: Any) -> list[Contender]:
    raw, files = images.tobytes(), [png(image) for image in images]
    preparation = Preparation(3, (28, 28))

    def direct_raw() -> None:
        scorer.score(np.frombuffer(raw, np.uint8).reshape(-1, *SHAPE))

    def direct_file(number: int = 0) -> None:
        (image,) = decoded_images(files[number], preparation, LARGEST_PIXELS, 1)
        scorer.score(image.pixels[None])

    def served(message: bytes, clients: int, requests: int) -> Callable[[], list[float]]:
        return lambda: asyncio.run(load(server.port, message, clients, requests))

    contenders = [
        Contender("raw", "direct", RAW, lambda: timed(direct_raw, RAW_REQUESTS)),
        Contender("file", "direct", 1, lambda: timed(direct_file, ENCODED_REQUESTS)),
    ]
    for clients in CLIENTS:
        name = f"{clients} client{'s' * (clients > 1)}"
        contenders += [
            Contender("raw", name, RAW, served(raw_request(raw), clients, RAW_REQUESTS)),
            Contender("file", name, 1, served(encoded_request(images), clients, ENCODED_REQUESTS)),
        ]
    return contenders


def measure(contenders: Sequence[Contender], rounds: int) -> None:
    shuffle = random.Random(0).shuffle
    for contender in contenders:
        contender.run()
    for _ in range(rounds):
        order = list(contenders)
        shuffle(order)
        for contender in order:
            contender.measure()


def timed(function: Callable[[], None], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        begin = perf_counter()
        function()
        seconds.append(perf_counter() - begin)
    return seconds


def png(image: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(stream, "PNG")
    return stream.getvalue()


def raw_request(raw: bytes) -> bytes:
    return request("application/octet-stream", raw, f"?shape={RAW},3,28,28")


def encoded_request(images: Any) -> bytes:
    return request("image/png", png(images[0]))


def request(kind: str, body: bytes, query: str = "") -> bytes:
    head = f"POST /score{query} HTTP/1.1\r\nhost: here\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def load(port: int, message: bytes, clients: int, requests: int) -> list[float]:
    """Send a request again and again over as many connections; return the seconds that each took."""
    parts = await asyncio.gather(*(client(port, message, requests // clients) for _ in range(clients)))
    return [seconds for part in parts for seconds in part]


async def client(port: int, message: bytes, requests: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds = []
    for _ in range(requests):
        begin = perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server answered {head!r}")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        seconds.append(perf_counter() - begin)
    writer.close()
    await writer.wait_closed()
    return seconds


async def memory_of(server: Server, message: bytes, requests: int) -> list[tuple[int, float]]:
    """How many requests were answered, and the memory that the server then holds."""
    if requests == 0:
        return []
    measured = [(0, server.resident)]
    for step in range(1, MEMORY_STEPS + 1):
        answered = await load(server.port, message, MEMORY_CLIENTS, requests // MEMORY_STEPS)
        measured.append((measured[-1][0] + len(answered), server.resident))
        print(f"{step} of {MEMORY_STEPS}: {measured[-1][1]:.1f} MiB", file=sys.stderr)
    return measured


def facts(rounds: int, load_before: float) -> list[str]:
    return [
        f"machine: {len(os.sched_getaffinity(0))} cores of an AMD EPYC",
        "at work on it: the server, its clients, and other programs",
        f"load before the run: {load_before:.1f}",
        "detector: the paper's convolutional autoencoder for 3x28x28 images, calibrated",
        f"rounds: {rounds}, interleaved",
        f"command: `python -m benchmarks.serving --rounds {rounds}`",
    ]


def table_of(contenders: Sequence[Contender]) -> list[str]:
    direct = {one.kind: one for one in contenders if one.name == "direct"}
    lines = [
        "| request | | requests a second | images a second | median | p99 | of direct scoring |",
        "|---|---|---|---|---|---|---|",
    ]
    kinds = {"raw": f"{RAW} raw images", "file": "one PNG"}
    for kind, title in kinds.items():
        for one in contenders:
            if one.kind != kind:
                continue
            rate = median(one.rates)
            ratio = median(mine / its for mine, its in zip(one.rates, direct[kind].rates, strict=True))
            middle, late = np.percentile(one.seconds, (50, 99)) * 1e3
            lines.append(
                f"| {title} | {one.name} | {rate:,.0f} | {rate * one.images:,.0f} | {middle:.1f} ms | {late:.1f} ms "
                f"| {'' if one.name == 'direct' else f'**{ratio:.2f}**'} |"
            )
    return lines


def lines_of_memory(memory: Sequence[tuple[int, float]]) -> list[str]:
    if not memory:
        return ["Memory was not measured."]
    steps = ", ".join(f"{held:.1f} after {count:,}" for count, held in memory)
    return [f"Memory of the server in MiB, one PNG a request, {MEMORY_CLIENTS} clients: {steps}."]


if __name__ == "__main__":
    main()
