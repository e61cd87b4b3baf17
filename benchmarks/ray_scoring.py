"""What does a Ray cluster cost beside one machine, on the same cores?

    python -m benchmarks.ray_scoring [--images 16384] [--rounds 3]

JPEGs of 256 pixels are decoded and scored by a detector of 64 pixels: by `gradcon score`, and by `ScoringJob`, on a
cluster of one node that is running already. Throughput on Ray is that between the second block to be finished and the
last, so that what is done once (actors, imports, listing) counts apart. Nodes are not added: this measures what Ray
costs, not what a network does. Reading by URL is measured against a server on this machine that answers after 50 ms, as
an object store does.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import rmtree
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread

import numpy as np
import torch
from PIL import Image

from gradcon_ext import Detector
from gradcon_ext._install.cluster import join_cluster
from gradcon_ext.cli import main as gradcon
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.ray import ScoringJob
from gradcon_ext.ray.blocks import Blocks, in_object_store

UNIQUE = 500
LATENCY = 0.05
PATH = "s3://a-bucket-of-some-name/photos/2026-11-29/camera-{:02}/{:09}.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16384, help="of each scoring")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--paths", type=int, default=1_000_000)
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    join_cluster()
    with TemporaryDirectory() as name:
        folder = Path(name)
        photos = write_photos(folder)
        detector = write_detector(folder)
        images = write_list(folder, photos, arguments.images)
        rates: dict[str, list[float]] = {"one machine": [], "ray": []}
        beside = []
        for _ in range(arguments.rounds):
            rates["one machine"].append(arguments.images / on_one_machine(detector, folder / "scores.jsonl", images))
            rate, seconds = on_ray(detector, folder / "scores", images)
            rates["ray"].append(rate)
            beside.append(seconds - arguments.images / rate)
        for name, some in rates.items():
            told = ", ".join(f"{rate:.0f}" for rate in some)
            print(f"{name}: {median(some):.0f} images/s, {median(some) / cores:.0f} a core (rounds: {told})")
        print(f"ray / one machine: {median(rates['ray']) / median(rates['one machine']):.2f}")
        print(f"seconds on ray beside that, once a job: {median(beside):.1f}")
        with served(folder) as url:
            report_urls(detector, [f"{url}/{photo.relative_to(folder)}" for photo in photos], folder / "urls")
    report_memory(arguments.paths)


def write_photos(folder: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    (folder / "photos").mkdir()
    paths = [folder / "photos" / f"{number:04}.jpg" for number in range(UNIQUE)]
    for path in paths:
        coarse = Image.fromarray(generator.integers(0, 256, (48, 48, 3), dtype=np.uint8))
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def write_detector(folder: Path) -> Path:
    """What it has learned does not matter to the clock."""
    torch.manual_seed(0)
    model = ConvAutoencoder(3, 64).eval()
    references = {name: torch.randn_like(weight) for name, weight in model.named_parameters() if "decoder" in name}
    weights = {name: reference for name, reference in references.items() if name.endswith("weight")}
    Detector(model, weights, 1, preprocessing={"channels": 3, "size": 64}).save(folder / "detector.safetensors")
    return folder / "detector.safetensors"


def write_list(folder: Path, photos: list[Path], count: int) -> Path:
    path = folder / f"{count}.csv"
    path.write_text("path\n" + "".join(f"{photos[number % len(photos)]}\n" for number in range(count)))
    return path


def on_one_machine(detector: Path, out: Path, images: Path) -> float:
    """Seconds that all take."""
    begun = time.perf_counter()
    assert gradcon(["score", str(detector), str(images), "--out", str(out)]) == 0
    return time.perf_counter() - begun


def on_ray(detector: Path, out: Path, images: Path) -> tuple[float, float]:
    """Images a second once all actors are at work, and seconds that all take."""
    rmtree(out, ignore_errors=True)
    begun = time.perf_counter()
    written = ScoringJob([images], detector, block_size=1024).write(out)
    seconds = time.perf_counter() - begun
    finished = sorted(Path(file).stat().st_mtime for file in written.files)
    return (written.images - 2048) / (finished[-1] - finished[1]), seconds


class Delayed(SimpleHTTPRequestHandler):
    """Answers as late as an object store."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(LATENCY)
        super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Delayed, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def report_urls(detector: Path, urls: list[str], out: Path) -> None:
    for threads in (4, 16):
        seconds = []
        for some in (urls[: len(urls) // 4], urls):
            rmtree(out, ignore_errors=True)
            begun = time.perf_counter()
            written = ScoringJob(some, detector, actors=1, threads=threads, batch_size=128).write(out)
            seconds.append(time.perf_counter() - begun)
            assert written.unreadable == 0, written.first_unreadable
        rate = 0.75 * len(urls) / (seconds[1] - seconds[0])
        print(f"by URL, {1000 * LATENCY:.0f} ms away, one actor, {threads} at a time: {rate:.0f} images/s")


def report_memory(paths: int) -> None:
    urls = (PATH.format(number % 60, number) for number in range(paths))
    before, begun = resident(), time.perf_counter()
    blocks = Blocks(urls, 2048)
    references = in_object_store(blocks)
    seconds, grown = time.perf_counter() - begun, resident() - before
    import ray

    stored = sum(ray.get(reference).nbytes for reference in references)
    print(
        f"{paths} paths of {len(PATH.format(0, 0))} characters, {len(references)} blocks: {stored / 1e6:.0f} MB in the "
        f"object store, {grown / 1e6:.0f} MB in the driver's own memory, {seconds:.1f} s"
    )


def resident() -> int:
    """Bytes of this process alone; the object store is shared memory."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
