"""What processes of their own record; a spawned one imports it by this name, which a test's own module has not."""

from pathlib import Path

from gradcon_ext.reproduce.records import Record, Records


def put_some(folder: Path, inlier: int, record: Record) -> None:
    for seed in range(5):
        Records(folder).put(f"mnist/cae/{inlier}/seed-{seed}", record)
