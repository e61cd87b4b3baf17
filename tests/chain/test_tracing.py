from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import oracle
from gradcon_ext.chain.chain import Chain, LayerKind, NotAChain, Source
from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.losses import Loss, SampleLosses, VariationalOutput, evidence_bound, squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from support.strategies import ChainCase, chain_cases


def per_sample_autograd(
    model: nn.Module, references: dict[str, Tensor], loss: Loss, images: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses and cosines of the model itself."""
    weights = [model.get_parameter(name) for name in references]
    reconstruction, latent, cosine = [], [], []
    for image in images:
        losses = loss(model(image[None]), image[None])
        gradients = torch.autograd.grad(losses.total.sum(), weights)
        cosine.append([_cosine(g, a) for g, a in zip(gradients, references.values(), strict=True)])
        reconstruction.append(losses.reconstruction[0].detach())
        latent.append(losses.latent[0].detach())
    empty = images.new_zeros(0)
    columns = images.new_tensor(cosine).reshape(len(images), len(references))
    return torch.stack(reconstruction or [empty]), torch.stack(latent or [empty]), columns


def _cosine(gradient: Tensor, reference: Tensor) -> float:
    norms = float(gradient.norm()) * float(reference.norm())
    return float((gradient * reference).sum()) / norms if norms else 0.0


def assert_traced_right(model: nn.Module, image_shape: tuple[int, ...], loss: Loss = squared_error) -> Chain:
    """Trace the model with references of all that may have one, and compare the oracle with the model."""
    model = model.double().eval()
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    references = {
        f"{name}.weight".removeprefix("."): torch.randn_like(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, kinds) and name not in ("mean", "log_variance")
    }
    chain = trace_chain(model, list(references), loss, image_shape)
    images = torch.rand(3, *image_shape, dtype=torch.float64)
    assert_same_scores(chain, model, references, loss, images)
    return chain


def assert_same_scores(
    chain: Chain, model: nn.Module, references: dict[str, Tensor], loss: Loss, images: Tensor
) -> None:
    arguments = (parameters_of(chain, model), list(references.values()), chain.encoded)
    results = oracle.score_autoencoder(images, *arguments)
    for result, expected in zip(results, per_sample_autograd(model, references, loss, images), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=200)
@given(case=chain_cases(samples=st.just(2)))
def test_the_chain_of_a_model_computes_what_the_model_does(case: ChainCase) -> None:
    model = case.model(torch.float64)
    references = case.references(model)
    chain = trace_chain(model, list(references), case.loss, case.image_shape)
    assert_same_scores(chain, model, references, case.loss, case.images(torch.float64))


@pytest.mark.parametrize("size", [(28, 28), (9, 13)])
@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_the_models_of_the_paper_are_chains(model_type, size: tuple[int, int]) -> None:
    model = model_type(2, size, width=2)
    chain = assert_traced_right(model, (2, *size), model.loss)
    assert (chain.loss == "evidence_bound") == (model_type is ConvVariationalAutoencoder)
    assert chain.parameters[0] == Source("tensor", "encoder.0.weight")


class Functional(nn.Module):
    """Layers as functions, shapes looked at and written in many ways."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding="same", dilation=2)
        self.valid = nn.Conv2d(2, 2, 3, padding="valid")
        self.norm = nn.BatchNorm1d(2)
        self.weight = nn.Parameter(torch.randn(32, 32) / 6)
        self.up = nn.ConvTranspose2d(2, 1, 3, stride=(2, 1), padding=(3, 0), output_padding=(1, 0))
        self.last = nn.Linear(4 * 6, 6 * 6)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None or x.dim() != 4 or x.shape[1:] != (1, 6, 6) or not x.is_floating_point():
            raise ValueError("expected other images")
        batch, *_ = x.size()
        assert len(x) == batch == x.shape[0]
        x = functional.relu(self.conv(x.contiguous()))
        x = torch.tanh(self.valid(x).to(self.weight.dtype)).view(batch, 2, -1)
        x = self.norm(functional.dropout(x, training=self.training)).reshape(x.size(0), -1)
        x = torch.sigmoid(functional.linear(x, self.weight))
        x = functional.interpolate(x.view(-1, 2, 4, 4), scale_factor=1)
        x = functional.gelu(self.up(functional.elu(x, 0.5)).clone(), approximate="tanh")
        x = torch.flatten(functional.leaky_relu(x, inplace=True), start_dim=1)
        return self.last(x.relu()).unflatten(1, (1, 6, 6)).squeeze(1).sigmoid().view(batch, 1, 6, 6)


def test_functions_and_methods_are_layers_too() -> None:
    model = Functional()
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_(0.5, 2)
    chain = assert_traced_right(model, (1, 6, 6))
    kinds = [layer.kind for layer in chain.layers]
    assert kinds[:4] == [LayerKind.CONV, LayerKind.RELU, LayerKind.CONV, LayerKind.TANH]
    assert "weight" in [source.name for source in chain.parameters]


def autoencoder(*hidden: nn.Module) -> nn.Sequential:
    """From and to images (2, 4, 4), with other modules between the two layers."""
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), *hidden, nn.ConvTranspose2d(3, 2, 3, padding=1))


