"use strict";

// Everything is in the page already; this sorts, searches, and moves the focus.

const search = document.getElementById("search");
const verdict = document.getElementById("verdict");
const entries = [...document.querySelectorAll("[data-name]")];

function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = verdict ? verdict.value : "";
  for (const entry of entries) {
    const matches = words.every((word) => entry.dataset.name.includes(word));
    const holder = entry.closest("li") || entry;
    holder.hidden = !matches || (wanted !== "" && entry.dataset.verdict !== wanted);
  }
  const rows = [...document.querySelectorAll("tbody tr")];
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("shown").textContent =
    shown === rows.length ? `${rows.length} images` : `${shown} of ${rows.length} images`;
  for (const note of document.querySelectorAll(".nothing")) {
    note.hidden = note.parentElement.querySelector("tbody tr:not([hidden]), .cards > li:not([hidden])") !== null;
  }
}

function sortBy(header) {
  const table = header.closest("table");
  const headers = [...header.parentElement.children];
  const column = headers.indexOf(header);
  const isNumber = header.classList.contains("number");
  const before = header.getAttribute("aria-sort");
  const descending = before === "none" ? isNumber : before === "ascending";
  for (const other of headers) {
    other.setAttribute("aria-sort", "none");
  }
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const valueOf = (row) => row.children[column].dataset.value;
  const compare = isNumber ? (a, b) => a - b : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row), row]);
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") {
      return (a === "") - (b === ""); // What has no value comes last either way.
    }
    return descending ? compare(b, a) : compare(a, b);
  });
  for (const [, row] of rows) {
    table.tBodies[0].append(row);
  }
}

function move(by) {
  const cards = [...document.querySelectorAll(".cards > li:not([hidden]) > .card")];
  const at = cards.indexOf(document.activeElement.closest(".card"));
  const to = at < 0 ? 0 : Math.min(Math.max(at + by, 0), cards.length - 1);
  if (cards.length > 0) {
    cards[to].focus();
    cards[to].scrollIntoView({ block: "nearest" });
  }
}

document.addEventListener("keydown", (event) => {
  const writes = event.target.matches("input, select");
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (event.key === "Escape" && event.target === search) {
    search.value = "";
    show();
  } else if (!writes && event.key === "/") {
    event.preventDefault();
    search.focus();
  } else if (!writes && (event.key === "j" || event.key === "k")) {
    move(event.key === "j" ? 1 : -1);
  }
});
for (const header of document.querySelectorAll("thead th")) {
  header.firstElementChild.addEventListener("click", () => sortBy(header));
}
search.addEventListener("input", show);
if (verdict) {
  verdict.addEventListener("change", show);
}
document.querySelector(".tools").hidden = false;
show();
