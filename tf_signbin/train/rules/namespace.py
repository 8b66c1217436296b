"""The array functions that the rules use, and their NumPy form."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np


class ArrayNamespace(Protocol):
    """Functions as keras.ops spells and defines them; `keras.ops` itself is one.

    Arrays also have the operators + - * / and comparisons, `shape` with static sizes, and `dtype`.
    `axis` is an int or a tuple.
    """

    def convert_to_tensor(self, x: Any) -> Any: ...
    def convert_to_numpy(self, x: Any) -> np.ndarray: ...
    def stop_gradient(self, x: Any) -> Any: ...
    def reshape(self, x: Any, newshape: Any) -> Any: ...
    def pad(self, x: Any, pad_width: Any, mode: str, constant_values: Any) -> Any: ...
    def where(self, condition: Any, x1: Any, x2: Any) -> Any: ...
    def abs(self, x: Any) -> Any: ...
    def sign(self, x: Any) -> Any: ...
    def round(self, x: Any) -> Any: ...
    def square(self, x: Any) -> Any: ...
    def rsqrt(self, x: Any) -> Any: ...
    def tanh(self, x: Any) -> Any: ...
    def relu(self, x: Any) -> Any: ...
    def maximum(self, x1: Any, x2: Any) -> Any: ...
    def divide_no_nan(self, x1: Any, x2: Any) -> Any: ...
    def sum(self, x: Any, axis: Any, keepdims: bool) -> Any: ...
    def mean(self, x: Any, axis: Any, keepdims: bool) -> Any: ...
    def max(self, x: Any, axis: Any, keepdims: bool) -> Any: ...
    def zeros_like(self, x: Any) -> Any: ...
    def ones_like(self, x: Any) -> Any: ...


class NumpyNamespace:
    """NumPy under the names of keras.ops; float32 stays float32."""

    convert_to_tensor = staticmethod(np.asarray)
    convert_to_numpy = staticmethod(np.asarray)
    stop_gradient = staticmethod(np.asarray)
    reshape = staticmethod(np.reshape)
    pad = staticmethod(np.pad)
    where = staticmethod(np.where)
    abs = staticmethod(np.abs)
    sign = staticmethod(np.sign)
    round = staticmethod(np.round)
    square = staticmethod(np.square)
    tanh = staticmethod(np.tanh)
    maximum = staticmethod(np.maximum)
    sum = staticmethod(np.sum)
    mean = staticmethod(np.mean)
    max = staticmethod(np.max)
    zeros_like = staticmethod(np.zeros_like)
    ones_like = staticmethod(np.ones_like)

    @staticmethod
    def rsqrt(x: Any) -> Any:
        return 1.0 / np.sqrt(x)

    @staticmethod
    def relu(x: Any) -> Any:
        return np.maximum(x, 0.0)

    @staticmethod
    def divide_no_nan(x1: Any, x2: Any) -> Any:
        """x1 / x2, and 0 where x2 is 0."""
        x1, x2 = np.broadcast_arrays(np.asarray(x1), np.asarray(x2))
        return np.divide(x1, x2, out=np.zeros(x1.shape, np.result_type(x1, x2)), where=x2 != 0)


NUMPY = cast(ArrayNamespace, NumpyNamespace())
