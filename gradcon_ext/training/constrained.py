"""Which layers of a model are constrained."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_SUPPORTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


def constrained_layers(model: nn.Module, names: Sequence[str] | None = None) -> dict[str, nn.Module]:
    """Return the layers whose weight gradients are constrained, by the qualified names of their weights.

    Args:
        model: any model.
        names: names of weights, such as "decoder.0.weight". By default those of every linear, convolution and
            transposed convolution layer (1-D or 2-D) inside `model.decoder`, in the order of registration.
            Biases are never constrained.

    Raises:
        ValueError: without names, the model has no `decoder` with such a layer; with names, one is unknown,
            given twice, or not the weight of such a layer.
    """
    if names is None:
        return _decoder_layers(model)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"expected the names of one or more weights, each once, got {list(names)}")
    return {name: _layer_of(model, name) for name in names}


def _decoder_layers(model: nn.Module) -> dict[str, nn.Module]:
    decoder = getattr(model, "decoder", None)
    if not isinstance(decoder, nn.Module):
        raise ValueError(
            f"{type(model).__name__} has no module named 'decoder': name the weights to be constrained, "
            "such as 'layer.weight'"
        )
    layers: dict[str, nn.Module] = {
        f"{name}.weight": layer
        for name, layer in decoder.named_modules(prefix="decoder")
        if isinstance(layer, _SUPPORTED)
    }
    if not layers:
        raise ValueError(f"the decoder of {type(model).__name__} has no layer of a kind in {_kinds()}")
    return layers


def _layer_of(model: nn.Module, name: str) -> nn.Module:
    modules = dict(model.named_modules())
    path, _, parameter = name.rpartition(".")
    layer = modules.get(path)
    if layer is None or parameter not in dict(layer.named_parameters(recurse=False)):
        weights = [
            f"{path}.weight".removeprefix(".") for path, module in modules.items() if isinstance(module, _SUPPORTED)
        ]
        raise ValueError(f"{type(model).__name__} has no weight {name!r}; it has {weights}")
    if not isinstance(layer, _SUPPORTED) or parameter != "weight":
        raise ValueError(f"{name!r} belongs to a {type(layer).__name__}; expected the weight of one of {_kinds()}")
    return layer


def _kinds() -> list[str]:
    return [kind.__name__ for kind in _SUPPORTED]
