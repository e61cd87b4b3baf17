from __future__ import annotations

import base64
import io
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from gradcon_ext import Scorer
from gradcon_ext.serving.blocks import BlockScorer
from gradcon_ext.serving.detector import ServedDetector
from support.served import encoded, npy, random_bytes, write_detector

RAW = {"content-type": "application/octet-stream"}
PNG = {"content-type": "image/png"}
Serving = Callable[..., TestClient]


def raw(client: TestClient, images: Any, **query: Any) -> Any:
    shape = ",".join(map(str, images.shape))
    return client.post("/score", content=images.tobytes(), headers=RAW, params={"shape": shape, **query})


def rows_of(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["images"]


def column(rows: Any, name: str) -> Any:
    return np.array([row[name] for row in rows], np.float32)


def metrics_of(client: TestClient) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_raw_images_get_the_scores_of_their_detector(client: TestClient, detector: ServedDetector) -> None:
    images = random_bytes()
    rows, scores = rows_of(raw(client, images)), BlockScorer(detector.scorer).score(images)
    assert list(rows[0]) == [
        *("index", "anomaly", "reconstruction", "latent", "gradient", "direction", "code", "balanced"),
        *("p_value", "verdict"),
        *(f"cosine.{name}" for name in detector.scorer.layers),
    ]
    assert [row["index"] for row in rows] == list(range(21))
    for name in ("anomaly", "reconstruction", "latent", "gradient", "direction", "code", "balanced"):
        assert np.array_equal(column(rows, name), getattr(scores, name)), name
    assert [row["p_value"] for row in rows] == scores.p_value.tolist()
    assert [row["verdict"] == "outlier" for row in rows] == scores.is_outlier.tolist()
    for index, name in enumerate(detector.scorer.layers):
        assert np.array_equal(column(rows, f"cosine.{name}"), scores.cosine[:, index])


def test_every_form_of_the_same_images_has_the_same_answer(client: TestClient) -> None:
    images = random_bytes(count=3)
    expected = rows_of(raw(client, images))
    shaped = client.post("/score", content=images.tobytes(), headers={**RAW, "x-shape": "3x8x8"})
    assert rows_of(shaped) == expected
    for kind in ("application/octet-stream", "application/x-npy"):
        assert rows_of(client.post("/score", content=npy(images), headers={"content-type": kind})) == expected
    files = [("image", (f"{number}.png", encoded(image[0]), "image/png")) for number, image in enumerate(images)]
    rows = rows_of(client.post("/score", files=files))
    assert [row.pop("name") for row in rows] == ["0.png", "1.png", "2.png"]
    assert rows == expected
    for image, row in zip(images, expected, strict=True):
        (single,) = rows_of(client.post("/score", content=encoded(image[0]), headers=PNG))
        assert single == {**row, "index": 0}


def test_a_detector_without_calibration_gives_no_verdict(serving: Serving, tmp_path: Path) -> None:
    served = ServedDetector.load(write_detector(tmp_path / "plain.safetensors", plain=True))
    client = serving(served)
    assert "verdict" not in rows_of(raw(client, random_bytes()))[0]
    assert client.get("/detector").json()["threshold"] is None


def test_images_are_prepared_as_the_detector_says(serving: Serving, tmp_path: Path) -> None:
    facts = {"fit": "pad", "background": [255, 0, 0], "frame": "all", "range": [0.0, 200.0]}
    served = ServedDetector.load(write_detector(tmp_path / "facts.safetensors", (3, 8, 12), **facts))
    frames = [Image.fromarray(image) for image in random_bytes((9, 9, 3), 2)]
    body = encoded(np.zeros((9, 9, 3), np.uint8), "GIF", save_all=True, append_images=frames)
    rows = rows_of(serving(served).post("/score", content=body, headers={"content-type": "image/gif"}))
    assert [row["frame"] for row in rows] == [0, 1, 2]
    assert [row.get("beyond", [0, 0])[1] > 200 for row in rows] == [False, True, True]


def test_bytes_and_numbers_of_one_form_keep_their_order(client: TestClient) -> None:
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    bodies = [encoded(random_bytes(count=1, seed=n)[0, 0]) if n % 2 else encoded(deep + n) for n in range(5)]
    rows = rows_of(client.post("/score", files=[("image", ("x", body)) for body in bodies]))
    for row, body in zip(rows, bodies, strict=True):
        (single,) = rows_of(client.post("/score", content=body, headers=PNG))
        assert single["anomaly"] == row["anomaly"]
        assert single["balanced"] == row["balanced"]


def test_a_heat_map_is_the_residual_map(client: TestClient, detector_file: Path) -> None:
    images = random_bytes(count=2)
    rows = rows_of(raw(client, images, heat_map=True))
    expected = Scorer.load(detector_file).explain(images).residual.numpy()
    for row, residual in zip(rows, expected, strict=True):
        drawn = row["heat_map"]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawn["png"]))))
        assert drawn["highest"] == pytest.approx(residual.max(), rel=1e-4)
        np.testing.assert_allclose(picture, residual / residual.max() * 255, atol=0.51)


