"""The Ray cluster that work is sent to."""

from __future__ import annotations

import os
import socket
from typing import Any

_SECONDS_TO_ANSWER = 10


def join_cluster(address: str | None = None) -> None:
    """Connect this process to a Ray cluster, unless it is connected already.

    Args:
        address: of the cluster; by default that of `RAY_ADDRESS`, or else one that runs on this machine, or else a new
            one of this machine's cores, which ends with this process and reports nothing to Ray's authors unless
            `RAY_USAGE_STATS_ENABLED` asks for it.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: there is no cluster at the address.
    """
    ray = _import_ray()
    if ray.is_initialized():
        return
    _refuse_dead(address or os.environ.get("RAY_ADDRESS") or "")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address, log_to_driver=False, logging_level="warning")
    except ValueError as error:
        raise ConnectionError(f"there is no Ray cluster at {address!r}: {error}") from error


def _refuse_dead(address: str) -> None:
    """Raise ConnectionError where nobody listens at HOST:PORT, for which Ray would look for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(f"there is no Ray cluster at {address!r}: {error}") from error


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ImportError('a cluster needs the package ray: pip install "gradcon_ext[ray]"') from error
    return ray
