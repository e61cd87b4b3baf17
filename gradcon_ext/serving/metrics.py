"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from gradcon_ext.serving.detector import ServedDetector
from gradcon_ext.version import __version__

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self, detector: ServedDetector) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("gradcon_detector", "The detector that is served.", registry=registry).info(
            {"name": detector.name, "sha256": detector.digest, "part": detector.stored.part, "version": __version__}
        )
        self._requests = Counter(
            "gradcon_requests", "Requests that were answered.", ("path", "status"), registry=registry
        )
        self._request_seconds = Histogram(
            "gradcon_request_seconds",
            "From a request's head to its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._images = Counter(
            "gradcon_images", "Images that were scored, by verdict.", ("verdict",), registry=registry
        )
        self._batch_images = Histogram("gradcon_batch_images", "Images of a batch.", buckets=_IMAGES, registry=registry)
        self._batch_seconds = Histogram(
            "gradcon_batch_seconds", "Scoring of a batch.", buckets=_SECONDS, registry=registry
        )

    def watch(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Read a number whenever the metrics are read."""
        Gauge(name, documentation, registry=self._registry).set_function(value)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is that of a route, or one name for all others."""
        self._requests.labels(path, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)

    def count_batch(self, images: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_images.observe(images)
        self._batch_seconds.observe(seconds)

    def count_verdicts(self, verdicts: Sequence[str]) -> None:
        """Count images."""
        for verdict in sorted(set(verdicts)):
            self._images.labels(verdict).inc(verdicts.count(verdict))

    def exposition(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self._registry)
