"""The report in a browser: what a user sees, types and hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from gradcon_ext.report.content import Report
from gradcon_ext.report.names import readable
from gradcon_ext.report.page import write_report


@pytest.fixture(scope="module")
def address(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, report)
    return path.as_uri()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the report, and fails at the end if anything was fetched, refused or said on the console."""
    requests: list[str] = []
    messages: list[str] = []
    contexts = []

    def open(**settings: Any) -> Any:
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(dialog.message))
        page.goto(address)
        return page

    yield open
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith("data:")] == [address] * len(contexts)
    assert not messages


def names(page: Any) -> list[str]:
    return page.locator("tbody tr:not([hidden]) th").all_inner_texts()


def column(page: Any, number: int) -> list[str]:
    return page.eval_on_selector_all("tbody tr", f"rows => rows.map(row => row.children[{number}].dataset.value)")


def test_counts_and_names_as_they_are(open_page: Callable[..., Any], report: Report) -> None:
    page = open_page()
    counts = {name: int(page.locator(f"#count-{name}").inner_text()) for name in ("images", "outliers", "inliers")}
    outliers = sum(row.verdict == "outlier" for row in report.rows)
    assert counts == {"images": 32, "outliers": outliers, "inliers": 30 - outliers}
    assert page.locator("#count-unreadable").inner_text() == "2"
    shown = page.locator("tbody th").all_text_contents()
    assert shown == [readable(report.rows[number].path) for number in report.worst_first]
    assert page.title() == "Anomalies in <photos>"
    assert "<b>cut</b>.png" in page.locator(".errors").inner_text()


def test_sorting(open_page: Callable[..., Any]) -> None:
    page = open_page()
    scores = [float(value) for value in column(page, 2)]
    assert scores == sorted(scores, reverse=True)
    header = page.get_by_role("columnheader", name="p-value")
    for direction in ("descending", "ascending"):
        header.get_by_role("button").press("Enter")
        assert header.get_attribute("aria-sort") == direction
        values = column(page, 3)
        assert values[-1] == ""  # the one without
        numbers = [float(value) for value in values[:-1]]
        assert numbers == sorted(numbers, reverse=direction == "descending")
    assert page.locator('[aria-sort="ascending"], [aria-sort="descending"]').count() == 1
    page.get_by_role("button", name="image").click()
    expected = page.evaluate(
        "names => names.sort((a, b) => a.localeCompare(b, undefined, {numeric: true}))", column(page, 0)
    )
    assert column(page, 0) == expected


def test_search_and_verdict(open_page: Callable[..., Any], report: Report) -> None:
    page = open_page()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("PART 07")
    assert names(page) == ["part 7/07.png"]
    assert page.get_by_role("status").inner_text() == "1 of 30 images"
    page.keyboard.type(" no such name")
    assert names(page) == []
    assert page.locator(".nothing:visible").count() == 2
    page.keyboard.press("Escape")
    assert len(names(page)) == 30
    page.keyboard.type("<script>")
    assert len(names(page)) == 1
    page.keyboard.press("Escape")
    page.get_by_label("Verdict").select_option("outlier")
    assert len(names(page)) == sum(row.verdict == "outlier" for row in report.rows)


def test_keys_move_from_picture_to_picture(open_page: Callable[..., Any], report: Report) -> None:
    page = open_page()

    def focused() -> str:
        return page.evaluate("document.activeElement.id")

    page.keyboard.press("k")
    for key, place in (("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        page.keyboard.press(key)
        assert focused() == f"image-{report.worst_first[place]}"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_tab_key_reaches_everything_and_shows_where_it_is(open_page: Callable[..., Any]) -> None:
    page = open_page()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        tag, text, outline = page.evaluate(
            "(() => { const it = document.activeElement;"
            "return [it.tagName, it.id || it.innerText, getComputedStyle(it).outlineStyle]; })()"
        )
        if tag == "BODY":
            break
        assert outline != "none", text
        reached.append(text)
    assert reached[0] == "Skip to all images"
    assert {"search", "verdict", "image", "anomaly score", "p-value"} <= set(reached)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_enough_contrast(open_page: Callable[..., Any], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    ratios = page.evaluate(CONTRASTS)
    assert len(ratios) > 100
    assert min(ratios.values()) >= 4.5, min(ratios, key=ratios.get)
    (background,) = {page.evaluate("getComputedStyle(document.body).backgroundColor")}
    assert (background == "rgb(20, 21, 23)") == (scheme == "dark")


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_nothing_scrolls_sideways(open_page: Callable[..., Any], width: int) -> None:
    """320 pixels are 1280 at 400 %."""
    page = open_page(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.evaluate(
            "[...document.querySelectorAll('main *, header *')].filter(it => it.getBoundingClientRect().right > "
            "document.documentElement.clientWidth + 1 && !it.closest('.unseen')).map(it => it.outerHTML.slice(0, 99))"
        )
        == []
    )
    assert page.locator("thead button").first.is_visible()


def test_what_a_screen_reader_is_told(open_page: Callable[..., Any], report: Report) -> None:
    page = open_page()
    assert all(page.eval_on_selector_all("img", "all => all.map(it => it.alt.trim() !== '' && it.naturalWidth > 0)"))
    assert page.locator("h1").count() == 1
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(it => Number(it.tagName[1]))")
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.locator("html").get_attribute("lang") == "en"
    for role in ("main", "search", "table"):
        assert page.get_by_role(role).count() == 1
    assert page.get_by_role("img", name="Distribution").count() == 1
    assert page.get_by_role("article").count() == 10
    worst = readable(report.rows[report.worst_first[0]].path)
    assert worst in page.get_by_role("article").first.get_by_role("heading").inner_text()
    unnamed = "all => all.filter(it => !(it.labels && it.labels.length) && !it.innerText.trim()).length"
    assert page.eval_on_selector_all("button, input, select, a", unnamed) == 0


def test_without_scripts_everything_is_there(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("tbody tr").count() == 30
    assert page.locator(".tools").is_hidden()
    context.close()


CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (it) => {
    for (; it; it = it.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(it).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const ratios = {};
  for (const it of document.querySelectorAll("body *")) {
    const text = [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || !it.checkVisibility() || it.closest("script, svg")) continue;
    const [a, b] = [light(parse(getComputedStyle(it).color)), light(behind(it))];
    ratios[it.outerHTML.slice(0, 120) + Object.keys(ratios).length] =
      (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return ratios;
}"""
