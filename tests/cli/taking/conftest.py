"""A folder of photographs, and runs with their tiles and feature maps."""

from __future__ import annotations

import shutil

import pytest

from support.taken_runs import FAST, FEATURES, NETWORK, NETWORK_OF, TILES, draw, trained


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """In the layout of MVTec AD, of two sizes beyond 64 pixels."""
    root = tmp_path_factory.mktemp("photos")
    sizes = [(40, 70), (48, 66)]
    draw(root / "train" / "good", 24, sizes, 0)
    draw(root / "test" / "good", 4, sizes, 1)
    (root / "ground_truth" / "hole").mkdir(parents=True)
    draw(root / "test" / "hole", 4, sizes, 2, root / "ground_truth" / "hole")
    (root / "taking_network.py").write_text(NETWORK)
    return root


@pytest.fixture(scope="package", autouse=True)
def _networks(photos):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(photos)
        yield


@pytest.fixture(scope="session")
def tiles_once(photos, tmp_path_factory):
    return trained(photos, tmp_path_factory.mktemp("tiles") / "run", *TILES)


@pytest.fixture(scope="session")
def features_once(photos, tmp_path_factory):
    return trained(photos, tmp_path_factory.mktemp("features") / "run", *FAST, *FEATURES)


@pytest.fixture
def tiles_run(tiles_once, tmp_path):
    return shutil.copytree(tiles_once, tmp_path / "run")


@pytest.fixture
def features_run(features_once, tmp_path):
    return shutil.copytree(features_once, tmp_path / "run of features")


@pytest.fixture(params=NETWORK_OF)
def made(request):
    """A run, and the option that scoring with it takes."""
    return request.getfixturevalue(request.param), NETWORK_OF[request.param]
