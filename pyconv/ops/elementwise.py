"""Elementwise ops: arithmetic with NumPy broadcasting, comparison, selection, and the functions of one variable.

The module-level functions take arrays, nodes and Python numbers (which take the other operand's precision). They are
what gradient rules are written with, and what `Node`'s operators call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pyconv.ops.node import Node, Op
from pyconv.ops.reduce import unbroadcast


class _Binary(Op):
    """y = f(a, b) over the broadcast shape."""

    __slots__ = ()
    kernel = "binary"
    in_place = (0, 1)
    name: ClassVar[str]

    def infer(self, a, b):
        return _broadcast(a, b), np.result_type(a.dtype, b.dtype)

    def attributes(self, a, b):
        return (self.name,)

    def allocate(self, a, b):
        shape, dtype = self.infer(a, b)
        return np.empty_like(a if a.shape == shape else b, dtype, "K", subok=False, shape=shape)


@dataclass(frozen=True, slots=True)
class Add(_Binary):
    """a + b."""

    name: ClassVar[str] = "add"

    def vjp(self, dy, y, a, b):
        return lambda: _fit(dy, a), lambda: _fit(dy, b)


@dataclass(frozen=True, slots=True)
class Sub(_Binary):
    """a - b."""

    name: ClassVar[str] = "sub"

    def vjp(self, dy, y, a, b):
        return lambda: _fit(dy, a), lambda: neg(_fit(dy, b))


@dataclass(frozen=True, slots=True)
class Mul(_Binary):
    """a · b."""

    name: ClassVar[str] = "mul"

    def vjp(self, dy, y, a, b):
        return lambda: _fit(mul(dy, b), a), lambda: _fit(mul(dy, a), b)


@dataclass(frozen=True, slots=True)
class Div(_Binary):
    """a / b, in floating point also for integers."""

    name: ClassVar[str] = "div"

    def infer(self, a, b):
        return _broadcast(a, b), np.true_divide(np.empty(0, a.dtype), np.empty(0, b.dtype)).dtype

    def vjp(self, dy, y, a, b):
        return lambda: _fit(div(dy, b), a), lambda: neg(_fit(div(mul(dy, y), b), b))


@dataclass(frozen=True, slots=True)
class Pow(_Binary):
    """a to the power b; as in PyTorch, a⁰ has gradient 0 in a, and 0ᵇ has gradient 0 in b."""

    name: ClassVar[str] = "pow"

    def vjp(self, dy, y, a, b):
        return (
            lambda: _fit(where(equal(b, 0), 0.0, mul(dy, mul(b, Pow()(a, sub(b, 1))))), a),
            lambda: _fit(where(equal(a, 0), 0.0, mul(dy, mul(y, log(a)))), b),
        )


@dataclass(frozen=True, slots=True)
class Maximum(_Binary):
    """The larger of a and b, NaN if one is; equals share the gradient."""

    name: ClassVar[str] = "maximum"

    def vjp(self, dy, y, a, b):
        return lambda: _share(dy, a, b, less(a, b)), lambda: _share(dy, b, a, less(b, a))


@dataclass(frozen=True, slots=True)
class Minimum(_Binary):
    """The smaller of a and b, NaN if one is; equals share the gradient."""

    name: ClassVar[str] = "minimum"

    def vjp(self, dy, y, a, b):
        return lambda: _share(dy, a, b, less(b, a)), lambda: _share(dy, b, a, less(a, b))


@dataclass(frozen=True, slots=True)
class Compare(_Binary):
    """A boolean mask: less, less_equal, equal or not_equal. No gradient flows through it."""

    name: str  # type: ignore[misc]

    def infer(self, a, b):
        return _broadcast(a, b), np.dtype(bool)

    def vjp(self, dy, y, a, b):
        return None, None


@dataclass(frozen=True, slots=True)
class Where(Op):
    """a where the condition holds (is not 0), else b."""

    kernel: ClassVar[str] = "where"
    in_place: ClassVar[tuple[int, ...]] = (1, 2)

    def infer(self, condition, a, b):
        return _broadcast(condition, a, b), np.result_type(a.dtype, b.dtype)

    def allocate(self, condition, a, b):
        shape, dtype = self.infer(condition, a, b)
        like = next((i for i in (a, b) if i.shape == shape), condition)
        return np.empty_like(like, dtype, "K", subok=False, shape=shape)

    def vjp(self, dy, y, condition, a, b):
        return (
            None,
            lambda: _fit(where(condition, dy, 0.0), a),
            lambda: _fit(where(condition, 0.0, dy), b),
        )


@dataclass(frozen=True, slots=True)
class Cast(Op):
    """The same values in another dtype."""

    dtype: np.dtype

    def infer(self, x):
        return x.shape, self.dtype

    def compute(self, x):
        return x.astype(self.dtype)

    def vjp(self, dy, y, x):
        return (lambda: Cast(x.dtype)(dy),)


@dataclass(frozen=True, slots=True)
class Unary(Op):
    """y = f(x), where f is named and has parameters; `kernels/plain/unary.py` lists the functions."""

    name: str
    parameters: tuple[float, ...] = ()
    kernel: ClassVar[str] = "unary"
    in_place: ClassVar[tuple[int, ...]] = (0,)

    def attributes(self, x):
        return (self.name, *self.parameters)

    def vjp(self, dy, y, x):
        return (lambda: UnaryBackward(self.name, self.parameters)(dy, x, y),)


@dataclass(frozen=True, slots=True)
class UnaryBackward(Op):
    """dx = dy · f'(x); f' may be taken from x or from y = f(x)."""

    name: str
    parameters: tuple[float, ...] = ()
    kernel: ClassVar[str] = "unary_backward"
    in_place: ClassVar[tuple[int, ...]] = (1, 2)  # the mask of a piecewise linear f' is written before dy is read

    def attributes(self, dy, x, y):
        return (self.name, *self.parameters)

    def vjp(self, ddx, _, dy, x, y):
        def second():
            if self.name in _PIECEWISE_LINEAR:
                return mul(ddx, 0.0)
            return mul(mul(ddx, dy), _SECOND_DERIVATIVE[self.name](x, y, *self.parameters))

        return lambda: UnaryBackward(self.name, self.parameters)(ddx, x, y), second, None


# f''(x), from x and y = f(x).
_SECOND_DERIVATIVE: dict[str, Callable[..., Any]] = {
    "exp": lambda x, y: y,
    "log": lambda x, y: -(x**-2),
    "log1p": lambda x, y: -((x + 1) ** -2),
    "sqrt": lambda x, y: y**-3 * -0.25,
    "power": lambda x, y, p: x ** (p - 2) * (p * (p - 1)),
    "sin": lambda x, y: -y,
    "cos": lambda x, y: -y,
    "erf": lambda x, y: x * exp(-x * x) * (-4 / np.pi**0.5),
    "sigmoid": lambda x, y: y * (1 - y) * (1 - 2 * y),
    "tanh": lambda x, y: y * (1 - y * y) * -2,
    "softplus": lambda x, y, beta, threshold: where(x * beta > threshold, 0.0, _sigmoid_slope(x * beta) * beta),
    "elu": lambda x, y, alpha: where(x < 0, y + alpha, 0.0),
    "gelu": lambda x, y: exp(x * x * -0.5) * (2 - x * x) * (2 * np.pi) ** -0.5,
    "gelu_tanh": lambda x, y: _gelu_tanh_curvature(x),
    "silu": lambda x, y: _sigmoid_slope(x) * (2 + x * (1 - 2 * Unary("sigmoid")(x))),
    "mish": lambda x, y: _mish_curvature(x),
    "hardswish": lambda x, y: where(absolute(x) < 3, 1 / 3, 0.0),
}
_PIECEWISE_LINEAR = (
    "neg",
    "abs",
    "relu",
    "leaky_relu",
    "clip",
    "hardtanh",
    "hardsigmoid",
    "sign",
    "floor",
    "ceil",
    "round",
)


def _sigmoid_slope(x):
    s = Unary("sigmoid")(x)
    return s * (1 - s)


def _gelu_tanh_curvature(x):
    c = (2 / np.pi) ** 0.5
    t = Unary("tanh")(c * (x + 0.044715 * x**3))
    du = c * (1 + 3 * 0.044715 * x * x)
    dt = (1 - t * t) * du
    return dt + 0.5 * x * ((1 - t * t) * (c * 6 * 0.044715) * x - 2 * t * dt * du)


def _mish_curvature(x):
    t, s = Unary("tanh")(Unary("softplus", (1.0, 20.0))(x)), Unary("sigmoid")(x)
    dt = (1 - t * t) * s
    return 2 * dt + x * dt * (1 - s - 2 * t * s)


def _broadcast(*operands):
    """The common shape; NumPy's own function takes longer than a small kernel."""
    shape = operands[0].shape
    return shape if all(o.shape == shape for o in operands) else np.broadcast_shapes(*(o.shape for o in operands))


