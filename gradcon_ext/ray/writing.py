"""Blocks of scores as files of a folder, each of which is there once, whatever is tried again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.ray.block_scorer import BlockScorer, Settings
from gradcon_ext.ray.blocks import Blocks
from gradcon_ext.ray.places import Folder

JOB = "_job.json"
_FACTS = b"gradcon"
_FOOTERS_AT_A_TIME = 16


@dataclass(frozen=True)
class Written:
    """What a job has written.

    Attributes:
        files: paths or URLs of the Parquet files, in the order of the images.
        images: rows in all of them.
        unreadable: of these, without scores.
        beyond: of these, with values beyond the range of the detector, which were clipped.
        first_unreadable: the first one, with its error; None where there is none.
        first_beyond: likewise, without one.
    """

    files: list[str]
    images: int
    unreadable: int
    beyond: int
    first_unreadable: str | None
    first_beyond: str | None


class BlockWriter:
    """Scores blocks and writes each to the file that its number names.

    What is scored again, because its worker was lost before it could say that it had finished, replaces itself, and
    with the same bits.

    Args:
        detector: see `BlockScorer`.
        settings: likewise.
        out: folder of the files.
    """

    def __init__(self, detector: bytes, settings: Settings, out: str) -> None:
        self._scorer = BlockScorer(detector, settings)
        self._out = Folder(out)

    def __call__(self, block: pa.Table) -> pa.Table:
        """Return how many images of a block were written."""
        scored = self._scorer.score(block)
        number = block["block"][0].as_py()
        facts = {
            "block": number,
            "images": scored.rows.num_rows,
            "unreadable": len(scored.unreadable),
            "beyond": len(scored.beyond),
            "first_unreadable": next(iter(scored.unreadable), None),
            "first_beyond": next(iter(scored.beyond), None),
        }
        content = BytesIO()
        pq.write_table(scored.rows.replace_schema_metadata({_FACTS: json.dumps(facts)}), content)
        self._out.write(part_name(number), content.getvalue())
        return pa.Table.from_pylist([facts], _TOLD)


def part_name(block: int) -> str:
    """Name the file of a block, so that the order of names is that of blocks."""
    return f"part-{block:08d}.parquet"


def job_facts(blocks: Blocks, detector: bytes, settings: Settings) -> dict[str, Any]:
    """Return what the rows of a folder depend on, as JSON holds it."""
    facts = {
        "images": blocks.images,
        "images_sha256": blocks.digest,
        "block_size": blocks.size,
        "batch_size": settings.batch_size,
        "detector_sha256": hashlib.sha256(detector).hexdigest(),
        "device": settings.device,
        "folder": settings.folder,
        "preparation": asdict(settings.preparation),
    }
    as_read: dict[str, Any] = json.loads(json.dumps(facts))
    return as_read


def begin_or_go_on(folder: Folder, facts: Mapping[str, Any]) -> set[str]:
    """Return the names of the files that an earlier job of the same kind has finished in a folder.

    Raises:
        FileExistsError: the folder holds something else, or scores of other images, settings or another detector.
    """
    names = folder.names()
    if JOB not in names:
        if names:
            raise FileExistsError(f"{folder.place} holds {min(names)}; expected a new or empty folder, or scores")
        folder.write(JOB, json.dumps(facts, indent=1).encode())
        return set()
    before = json.loads(folder.read(JOB))
    if different := [name for name in facts if before.get(name) != facts[name]]:
        raise FileExistsError(
            f"{folder.place} holds scores with another {different[0]} than is asked for; choose another folder"
        )
    folder.remove_unfinished()
    return names - {JOB}


def written(folder: Folder, names: Sequence[str], earlier: Sequence[str], told: Sequence[Mapping[str, Any]]) -> Written:
    """Sum up what the files of a folder hold.

    Args:
        folder: that they are in.
        names: of all files.
        earlier: names of those that were there before; they say of themselves what they hold.
        told: by the actors of all others.
    """
    facts = [*told, *in_order(lambda name: _facts_of(folder, name), earlier, _FOOTERS_AT_A_TIME)]
    facts.sort(key=lambda block: block["block"])

    def first(what: str) -> str | None:
        return next((block[what] for block in facts if block[what] is not None), None)

    images, unreadable, beyond = (sum(block[what] for block in facts) for what in ("images", "unreadable", "beyond"))
    paths = [folder.path(name) for name in names]
    return Written(paths, images, unreadable, beyond, first("first_unreadable"), first("first_beyond"))


def _facts_of(folder: Folder, name: str) -> dict[str, Any]:
    with folder.open(name) as file:
        facts: dict[str, Any] = json.loads(pq.read_metadata(file).metadata[_FACTS])
    return facts


_TOLD = pa.schema(
    [
        ("block", pa.int64()),
        ("images", pa.int64()),
        ("unreadable", pa.int64()),
        ("beyond", pa.int64()),
        ("first_unreadable", pa.string()),
        ("first_beyond", pa.string()),
    ]
)
