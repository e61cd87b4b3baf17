"""GradCon and GradNorm for classifiers, as detectors of pytorch-ood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradcon_ext.alignment import align_with_aux
from gradcon_ext.alignment.prepared import prepare
from gradcon_ext.alignment.sums import absolute_sums, gradient_sum
from gradcon_ext.pytorch_ood.running_means import RunningMeans
from gradcon_ext.pytorch_ood.uniform import checked_logits, loss_to_uniform, weights_of

try:
    from pytorch_ood.api import GradientDetector, ModelNotSetException, RequiresFittingException
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "gradcon_ext.pytorch_ood needs pytorch-ood: pip install 'gradcon_ext[pytorch-ood]'"
    ) from error

if TYPE_CHECKING:
    from typing_extensions import Self


_LOGITS_AT_ONCE = 16
"""Samples in a pass of the model alone, where no batch size is given."""


class _OfUniformLoss(GradientDetector):  # type: ignore[misc]  # pytorch-ood has no types
    """What both have in common: a classifier in eval mode, and weights whose gradients are looked at."""

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str] | None = None,
        temperature: float = 1.0,
        batch_size: int | None = None,
    ) -> None:
        if model is None:
            raise ModelNotSetException("Model must be provided.")
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.model = model
        self.layers = weights_of(model, layers)
        self.temperature = temperature
        self.batch_size = batch_size

    def _arranged(self, x: Tensor) -> Tensor:
        return x.to(next(self.model.parameters()).device)


class GradCon(_OfUniformLoss):
    """Alignment of each sample's gradient with the mean gradient of training samples, by `per_sample_alignment`.

    The gradients are those of the divergence from uniform labels, which unlike the loss of training does not vanish
    where a classifier is right, and needs no label. A sample is compared with the training samples that are predicted
    as the same class. Scores are minus the mean cosine over `layers`, from -1 to 1; higher is more anomalous.

    Args:
        model: a classifier in eval mode, which returns logits (N, classes). It is not changed.
        layers: names of its weights; that of the last linear layer by default.
        temperature: of the softmax.
        batch_size: samples in a pass, which bounds memory; by default as many as `per_sample_alignment` takes.
        per_class: whether there is a reference for each class, which together take the memory of the weights times the
            number of classes; otherwise there is one for all, with which less is told apart.

    Attributes:
        references: of each layer, (classes, *weight) or (1, *weight), by its name; None before `fit`. With that of a
            class that no training sample is predicted as, the cosine is 0.

    Raises:
        ModelNotSetException: there is no model.
        ValueError: the model has no such weights, or a temperature that is none.
    """

    requires_fit = True

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str] | None = None,
        temperature: float = 1.0,
        batch_size: int | None = None,
        per_class: bool = True,
    ) -> None:
        super().__init__(model, layers, temperature, batch_size)
        self.per_class = per_class
        self.references: dict[str, Tensor] | None = None

    def fit(self, data_loader: Iterable[Any]) -> Self:
        """Take the mean gradients of the samples of a loader as references; memory does not grow with it.

        Args:
            data_loader: yields batches (x, y) or x; the labels y are not looked at.

        Raises:
            ValueError: there are no samples, or as `per_sample_alignment` raises.
        """
        means: RunningMeans | None = None
        for batch in data_loader:
            x = self._arranged(batch[0] if isinstance(batch, tuple | list) else batch)
            logits = self._logits(x)
            groups = self._groups(logits)
            if means is None:
                means = RunningMeans(self.model, self.layers, logits.shape[1] if self.per_class else 1)
            for group in sorted(set(groups.tolist())):
                chosen = x[groups == group]
                loss = loss_to_uniform(self.temperature)
                means.add(group, len(chosen), gradient_sum(self.model, loss, chosen, self.layers, self.batch_size))
        if means is None:
            raise ValueError("the data loader has no samples")
        self.references = means.values()
        return self

    def predict(self, x: Tensor) -> Tensor:
        """Return the scores (N,) of samples (N, ...).

        Raises:
            RequiresFittingException: `fit` has not been called.
            ValueError: as `per_sample_alignment` raises.
        """
        if self.references is None:
            raise RequiresFittingException
        uniform = loss_to_uniform(self.temperature)

        def loss(logits: Any, inputs: Tensor) -> tuple[Tensor, Tensor]:
            losses = uniform(logits, inputs)
            return losses, self._groups(logits.detach())

        alignment = align_with_aux(self.model, loss, self._arranged(x), self.references, batch_size=self.batch_size)
        groups = torch.cat(alignment.aux)
        cosines = torch.stack(list(alignment.cosine.values())).mean(0)
        return -cosines.gather(1, groups[:, None])[:, 0]

    def _groups(self, logits: Tensor) -> Tensor:
        classes = logits.argmax(1)
        return classes if self.per_class else torch.zeros_like(classes)

    def _logits(self, x: Tensor) -> Tensor:
        model = prepare(self.model, self.layers).trainable().module  # a copy: in training mode, a pass may change it
        with torch.no_grad():
            parts = [checked_logits(model(part)) for part in torch.split(x, index(self.batch_size or _LOGITS_AT_ONCE))]
        return torch.cat(parts)


class GradNorm(_OfUniformLoss):
    """L1 norm of the gradient of the divergence from uniform labels (Huang, Geng and Li, 2021, equation 6), negated.

    It is that of pytorch-ood to the last digits, where that has its `param_filter` name the same weights; higher is
    more anomalous. For the last linear layer, which is the default and the paper's choice, the norm is the product of
    two: of the features, and of the gradient by the logits, since the L1 norm of an outer product is the product of L1
    norms. The norms of other linear and of convolution layers come from the op `conv_grad_l1_norm` on a CPU, which
    holds a tile of a gradient at a time; on a GPU those gradients are formed one sample at a time. So memory grows with
    the samples of a pass, and not with the batch.

    Args:
        model: a classifier in eval mode, which returns logits (N, classes). It is not changed.
        layers: names of its weights; that of the last linear layer by default.
        temperature: of the softmax.
        batch_size: samples in a pass; by default as many as compute 64 MiB in their forward pass (4 GiB on a GPU).

    Raises:
        ModelNotSetException: there is no model.
        ValueError: the model has no such weights, or a temperature that is none.
    """

    requires_fit = False

    def fit(self, data_loader: Iterable[Any] | None = None) -> Self:
        """Do nothing: there is nothing to learn."""
        return self

    def predict(self, x: Tensor) -> Tensor:
        """Return the scores (N,) of samples (N, ...).

        Raises:
            ValueError: as `per_sample_alignment` raises.
        """
        loss = loss_to_uniform(self.temperature)
        norms = absolute_sums(self.model, loss, self._arranged(x), self.layers, self.batch_size)
        return -torch.stack(list(norms.values())).sum(0)