def _fit(dy, like):
    """dy with the shape and dtype of the operand it is the cotangent of."""
    dy = unbroadcast(dy, like.shape)
    return dy if dy.dtype == like.dtype else Cast(like.dtype)(dy)


def _share(dy, a, b, lost):
    """The part of dy that goes to operand a of a maximum or minimum."""
    return _fit(where(lost, 0.0, where(equal(a, b), mul(dy, 0.5), dy)), a)


def _operand(a, other):
    """An array or node as it is; a Python number as an array of the other operand's precision."""
    if type(a) is Node or isinstance(a, np.ndarray):
        return a
    dtype = getattr(other, "dtype", None)
    if dtype is None or not isinstance(a, (bool, int, float)) or isinstance(a, np.generic):
        return np.asarray(a)
    return np.asarray(a, np.float64 if isinstance(a, float) and dtype.kind in "biu" else dtype)


def _binary(op):
    def function(a, b):
        return op(_operand(a, b), _operand(b, a))

    function.__doc__ = op.__doc__
    return function


add, sub, mul, div = (_binary(op()) for op in (Add, Sub, Mul, Div))
maximum, minimum = _binary(Maximum()), _binary(Minimum())
less, less_equal = _binary(Compare("less")), _binary(Compare("less_equal"))
equal, not_equal = _binary(Compare("equal")), _binary(Compare("not_equal"))