def flat(*hidden: nn.Module, features: int = 5) -> nn.Sequential:
    layers = (nn.Flatten(), nn.Linear(32, features), *hidden, nn.Linear(features, 32), nn.Unflatten(1, (2, 4, 4)))
    return nn.Sequential(*layers)


def test_a_model_is_traced_in_eval_mode_and_left_as_it_is() -> None:
    model = autoencoder(nn.Dropout(), nn.BatchNorm2d(3)).train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parameters = dict(model.named_parameters())
    chain = trace_chain(model, ["0.weight"], squared_error, (2, 4, 4))
    assert [layer.kind for layer in chain.layers] == [LayerKind.CONV, LayerKind.AFFINE, LayerKind.CONV_TRANSPOSED]
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())


def test_parameters_are_the_present_ones() -> None:
    model = autoencoder(nn.BatchNorm2d(3, affine=False))
    chain = trace_chain(model, ["0.weight"], squared_error, (2, 4, 4))
    with torch.no_grad():
        model[0].bias.fill_(7)
    model[1].running_mean.fill_(2)
    model[1].running_var.fill_(4)
    weight, bias, scale, shift, *_ = parameters_of(chain, model)
    assert torch.equal(weight, model[0].weight)
    assert bias.tolist() == [7] * 3
    torch.testing.assert_close(scale, torch.full((3,), 0.5))
    torch.testing.assert_close(shift, torch.full((3,), -1.0))
    assert not any(parameter.requires_grad for parameter in parameters_of(chain, model))
    model[0] = nn.Identity()
    with pytest.raises(ValueError, match="no tensor '0.weight'"):
        parameters_of(chain, model)


def test_works_in_every_gradient_mode() -> None:
    model = autoencoder(nn.ReLU())
    expected = trace_chain(model, ["2.weight"], squared_error, (2, 4, 4))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert trace_chain(model, ["2.weight"], squared_error, (2, 4, 4)) == expected
    model.requires_grad_(False)
    assert trace_chain(model, ["2.weight"], squared_error, (2, 4, 4)) == expected


