"""The table of the bars, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.report.bars import Bar
from benchmarks.report.scaling import PANELS

_INTRODUCTION = """# Benchmarks

`pytest benchmarks` compares each contender with a baseline, one file a question. `python -m benchmarks.report` measures
what is promised, in one run, and writes this page, the charts and [report.json]({results}report.json) with all medians;
`--quick` shows in a minute or two that it works, with numbers that mean little. Run either alone on the machine:
neighbours on its cores change the ratios.

The model is the paper's convolutional autoencoder for 3x28x28 images, float32, with images and weights in memory;
nothing is transferred. The contenders of a comparison run in turn, in a new order each round, and the ratio is that of
their medians. Each is run twice and the second run timed, because a contender finds caches and freed memory as the one
before left them; freed memory is kept for all of them (`gradcon_ext.keep_freed_memory`). Each counts at the batch and,
for torch, the layout in memory (contiguous or channels last) that are best for it, our fused score of 28 pixels at 512.
Torch's backward pass goes to the gradients of the four decoder weights only. The any-model path is what scores a model
or a loss that the fused engine does not have. One image takes the published loop as long as the next: it is given 64.
The peak is that of multiply-adds in registers alone, of the instruction set in use and on all threads
(`benchmarks/report/peak.cpp`); the share of it counts those that direct loops would need, of which contractions in
pairs take fewer (`docs/design.md`).
"""


def page(facts: Mapping[str, str], bars: Sequence[Bar], notes: Sequence[str], results: str) -> str:
    """Write the page.

    Args:
        facts: about the run.
        bars: the lines of the table.
        notes: remarks on the run, of which a reader has to know.
        results: where the charts are, as seen from the page: empty, or a folder that ends in a slash.
    """
    parts = [
        _INTRODUCTION.format(results=results),
        "\n".join(f"- {name}: {f'`{fact}`' if name == 'command' else fact}" for name, fact in facts.items()),
        *notes,
        _table(bars),
        f"![Cost of a score]({results}score.png)",
        f"![Cost over batch, image size and width]({results}scaling.png)",
        "\n".join(f"- {panel.title}: {panel.note}" for panel in PANELS),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(bars: Sequence[Bar]) -> str:
    lines = [
        "| what | must | aim | measured | verdict | contender / competitor, an image |",
        "|---|---|---|---|---|---|",
    ]
    for bar in bars:
        verdict, _, _ = bar.verdict.partition(":")
        cells = (
            bar.question,
            bar.written_bar(bar.must),
            bar.written_bar(bar.aim),
            f"**{bar.written(bar.measured)}**",
            verdict,
            bar.contenders,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
