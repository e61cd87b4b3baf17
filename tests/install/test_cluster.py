from __future__ import annotations

import socket
import sys

import pytest

from gradcon_ext._install.cluster import join_cluster
from support.libraries import library


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"gradcon_ext\[ray\]"):
        join_cluster()


@pytest.mark.parametrize("by_variable", [False, True])
def test_an_address_where_nobody_listens(monkeypatch, by_variable):
    library("ray.cluster_utils")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    if by_variable:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConnectionError, match=f"no Ray cluster at '{address}'"):
        join_cluster(None if by_variable else address)


def test_a_port_that_is_none():
    library("ray.cluster_utils")
    with pytest.raises(ConnectionError, match="no Ray cluster at '127.0.0.1:99999'"):
        join_cluster("127.0.0.1:99999")
