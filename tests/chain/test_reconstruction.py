from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradcon_ext import Scorer
from gradcon_ext.chain.reconstruction import reconstruct, residual_map
from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.losses import reconstruction_of
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from support.strategies import ChainCase, chain_cases


@settings(max_examples=60)
@given(case=chain_cases(samples=st.just(1)))
def test_every_chain_makes_of_an_image_what_its_model_does(case: ChainCase) -> None:
    model = case.model(torch.float64)
    chain = trace_chain(model, list(case.references(model)), case.loss, case.image_shape)
    images = case.images(torch.float64)
    with torch.no_grad():
        expected = reconstruction_of(model(images))[0].numpy()
    made = reconstruct(
        chain, [parameter.detach().numpy() for parameter in parameters_of(chain, model)], images[0].numpy()
    )
    assert made.dtype == np.float64
    np.testing.assert_allclose(made, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", [ConvAutoencoder(3, 12, width=4), ConvVariationalAutoencoder(3, 12, width=4)])
def test_the_residual_map_is_that_of_the_explanation(model: nn.Module) -> None:
    model.eval()
    references = {
        name: torch.randn_like(weight)
        for name, weight in model.named_parameters()
        if name.startswith("decoder") and weight.dim() > 1
    }
    scorer = Scorer(model, references)
    images = torch.randint(0, 256, (3, 3, 12, 12), dtype=torch.uint8)
    chain = trace_chain(model, list(references), scorer.loss, (3, 12, 12))
    parameters = [parameter.detach().numpy() for parameter in parameters_of(chain, model)]
    expected = scorer.explain(images).residual.numpy()
    for pixels in (images.numpy(), (images.double() / 255).numpy()):
        maps = np.stack([residual_map(chain, parameters, image) for image in pixels])
        assert maps.dtype == np.float32
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)