def test_facts(client: TestClient, detector: ServedDetector) -> None:
    facts = client.get("/detector").json()
    assert facts["name"] == "small"
    assert facts["part"] == "balanced"
    assert facts["threshold"] == detector.stored.calibration.threshold("balanced")
    assert facts["image_shape"] == [1, 8, 8]
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    assert client.head("/health").status_code == 200
    assert "/score" in client.get("/openapi.json").json()["paths"]


def test_it_says_when_it_is_ending(client: TestClient) -> None:
    client.app.state.ending = True
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "ending"})
    assert raw(client, random_bytes()).headers["connection"] == "close"


def test_many_threads_of_clients_get_their_own_scores(client: TestClient) -> None:
    sets = [random_bytes(count=count, seed=count) for count in (1, 2, 5, 40)]
    expected = [rows_of(raw(client, images)) for images in sets]
    right: list[bool] = []

    def work(images: Any, rows: Any) -> None:
        right.extend(rows_of(raw(client, images)) == rows for _ in range(10))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(sets, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 40


def test_the_metrics_are_what_has_happened(client: TestClient) -> None:
    images = random_bytes()
    verdicts = [row["verdict"] for row in rows_of(raw(client, images))]
    client.get("/nothing")
    client.get("/nothing/else")
    client.post("/score", content=b"?", headers=PNG)
    metrics = metrics_of(client)
    assert metrics["gradcon_requests_total", "/score", "200"] == 1
    assert metrics["gradcon_requests_total", "/score", "415"] == 1
    assert metrics["gradcon_requests_total", "other", "404"] == 2
    assert metrics["gradcon_request_seconds_count", "/score"] == 2
    for verdict in set(verdicts):
        assert metrics["gradcon_images_total", verdict] == verdicts.count(verdict)
    assert metrics[("gradcon_batch_images_sum",)] == 21
    assert metrics[("gradcon_batch_seconds_count",)] == 1
    assert metrics[("gradcon_open_requests",)] == metrics[("gradcon_held_bytes",)] == 0


def png_that_claims(width: int, height: int) -> bytes:
    body = bytearray(encoded(np.zeros((4, 4), np.uint8)))
    body[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    body[29:33] = zlib.crc32(body[12:29]).to_bytes(4, "big")
    return bytes(body)


def form(*parts: bytes, boundary: bytes = b"x") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


FORM = {"content-type": "multipart/form-data; boundary=x"}
FILE = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
GOOD = encoded(random_bytes(count=1)[0, 0])

HOSTILE: dict[str, tuple[dict[str, str], bytes, str, set[int]]] = {
    "nothing": (PNG, b"", "", {422}),
    "no type": ({}, b"x", "", {415}),
    "a form of the other kind": ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", "", {415}),
    "JSON": ({"content-type": "application/json"}, b"{}", "", {415}),
    "a type of no sense": ({"content-type": "image"}, GOOD, "", {415}),
    "text": (PNG, b"text", "", {415}),
    "a program": (PNG, b"\x7fELF" + bytes(100), "", {415}),
    "HTML": (PNG, b"<html><script>alert(1)</script>", "", {415}),
    "an SVG": ({"content-type": "image/svg+xml"}, b"<svg/>", "", {415}),
    "PostScript": ({"content-type": "image/eps"}, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "", {415}),
    "a pickle": (RAW, b"\x80\x04\x95", "?shape=1,1,8,8", {422}),
    "a bomb": (PNG, png_that_claims(30_000, 30_000), "", {413}),
    "a bomb beyond all numbers": (PNG, png_that_claims(2**31 - 1, 2**31 - 1), "", {413}),
    "no pixels": (PNG, png_that_claims(0, 4), "", {415, 422}),
    "half an image": (PNG, GOOD[: len(GOOD) // 2], "", {415, 422}),
    "a head alone": (PNG, GOOD[:33], "", {415, 422}),
    "raw without a shape": (RAW, bytes(64), "", {422}),
    "raw of other length": (RAW, bytes(63), "?shape=1,1,8,8", {422}),
    "raw of other channels": (RAW, bytes(192), "?shape=1,3,8,8", {422}),
    "a shape of words": (RAW, bytes(64), "?shape=one", {422}),
    "a negative shape": (RAW, bytes(64), "?shape=-1,-1,8,8", {422}),
    "a shape of zeros": (RAW, bytes(64), "?shape=0,1,8,8", {422}),
    "a huge shape": (RAW, bytes(64), "?shape=999999999,999999999,999999999", {422}),
    "too many images": (RAW, bytes(64 * 17), "?shape=17,1,8,8", {413}),
    "too many small images": (RAW, bytes(17), "?shape=17,1,1,1", {413}),
    "too many heat maps": (RAW, bytes(64 * 9), "?shape=9,1,8,8&heat_map=1", {413}),
    "a heat map of no sense": (RAW, bytes(64), "?shape=1,1,8,8&heat_map=perhaps", {422}),
    "a shape of a file": (PNG, GOOD, "?shape=1,1,8,8", {422}),
    "objects in .npy": (RAW, npy(np.array([{}], object)), "", {422}),
    "half an .npy": (RAW, npy(random_bytes())[:100], "", {422}),
    "words in .npy": (RAW, npy(np.array(["a"])), "", {422}),
    "a number in .npy": (RAW, npy(np.uint8(3)), "", {422}),
    "a form without end": (FORM, b"--x\r\n" + FILE + GOOD, "", {400, 422}),
    "a form without boundary": ({"content-type": "multipart/form-data"}, form(FILE + GOOD), "", {400}),
    "a form of noise": (FORM, bytes(range(256)), "", {400, 422}),
    "an empty form": (FORM, form(), "", {400, 422}),
    "a form of words": (FORM, form(b'Content-Disposition: form-data; name="image"\r\n\r\nwords'), "", {422}),
    "an empty file": (FORM, form(FILE), "", {422}),
    "a bad file among good ones": (FORM, form(FILE + GOOD, FILE + b"?"), "", {415}),
    "too many files": (FORM, form(*[FILE + GOOD] * 17), "", {400}),
    "a path for a name": (FORM, form(FILE.replace(b"a.png", b"../../etc/passwd") + b"?"), "", {415}),
    "too large": (PNG, bytes(100_001), "", {413}),
    "a form too large": (FORM, form(FILE + bytes(100_000)), "", {413}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bodies_are_refused_in_a_sentence(serving: Serving, case: str) -> None:
    client = serving(max_body=100_000, max_images=16, max_heat_maps=8)
    headers, body, query, statuses = HOSTILE[case]
    answer = client.post(f"/score{query}", content=body, headers=headers)
    assert answer.status_code in statuses, answer.text
    assert list(answer.json()) == ["error"]
    sentence = answer.json()["error"]
    assert sentence.endswith(".") and not sentence.endswith("..")
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert gettempdir() not in sentence
    assert len(rows_of(raw(client, random_bytes(count=1)))) == 1  # and the next one is answered
    assert metrics_of(client)[("gradcon_held_bytes",)] == 0


def test_a_body_in_chunks_is_counted_while_it_comes(serving: Serving) -> None:
    sent: list[int] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            sent.append(1000)
            yield bytes(1000)

    answer = serving(max_body=10_000).post("/score", content=chunks(), headers=PNG)
    assert answer.status_code == 413
    assert answer.json() == {"error": "The body has more than 10000 bytes."}
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/ready/", 404), ("GET", "/score", 405), ("POST", "/ready", 405)],
)
def test_other_paths_and_methods(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


class Held:
    """A scorer that does not answer until it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_answer = threading.Event()
        self.begun = threading.Event()
        score = BlockScorer.score

        def held(scorer: BlockScorer, images: Any) -> Any:
            self.begun.set()
            assert self.may_answer.wait(60)
            return score(scorer, images)

        monkeypatch.setattr(BlockScorer, "score", held)


def test_what_takes_too_long_is_told_so(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    client = serving(timeout=0.2)
    try:
        answer = raw(client, random_bytes())
    finally:
        held.may_answer.set()
    assert answer.status_code == 504
    assert answer.json() == {"error": "There was no answer within 0.2 seconds."}
    assert len(rows_of(raw(client, random_bytes()))) == 21


@pytest.mark.parametrize("limits", [{"max_requests": 1}, {"max_memory": 2000, "max_body": 2000}])
def test_too_much_at_once_is_told_to_come_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    held = Held(monkeypatch)
    client = serving(**limits)
    first: list[Any] = []
    thread = threading.Thread(target=lambda: first.append(raw(client, random_bytes(count=6))))
    thread.start()
    try:
        assert held.begun.wait(60)
        answer = raw(client, random_bytes(count=6))
    finally:
        held.may_answer.set()
        thread.join()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert len(rows_of(first[0])) == 6
    assert len(rows_of(raw(client, random_bytes(count=6)))) == 6


def test_a_request_that_no_memory_can_hold_is_too_large(serving: Serving) -> None:
    client = serving(max_memory=2000, max_body=2000)
    assert raw(client, np.zeros((9, 1, 2, 2), np.uint8)).status_code == 413


def test_a_mistake_of_the_server_is_told_to_the_log_alone(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(scorer: BlockScorer, images: Any) -> Any:
        raise RuntimeError("a secret\nand a second line\x1b[2J")

    monkeypatch.setattr(BlockScorer, "score", failing)
    client = serving()
    answer = raw(client, random_bytes())
    assert (answer.status_code, answer.json()) == (500, {"error": "The server failed."})
    assert r"RuntimeError: 'a secret\nand a second line\x1b[2J'" in caplog.text
    assert "\x1b" not in caplog.text
    assert metrics_of(client)["gradcon_requests_total", "/score", "500"] == 1


def test_a_batch_gathers_requests(serving: Serving) -> None:
    client = serving(batch_wait=200.0)
    threads = [threading.Thread(target=raw, args=(client, random_bytes(count=1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metrics = metrics_of(client)
    assert metrics[("gradcon_batch_images_sum",)] == 8
    assert metrics[("gradcon_batch_images_count",)] < 8
