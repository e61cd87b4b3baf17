"""A detector's scores as a program of torch.export, around the op `score_autoencoder`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from gradcon_ext.detector.program import ScoreProgram
from gradcon_ext.detector.stored_chain import Array, StoredChain, StoredTiles
from gradcon_ext.detector.tile_program import TileProgram
from gradcon_ext.export.opened import Opened
from gradcon_ext.export.settings import exported_shape, settings_of
from gradcon_ext.storage.files import replace_file

_DTYPE, _SHAPE = "images", "image_shape"
"""Under which names the metadata of a compiled package has the dtype and the shape of the images."""


def program_of(detector: StoredChain) -> ScoreProgram:
    """Return the scores of a detector's file as a module on the CPU, of single tiles where it scores those.

    It shares the file's numbers.
    """
    arrays = (detector.parameters, detector.references)
    parameters, references = ([torch.from_numpy(array) for array in part] for part in arrays)
    balance = None if detector.balance is None else detector.balance.map(torch.from_numpy).on("cpu")
    return ScoreProgram(
        detector.chain, parameters, references, detector.alpha, balance, detector.part, detector.calibration
    )


def tile_program_of(detector: StoredChain, tiles: StoredTiles) -> TileProgram:
    """Return the scores of images by their tiles, likewise.

    Raises:
        ValueError: what the file says of tiles is damaged, or does not fit its model.
    """
    return TileProgram(program_of(detector), settings_of(detector, tiles), tiles.part, tiles.calibration)


def exported(detector: StoredChain, in_bytes: bool = False, size: tuple[int, int] | None = None) -> ExportedProgram:
    """Export the scores of a detector, for any number of images from 1 on.

    Args:
        detector: of which model, and with which numbers.
        in_bytes: whether the images are uint8 (0 to 255); otherwise they are of the parameters' dtype (0 to 1).
        size: height and width of the images; needed for a detector of tiles whose images have none of their own, and
            for no other.

    Raises:
        ValueError: a size that is missing or does not fit the detector.
    """
    of_one = program_of(detector)
    program = of_one if detector.tiles is None else tile_program_of(detector, detector.tiles)
    shape = exported_shape(detector, size)
    images = torch.zeros(2, *shape, dtype=torch.uint8 if in_bytes else of_one.dtype, device="cpu")
    return torch.export.export(program, (images,), dynamic_shapes=({0: Dim("N", min=1)},))


def write_pt2(path: Path, program: ExportedProgram) -> None:
    """Write an exported program; a process that loads it has to import `gradcon_ext.ops` before."""
    with replace_file(path) as temporary:
        torch.export.save(program, temporary)


def write_compiled(path: Path, program: ExportedProgram) -> None:
    """Write an exported program as compiled by AOTInductor, which needs a C++ compiler; load it as above.

    Raises:
        RuntimeError: it cannot be compiled here.
    """
    from torch._inductor import aoti_compile_and_package

    (images,) = program.example_inputs[0]
    known = {_DTYPE: str(images.dtype), _SHAPE: json.dumps(images.shape[1:])}
    settings = {"aot_inductor.metadata": known}
    with replace_file(path) as temporary:
        try:
            aoti_compile_and_package(program, package_path=str(temporary), inductor_configs=settings)
        except Exception as error:  # whatever a compiler that is missing, or the compiler, leads to
            raise RuntimeError(f"AOTInductor does not compile here: {error}") from error


def open_pt2(path: Path) -> Opened:
    """Open what `write_pt2` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no exported program.
    """
    with _what_is_wrong_with(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")  # torch 2.10 of what it read itself
        program = torch.export.load(path)
        (given,) = program.example_inputs[0]
        return _opened(path, program.module(), given.dtype, given.shape[1:])


def open_compiled(path: Path) -> Opened:
    """Open what `write_compiled` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no compiled program.
    """
    from torch._inductor import aoti_load_package

    with _what_is_wrong_with(path):
        package = aoti_load_package(str(path))
        known = package.get_metadata()
        dtype = getattr(torch, known[_DTYPE].removeprefix("torch."))
        return _opened(path, package, dtype, json.loads(known[_SHAPE]))


@contextmanager
def _what_is_wrong_with(path: Path) -> Iterator[None]:
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    if not is_zipfile(path):  # before torch writes a traceback into its log
        raise ValueError(f"{path} is no file of torch.export")
    try:
        yield
    except Exception as error:  # whatever torch makes of a foreign program
        raise ValueError(f"{path}: torch does not run it: {error}") from error


def _opened(
    path: Path, program: Callable[[Tensor], dict[str, Tensor]], dtype: torch.dtype, shape: Sequence[int]
) -> Opened:
    def score(images: Array) -> dict[str, Array]:
        pixels = torch.from_numpy(images)
        scaled = pixels if dtype == torch.uint8 else pixels.to(dtype) / 255
        with _what_is_wrong_with(path), torch.no_grad():
            return {name: part.numpy() for name, part in program(scaled).items()}

    return Opened(tuple(shape), dtype == torch.uint8, score)
