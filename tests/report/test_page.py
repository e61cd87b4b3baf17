from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gradcon_ext.report.content import ImageRow, Report
from gradcon_ext.report.names import readable
from gradcon_ext.report.page import is_report, render, write_report

VOID = {"meta", "link", "img", "input", "br"}


class Outline(HTMLParser):
    """All tags with their attributes, and the text; fails where tags do not close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def outline(report: Report) -> Outline:
    return Outline(render(report))


def test_names_are_only_text(outline: Outline, report: Report) -> None:
    assert len(outline.all("script")) == len(outline.all("style")) == 1
    assert len(outline.all("title")) == 2  # of the page and of the histogram
    assert not outline.all("i") and not any(attribute.startswith("on") for _, all in outline.tags for attribute in all)
    for row in report.rows:
        assert readable(row.path) in outline.text
        assert readable(row.error or "") in outline.text
    assert "{{ 7 * 7 }}" in outline.text


def test_nothing_is_fetched(outline: Outline) -> None:
    addresses = [value for _, all in outline.tags for name, value in all.items() if name in ("src", "href", "action")]
    assert addresses and all(str(address).startswith(("data:", "#")) for address in addresses)
    assert "url(" not in outline.text and "@import" not in outline.text


def test_the_policy_allows_this_style_and_script_alone(report: Report, outline: Outline) -> None:
    page = render(report)
    (policy,) = (meta["content"] for meta in outline.all("meta") if "http-equiv" in meta)
    assert policy is not None and policy.startswith("default-src 'none'") and "unsafe" not in policy
    for tag in ("style", "script"):
        content = page[page.index(f"<{tag}>") + len(tag) + 2 : page.index(f"</{tag}>")]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_every_image_has_a_row_and_the_worst_have_pictures(outline: Outline, report: Report) -> None:
    assert len(outline.all("tr")) == 1 + 30
    cards = [attributes["id"] for attributes in outline.all("article")]
    assert cards == [f"image-{number}" for number in report.worst_first[:10]]
    assert len([image for image in outline.all("img")]) == 3 * 10 + 2
    assert all(image["alt"] for image in outline.all("img"))


def test_ids_are_unique_and_links_and_labels_find_them(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [str(link["href"])[1:] for link in outline.all("a")]
    for _, attributes in outline.tags:
        wanted += str(attributes.get("aria-labelledby") or "").split()
    assert wanted and set(wanted) <= set(ids)


def test_without_verdicts_the_page_says_why() -> None:
    rows = [ImageRow("a.png", 1.0), ImageRow("b.png", 2.0)]
    outline = Outline(render(Report("photos", {}, rows, no_verdict="It is not calibrated.")))
    assert "It is not calibrated." in outline.text
    ids = {attributes.get("id") for _, attributes in outline.tags}
    assert "no-verdict" in ids and not ids & {"count-outliers", "count-inliers", "verdict"}
    assert not any("verdict" in str(attributes.get("class")) for _, attributes in outline.tags)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("residual",), {"residual"}),
        (("residual", "alignment"), {"residual", "alignment"}),
        (("score",), {"score"}),
    ],
)
def test_the_maps_that_are_shown_are_explained_and_no_others(
    report: Report, names: tuple[str, ...], told: set[str]
) -> None:
    scales = dict.fromkeys(names, next(iter(report.scales.values())))
    page = render(replace(report, scales=scales))
    (lead,) = re.findall('<p class="lead">(.*)</p>', page)
    explained = {"residual": "The residual is", "alignment": "Alignment is", "score": "The score is"}
    assert {name for name, words in explained.items() if words in lead} == told


@pytest.mark.parametrize(
    "rows",
    [[], [ImageRow("a.png", error="broken")], [ImageRow("a.png", 1.0)], [ImageRow("a", 1.0), ImageRow("b", 1.0)]],
)
def test_few_images_or_none(rows: list[ImageRow]) -> None:
    outline = Outline(render(Report("photos", {}, rows, no_verdict="none")))
    assert all(row.path in outline.text for row in rows)
    assert "nan" not in render(Report("photos", {}, rows, no_verdict="none")).split("<body>")[1].split("<script>")[0]


def test_a_file_that_is_known_again(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, report)
    assert path.read_text(encoding="utf-8") == render(report)
    assert is_report(path)
    (tmp_path / "other.html").write_text("<html></html>")
    (tmp_path / "link.html").symlink_to(path)
    for name in ("other.html", "link.html", "nothing.html"):
        assert not is_report(tmp_path / name)
