from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gradcon_ext
import oracle
from gradcon_ext import runtime
from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from support.strategies import ChainCase, chain_cases


class Normalised(nn.Module):
    """A chain with normalisations, of which one has no weights of its own."""

    loss = staticmethod(squared_error)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(4, 4, 3, stride=2, output_padding=1),
            nn.BatchNorm2d(4, affine=False),
            nn.ELU(),
            nn.Conv2d(4, 2, 3, padding=1, bias=False),
            nn.Sigmoid(),
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.decoder(self.encoder(images))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "CAE": (lambda: ConvAutoencoder(1, 28, width=8), (1, 28, 28)),
    "VAE": (lambda: ConvVariationalAutoencoder(3, (9, 12), width=4), (3, 9, 12)),
    "deep": (lambda: ConvAutoencoder(1, 40, width=2, depth=6), (1, 40, 40)),
    "features": (lambda: FeatureAutoencoder(3, 2, width=4), (3, 2, 2)),
    "BatchNorm": (Normalised, (2, 8, 8)),
    "float64": (lambda: Normalised().double(), (2, 8, 8)),
}


def detector_of(model: nn.Module, image_shape: tuple[int, ...]) -> Detector:
    references = {
        name: torch.randn_like(weight)
        for name, weight in model.named_parameters()
        if name.startswith("decoder") and weight.dim() > 1
    }
    preprocessing = {"channels": image_shape[0], "size": list(image_shape[1:])}
    return Detector(model.eval(), references, 3, 0.2, preprocessing)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "detector.safetensors"


@pytest.fixture(params=MODELS)
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    build, image_shape = MODELS[request.param]
    return detector_of(build(), image_shape)


@pytest.fixture
def small(path: Path) -> Path:
    """A file of a small autoencoder of 1x8x8 images."""
    torch.manual_seed(0)
    detector_of(ConvAutoencoder(1, 8, width=2), (1, 8, 8)).save(path)
    return path


def bytes_of(shape: tuple[int, ...], count: int = 21) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def assert_close(scores: runtime.Scores, expected: gradcon_ext.Scores) -> None:
    assert scores.balanced is expected.balanced is None
    for name in (*expected._fields[:4], "gradient"):
        given = getattr(scores, name)
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, getattr(expected, name).numpy(), rtol=1e-6, atol=1e-6, err_msg=name)


def test_the_scores_are_those_of_the_scorer_with_torch(detector: Detector, path: Path) -> None:
    detector.save(path)
    scorer = runtime.Scorer.load(path, threads=1)
    expected_scorer = gradcon_ext.Scorer(detector.model, detector.references, detector.alpha)
    assert scorer.layers == expected_scorer.layers
    assert scorer.alpha == 0.2
    images = bytes_of(scorer.image_shape)
    # Byte by byte and as numbers; and few enough for narrower lanes.
    for some in (images, images.astype(np.float32) / 255, images[:3]):
        assert_close(scorer.score(some), expected_scorer.score(some))


def test_the_scores_are_those_of_the_oracle(path: Path) -> None:
    torch.manual_seed(0)
    detector = detector_of(Normalised().double(), (2, 8, 8))
    detector.save(path)
    images = torch.rand(5, 2, 8, 8, dtype=torch.float64)
    chain = trace_chain(detector.model, list(detector.references), squared_error, (2, 8, 8))
    expected = oracle.score_autoencoder(
        images,
        parameters_of(chain, detector.model),
        list(detector.references.values()),
        chain.encoded,
    )
    scores = runtime.Scorer.load(path).score(images.numpy())
    for column, expected_column in zip(scores, expected, strict=False):
        np.testing.assert_allclose(column, expected_column, rtol=1e-6, atol=1e-6)


@settings(max_examples=30)
@given(case=chain_cases(samples=st.integers(1, 20)))
def test_every_chain_is_scored_as_with_torch(case: ChainCase) -> None:
    model = case.model(torch.float32)
    references = case.references(model)
    chain = trace_chain(model, list(references), case.loss, case.image_shape)
    images = case.images(torch.float32).numpy()
    arrays = [[tensor.numpy() for tensor in tensors] for tensors in (parameters_of(chain, model), references.values())]
    scores = runtime.Scorer(chain, *arrays, threads=2).score(images)
    expected = gradcon_ext.Scorer(model, references, loss=case.loss).score(images)
    for column, expected_column in zip(scores[:4], expected[:4], strict=True):
        np.testing.assert_allclose(column, expected_column.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [1, 7, 40, 100])
def test_the_number_of_threads_does_not_change_a_bit(detector: Detector, path: Path, count: int) -> None:
    detector.save(path)
    one = runtime.Scorer.load(path, threads=1)
    images = bytes_of(one.image_shape, count)
    expected = one.score(images)
    for threads in (2, 3):
        several = runtime.Scorer.load(path, threads=threads).score(images)
        assert all(map(np.array_equal, several, expected))


