"""What is promised, and whether it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import scorers, steps
from benchmarks.report import measure, scaling
from benchmarks.report.comparison import Comparison
from benchmarks.report.scaling import Cost
from benchmarks.timing import Measurement, best

NO_GPU = "no GPU at hand"
FLAT = 1.02  # Of a peak that does not grow: the allocator may do that. To keep the scores alone would make it 1.10.


@dataclass(frozen=True)
class Bar:
    """A line of the table.

    Attributes:
        question: what is compared with what.
        form: how numbers are written, such as "{:.2f}".
        must: the bar.
        aim: the bar that is hoped for.
        measured: the number; None where it could not be measured.
        contenders: who was measured, and with what result.
        at_least: whether more is better.
    """

    question: str
    form: str
    must: float
    aim: float
    measured: float | None
    contenders: str
    at_least: bool = False

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return f"not measured: {self.contenders}"
        if self._reaches(self.aim):
            return "met, the aim too"
        return "met" if self._reaches(self.must) else "missed"

    def written(self, number: float | None) -> str:
        return "-" if number is None else self.form.format(number)

    def written_bar(self, number: float) -> str:
        return "flat" if number == FLAT else f"{'≥' if self.at_least else '≤'} {self.written(number)}"

    def _reaches(self, bar: float) -> bool:
        return self.measured is not None and (self.measured >= bar if self.at_least else self.measured <= bar)


def of_scores(measured: Sequence[Measurement]) -> list[Bar]:
    """The bars of the complete score of 512 images."""
    fused = best(measured, scorers.FUSED)
    forward, loop, vmap = (best(measured, name) for name in (measure.FORWARD, measure.LOOP, measure.VMAP))
    return [
        _ratio("full score against torch's forward pass alone, at its best", 0.85, 0.7, fused, forward),
        _speed_up("full score against the published loop, an image at a time", 25, 40, fused, loop),
        _speed_up("full score against `vmap(grad)`, at its best", 4, 6, fused, vmap),
    ]


def of_scaling(costs: Mapping[str, Sequence[Cost]], peak: float) -> list[Bar]:
    """The bars over batch, image size and width, each at its worst point."""
    by_batch, by_size, by_width = (
        {cost.x: cost for cost in costs[title]} for title in (scaling.BATCH, scaling.SIZE, scaling.WIDTH)
    )
    large = [by_size[size] for size in by_size if size >= 128]
    small = [by_size[size] for size in by_size if size < 128]
    wide = [by_width[width] for width in by_width if width > 1]
    return [
        _worst("score / forward pass, 64 pixels", 1.2, 1.0, [by_size[64]], _to_forward),
        _worst("score / forward pass, 128 to 512 pixels", 1.7, 1.3, large, _to_forward),
        _worst("score / forward pass, widths x2 to x8", 1.2, 1.0, wide, _to_forward),
        _worst("score / forward pass, one image at a time", 1.2, 0.9, [by_batch[1]], _to_forward),
        _worst("score / forward pass, four images at a time", 1.1, 0.9, [by_batch[4]], _to_forward),
        _worst("score / forward and backward pass, 28 to 512 pixels", 0.75, 0.55, [*small, *large], _to_backward),
        _slowest("`vmap(grad)` / score, 28 and 64 pixels, widths x1 to x8", 4, 6, [*small, *by_width.values()]),
        _slowest("`vmap(grad)` / score, 128 to 512 pixels", 2, 3, large),
        _share_of_peak([*small, *large], peak),
    ]


def _to_forward(cost: Cost) -> float:
    return cost.fused.microseconds / cost.forward.microseconds


def _to_backward(cost: Cost) -> float:
    return cost.fused.microseconds / cost.forward_backward.microseconds


def _worst(question: str, must: float, aim: float, costs: Sequence[Cost], ratio: Callable[[Cost], float]) -> Bar:
    of_all = "; ".join(f"{cost.x}: {ratio(cost):.2f}" for cost in costs)
    return Bar(question, "{:.2f}", must, aim, max(map(ratio, costs)), of_all)


def _slowest(question: str, must: float, aim: float, costs: Sequence[Cost]) -> Bar:
    speed_ups = [(cost.x, cost.vmap.microseconds / cost.fused.microseconds) for cost in costs if cost.vmap is not None]
    of_all = "; ".join(f"{x}: {speed_up:.1f}x" for x, speed_up in speed_ups)
    return Bar(question, "{:.1f}x", must, aim, min(speed_up for _, speed_up in speed_ups), of_all, at_least=True)


def _share_of_peak(costs: Sequence[Cost], peak: float) -> Bar:
    """Of the multiply-adds that direct loops would need; contractions in pairs take fewer."""
    shares = [(cost.x, cost.multiply_adds / cost.fused.microseconds * 1e6 / peak) for cost in costs]
    of_all = "; ".join(f"{x}: {share:.0%}" for x, share in shares)
    return Bar(
        "multiply-adds of a score that meet no padding, as a share of the peak in registers, 28 to 512 pixels",
        "{:.0%}",
        0.65,
        0.8,
        min(share for _, share in shares),
        f"{of_all}; peak: {peak / 1e9:.0f} billion a second",
        at_least=True,
    )


def of_one_image(measured: Sequence[Measurement]) -> Bar:
    fused, whole, to_weights = (
        best(measured, name) for name in (scorers.FUSED, measure.FORWARD_BACKWARD_TO_ALL, measure.FORWARD_BACKWARD)
    )
    ratio = fused.microseconds / whole.microseconds
    contenders = (
        f"{_both(fused, whole)}; {fused.microseconds / to_weights.microseconds:.2f} of a backward pass to the four "
        "constrained weights alone"
    )
    question = "score of one image alone against torch's forward and backward pass of it"
    return Bar(question, "{:.2f}", 0.6, 0.3, ratio, contenders)


def of_training(measured: Sequence[Measurement]) -> list[Bar]:
    fused, published, plain = (best(measured, name) for name in (steps.FUSED, steps.PUBLISHED, steps.PLAIN))
    return [
        _ratio("training step, Adam included, against the published loop", 0.45, 0.3, fused, published),
        _ratio("training step against torch's step without constraint", 1.3, 1.0, fused, plain),
    ]


def of_layers(costs: Sequence[Comparison]) -> Bar:
    of_all = "; ".join(
        f"{size}: " + ", ".join(f"{cost.ratio:.2f}" for cost in costs if cost.size == size)
        for size in dict.fromkeys(cost.size for cost in costs)
    )
    question = "alignment op alone / torch's weight gradient of the batch, each layer at 28 to 256 pixels"
    return Bar(question, "{:.2f}", 1.2, 1.0, max(cost.ratio for cost in costs), of_all)


def of_any_model(costs: Sequence[Comparison]) -> Bar:
    of_all = "; ".join(f"{cost.what} {cost.size}: {cost.ratio:.2f}" for cost in costs)
    question = "any-model path / torch's forward and backward pass, autoencoder and ResNet-18"
    return Bar(question, "{:.2f}", 1.4, 1.15, max(cost.ratio for cost in costs), of_all)


def of_training_sizes(measured: Mapping[int, Sequence[Measurement]]) -> Bar:
    ratios = {
        size: best(steps_of_size, steps.FUSED).microseconds / best(steps_of_size, steps.PLAIN).microseconds
        for size, steps_of_size in measured.items()
    }
    of_all = "; ".join(f"{size}: {ratio:.2f}" for size, ratio in ratios.items())
    question = "training step / a step of torch without constraint, at its best layout, 28 to 256 pixels"
    return Bar(question, "{:.2f}", 1.1, 0.9, max(ratios.values()), of_all)


def of_large_images(peaks: Mapping[int, int]) -> Bar:
    of_all = "; ".join(f"{size}: {peak / 1024:.0f} MiB" for size, peak in peaks.items())
    question = "peak memory of scoring images of 256 and 1024 pixels, beyond them"
    return Bar(question, "{:.0f} MiB", 256, 64, max(peaks.values()) / 1024, of_all)


def of_stream(stream: Mapping[str, Any]) -> Bar:
    (first, before), (last, after) = ((int(number), peak / 1024) for number, peak in stream["peak_kib"].items())
    contenders = f"{before:.1f} MiB after {first:,} images, {after:.1f} MiB after {last:,} (1x28x28, 512 at a time)"
    return Bar("peak memory of a stream of images", "{:.3f}x", FLAT, FLAT, after / before, contenders)


def of_first_score(medians: Mapping[str, float]) -> Bar:
    contenders = f"`gradcon_ext.runtime`, a fresh process each; the whole process {medians['process']:.3f} s"
    question = "without torch: import to first score of one image"
    return Bar(question, "{:.3f} s", 0.15, 0.08, medians["first_score"], contenders)


def of_gpu(measured: Sequence[Measurement] | None) -> list[Bar]:
    """Images a second, beside what torch does with them, and the time of a training run."""
    rates = "GPU: scores a second, float32 images on the device"
    steps_of_run = "GPU: steps of 1000 epochs of one CIFAR-10 class"
    to_forward = "GPU: full score against torch's forward pass alone, both in float32, each at its best"
    to_vmap = "GPU: full score against `vmap(grad)`, at its best"
    if measured is None:
        return [
            Bar(rates, "{:,.0f}", 1e6, 3e6, None, NO_GPU, at_least=True),
            Bar(to_forward, "{:.2f}", 0.85, 0.7, None, NO_GPU),
            Bar(to_vmap, "{:.1f}x", 4, 6, None, NO_GPU, at_least=True),
            Bar(steps_of_run, "{:.0f} s", 60, 20, None, NO_GPU),
        ]
    from benchmarks.report import gpu

    fused, forward, in_tf32, vmap, step = (
        best(measured, name) for name in (scorers.FUSED, measure.FORWARD, gpu.FORWARD_TF32, measure.VMAP, gpu.STEP)
    )
    forwards = f"{_both(fused, forward)}; the forward pass in TF32 {_one(in_tf32)}"
    return [
        Bar(rates, "{:,.0f}", 1e6, 3e6, 1e6 / fused.microseconds, _one(fused), at_least=True),
        Bar(to_forward, "{:.2f}", 0.85, 0.7, fused.microseconds / forward.microseconds, forwards),
        _speed_up(to_vmap, 4, 6, fused, vmap),
        Bar(steps_of_run, "{:.0f} s", 60, 20, gpu.epochs_seconds(step), f"{_one(step)}, times their number"),
    ]


def _ratio(question: str, must: float, aim: float, ours: Measurement, theirs: Measurement) -> Bar:
    return Bar(question, "{:.2f}", must, aim, ours.microseconds / theirs.microseconds, _both(ours, theirs))


def _speed_up(question: str, must: float, aim: float, ours: Measurement, theirs: Measurement) -> Bar:
    speed_up = theirs.microseconds / ours.microseconds
    return Bar(question, "{:.1f}x", must, aim, speed_up, _both(ours, theirs), at_least=True)


def _both(ours: Measurement, theirs: Measurement) -> str:
    return f"{_one(ours)} / {_one(theirs)}"


def _one(measurement: Measurement) -> str:
    return f"{measurement.microseconds:,.1f} µs ({measurement.setting})"