def test_several_threads_may_trace_and_run_a_model() -> None:
    model = ConvAutoencoder(1, 8, width=2).eval()
    expected = trace_chain(model, [], squared_error, (1, 8, 8))
    images = torch.rand(2, 1, 8, 8)
    output = model(images)
    wrong: list[int] = []

    def work(thread: int) -> None:
        for _ in range(20):
            same = trace_chain(model, [], squared_error, (1, 8, 8)) == expected and torch.equal(model(images), output)
            wrong.extend([] if same else [thread])

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Forward(nn.Module):
    """A forward of one's own, given two layers that lead from images (2, 4, 4) back to them."""

    def __init__(self, forward: Callable[[Forward, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.mean, self.log_variance, self.decoder = nn.Linear(32, 4), nn.Linear(32, 4), nn.Linear(4, 32)
        self._forward = forward

    def forward(self, images: Tensor) -> Any:
        return self._forward(self, images)


class Straight(torch.autograd.Function):
    """Its backward is not that of what it computes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.relu()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def without_gradients(model: Forward, images: Tensor) -> Tensor:
    with torch.no_grad():
        hidden = model.first(images)
    return model.second(hidden)


def changed_view(model: Forward, images: Tensor) -> Tensor:
    hidden = model.first(images)
    view = hidden.flatten(1)
    functional.relu(hidden, inplace=True)
    return model.second(view.view(-1, 2, 4, 4))


def changed_item(model: Forward, images: Tensor) -> Tensor:
    hidden = model.first(images)
    hidden[:, 0] = 0
    return model.second(hidden)


def test_in_place_is_the_same_as_not_in_place() -> None:
    def forward(model: Forward, images: Tensor) -> Tensor:
        hidden = model.first(images)
        functional.relu(hidden, inplace=True)
        return model.second(hidden)

    model = Forward(forward)
    chain = trace_chain(model, ["first.weight"], squared_error, (2, 4, 4))
    assert [layer.kind for layer in chain.layers] == [LayerKind.CONV, LayerKind.RELU, LayerKind.CONV]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda model, x: model.second(model.first(x)) + x, "add is no layer"),
        (lambda model, x: 1 - model.second(model.first(x)), "rsub.* is no layer"),
        (lambda model, x: model.second(model.first(x).detach()), "detach is no layer"),
        (lambda model, x: model.second(model.first(x).data), "data is no layer"),
        (lambda model, x: model.second(model.first(x)[:, :]), "__getitem__ is no layer"),
        (lambda model, x: model.second(torch.cat([x, x])), "cat is no layer"),
        (lambda model, x: model.second(functional.softmax(x, 1)), "softmax is no layer"),
        (lambda model, x: model.second(functional.pad(model.first(x), (1, 1))), "pad is no layer"),
        (lambda model, x: model.second(functional.dropout(x)), "dropout is no layer"),
        (lambda model, x: model.second(model.first(x).transpose(0, 1)), "transpose is no layer"),
        (lambda model, x: model.second(model.first(x).view(-1, 2, 2, 4)), r"makes a tensor \(\d+, 2, 2, 4\)"),
        (lambda model, x: model.second(model.first(x).flatten()), r"makes a tensor \(\d+,\)"),
        (lambda model, x: model.second(model.first(x).view(len(x), 1, 2, 4, 4)), r"makes a tensor \(\d+, 1, 2, 4, 4\)"),
        (lambda model, x: model.second(x) if x.mean() > 0 else x, "cannot be traced: RuntimeError|mean is no layer"),
        (lambda model, x: model.second(x) if x.isnan().any() else x, "isnan is no layer"),
        (lambda model, x: model.first(model.first(x)), "first.weight .*once"),
        (lambda model, x: functional.conv2d(x, model.first.weight * 2, padding=1), "bias is computed"),
        (lambda model, x: functional.conv2d(x, model.first.weight, x), "bias is computed"),
        (lambda model, x: model.second(functional.leaky_relu(x, -0.5)), "leaky_relu.*negative"),
        (lambda model, x: model.second(functional.interpolate(x, scale_factor=1.5)), "repeating each pixel"),
        (lambda model, x: model.second(functional.interpolate(x, scale_factor=2, mode="bilinear")), "repeating each"),
        (lambda model, x: model.first(x.double()), "torch.float64.*torch.float32"),
        (lambda model, x: model.second(Straight.apply(x)), "backward"),
        (without_gradients, "backward"),
        (changed_view, "changed in place"),
        (changed_item, "__setitem__ is no layer"),
        (lambda model, x: model.second(x.sub_(0.5)), "sub_ is no layer"),
        (lambda model, x: model.second(functional.elu(x, inplace=True)), "images in place"),
        (lambda model, x: model.second(torch.rand(len(x), 2, 4, 4)), r"conv2d a tensor \(\d+, 2, 4, 4\)"),
        (lambda model, x: (model.second(model.first(x)), x), "tuple.*reconstruction"),
        (lambda model, x: model.second(model.first(x)).flatten(1), r"\(32,\).*\(2, 4, 4\)"),
        (lambda model, x: model.second(x[0]), "__getitem__ is no layer"),
        (lambda model, x: model.decoder(x), r"linear .*\(\d+, 2, 4, 4\).*\(N, 4\)"),
        (lambda model, x: model.missing(x), "cannot be traced: AttributeError"),
        (lambda model, x: model.second(x), "first.weight is not the weight"),
    ],
)
def test_other_forwards_are_refused_with_the_reason(forward: Callable[..., Any], message: str) -> None:
    with pytest.raises(NotAChain, match=message):
        trace_chain(Forward(forward), ["first.weight"], squared_error, (2, 4, 4))


def variational(
    code: Callable[[Forward, Tensor], tuple[Tensor, Tensor]], decoded: Callable[[Tensor, Tensor], Tensor] | None = None
) -> Forward:
    def forward(model: Forward, images: Tensor) -> VariationalOutput:
        mean, log_variance = code(model, torch.tanh(model.first(images)))
        latent = mean if decoded is None else decoded(mean, log_variance)
        return VariationalOutput(model.decoder(latent).view(-1, 2, 4, 4).sigmoid(), mean, log_variance)

    return Forward(forward)


def test_a_bottleneck_may_be_given_features_that_are_flattened_twice() -> None:
    model = variational(lambda model, x: (model.mean(x.flatten(1)), model.log_variance(x.flatten(1))))
    del model.second
    chain = assert_traced_right(model, (2, 4, 4), evidence_bound)
    (bottleneck,) = (layer for layer in chain.layers if layer.kind == LayerKind.BOTTLENECK)
    names = [chain.parameters[index].name for index in bottleneck.parameters]
    assert sorted(names) == ["log_variance.bias", "log_variance.weight", "mean.bias", "mean.weight"]
    assert chain.parameters[bottleneck.weight + 2].name == "log_variance.weight"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (variational(lambda m, x: (m.mean(x.flatten(1)), m.log_variance(x.relu().flatten(1)))), "same features"),
        (
            variational(lambda m, x: (m.mean(x.flatten(1)).tanh(), m.log_variance(x.flatten(1)))),
            "linear layer",
        ),
        (
            variational(lambda m, x: (m.mean(x.flatten(1)), m.mean.weight)),
            "log variance is not computed",
        ),
        (variational(lambda m, x: (m.mean(x.flatten(1)),) * 2), "mean.weight .*once"),
        (
            variational(lambda m, x: (m.mean(x.flatten(1)), m.log_variance(x.flatten(1))), lambda _, other: other),
            "decoder.* mean",
        ),
        (
            variational(lambda m, x: (m.mean(x.flatten(1)), m.log_variance(x.flatten(1))), lambda a, _: a.relu_()),
            "relu_ is no layer",
        ),
        (
            variational(
                lambda m, x: (m.mean(x.flatten(1)), m.log_variance(x.flatten(1))),
                lambda a, _: functional.relu(a.view(-1, 4), inplace=True),
            ),
            "mean.*changed in place",
        ),
        (
            variational(lambda m, x: (m.mean(x.flatten(1)), m.log_variance(x.flatten(1))), lambda a, b: a + b),
            "add is no layer",
        ),
        (
            Forward(lambda m, x: m.second(m.first(x))),
            "Tensor.*reconstruction, mean and log_variance",
        ),
    ],
)
def test_other_bottlenecks_are_refused_with_the_reason(model: Forward, message: str) -> None:
    with pytest.raises(NotAChain, match=message):
        trace_chain(model, ["first.weight"], evidence_bound, (2, 4, 4))


def test_the_weights_of_a_bottleneck_have_no_reference() -> None:
    with pytest.raises(NotAChain, match="mean.weight is not the weight"):
        trace_chain(ConvVariationalAutoencoder(size=8, width=2), ["mean.weight"], evidence_bound, (1, 8, 8))


class Subclass(nn.Parameter):
    pass


def hooked(kind: str) -> nn.Module:
    model = autoencoder(nn.ReLU())
    getattr(model[1], kind)(lambda *_: None)
    return model


def tied() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
    model[2].weight = model[0].weight
    return model


def mixed() -> nn.Module:
    model = autoencoder(nn.BatchNorm2d(3))
    model[1].double()
    return model


def parametrized() -> nn.Module:
    model = autoencoder()
    nn.utils.parametrizations.weight_norm(model[0])
    return model


def with_parameter(parameter: Tensor) -> nn.Module:
    model = autoencoder()
    model[0].weight = parameter
    return model


class StaysInTraining(nn.Sequential):
    def train(self, mode: bool = True) -> StaysInTraining:
        return self


class Uncopyable(nn.Sequential):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("not this one")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (autoencoder(nn.BatchNorm2d(3, track_running_stats=False)), "over the batch"),
        (autoencoder(nn.GroupNorm(1, 3)), "group_norm is no layer"),
        (autoencoder(nn.SiLU()), "silu is no layer"),
        (autoencoder(nn.MaxPool2d(1)), "max_pool2d.* is no layer"),
        (autoencoder(nn.LeakyReLU(-1)), "leaky_relu.*negative.*-1"),
        (autoencoder(nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")), "pad is no layer"),
        (autoencoder(nn.Conv2d(3, 3, 2, padding="same")), "one side"),
        (autoencoder(nn.Conv2d(5, 3, 1)), r"conv2d .*\(\d+, 3, 4, 4\).*\(N, 5, H, W\)"),
        (autoencoder(nn.BatchNorm2d(4)), r"batch_norm .*\(\d+, 3, 4, 4\).*\(N, 4, H, W\)"),
        (flat(nn.Softmax(1)), "softmax is no layer"),
        (flat(nn.LayerNorm(5)), "layer_norm is no layer"),
        (autoencoder(nn.Conv2d(3, 3, 9)), "sizes? of at least 1|cannot be traced"),
        (autoencoder().half(), "parameters.*torch.float16"),
        (mixed(), "torch.float32, torch.float64"),
        (autoencoder().to("meta"), "parameters.* meta"),
        (tied(), "0.weight .*once"),
        (parametrized(), "weight or bias.*computed"),
        (with_parameter(Subclass(torch.zeros(3, 2, 3, 3))), "0.weight is a Subclass"),
        (hooked("register_forward_hook"), "1 has hooks"),
        (hooked("register_forward_pre_hook"), "1 has hooks"),
        (hooked("register_full_backward_hook"), "1 has hooks"),
        (StaysInTraining(*autoencoder()), "training mode"),
        (Uncopyable(*autoencoder()), "copied: not this one"),
        (nn.Sequential(nn.ReLU()), "no parameters"),
        (torch.compile(autoencoder(), backend="eager"), "torch.compile"),
    ],
)
def test_other_models_are_refused_with_the_reason(model: nn.Module, message: str) -> None:
    with pytest.raises(NotAChain, match=message):
        trace_chain(model, ["0.weight"], squared_error, (2, 4, 4))


def own_loss(output: Tensor, images: Tensor) -> SampleLosses:
    return squared_error(output, images)


@pytest.mark.parametrize(
    ("references", "loss", "shape", "message"),
    [
        (["0.weight"], own_loss, (2, 4, 4), "loss.*squared_error.*evidence_bound"),
        (["0.weight"], evidence_bound, (2, 4, 4), "returns a Tensor"),
        (["0.bias"], squared_error, (2, 4, 4), "0.bias is not the weight"),
        (["9.weight"], squared_error, (2, 4, 4), "9.weight is not the weight"),
        (["0.weight"], squared_error, (3, 4, 4), r"given a tensor \(\d+, 3, 4, 4\)"),
        (["0.weight"], squared_error, (4, 4), r"\(C, H, W\).*\(4, 4\)"),
        (["0.weight"], squared_error, (2, 0, 4), r"\(C, H, W\).*\(2, 0, 4\)"),
    ],
)
def test_other_arguments_are_refused_with_the_reason(references, loss, shape, message) -> None:
    with pytest.raises(NotAChain, match=message):
        trace_chain(autoencoder(), references, loss, shape)


@pytest.mark.filterwarnings("ignore:.torch.jit.script")
def test_a_scripted_model_is_no_chain() -> None:
    model = torch.jit.script(nn.Sequential(nn.Conv2d(2, 2, 1)))
    with pytest.raises(NotAChain, match="scripted"):
        trace_chain(model, ["0.weight"], squared_error, (2, 4, 4))
    assert Fingerprint(model).is_current()