def test_as_many_threads_as_processors_by_default(small: Path) -> None:
    assert runtime.Scorer.load(small).threads == len(os.sched_getaffinity(0))


def test_several_threads_of_python_share_one_scorer(small: Path) -> None:
    scorer = runtime.Scorer.load(small, threads=2)
    sets = [bytes_of((1, 8, 8), count) for count in (1, 5, 60, 200)]
    expected = [runtime.Scorer.load(small, threads=1).score(images) for images in sets]
    right: list[bool] = []

    def work(images: Any, scores: runtime.Scores) -> None:
        for _ in range(50):
            right.append(all(map(np.array_equal, scorer.score(images), scores)))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(sets, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 200
    assert all(right)


def test_every_form_of_the_same_images_scores_the_same(small: Path) -> None:
    scorer = runtime.Scorer.load(small)
    images = bytes_of((1, 8, 8))
    read_only = images.copy()
    read_only.flags.writeable = False
    forms = {
        "(N, H, W)": images[:, 0],
        "read-only": read_only,
        "strided": np.repeat(images, 2, axis=3)[..., ::2],
        "reversed": images[::-1].copy()[::-1],
        "Fortran": np.asfortranarray(images),
    }
    expected = scorer.score(images)
    for name, form in forms.items():
        assert all(map(np.array_equal, scorer.score(form)[:4], expected[:4])), name
    for dtype in (np.float32, np.float64, ">f8"):
        scores = scorer.score(images.astype(dtype) / 255)
        pairs = zip(scores[:4], expected[:4], strict=True)
        assert all(np.allclose(*columns, rtol=0, atol=1e-6) for columns in pairs), dtype


@pytest.mark.parametrize("batch_size", [1, 4, 20, 21])
def test_the_batch_size_does_not_matter(small: Path, batch_size: int) -> None:
    scorer = runtime.Scorer.load(small)
    images = bytes_of((1, 8, 8)).astype(np.float32) / 255
    for column, expected in zip(scorer.score(images, batch_size)[:4], scorer.score(images)[:4], strict=True):
        np.testing.assert_allclose(column, expected, rtol=1e-5, atol=1e-6)


def test_memory_does_not_grow_with_the_images(small: Path) -> None:
    scorer = runtime.Scorer.load(small, threads=1)
    images = np.zeros((20_000, 1, 8, 8))
    tracemalloc.start()
    try:
        scorer.score(images, batch_size=64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes / 4


def image_with(pixel: float) -> Any:
    images = np.full((3, 1, 8, 8), 0.5)
    images[1, 0, 2, 3] = pixel
    return images


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (image_with(1.5), ValueError, "image 1 .* 0.5 to 1.5"),
        (image_with(-0.1), ValueError, "image 1 .* -0.1 to 0.5"),
        (image_with(np.nan), ValueError, "image 1 .*NaN or infinite"),
        (image_with(np.inf).astype(np.float32), ValueError, "image 1 .*NaN or infinite"),
        (np.zeros((2, 1, 8, 9)), ValueError, r"images .*\(1, 8, 9\).*\(1, 8, 8\)"),
        (np.zeros((2, 3, 8, 8)), ValueError, r"images .*\(3, 8, 8\)"),
        (np.zeros((8, 8)), ValueError, r"images .*\(8, 8\).*\(N, C, H, W\)"),
        (np.zeros((0, 1, 8, 8)), ValueError, "no images"),
        (np.zeros((2, 1, 8, 8), np.int64), TypeError, "images: .*int64.*uint8"),
        (np.zeros((2, 1, 8, 8), bool), TypeError, "images: .*bool"),
        (np.zeros((2, 1, 8, 8), np.longdouble), TypeError, "images: .*float(96|128)"),
        ([[0.0]], TypeError, "images .*list.*numpy"),
        (torch.zeros(2, 1, 8, 8), TypeError, "images .*Tensor.*numpy"),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 512])
def test_images_that_cannot_be_scored_are_refused(
    small: Path, images: Any, error: type[Exception], message: str, batch_size: int
) -> None:
    with pytest.raises(error, match=message):
        runtime.Scorer.load(small).score(images, batch_size)


def test_a_batch_size_or_threads_below_one_are_refused(small: Path) -> None:
    with pytest.raises(ValueError, match="batch_size .* 0$"):
        runtime.Scorer.load(small).score(bytes_of((1, 8, 8)), batch_size=0)
    with pytest.raises(ValueError, match="^threads .* 0$"):
        runtime.Scorer.load(small, threads=0)


Harm = Callable[[dict[str, Tensor], dict[str, Any]], Any]


