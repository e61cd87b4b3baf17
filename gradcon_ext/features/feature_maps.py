"""Feature maps of images: what several stages of a frozen network make of them, on one grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from gradcon_ext.data.image_size import Size, height_width
from gradcon_ext.data.images import check_batch
from gradcon_ext.data.pixels import as_floats
from gradcon_ext.detector.detector import Detector
from gradcon_ext.features.bands import band_departures, checked_heights
from gradcon_ext.features.fingerprint import fingerprint
from gradcon_ext.features.stages import stage_outputs
from gradcon_ext.features.surroundings import checked_sizes, with_surroundings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue, as most networks trained on ImageNet expect them."""

_SETTINGS = ("name", "input_mean", "input_std", "surroundings", "bands")
_TENSORS = ("mean", "std")
_PREFIX = "features."


class FeatureMaps:
    """What several stages of a network make of images, resampled to one grid, and standardised.

    Larger maps are averaged down to the grid, smaller ones interpolated (bilinear). The pass through the network and
    the score of its maps are separate steps, so that either can run elsewhere.

    Args:
        network: any module; it is put in evaluation mode and frozen. A grey image is given to it as red, green and
            blue alike, unless `input_mean` has one number.
        stages: names of modules in it whose outputs (N, C, h, w) are taken, as `network.named_modules()` has them; none
            for a network that returns a list of maps itself, such as timm's with `features_only`.
        grid: rows and columns of the maps, or one number for as many of both.
        name: of the network, for the detector's file.
        input_mean: what is subtracted from each channel of images from 0 to 1,
        input_std: and what the rest is divided by.
        mean: of each channel of the maps (D,), by `standardised`,
        std: and their standard deviation.
        surroundings: sizes of squares around each position, odd numbers of positions a side; the means over them follow
            the position's own features. A flaw that is large and has no odd detail shows in them.
        bands: heights of bands across the whole width, odd numbers of positions; how far each band around a position
            departs from its columns' medians (`gradcon_ext.features.bands`) comes last. For surfaces whose structure
            runs down the image, such as ground or rolled metal: a part that is made differently shows in them, and
            streaks that are new do not.

    Raises:
        ValueError: no such module, a grid that is not positive, input means and deviations that do not fit,
            surroundings that are no odd numbers from 3, or bands that are no odd numbers.
    """

    def __init__(
        self,
        network: nn.Module,
        stages: Sequence[str] = (),
        grid: Size = 28,
        *,
        name: str = "",
        input_mean: Sequence[float] = IMAGENET_MEAN,
        input_std: Sequence[float] = IMAGENET_STD,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        surroundings: Sequence[int] = (),
        bands: Sequence[int] = (),
    ) -> None:
        if len(input_mean) != len(input_std) or not all(deviation > 0 for deviation in input_std):
            raise ValueError(f"expected as many positive deviations as means of the input, got {list(input_std)}")
        modules = dict(network.named_modules())
        unknown = [stage for stage in stages if stage not in modules]
        if unknown:
            raise ValueError(f"{type(network).__name__} has no module {unknown[0]!r}; it has {_some(modules)}")
        self.network = network.eval().requires_grad_(False)
        self.stages = tuple(stages)
        self.grid = height_width(grid)
        self.name = name or type(network).__name__
        self.input_mean = tuple(map(float, input_mean))
        self.input_std = tuple(map(float, input_std))
        self.mean = mean
        self.std = std
        self.surroundings = checked_sizes(surroundings)
        self.bands = checked_heights(bands)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the feature maps (N, D, h, w) of images, float32 on the CPU; standardised if that has been measured.

        Args:
            images: (N, C, H, W), uint8 or floating point from 0 to 1.

        Raises:
            TypeError: another dtype.
            ValueError: no images, pixels out of range, another number of channels than the network takes, or a stage
                whose output is no map.
        """
        check_batch(images, 0)
        outputs = stage_outputs(self.network, self.stages, self._input(images))
        own = torch.cat([_resampled(output.float(), self.grid) for output in outputs], 1).cpu()
        maps = torch.cat([with_surroundings(own, self.surroundings), *band_departures(own, self.bands)], 1)
        if self.mean is None or self.std is None:
            return maps
        if len(self.mean) != maps.shape[1]:
            raise ValueError(f"the network's maps have {maps.shape[1]} channels; {len(self.mean)} were standardised")
        return (maps - self.mean[:, None, None]) / self.std[:, None, None]

    def standardised(self, batches: Iterable[Tensor]) -> FeatureMaps:
        """Return the same with each channel brought to mean 0 and deviation 1 over batches (n, C, H, W) of images.

        Raises:
            TypeError, ValueError: as above, or there are no images.
        """
        raw = FeatureMaps(self.network, self.stages, self.grid, **self._settings)
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for images in batches:
            values = raw(images).double().transpose(0, 1).flatten(1)
            count += values.shape[1]
            total, squares = total + values.sum(1), squares + values.square().sum(1)
        if not count:
            raise ValueError("there are no images to standardise feature maps by")
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        # A channel that never changes: all but rounding.
        raw.mean, raw.std = mean.float(), torch.where(std > 1e-6 * (1 + mean.abs()), std, 1.0).float()
        return raw

    @property
    def facts(self) -> dict[str, Any]:
        """What a detector's file says of them, as JSON can hold it."""
        settings = {name: list(value) if isinstance(value, tuple) else value for name, value in self._settings.items()}
        return {
            **settings,
            "stages": list(self.stages),
            "grid": list(self.grid),
            "fingerprint": fingerprint(self.network),
        }

    def kept_in(self, detector: Detector) -> Detector:
        """Return a detector of such maps whose file tells what they are, and how they were standardised."""
        like = next(iter(detector.references.values())).cpu()
        given = {_PREFIX + name: tensor.to(like) for name in _TENSORS if (tensor := getattr(self, name)) is not None}
        preprocessing = {**detector.preprocessing, "features": self.facts}
        return replace(detector, preprocessing=preprocessing, extra={**detector.extra, **given})

    @classmethod
    def of_detector(cls, detector: Detector, network: nn.Module) -> FeatureMaps:
        """Return the feature maps that a detector was trained on, made by the same network.

        Raises:
            ValueError: the detector is one of pixels, what it says of features is damaged, or the network or its
                weights are others.
        """
        facts = detector.preprocessing.get("features")
        if facts is None:
            raise ValueError("this detector scores pixels: its file names no network of features")
        try:
            given, expected = fingerprint(network), facts["fingerprint"]
            if given != expected:
                raise ValueError(
                    f"the detector's features are of {facts['name']} with the fingerprint {expected}; "
                    f"this network has {given}"
                )
            settings = {name: facts[name] for name in ("name", "input_mean", "input_std")}
            # Files of older versions have none of these.
            settings |= {name: facts.get(name, ()) for name in ("surroundings", "bands")}
            mean, std = (_statistic(detector.extra, name) for name in _TENSORS)
            return cls(network, facts["stages"], facts["grid"], **settings, mean=mean, std=std)
        except (KeyError, TypeError) as error:
            raise ValueError(f"what the detector says of features is damaged: {str(facts)[:200]}") from error

    @property
    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS}

    def _input(self, images: Tensor) -> Tensor:
        wanted = len(self.input_mean)
        if images.shape[1] not in (1, wanted):
            raise ValueError(f"images have {images.shape[1]} channels; the network takes {wanted}, or grey ones")
        like = next(self.network.parameters(), torch.zeros(()))
        pixels = as_floats(images).to(like)
        mean, std = (pixels.new_tensor(numbers)[:, None, None] for numbers in (self.input_mean, self.input_std))
        return (pixels - mean) / std


def _resampled(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    if maps.shape[2] >= grid[0] and maps.shape[3] >= grid[1]:
        return F.adaptive_avg_pool2d(maps, grid)
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False)


def _statistic(tensors: Mapping[str, Tensor], name: str) -> Tensor | None:
    statistic = tensors.get(_PREFIX + name)
    if statistic is not None and (statistic.dim() != 1 or not bool(statistic.isfinite().all())):
        raise ValueError(f"the {name} of feature maps is damaged: its shape is {tuple(statistic.shape)}")
    return statistic


def _some(modules: Mapping[str, nn.Module]) -> str:
    names = [name for name in modules if name]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