def where(condition, a, b):
    """a where the condition holds, else b."""
    return Where()(_operand(condition, None), _operand(a, b), _operand(b, a))


def power(a, b):
    """a to the power b; a number b is part of the op."""
    if isinstance(b, (int, float)) and not isinstance(b, np.generic) and not isinstance(a, (int, float)):
        return Unary("power", (b,))(a)
    return Pow()(_operand(a, b), _operand(b, a))


def neg(x):
    return Unary("neg")(x)


def exp(x):
    return Unary("exp")(x)


def log(x):
    return Unary("log")(x)


def sqrt(x):
    return Unary("sqrt")(x)


def absolute(x):
    return Unary("abs")(x)


def sign(x):
    return Unary("sign")(x)


def _install_operators() -> None:
    methods: dict[str, Any] = {"__neg__": neg, "__abs__": absolute}
    methods["__hash__"] = object.__hash__  # a node is itself: == compares values
    for name, function in {"add": add, "sub": sub, "mul": mul, "truediv": div, "pow": power}.items():
        methods[f"__{name}__"] = lambda self, other, f=function: f(self, other)
        methods[f"__r{name}__"] = lambda self, other, f=function: f(other, self)
    for name, function in {"lt": less, "le": less_equal, "eq": equal, "ne": not_equal}.items():
        methods[f"__{name}__"] = lambda self, other, f=function: f(self, other)
    for name, function in {"gt": less, "ge": less_equal}.items():
        methods[f"__{name}__"] = lambda self, other, f=function: f(other, self)
    for name, method in methods.items():
        setattr(Node, name, method)


_install_operators()
