"""Weight quantizers: signed-binary, binary and ternary.

Each holds configuration, tells which variables it needs, and leaves the mathematics to
`functional`. W is a kernel [..., Ci, Co]; statistics are per filter (output channel), or per
region, a block of `region_channels` input channels of one filter. `ops` is the array namespace.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_signbin.train.rules import functional, patterns
from tf_signbin.train.rules.namespace import ArrayNamespace

Variables = Mapping[str, Any]

ESTIMATORS = ("ste", "ede", "approx_sign")
SCALES = ("none", "mean", "learned")
BACKGROUNDS = ("none", "centered", "learned")
THRESHOLDS = ("mean", "max", "fixed")


def _check_choice(argument: str, value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{argument}={value!r} is not one of {', '.join(map(repr, choices))}.")
    return value


@dataclasses.dataclass(frozen=True)
class VariableSpec:
    """A variable that a quantizer needs beside the kernel; float32 under mixed precision, too.

    Attributes:
      name: key in the mapping that the quantizer's methods take.
      shape: () or [1, regions, 1, filters].
      initial: value of every element.
      trainable: whether the optimizer moves it; a schedule may move the others.
    """

    name: str
    shape: tuple[int, ...]
    initial: float
    trainable: bool


class WeightQuantizer(abc.ABC):
    """Base of the quantizers: variables, estimator, latent standardisation, regions.

    Args:
      scale: 'none': alpha = 1, a BatchNormalization after the layer absorbs it. 'mean': alpha =
        mean |W| over the effectual weights, a constant for the gradient. 'learned': gamma times
        that mean, gamma a trainable variable per region that starts at 1.
      estimator: how the gradient passes the step; see `functional.surrogate_gradient`.
      standardize: standardise latent weights per filter first (IR-Net). Many then exceed 1, where
        'ste' has no gradient; IR-Net pairs it with 'ede'.
      region_channels: Ct, or None for whole filters.
      int8_grid: place the values of each filter on multiples of max|value|/127, so that the int8
        weights of the converted model equal the trained ones. quantize_apply sets it.
    """

    # Short name in tables and reports.
    kind = ""

    def __init__(
        self,
        scale: str = "none",
        estimator: str = "ste",
        standardize: bool = False,
        region_channels: int | None = None,
        int8_grid: bool = False,
    ):
        self.scale = _check_choice("scale", scale, SCALES)
        self.estimator = _check_choice("estimator", estimator, ESTIMATORS)
        self.standardize = bool(standardize)
        self.region_channels = region_channels
        self.int8_grid = bool(int8_grid)

    def variables(self, kernel_shape: Sequence[int]) -> list[VariableSpec]:
        """The variables that the quantizer of a kernel [..., Ci, Co] needs, in their order."""
        specs = []
        if self.estimator == "ede":
            # IR-Net's schedule starts at t = 0.1, k = max(1/t, 1); EDESchedule moves them.
            specs += [
                VariableSpec("ede_t", (), 0.1, False),
                VariableSpec("ede_k", (), 10.0, False),
            ]
        if self.scale == "learned":
            specs.append(VariableSpec("gamma", self._per_region(kernel_shape), 1.0, True))
        return specs

    def _per_region(self, kernel_shape: Sequence[int]) -> tuple[int, ...]:
        channels, filters = kernel_shape[-2:]
        return (1, channels // (self.region_channels or channels), 1, filters)

    def quantize(self, ops: ArrayNamespace, kernel: Any, variables: Variables) -> Any:
        """The quantized kernel, differentiable by the straight-through estimator.

        Args:
          ops: array namespace.
          kernel: float32 [..., Ci, Co]. Under mixed precision hand in the float32 variable, not
            its cast, so that training and conversion see equal masks.
          variables: an array for each of `self.variables(kernel.shape)`, by name.

        Returns:
          float32 of the kernel's shape.
        """
        w = self.latent(ops, kernel)
        mask = ops.stop_gradient(self.mask(ops, w, variables))
        values = self._values(ops, w, mask, variables)
        derivative = self._derivative(ops, w, mask, variables)
        quantized = functional.straight_through(ops, w, values, derivative)
        return ops.reshape(quantized, kernel.shape)

    def latent(self, ops: ArrayNamespace, kernel: Any) -> Any:
        """The kernel as [taps, regions, Ct, filters], standardised if configured."""
        w = functional.to_regions(ops, kernel, self.region_channels)
        return functional.standardize(ops, w) if self.standardize else w

    @abc.abstractmethod
    def mask(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        """1.0 where a latent weight is effectual, else 0.0; no gradient is wanted from it."""

    @abc.abstractmethod
    def _values(self, ops: ArrayNamespace, w: Any, mask: Any, variables: Variables) -> Any:
        """The quantized weights, [taps, regions, Ct, filters]."""

    @abc.abstractmethod
    def _step_distance(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        """W minus the position of its nearest step: the argument of the shifted estimators."""

    def _alpha(self, ops: ArrayNamespace, w: Any, mask: Any, variables: Variables) -> Any:
        """alpha [1, regions, 1, filters], or None for 1."""
        if self.scale == "none":
            return None
        alpha = ops.stop_gradient(functional.mean_scale(ops, w, mask))
        return alpha * variables["gamma"] if self.scale == "learned" else alpha

    def _derivative(self, ops: ArrayNamespace, w: Any, mask: Any, variables: Variables) -> Any:
        """dq/dW = alpha * surrogate."""
        alpha = self._alpha(ops, w, mask, variables)
        distance = None if self.estimator == "ste" else self._step_distance(ops, w, variables)
        slope = functional.surrogate_gradient(
            ops, self.estimator, distance, w, variables.get("ede_t"), variables.get("ede_k")
        )
        return slope if alpha is None else slope * alpha

    def get_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "estimator": self.estimator,
            "standardize": self.standardize,
            "region_channels": self.region_channels,
            "int8_grid": self.int8_grid,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> WeightQuantizer:
        return cls(**config)

    def with_options(self, **options: Any) -> WeightQuantizer:
        """A copy of the quantizer with some of its arguments replaced."""
        return type(self).from_config({**self.get_config(), **options})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()  # type: ignore

    def __hash__(self) -> int:
        return hash((type(self), repr(self.get_config())))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class SignedBinaryQuantizer(WeightQuantizer):
    """Signed-binary weights: every filter holds one value and its background.

    A filter (or region) has one fixed sign factor β. With Δ = delta * max|W| over the filter,

        m = 1 where βW >= Δ, else 0;    q = β alpha (m - c)

    * Paper (ICLR 2024 submission 7206, "signed binarization"): c = 0, so q is 0 or βalpha; the
      defaults of this class are the paper's: delta 0.05, first half of the filters positive,
      alpha = 1, clipped straight-through estimator.
    * `background='centered'` (ours): c = mean(m), a constant for the gradient, so that a filter's
      weights sum to 0. A filter of one sign can only average its non-negative inputs; a centered
      one can subtract. Costs one window sum a pixel at run time, shared by all filters.
    * `background='learned'` (ours): c a trainable variable per region, initially 0.3.
    * `pattern=(n, m)` (ours): of those weights, at most the n largest βW in each m consecutive
      input channels of a tap.

    Gradient: dL/dW = alpha g * surrogate(W - βΔ); for 'ste' g where |W| <= 1 (times alpha), else 0.

    Args:
      delta: threshold factor; a variable of the layer, so a schedule can change it.
      positive_share: share of filters with β = +1, the first ones.
      background: 'none', 'centered' or 'learned'.
      pattern: (n, m) or None.
      scale, estimator, standardize, region_channels, int8_grid: see WeightQuantizer.
    """

    kind = "signed_binary"
    LEARNED_BACKGROUND_START = 0.3

    def __init__(
        self,
        delta: float = 0.05,
        positive_share: float = 0.5,
        background: str = "none",
        pattern: patterns.Pattern | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        if not 0.0 <= delta < 1.0:
            raise ValueError(f"delta={delta} must be in [0, 1): it is a share of max|W|.")
        if not 0.0 <= positive_share <= 1.0:
            raise ValueError(f"positive_share={positive_share} must be in [0, 1].")
        self.delta = float(delta)
        self.positive_share = float(positive_share)
        self.background = _check_choice("background", background, BACKGROUNDS)
        self.pattern = patterns.check_pattern(pattern)

    def variables(self, kernel_shape: Sequence[int]) -> list[VariableSpec]:
        specs = super().variables(kernel_shape)
        specs.append(VariableSpec("delta", (), self.delta, False))
        if self.pattern:
            specs.append(VariableSpec("tightness", (), 1.0, False))
        if self.background == "learned":
            shape = self._per_region(kernel_shape)
            specs.append(VariableSpec("background", shape, self.LEARNED_BACKGROUND_START, True))
        return specs

    def beta(self, ops: ArrayNamespace, w: Any) -> Any:
        """Sign factor of each region, [1, regions, 1, filters]."""
        return ops.convert_to_tensor(self._sign_factors(w))

    def _sign_factors(self, w: Any) -> np.ndarray:
        return functional.sign_factors(w.shape[3], w.shape[1], self.positive_share)

    def threshold_of(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        """Δ of each region, [1, regions, 1, filters]."""
        return functional.max_threshold(ops, w, variables["delta"])

    def mask(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        threshold = self.threshold_of(ops, w, variables)
        tightness = variables.get("tightness")
        return functional.signed_binary_mask(
            ops, w, self.beta(ops, w), threshold, self.pattern, tightness
        )

    def _values(self, ops: ArrayNamespace, w: Any, mask: Any, variables: Variables) -> Any:
        _, regions, ct, _ = w.shape
        alpha = self._alpha(ops, w, mask, variables)
        # The two values as multiples of step = beta * alpha / parts; counts keep them exact.
        parts = w.shape[0] * ct if self.background == "centered" else 1
        if self.background == "none":
            one = w[:1, :1, :1, :1]
            low, high = ops.zeros_like(one), ops.ones_like(one)
        elif self.background == "centered":
            effectual = ops.sum(mask, axis=functional.REGION_AXES, keepdims=True)
            low, high = -effectual, parts - effectual
        else:
            low, high = -variables["background"], 1.0 - variables["background"]
        step = ops.convert_to_tensor(self._sign_factors(w) / np.float32(parts))
        if alpha is not None and regions == 1:
            step = step * alpha
        elif alpha is not None:
            # Regions with different alpha share one grid.
            low, high = low * alpha, high * alpha
        if self.int8_grid:
            low, high = functional.on_int8_grid(ops, low, high)
        if self.background == "none":
            return mask * (high * step)
        return functional.two_values(mask, low * step, high * step)

    def _step_distance(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        return w - self.beta(ops, w) * self.threshold_of(ops, w, variables)

    def get_config(self) -> dict[str, Any]:
        return {
            "delta": self.delta,
            "positive_share": self.positive_share,
            "background": self.background,
            "pattern": list(self.pattern) if self.pattern else None,
            **super().get_config(),
        }


class BinaryQuantizer(WeightQuantizer):
    """Binary weights: q = alpha sign(W), with sign(0) = +1.

    `scale='mean'` is XNOR-Net's alpha = mean |W| per filter (Rastegari et al., ECCV 2016, eq. 6);
    'none' is BinaryConnect's (Courbariaux et al., 2015). The estimators act around W = 0.
    """

    kind = "binary"

    def mask(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        """1.0 where q = +alpha, else 0.0."""
        del variables
        return functional.at_least(ops, w, 0.0)

    def _alpha(self, ops: ArrayNamespace, w: Any, mask: Any, variables: Variables) -> Any:
        # Every weight is effectual.
        return super()._alpha(ops, w, ops.ones_like(mask), variables)

    def _values(self, ops: ArrayNamespace, w: Any, mask: Any, variables: Variables) -> Any:
        alpha = self._alpha(ops, w, mask, variables)
        high = 1.0 if alpha is None else alpha
        return functional.two_values(mask, -high, high)

    def _step_distance(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        return w


class TernaryQuantizer(WeightQuantizer):
    """Ternary weights: q = alpha sign(W) where |W| > Δ, else 0.

    `scale='mean'` with `threshold='mean'`, delta 0.7 is TWN (Li et al., 2016, eqs. 5 and 6):
    Δ = 0.7 mean|W|, alpha = mean |W| over |W| > Δ, both per filter. `threshold='max'` is TTQ's
    Δ = delta * max|W| (Zhu et al., ICLR 2017: 0.05); 'fixed' is Δ = delta itself.
    The estimators act around the step nearest to W, ±Δ.

    Args:
      delta: threshold factor, or the threshold for 'fixed'; a variable of the layer.
      threshold: 'mean', 'max' or 'fixed'.
      scale, estimator, standardize, region_channels, int8_grid: see WeightQuantizer.
    """

    kind = "ternary"

    def __init__(
        self, delta: float = 0.7, threshold: str = "mean", scale: str = "mean", **options: Any
    ):
        super().__init__(scale=scale, **options)
        if delta < 0.0:
            raise ValueError(f"delta={delta} must not be negative.")
        self.delta = float(delta)
        self.threshold = _check_choice("threshold", threshold, THRESHOLDS)

    def variables(self, kernel_shape: Sequence[int]) -> list[VariableSpec]:
        delta = VariableSpec("delta", (), self.delta, False)
        return [*super().variables(kernel_shape), delta]

    def threshold_of(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        """Δ of each region, [1, regions, 1, filters], or the scalar of threshold='fixed'."""
        if self.threshold == "fixed":
            return variables["delta"]
        rule = functional.mean_threshold if self.threshold == "mean" else functional.max_threshold
        return rule(ops, w, variables["delta"])

    def mask(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        return functional.above(ops, ops.abs(w), self.threshold_of(ops, w, variables))

    def _values(self, ops: ArrayNamespace, w: Any, mask: Any, variables: Variables) -> Any:
        alpha = self._alpha(ops, w, mask, variables)
        signs = mask * ops.sign(w)
        return signs if alpha is None else signs * alpha

    def _step_distance(self, ops: ArrayNamespace, w: Any, variables: Variables) -> Any:
        return w - ops.sign(w) * self.threshold_of(ops, w, variables)

    def get_config(self) -> dict[str, Any]:
        return {"delta": self.delta, "threshold": self.threshold, **super().get_config()}


QUANTIZERS: dict[str, type[WeightQuantizer]] = {
    cls.__name__: cls for cls in (SignedBinaryQuantizer, BinaryQuantizer, TernaryQuantizer)
}