def replace_tensor(name: str, change: Callable[[Tensor], Tensor]) -> Harm:
    return lambda tensors, facts: tensors.update({name: change(tensors[name])})


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda tensors, facts: facts.pop("chain"), "no chain.*gradcon_ext.Scorer"),
        (lambda tensors, facts: facts.update(chain=None), "no chain.*gradcon_ext.Scorer"),
        (lambda tensors, facts: facts.update(chain={"loss": 3}), "chain: .* 3"),
        (lambda tensors, facts: facts["chain"]["layers"][0].update(padding=[0, 0]), "convolution"),
        (lambda tensors, facts: facts.update(alpha=-1), "finite alpha"),
        (lambda tensors, facts: facts.update(version=2), "version 1.* 2"),
        (lambda tensors, facts: facts.update(kind="checkpoint"), "detector.* checkpoint"),
        (lambda tensors, facts: tensors.pop("model.encoder.0.weight"), "no tensor model.encoder.0.weight"),
        (lambda tensors, facts: tensors.pop("reference.decoder.0.weight"), "no tensor reference.decoder.0.weight"),
        (replace_tensor("model.encoder.0.bias", lambda bias: bias[1:]), "parameter.* layer"),
        (replace_tensor("reference.decoder.0.weight", lambda weight: weight[1:]), "shape of its weight"),
        (replace_tensor("reference.decoder.0.weight", lambda weight: weight / 0), "NaN or infinite"),
        (replace_tensor("model.encoder.0.bias", Tensor.double), "got float32, float64"),
        (replace_tensor("model.encoder.0.bias", Tensor.bfloat16), "bfloat16"),
    ],
)
def test_a_file_that_cannot_be_scored_with_is_an_error(small: Path, harm: Harm, message: str) -> None:
    tensors, facts = read_tensors(small, "detector", 1)
    facts["architecture"] = None  # what is checked with one is checked alike with torch
    harm(tensors, facts)
    write_tensors(small, facts.pop("kind"), facts.pop("version"), tensors, facts)
    with pytest.raises(ValueError, match=message) as error:
        runtime.Scorer.load(small)
    assert str(small) in str(error.value)


def test_a_damaged_or_missing_file_is_an_error(small: Path) -> None:
    content = bytearray(small.read_bytes())
    content[-1] ^= 1
    small.write_bytes(content)
    with pytest.raises(ValueError, match=f"{small} .*checksum"):
        runtime.Scorer.load(small)
    small.write_bytes(content[:100])
    with pytest.raises(ValueError, match=f"{small} .*damaged"):
        runtime.Scorer.load(small)
    small.unlink()
    with pytest.raises(FileNotFoundError):
        runtime.Scorer.load(small)


def test_the_compiled_scorer_checks_what_it_is_given(small: Path) -> None:
    compiled = runtime.Scorer.load(small)._compiled
    with pytest.raises(ValueError, match="shape"):
        compiled.score(np.zeros((1, 1, 8, 9), np.uint8))
    for images in (np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 8, 16), np.uint8)[..., ::2]):
        with pytest.raises(TypeError):
            compiled.score(images)


def python(code: str, *arguments: Any) -> str:
    """What a new process prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    # Not in the folder of the source, which has no binaries.
    done = subprocess.run(command, cwd=sys.prefix, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WITHOUT_TORCH = """
import sys

ABSENT = {"torch", "sklearn", "matplotlib", "PIL", "tqdm", "scipy"}

class Absence:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is not to be imported")

sys.meta_path.insert(0, Absence())
"""


def test_neither_torch_nor_scikit_learn_is_imported(small: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", bytes_of((1, 8, 8)))
    code = """
import numpy
from gradcon_ext.runtime import Scorer
scores = Scorer.load(sys.argv[1]).score(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], scores.anomaly)
assert not ABSENT & set(sys.modules), set(sys.modules)
"""
    python(WITHOUT_TORCH + code, small, tmp_path / "images.npy", tmp_path / "anomaly.npy")
    expected = gradcon_ext.Scorer.load(small).score(bytes_of((1, 8, 8))).anomaly
    np.testing.assert_allclose(np.load(tmp_path / "anomaly.npy"), expected.numpy(), rtol=1e-6, atol=1e-6)


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; import gradcon_ext; print(sorted({'torch', 'numpy', 'safetensors'} & set(sys.modules)))"
    assert python(code) == "[]"


def test_a_forked_process_scores_and_ends(small: Path) -> None:
    code = """
import os, sys
import numpy
from gradcon_ext.runtime import Scorer
images = numpy.zeros((100, 1, 8, 8), numpy.uint8)
scorer = Scorer.load(sys.argv[1], threads=3)
expected = scorer.score(images)
child = os.fork()
same = all(map(numpy.array_equal, scorer.score(images), expected))
del scorer
if child == 0:
    sys.exit(not same)
assert same and os.waitpid(child, 0)[1] == 0
"""
    python(code, small)
