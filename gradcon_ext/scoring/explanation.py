"""Where in an image its anomaly score comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from gradcon_ext.alignment.gradients import ConvGradients, LinearGradients
from gradcon_ext.alignment.pass_size import samples_of_pass
from gradcon_ext.alignment.per_sample import MAX_BYTES
from gradcon_ext.alignment.prepared import Prepared, prepare
from gradcon_ext.alignment.routes import Route
from gradcon_ext.alignment.sample_gradients import sample_gradients
from gradcon_ext.alignment.shares import location_shares
from gradcon_ext.data.image_dataset import stored_batches
from gradcon_ext.data.images import Images, as_image_dataset, takes_features
from gradcon_ext.data.pixels import like_weight
from gradcon_ext.losses import reconstruction_of

if TYPE_CHECKING:
    from gradcon_ext.scoring.scorer import Scorer


class Explained(Protocol):
    """An explanation of N images: `Explanation`, or `ScoreMaps` of tiles."""

    @property
    def maps(self) -> Mapping[str, Tensor | list[Tensor]]:
        """By name, the map (H, W) of each image, as `maps[name][index]`, of which higher is more anomalous."""


class HasMaps(Protocol):
    """A scorer that tells where in images their scores come from."""

    def maps(self, images: Images, batch_size: int = 64) -> Iterator[dict[str, Tensor]]:
        """Yield maps (n, H, W) of images batch by batch, by name, of each of which higher is more anomalous.

        What has a dot in its name is a part of the map that is named before it.
        """


@dataclass(frozen=True)
class Explanation:
    """Maps of N images, float32 on the CPU.

    Attributes:
        residual: squared error of the reconstruction at each pixel, the mean over channels, (N, H, W). Its mean over
            an image is the squared error of that image.
        layers: by the names of constrained weights, each location's share of the alignment, (N, H, W): what the
            location of the layer's input adds to the cosine, negative where it takes from it. They sum to the cosine
            on the layer's own grid, from which they are brought to the image's size (bilinear).
        unmapped: by the names of the other constrained weights, why they have no map.
    """

    residual: Tensor
    layers: dict[str, Tensor]
    unmapped: dict[str, str]

    @property
    def maps(self) -> dict[str, Tensor]:
        """Maps (N, H, W) by name, of each of which higher is more anomalous, as of all scores.

        They are "residual"; "alignment", minus the mean over layers of the shares; and "alignment." with the name of
        each layer, minus its shares. `docs/where.md` says which is better when.
        """
        shares = {f"alignment.{name}": -share for name, share in self.layers.items()}
        mean = {"alignment": torch.stack(list(shares.values())).mean(0)} if shares else {}
        return {"residual": self.residual, **mean, **shares}


def explain(scorer: Scorer, images: Images, batch_size: int = 64) -> Explanation:
    """Tell where in images their anomaly scores come from.

    Args:
        scorer: a trained one, of any model that reconstructs images. It runs as it is, by automatic differentiation.
        images: N of them, as `Scorer.score` takes them.
        batch_size: images in memory at a time, beside all maps; see `explain_batches` for a stream of them.

    Raises:
        TypeError: images of another kind or dtype, or a model that returns no reconstruction.
        ValueError: bad images, reconstructions of another shape, or samples that influence each other.
    """
    parts = list(explain_batches(scorer, images, batch_size))
    unmapped = {name: reason for part in parts for name, reason in part.unmapped.items()}
    mapped = [name for name in scorer.layers if name not in unmapped]
    layers = {name: torch.cat([part.layers[name] for part in parts]) for name in mapped}
    return Explanation(torch.cat([part.residual for part in parts]), layers, unmapped)


def explain_batches(scorer: Scorer, images: Images, batch_size: int = 64) -> Iterator[Explanation]:
    """Yield the explanations of images a batch at a time; the arguments are those of `explain`."""
    for batch in stored_batches(as_image_dataset(images, features=takes_features(scorer.model)), batch_size):
        yield from _explain_batch(scorer, batch)


def _explain_batch(scorer: Scorer, batch: Tensor) -> Iterator[Explanation]:
    """Those of a batch, as many at a time as a pass has memory for."""
    pixels = like_weight(batch, next(scorer.model.parameters()))
    prepared = prepare(scorer.model, scorer.layers, in_eval_mode=True)
    sample_loss = scorer.loss

    def loss(output: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        return sample_loss(output, images).total, _residual(reconstruction_of(output), images)

    for some in torch.split(pixels, samples_of_pass(prepared, loss, pixels, None)):
        gradients = sample_gradients(prepared, loss, some, None, MAX_BYTES)
        yield _explanation(prepared, gradients.routes, scorer.references, gradients.aux)


def _residual(reconstruction: Tensor, images: Tensor) -> Tensor:
    if reconstruction.shape != images.shape:
        raise ValueError(
            f"images of shape {tuple(images.shape)} are reconstructed as {tuple(reconstruction.shape)}; "
            "a residual map needs equal shapes"
        )
    return (reconstruction - images).detach().square().mean(1)


@torch.inference_mode(False)
@torch.no_grad()
def _explanation(
    prepared: Prepared, routes: Mapping[str, Route], references: Mapping[str, Tensor], residual: Tensor
) -> Explanation:
    layers, unmapped = {}, {}
    for name, route in routes.items():
        if isinstance(route.gradients, ConvGradients) and route.gradients.input.dim() == 4:
            layer = prepared.model.get_submodule(name.rpartition(".")[0])
            shares = location_shares(layer, route.gradients, references[name])
            layers[name] = _on_cpu(_resized(shares, residual.shape[1:]))
        else:
            unmapped[name] = _why_unmapped(route)
    return Explanation(_on_cpu(residual), layers, unmapped)


def _why_unmapped(route: Route) -> str:
    if isinstance(route.gradients, LinearGradients):
        return "a linear layer has no locations"
    if route.gradients is None:
        return route.reason
    return "only the input of a convolution of two axes has locations in an image"


def _resized(shares: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(shares[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def _on_cpu(maps: Tensor) -> Tensor:
    return maps.to("cpu", torch.float32)
