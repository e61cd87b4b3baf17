"""Finds the chain of layers that a model is, and its parameters.

The model's forward runs once, on a copy whose tensors have shapes but no numbers, while every call of a torch function
is watched. Its Python code sees ordinary tensors, so it may look at their shapes. Nothing of the model or of torch is
patched, so other threads may use both meanwhile.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.chain.chain import CONSTRAINABLE, Chain, Layer, LayerKind, NotAChain, Shape, Source
from gradcon_ext.chain.draws import Draws
from gradcon_ext.chain.fingerprint import Fingerprint, has_global_hooks
from gradcon_ext.chain.forward_trace import ForwardTrace, TracedLayer
from gradcon_ext.chain.layer_calls import StateNames
from gradcon_ext.chain.modes import mode_reader
from gradcon_ext.losses import Loss, evidence_bound, squared_error

MANY_SAMPLES = 1_000_003
"""A prime that is no size in any model: a first dimension of this size holds the samples. They take no memory."""


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def trace_chain(
    model: nn.Module,
    references: Sequence[str],
    loss: Loss,
    image_shape: Sequence[int],
    *,
    training: bool = False,
    samples: int = MANY_SAMPLES,
) -> Chain:
    """Find the chain of layers that a model is in eval mode, whichever mode it is in.

    Only the structure is kept; `parameters_of` reads the parameters.

    Args:
        model: an autoencoder; it is neither run nor changed.
        references: names of the constrained weights.
        loss: takes the model's output and the images; `squared_error` or `evidence_bound` of `gradcon_ext.losses`.
        image_shape: (C, H, W) of the images.
        training: find what the model is in training mode instead.
        samples: images in the batch, which a model may look at.

    Raises:
        NotAChain: the model is no chain of layers that the fused engine has; the message says why.
    """
    loss_name = next((known.__name__ for known in (squared_error, evidence_bound) if loss is known), None)
    if loss_name is None:
        raise NotAChain("its loss is neither squared_error nor evidence_bound of gradcon_ext.losses")
    shape = _image_shape(image_shape)
    _check_modules(model)
    with torch.inference_mode(False), torch.enable_grad():
        copied = _without_numbers(model, training)
        before = Fingerprint(copied)
        if before.unseen is not None:
            raise NotAChain(f"its code may read {before.unseen}, of which no change would be noticed")
        versions = _versions(copied)
        images = torch.empty(samples, *shape, device="meta", dtype=next(model.parameters()).dtype)
        trace = ForwardTrace(images, StateNames(copied.state_dict(keep_vars=True)))
        draws = Draws()
        output = trace.run(copied)
        if draws.whose() is not None:
            raise NotAChain(f"its forward draws random numbers of {draws.whose()}")
        if not before.is_current() or _versions(copied) != versions:
            raise NotAChain("its forward changes the model")
        if loss is squared_error:
            steps = _steps_to_reconstruction(trace, output, shape)
        else:
            steps = _steps_through_bottleneck(trace, output, shape)
    chain = _chain_of(steps, shape, references, loss_name)
    _check_parameters(parameters_of(chain, model))
    return chain


def parameters_of(chain: Chain, model: nn.Module) -> list[Tensor]:
    """Return the present values of a chain's parameters, detached, in the order of `chain.parameters`.

    Args:
        chain: what `trace_chain` found in the model.
        model: the model.

    Raises:
        ValueError: the model lacks a tensor that it had then.
    """
    return [read() for read in readers_of(chain, model)]


def readers_of(chain: Chain, model: nn.Module) -> list[Callable[[], Tensor]]:
    """Return what reads the values of `parameters_of`, as long as the model has the same tensors and modules.

    To find them by their names takes longer than to read them, which a single image would feel.
    """
    return [_reader_of(source, model) for source in chain.parameters]


def _reader_of(source: Source, model: nn.Module) -> Callable[[], Tensor]:
    try:
        found: Any = attrgetter(source.name)(model) if source.name else model
    except AttributeError:
        raise ValueError(f"the model has changed since it was traced: it has no tensor {source.name!r}") from None
    read: Callable[[], Tensor] = found.detach if source.kind == "tensor" else partial(_affine_of, source, found)
    return read


def _affine_of(source: Source, norm: Any) -> Tensor:
    mean, variance, weight, bias = norm.running_mean, norm.running_var, norm.weight, norm.bias
    # In float64, for the shift may be a small difference of large numbers.
    scale = (variance.double() + source.eps).rsqrt()
    if weight is not None:
        scale = scale * weight.detach()
    if source.kind == "scale":
        value: Tensor = scale.to(mean.dtype)
        return value
    shift = -mean * scale
    shifted: Tensor = (shift if bias is None else shift + bias.detach()).to(mean.dtype)
    return shifted


def _versions(model: nn.Module) -> list[int]:
    """How often each tensor of a model was changed in place."""
    return [tensor._version for tensor in (*model.parameters(), *model.buffers())]


def _image_shape(image_shape: Sequence[int]) -> Shape:
    if len(image_shape) != 3 or not all(isinstance(size, int) and size >= 1 for size in image_shape):
        raise NotAChain(f"expected images of shape (C, H, W), got {tuple(image_shape)}")
    channels, rows, columns = image_shape
    return channels, rows, columns


def _check_modules(model: nn.Module) -> None:
    """Refuse what a forward on a copy would not show."""
    if has_global_hooks():
        raise NotAChain("hooks are registered for all modules, which the fused engine would not call")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise NotAChain(f"{name or 'the model'} is scripted, and shows none of its layers")
        if any(getattr(module, hooks) for hooks in _HOOKS):
            raise NotAChain(f"{name or 'the model'} has hooks, which the fused engine would not call")
        if "_orig_mod" in module._modules:
            raise NotAChain("it is compiled by torch.compile; give the model itself")
    for name, parameter in model.named_parameters():
        if type(parameter) is not nn.Parameter:
            raise NotAChain(f"{name} is a {type(parameter).__name__}, which may compute in its own way")
        if parameter._backward_hooks:
            raise NotAChain(f"a parameter has hooks, {name}, which the fused engine would not call")
    if next(model.parameters(), None) is None:
        raise NotAChain("it has no parameters")


def _without_numbers(model: nn.Module, training: bool) -> nn.Module:
    """Copy a model in one mode, and its parameters and buffers as shapes on the device "meta"."""
    memo: dict[int, Any] = {}
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
        vars(memo[id(parameter)]).update(vars(parameter))  # what a model has noted on it
    reader = mode_reader(model)
    if reader is not None and any(module.training != training for module in model.modules()):
        raise NotAChain(f"{reader} looks at the mode of the model itself, not of a copy")
    try:
        copied = copy.deepcopy(model, memo)
    except Exception as error:  # Whatever attributes a model has.
        raise NotAChain(f"it cannot be copied: {error}") from error
    copied.train(training)
    others = [name for name, module in copied.named_modules() if module.training != training]
    if others:
        raise NotAChain(f"{others[0] or 'the model'} stays in {'eval' if training else 'training'} mode")
    return copied


def _steps_to_reconstruction(trace: ForwardTrace, output: Any, shape: Shape) -> list[TracedLayer]:
    if not isinstance(output, Tensor):
        raise NotAChain(f"it returns a {type(output).__name__}; expected its reconstruction, a tensor")
    if tuple(output.shape[1:]) != shape:
        raise NotAChain(f"its reconstruction has shape {tuple(output.shape[1:])}, the image {shape}")
    return trace.steps_to(output, "its reconstruction")


def _steps_through_bottleneck(trace: ForwardTrace, output: Any, shape: Shape) -> list[TracedLayer]:
    """The steps to the reconstruction of a variational autoencoder; that to the mean becomes a bottleneck."""
    parts: list[Any] = [getattr(output, name, None) for name in ("reconstruction", "mean", "log_variance")]
    if not all(isinstance(part, Tensor) for part in parts):
        raise NotAChain(f"it returns a {type(output).__name__}; expected reconstruction, mean and log_variance")
    reconstruction, mean, log_variance = parts
    steps = _steps_to_reconstruction(trace, reconstruction, shape)
    to_mean, to_log_variance = trace.steps_to(mean, "its mean"), trace.steps_to(log_variance, "its log variance")
    if not (_ends_linear(to_mean) and _ends_linear(to_log_variance)):
        raise NotAChain("its mean and log variance are not both made by a linear layer with a bias")
    if _without_reshapes(to_mean[:-1]) != _without_reshapes(to_log_variance[:-1]):
        raise NotAChain("its mean and log variance are not made of the same features")
    if to_mean[-1] not in steps:
        raise NotAChain("its decoder is not given the mean of the code")
    parameters = to_mean[-1].call.parameters + to_log_variance[-1].call.parameters
    call = replace(to_mean[-1].call, kind=LayerKind.BOTTLENECK, parameters=parameters)
    return [replace(step, call=call) if step is to_mean[-1] else step for step in steps]


def _ends_linear(steps: list[TracedLayer]) -> bool:
    return bool(steps) and steps[-1].call.kind == LayerKind.LINEAR and len(steps[-1].call.parameters) == 2


def _without_reshapes(steps: list[TracedLayer]) -> list[TracedLayer]:
    return [step for step in steps if step.call.kind != LayerKind.RESHAPE]


def _chain_of(steps: list[TracedLayer], shape: Shape, references: Sequence[str], loss: str) -> Chain:
    parameters: list[Source] = []
    layers = []
    for step in steps:
        call = step.call
        weight, bias = (len(parameters) + index if index < len(call.parameters) else -1 for index in range(2))
        reference = -1
        if call.kind in CONSTRAINABLE and call.parameters[0].name in references:
            reference = list(references).index(call.parameters[0].name)
        parameters += call.parameters
        settings = (call.stride, call.padding, call.dilation, call.groups, call.constant)
        layers.append(Layer(call.kind, step.shape, weight, bias, reference, *settings))
    _check_uses(parameters, layers, references)
    try:
        return Chain(shape, tuple(layers), tuple(parameters), tuple(references), loss)
    except ValueError as error:
        raise NotAChain(str(error)) from error


def _check_uses(parameters: list[Source], layers: list[Layer], references: Sequence[str]) -> None:
    for position, source in enumerate(parameters):
        if source in parameters[:position]:
            raise NotAChain(f"{source.name} is used more than once")
    constrained = {layer.reference for layer in layers}
    for index, name in enumerate(references):
        if index not in constrained:
            raise NotAChain(f"{name} is not the weight of a convolution or linear layer between images and loss")


def _check_parameters(parameters: list[Tensor]) -> None:
    dtypes = {parameter.dtype for parameter in parameters}
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        raise NotAChain(
            f"its parameters are {', '.join(sorted(map(str, dtypes)))}; expected all float32 or all float64"
        )
    devices = {parameter.device for parameter in parameters}
    if len(devices) > 1 or not {device.type for device in devices} <= {"cpu", "cuda"}:
        raise NotAChain(
            f"its parameters are on {', '.join(sorted(map(str, devices)))}; expected one CPU or CUDA device"
        )
