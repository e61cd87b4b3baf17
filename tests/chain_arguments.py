"""What the ops on a whole autoencoder are given."""

from __future__ import annotations

from typing import NamedTuple

import torch
from strategies import ChainCase
from torch import Tensor, nn

from gradcon_ext.chain import Chain
from gradcon_ext.losses import Loss
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.tracing import parameters_of, trace_chain


class Arguments(NamedTuple):
    """Those of the op."""

    images: Tensor
    parameters: list[Tensor]
    references: list[Tensor]
    program: list[int]
    constants: list[float]
    loss: str

    def to(self, device: str) -> Arguments:
        parameters, references = ([tensor.to(device) for tensor in part] for part in (self.parameters, self.references))
        return self._replace(images=self.images.to(device), parameters=parameters, references=references)

    def double(self) -> Arguments:
        """All numbers as they are, in float64."""
        images = self.images if self.images.dtype == torch.uint8 else self.images.double()
        parameters, references = ([tensor.double() for tensor in part] for part in (self.parameters, self.references))
        return self._replace(images=images, parameters=parameters, references=references)


def arguments_of(chain: Chain, model: nn.Module, references: list[Tensor], images: Tensor) -> Arguments:
    return Arguments(images, parameters_of(chain, model), references, chain.program, chain.constants, chain.loss)


def random_arguments(case: ChainCase, dtype: torch.dtype, images: torch.dtype | None = None) -> Arguments:
    model = case.model(dtype)
    references = case.references(model)
    chain = trace_chain(model, list(references), case.loss, case.image_shape)
    return arguments_of(chain, model, list(references.values()), case.images(images or dtype))


def paper_arguments(
    model_type: type[nn.Module] = ConvAutoencoder, samples: int = 20, dtype: torch.dtype = torch.float32
) -> Arguments:
    """The paper's autoencoder, of an eighth of its width, with references of all decoder layers."""
    torch.manual_seed(0)
    model = model_type(1, 28, width=4).to(dtype)
    names = [f"decoder.{index}.weight" for index in (0, 2, 4, 6)]
    loss: Loss = model_type.loss
    chain = trace_chain(model, names, loss, (1, 28, 28))
    references = [torch.randn_like(model.get_parameter(name)) for name in names]
    return arguments_of(chain, model, references, torch.rand(samples, 1, 28, 28, dtype=dtype))


def assert_close(results: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    for result, expected_result in zip(results, expected, strict=True):
        torch.testing.assert_close(result.cpu().double(), expected_result.double(), rtol=tolerance, atol=tolerance)
