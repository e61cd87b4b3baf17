"""The HTTP interface of a detector."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gradcon_ext.serving.answers import NumbersResponse
from gradcon_ext.serving.detector import ServedDetector
from gradcon_ext.serving.metrics import Metrics
from gradcon_ext.serving.observation import Observation
from gradcon_ext.serving.refusal import Refusal
from gradcon_ext.serving.service import Service
from gradcon_ext.serving.settings import Settings
from gradcon_ext.version import __version__

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}}
_BODIES = {"image/*": _BINARY, "multipart/form-data": _FORM, "application/octet-stream": _BINARY}


def create_app(detector: ServedDetector, settings: Settings) -> FastAPI:
    """Return the application; `app.state.ending` set to true has it say that it takes no more work."""
    metrics = Metrics(detector)
    service = Service(detector, settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    # The pages of documentation would load scripts from other hosts.
    app = FastAPI(
        title="gradcon_ext",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.ending = False
    _add_errors(app)
    _add_facts(app, detector, metrics)

    @app.post(
        "/score", response_class=NumbersResponse, openapi_extra={"requestBody": {"required": True, "content": _BODIES}}
    )
    async def score(request: Request, shape: str | None = None, heat_map: bool = False) -> NumbersResponse:
        """Score images: files in a form, one file, or an array, with a shape (N,C,H,W) or as .npy."""
        shape = request.headers.get("x-shape") if shape is None else shape
        return NumbersResponse({"images": await service.answer(request, shape, heat_map)})

    app.add_middleware(Observation, metrics=metrics, state=app.state)
    return app


def _add_facts(app: FastAPI, detector: ServedDetector, metrics: Metrics) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process is there."""
        return {"status": "alive"}

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Whether new requests are welcome."""
        ending = app.state.ending
        return JSONResponse({"status": "ending" if ending else "ready"}, 503 if ending else 200)

    @app.get("/detector")
    async def facts() -> dict[str, Any]:
        """What is served."""
        return detector.facts

    @app.get("/metrics")
    async def exposition() -> Response:
        """Counters, as Prometheus reads them."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    """All errors are one sentence in JSON."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return JSONResponse({"error": error.sentence}, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": f"{error.detail.rstrip('.')}."}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def misused(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"The parameter {first['loc'][-1]!r}: {first['msg'].rstrip('.')}."}, 422)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return JSONResponse({"error": "The connection ended before the request did."}, 400)
