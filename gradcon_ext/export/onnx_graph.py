"""A graph of ONNX operators while it is written: every operator is added after those whose results it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

Array = npt.NDArray[Any]

OPSET = 18
"""The operators' version: from it on, all reductions take their axes in one way."""
_IR_VERSION = 8
"""That of the first ONNX with this opset, so that engines as old as it read the file."""


class OnnxGraph:
    """A graph of one input, images whose number is left open. Values have names, which the methods return.

    What is added twice is there once.

    Args:
        image_shape: (C, H, W) of the images.
        in_bytes: whether they are uint8; otherwise they are float32.

    Attributes:
        images: name of the input.
        in_bytes: as above.

    Raises:
        ImportError: the package onnx is not installed.
    """

    def __init__(self, image_shape: Sequence[int], in_bytes: bool) -> None:
        self._onnx = _import_onnx()
        self.images = "images"
        self.in_bytes = in_bytes
        self._helper = self._onnx.helper
        element = self._onnx.TensorProto.UINT8 if in_bytes else self._onnx.TensorProto.FLOAT
        self._input = self._helper.make_tensor_value_info(self.images, element, ["N", *image_shape])
        self._nodes: list[Any] = []
        self._constants: list[TensorProto] = []
        self._known: dict[Any, str] = {}
        self._names: set[str] = {self.images}

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operator with one result, and return the name of that: `name`, or one of its own."""
        key = (operator, inputs, name, repr(sorted(attributes.items())))
        if key not in self._known:
            result = self._known[key] = self._new(name or operator.lower())
            self._nodes.append(self._helper.make_node(operator, inputs, [result], result, **attributes))
        return self._known[key]

    def parameter(self, array: Array, name: str = "parameter") -> str:
        """Add numbers as float32.

        Raises:
            ValueError: finite ones of float64 that float32 does not hold.
        """
        with np.errstate(over="ignore"):
            single = np.asarray(array, np.float32, order="C")
        if (np.isinf(single) & np.isfinite(array)).any():
            raise ValueError(f"{name} holds numbers that float32, in which an ONNX graph computes, does not hold")
        return self._constant(single, name)

    def number(self, value: float) -> str:
        """Add a number as float32."""
        return self.parameter(np.array(value, np.float64), "number")

    def number_of_float64(self, value: float) -> str:
        """Add a number as it is."""
        return self._constant(np.array(value, np.float64), "number")

    def in_float64(self, value: str) -> str:
        """Add a change of type."""
        return self.add("Cast", value, to=self._onnx.TensorProto.DOUBLE)

    def in_float32(self, value: str) -> str:
        """Add the change back."""
        return self.add("Cast", value, to=self._onnx.TensorProto.FLOAT)

    def integers(self, *values: int) -> str:
        """Add a vector of integers, such as a shape, in which 0 stands for the number of images, or axes."""
        return self.indices(np.array(values))

    def indices(self, array: Array) -> str:
        """Add an array of integers."""
        return self._constant(np.asarray(array, np.int64, order="C"), "integers")

    def reshape(self, value: str, *shape: int) -> str:
        """Add a change of shape (N, *shape)."""
        return self.add("Reshape", value, self.integers(0, *shape))

    def count(self, value: str) -> str:
        """Add the length of the first axis, as a vector of one integer."""
        return self.add("Shape", value, start=0, end=1)

    def regroup(self, value: str, *shape: int) -> str:
        """Add a change of shape (images, *shape), of values of several samples an image."""
        return self.add("Reshape", value, self.add("Concat", self.count(self.images), self.integers(*shape), axis=0))

    def largest(self, value: str, count: int) -> str:
        """Add the largest values along the last axis, the largest one first."""
        chosen = self.integers(count)
        key = ("TopK", value, chosen)
        if key not in self._known:
            self._known[key] = self._new("topk")
            results = [self._known[key], self._new("indices")]
            self._nodes.append(self._helper.make_node("TopK", [value, chosen], results, results[0]))
        return self._known[key]

    def each(self, value: str, body: Callable[[str], str]) -> str:
        """Add what a function adds, for one slice along a value's first axis after another.

        Args:
            value: of float32.
            body: adds operators for a slice, and returns the name of their result, float32.

        Returns:
            Name of the results of all slices, along a first axis.
        """
        around = self._nodes, self._constants, self._known
        # A graph of its own, with constants of its own: those around it are none to shape inference.
        self._nodes, self._constants, self._known = [], [], {}
        given = self._new("slice")
        described = [[self._of_floats(name)] for name in (given, body(given))]
        graph = self._helper.make_graph(self._nodes, "slice", *described, self._constants)
        self._nodes, self._constants, self._known = around
        result = self._new("scan")
        self._nodes.append(self._helper.make_node("Scan", [value], [result], result, body=graph, num_scan_inputs=1))
        return result

    def over(self, reduction: str, value: str, *axes: int, keepdims: bool = False) -> str:
        """Add a reduction, such as "ReduceSum", over axes."""
        return self.add(reduction, value, self.integers(*axes), keepdims=int(keepdims))

    def is_zero(self, value: str) -> str:
        """Add a comparison with zero."""
        return self.add("Equal", value, self.number(0.0))

    def divide(self, value: str, divisor: str) -> str:
        """Add a division, by 1 where the divisor is zero."""
        return self.add("Div", value, self.add("Where", self.is_zero(divisor), self.number(1.0), divisor))

    def model(self, outputs: Sequence[str], metadata: dict[str, str]) -> ModelProto:
        """Return a model with these outputs, checked in full, with the shapes of all values.

        Raises:
            onnx.checker.ValidationError, onnx.shape_inference.InferenceError: a mistake of this package.
        """
        onnx, helper = self._onnx, self._helper
        untyped = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self._nodes, "scores", [self._input], untyped, self._constants)
        opset = [helper.make_opsetid("", OPSET)]
        model: ModelProto = helper.make_model(
            graph, opset_imports=opset, producer_name="gradcon_ext", ir_version=_IR_VERSION
        )
        helper.set_model_props(model, metadata)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, array: Array, name: str) -> str:
        key = (name, array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._new(name)
            self._constants.append(self._onnx.numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def _of_floats(self, name: str) -> Any:
        return self._helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, None)

    def _new(self, name: str) -> str:
        number = 1
        given = name
        while name in self._names:
            number += 1
            name = f"{given}_{number}"
        self._names.add(name)
        return name


def _import_onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ModuleNotFoundError as error:
        raise ImportError("an ONNX graph needs the package onnx: pip install 'gradcon_ext[onnx]'") from error
    return onnx
