"""What `gradcon train` adds to a trained detector: a balance, the part of the score that decides, and a calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gradcon_ext.cli.progress import say
from gradcon_ext.cli.training_images import TrainingImages
from gradcon_ext.cli.verdicts import describe
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.facts import has_balance
from gradcon_ext.detector.parts import OF_BALANCE, PAPERS, PARTS
from gradcon_ext.scoring.balancing import balanced
from gradcon_ext.scoring.calibrating import calibrated
from gradcon_ext.scoring.cut import Cut
from gradcon_ext.scoring.gradient_weight import with_gradient_weighed
from gradcon_ext.scoring.image_scoring import scorer_of
from gradcon_ext.scoring.proxy import Proxy, notice_damage

SCORES = ("auto", "gradcon", *PARTS)
"""What may be asked to decide; "gradcon" leaves out all that the paper does not have."""

_FEWEST_FOR_BALANCE = 2

_PROXY = """\
How well each part of the score tells {images} held-out images from the same ones with synthetic damage (AUROC):
{table}
This is a proxy: real defects may look otherwise, and be noticed by another part."""


@dataclass(frozen=True)
class Finished:
    """A detector with all that was added, and why.

    Attributes:
        detector: the whole.
        score: what was asked for, one of `SCORES`.
        proxy: how well its parts notice damage; None where nobody is to see it.
    """

    detector: Detector
    score: str
    proxy: Proxy | None

    def report(self, images: TrainingImages) -> str:
        """Say what decides, and how surely, in lines of plain text."""
        lines = []
        if self.proxy is not None:
            lines.append(_PROXY.format(images=self.proxy.images, table=self.proxy.table()))
        if self.detector.balance is not None and not self.detector.balance.weights["gradient"]:
            lines.append("The gradient hardly notices damage: the balanced score leaves it out.")
        lines.append(f"{self.detector.part} decides, {self._reason()}.")
        if self.detector.calibration is not None:
            lines.append(describe(self.detector.calibration))
        elif "dataset" not in images.facts:
            count = len(as_image_dataset(images.train)) + len(as_image_dataset(images.validation))
            few = f"{count} images are too few to hold any out for it" if count < 3 else "no images are held out for it"
            lines.append(f"Without a verdict: {few}.")
        return "\n".join(lines)

    def _reason(self) -> str:
        if self.score != "auto" or self.proxy is None:
            return f"as --score {self.score} asks"
        if self.detector.part == "balanced":
            return f"for no part notices damage better by {self.proxy.margin:.2g}; --score takes another"
        if not has_balance(self.detector.balance, self.detector.preprocessing):
            return "for there are too few held-out images to tell the scale of each part by"
        return f"for it notices damage better than the balanced score by {self.proxy.margin:.2g}; --score takes another"


def refuse_unfit(score: str, rate: float | None, images: TrainingImages) -> None:
    """Raise ValueError if there are too few held-out images for the score, or for the rate, that is asked for."""
    if rate is not None and images.calibration is None:
        raise ValueError("--false-alarms needs calibration images, and this run holds none out")
    if score in OF_BALANCE and len(as_image_dataset(images.validation)) < _FEWEST_FOR_BALANCE:
        raise ValueError(f"--score {score} needs at least 2 held-out images to tell the scale of scores by")


def finish(
    detector: Detector,
    images: TrainingImages,
    score: str,
    rate: float | None,
    device: str | torch.device,
    quiet: bool,
    cut: Cut | None = None,
) -> Finished:
    """Add to a detector what its score needs, choose the part that decides, and calibrate it.

    Args:
        detector: just trained.
        images: that it was trained with.
        score: one of `SCORES`.
        rate: stated false-alarm rate; see `gradcon_ext.calibrated`.
        device: to score on.
        quiet: whether to say nothing of what is done, and not to see which parts notice damage where nothing depends
            on it.
        cut: how it was trained on tiles of the images; None for whole ones.
    """
    network = None if cut is None or cut.features is None else cut.features.network
    if cut is not None:
        detector = cut.kept_in(detector, {name: images.preprocessing[name] for name in ("channels", "size")})
    if score != "gradcon" and len(as_image_dataset(images.validation)) >= _FEWEST_FOR_BALANCE:
        say("balancing the parts of the score", quiet)
        balance = balanced if cut is None else cut.balanced
        detector = balance(detector, images.train, images.validation, device)
    proxy = None
    if detector.balance is not None or score == "auto" or not quiet:
        say("damaging held-out images to see which part notices", quiet)
        if detector.balance is None:
            proxy = notice_damage(scorer_of(detector, device, network=network), images.validation)
        else:
            detector, proxy = with_gradient_weighed(detector, images.validation, device)
    part = proxy.part if score == "auto" and proxy is not None else _part_of(score)
    detector = replace(detector, part=part, training={**detector.training, "score": score})
    if images.calibration is not None:
        say(f"calibrating on {len(as_image_dataset(images.calibration))} images", quiet)
        detector = calibrated(detector, images.calibration, rate=rate, device=device, network=network)
    return Finished(detector, score, proxy)


def _part_of(score: str) -> str:
    return PAPERS if score == "gradcon" else score
