"""A report as one file of HTML: text, pictures, style and script are in it, and nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from pathlib import Path

from gradcon_ext.report.content import Report
from gradcon_ext.report.histogram import histogram_of
from gradcon_ext.report.names import readable
from gradcon_ext.scoring.overlay import as_png, colour_bar
from gradcon_ext.storage.files import replace_file
from gradcon_ext.version import __version__

_HERE = Path(__file__).parent
_GENERATOR = '<meta name="generator" content="gradcon report'


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write a report, by rename.

    Raises:
        OSError: it cannot be written.
    """
    page = render(report)
    with replace_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def is_report(path: Path) -> bool:
    """Whether a file is a report, which another may replace; a symbolic link is none."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _GENERATOR.encode() in file.read(4096)


def render(report: Report) -> str:
    """Return the page. Whatever names and messages hold, it is only text there."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # needed here alone
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(readable=readable, number=_number, data=_data)
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    parts = list(dict.fromkeys(name for row in report.rows for name in row.parts))
    return environment.get_template("page.html.j2").render(
        report=report,
        generator=Markup(_GENERATOR + f' {__version__}">'),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        verdicts=Counter(row.verdict for row in report.rows if row.verdict),
        unreadable=[row for row in report.rows if row.error is not None],
        worst_first=report.worst_first,
        parts=parts,
        with_p_values=any(row.p_value is not None for row in report.rows),
        histogram=histogram_of(report.rows, report.threshold),
        colours=as_png(colour_bar()),
    )


def _policy(style: str, script: str) -> str:
    """Content-Security-Policy: pictures that are in the page, this style and this script, and nothing else."""
    of_style, of_script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{of_style}'; script-src 'sha256-{of_script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _number(value: float) -> str:
    return f"{value:.4g}"


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
