"""`gradcon check`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gradcon_ext.cli import arguments, reading_options, taking_options
from gradcon_ext.cli.image_reader import UNREADABLE, own_pixel_limit
from gradcon_ext.cli.progress import progress
from gradcon_ext.cli.reading_options import preparation_of
from gradcon_ext.cli.taking import Taking, refuse_placing, taking_of
from gradcon_ext.data.held_out import held_out
from gradcon_ext.data.reading import Found, ImageFile, Preparation, find_images, with_frames
from gradcon_ext.data.reading.inspection import Inspection, inspect
from gradcon_ext.data.reading.value_range import range_of_values

_DETAILS = """\
Nothing is trained and nothing is written. All images are decoded; counted are
their formats, modes, bit depths, sizes and orientations, and named are files
that cannot be read, are empty, have the bytes of another one, or are ignored.
The last lines are what `gradcon train --images FOLDER` with the same options
would do.

The exit code is 3 if there are images that cannot be read.
"""

_EXAMPLES = """\
  gradcon check photos
  gradcon check mvtec/bottle --size 256 --json
"""

_MOST_SIZES = 8
_NARROW = 0.25
"""Of a range; values that use less of it are worth another."""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "look at images before anything is trained on them"
    parser = arguments.add_command(commands, "check", summary, _DETAILS, _EXAMPLES)
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=arguments.path,
        help="a folder, searched in depth, or of MVTec AD; or a .csv or .jsonl with paths of images",
    )
    parser.add_argument("--json", action="store_true", help="the same as one object of JSON, every name in full")
    reading_options.add_preparation(parser)
    taking_options.add_taking(parser)
    reading_options.add_reading(parser, on_error="fail")
    return parser


def run(args: argparse.Namespace) -> int:
    """Print what there is; return the exit code."""
    taking_options.refuse_misfits(args)
    with own_pixel_limit():
        taking = taking_of(args, find_images(args.folder, "train").files)
        refuse_placing(args, taking)
        preparation = preparation_of(args, taking.size)
        found = find_images(args.folder)
        files = with_frames(found.files, preparation, args.workers)
        with progress(len(files), "checking") as update:
            inspection = inspect(_told(files, update), preparation, args.workers)
        to_train = with_frames(find_images(args.folder, "train").files, preparation, args.workers)
        seen = inspection if len(to_train) == len(files) else inspect(to_train, preparation, args.workers)
    facts = _facts(args.folder, found, len(files), inspection)
    facts["train"] = {**_training(preparation, seen, args.on_error), **_taken(taking)}
    print(json.dumps(facts, indent=2) if args.json else "\n".join(_lines(facts)))
    return UNREADABLE if inspection.unreadable or inspection.empty else 0


def _facts(folder: Path, found: Found, images: int, inspection: Inspection) -> dict[str, Any]:
    """All that was found, as JSON can hold it."""
    outliers = Counter(file.is_outlier for file in found.files)
    return {
        "folder": str(folder),
        "layout": found.layout,
        "images": images,
        "inliers": outliers[False],
        "outliers": outliers[True],
        "format": dict(inspection.formats.most_common()),
        "mode": dict(inspection.modes.most_common()),
        "bits": {str(bits): count for bits, count in inspection.bits.most_common()},
        "size": {f"{width}x{height}": count for (width, height), count in inspection.sizes.most_common()},
        "orientation": dict(inspection.orientations.most_common()),
        "turned_by_exif": inspection.turned,
        "values": inspection.bounds,
        "several_frames": list(dict.fromkeys(map(str, inspection.several))),
        "unreadable": {str(error.path): error.problem for error in inspection.unreadable},
        "empty": [str(path) for path in inspection.empty],
        "duplicates": {str(path): str(first) for path, first in inspection.duplicates},
        "ignored": {str(entry.path): entry.reason for entry in found.ignored},
    }


def _training(preparation: Preparation, inspection: Inspection, on_error: str) -> dict[str, Any]:
    bad = len(inspection.unreadable) + len(inspection.empty)
    stops = inspection.readable < 2 or (bad > 0 and on_error == "fail")
    parts = None if stops else held_out(inspection.readable, seed=0)
    counts = [0, 0, 0] if parts is None else [len(part) for part in parts]
    value_range = preparation.range or range_of_values(inspection.kinds, None if parts is None else parts.train)
    return {
        "refuses": stops,
        "train_images": counts[0],
        "validation_images": counts[1],
        "calibration_images": counts[2],
        "skipped": bad,
        **preparation.facts(),
        "fit": preparation.fit,
        "range": value_range,
        "narrow": _is_narrow(inspection.bounds, value_range),
    }


def _taken(taking: Taking) -> dict[str, Any]:
    return {"chosen": taking.reason or None, "tiles": None, **taking.facts().get("taking", {})}


def _is_narrow(bounds: tuple[float, float] | None, value_range: tuple[float, float] | None) -> bool:
    if bounds is None or value_range is None:
        return False
    return 0 < bounds[1] - bounds[0] < _NARROW * (value_range[1] - value_range[0])


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    known = f": {facts['inliers']} inliers, {facts['outliers']} outliers" if facts["outliers"] else ""
    yield f"{_shown(facts['folder'])}: {facts['images']} images in {facts['layout']}{known}"
    for name, title in (
        ("format", "formats"),
        ("mode", "modes"),
        ("bits", "bits a channel"),
        ("size", "sizes (w x h)"),
    ):
        yield f"{title:16}{_counts(facts[name])}"
    turned = f"; turned upright as EXIF says: {facts['turned_by_exif']}" if facts["turned_by_exif"] else ""
    yield f"{'orientations':16}{_counts(facts['orientation'])}{turned}"
    if facts["values"]:
        yield f"{'values':16}{facts['values'][0]:g} to {facts['values'][1]:g}"
    yield from _named("several frames", facts["several_frames"])
    yield from _named("unreadable", facts["unreadable"])
    yield from _named("empty", facts["empty"])
    yield from _named("duplicates", {path: f"the same as {first}" for path, first in facts["duplicates"].items()})
    yield from _named("ignored", facts["ignored"])
    yield from _training_lines(facts["train"])


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{name}: {count}" for name, count in list(counts.items())[:_MOST_SIZES]]
    others = len(counts) - len(shown)
    return ", ".join(shown) + (f", and {others} others" if others else "") or "none"


def _named(title: str, names: Mapping[str, str] | list[str]) -> Iterator[str]:
    yield f"{title:16}{len(names)}"
    reasons = names if isinstance(names, Mapping) else dict.fromkeys(names, "")
    for name, reason in reasons.items():
        yield f"  {_shown(name)}{f': {_shown(reason)}' if reason else ''}"


def _shown(name: str) -> str:
    """A name as one line that every terminal can show."""
    return name if name.isprintable() else ascii(name)


def _training_lines(train: Mapping[str, Any]) -> Iterator[str]:
    if train["refuses"]:
        reason = "images that cannot be read; see --on-error skip" if train["skipped"] else "fewer than two images"
        yield f"train would fail: {reason}"
        return
    values = "the full scale of each" if train["range"] is None else f"{train['range'][0]:g} to {train['range'][1]:g}"
    skipped = f", skip {train['skipped']}" if train["skipped"] else ""
    yield f"train would learn from {train['train_images']} images and hold out {train['validation_images']} for"
    yield f"  validation and {train['calibration_images']} for calibration{skipped},"
    colour = "colour" if train["channels"] == 3 else "grey"
    if train["size"] is None:
        yield f"  in {colour}, as large as they are,"
    else:
        height, width = train["size"]
        yield f"  in {colour}, {height}x{width} (height x width), {train['fit']},"
    yield f"  with values from {values} as 0 to 1"
    if train["tiles"]:
        height, width = train["tiling"]["size"]
        of = f"feature maps of {train['features']['name']}" if train["features"] else "them"
        yield f"  in about {train['tiles']} tiles of {height}x{width} of {of}"
    if train["chosen"]:
        yield f"  {train['chosen']}"
    if train["narrow"]:
        yield "  which the values use little of: --range MIN,MAX spreads them"


def _told(files: list[ImageFile], update: Any) -> Iterator[ImageFile]:
    """Files as they are taken."""
    for file in files:
        yield file
        update(1)
