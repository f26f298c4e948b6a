"""Functions of one variable by name, each with its derivative beside it.

A row of `FUNCTIONS` is (f, f'): f(x, *parameters) gives y; f'(x, y, *parameters) gives the derivative, or for one that
is 0 or 1 a mask of where the gradient passes (elsewhere dx is 0 even if dy is NaN or inf, as in PyTorch). At a kink the
derivative is PyTorch's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

SQRT_HALF = 0.5**0.5
SQRT_2_OVER_PI = (2 / np.pi) ** 0.5


def unary(y, x, name, *parameters):
    """y = f(x); overwrites y."""
    function = FUNCTIONS[name][0]
    for y_part, x_part in _blocks(y, x):
        np.copyto(y_part, function(x_part, *parameters), casting="same_kind")


def unary_backward(dx, dy, x, y, name, *parameters):
    """dx = dy · f'(x); overwrites dx."""
    derivative = FUNCTIONS[name][1]
    for dx_part, dy_part, x_part, y_part in _blocks(dx, dy, x, y):
        slope = derivative(x_part, y_part, *parameters)
        if slope.dtype == bool:
            dx_part[...] = 0
            np.copyto(dx_part, dy_part, where=slope)
        else:
            np.multiply(dy_part, slope, out=dx_part, casting="same_kind")


def _blocks(*arrays):
    """The arrays cut alike into blocks whose intermediate results stay in the cache, if they lie alike in memory."""
    first = arrays[0]
    order = sorted(range(first.ndim), key=first.strides.__getitem__, reverse=True)
    alike = all(a.strides == first.strides for a in arrays) and first.transpose(order).flags.c_contiguous
    if not alike or first.size <= _BLOCK:
        yield arrays
        return
    flat = [a.transpose(order).reshape(-1) for a in arrays]
    for begin in range(0, first.size, _BLOCK):
        yield [a[begin : begin + _BLOCK] for a in flat]


def erf(x):
    """The error function: W. J. Cody, Rational Chebyshev approximations for the error function, 1969."""
    y = np.copysign(1 - erfc(np.abs(x)), x)
    near = np.abs(x) <= _NEAR
    return np.where(near, _erf_near_0(np.where(near, x, 0)), y)


def erfc(x):
    """1 - erf(x) to full relative accuracy, for arrays of any sign."""
    a = np.abs(x)
    y = np.empty_like(a)
    near, far = a <= _NEAR, a > 4
    middle = ~(near | far)  # NaN too
    y[near] = 1 - _erf_near_0(x[near])
    a_middle, a_far = a[middle], a[far]
    y[middle] = _gaussian(a_middle) * _ratio(a_middle, _C, _D)
    t = 1 / np.square(a_far)
    y[far] = _gaussian(a_far) * (np.pi**-0.5 - t * _ratio(t, _P, _Q)) / a_far
    return np.where((x < 0) & ~near, 2 - y, y)


def _gaussian(a):
    """exp(-a²) in two factors, so that rounding a² costs nothing; 0 for inf."""
    head = np.trunc(np.minimum(a, 64) * 16) / 16
    return np.exp(-head * head) * np.exp((head - a) * (head + a))


def _erf_near_0(x):
    return x * _ratio(x * x, _A, _B)


def _ratio(t, numerator, denominator):
    """Quotient of two polynomials in t, coefficients from the highest power down."""
    p, q = numerator[0], denominator[0]
    for a, b in zip(numerator[1:], denominator[1:], strict=True):
        p, q = p * t + a, q * t + b
    return p / q


_BLOCK = 1 << 15  # elements whose intermediate results stay in the cache
_NEAR = 0.46875
_A = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_B = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_C = (
    *(
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
    ),
    *(8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
)
_D = (
    *(1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3),
    *(3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)
_P = (
    *(1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1),
    *(1.60837851487422766e-2, 6.58749161529837803e-4),
)
_Q = (
    *(1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2),
    *(2.33520497626869185e-3,),
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))  # 0 where the exponential overflows


def _softplus(x, beta, threshold):
    scaled = x * beta
    smooth = (np.maximum(scaled, 0) + np.log1p(np.exp(-np.abs(scaled)))) / beta
    return np.where(scaled > threshold, x, smooth)


def _softplus_slope(x, y, beta, threshold):
    scaled = x * beta
    return np.where(scaled > threshold, 1, sigmoid(scaled))


def _gelu_slope(x, y):
    return 0.5 * erfc(x * -SQRT_HALF) + x * np.exp(-0.5 * x * x) * (2 * np.pi) ** -0.5


def _gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)))


def _gelu_tanh_slope(x, y):
    t = np.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x * x)


def _silu_slope(x, y):
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def _mish(x):
    return x * np.tanh(_softplus(x, 1.0, 20.0))


def _mish_slope(x, y):
    t = np.tanh(_softplus(x, 1.0, 20.0))
    return t + x * (1 - t * t) * sigmoid(x)


def _sign(x):
    return (x > 0).astype(x.dtype) - (x < 0)  # 0 for NaN


def _steps(x, mask, inside, outside):
    """One of two numbers, in x's precision."""
    return np.where(mask, x.dtype.type(inside), x.dtype.type(outside))


def _zero(x, y):
    return np.zeros(x.shape, bool)


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "neg": (np.negative, lambda x, y: np.full(x.shape, -1, x.dtype)),
    "abs": (np.abs, lambda x, y: _sign(x)),
    "sign": (_sign, _zero),
    "floor": (np.floor, _zero),
    "ceil": (np.ceil, _zero),
    "round": (np.rint, _zero),  # half to even
    "exp": (np.exp, lambda x, y: y),
    "log": (np.log, lambda x, y: 1 / x),
    "log1p": (np.log1p, lambda x, y: 1 / (1 + x)),
    "sqrt": (np.sqrt, lambda x, y: 0.5 / y),
    "power": (lambda x, p: x**p, lambda x, y, p: p * x ** (p - 1) if p else np.zeros_like(x)),
    "sin": (np.sin, lambda x, y: np.cos(x)),
    "cos": (np.cos, lambda x, y: -np.sin(x)),
    "erf": (erf, lambda x, y: np.exp(-x * x) * (2 / np.pi**0.5)),
    "relu": (lambda x: np.maximum(x, 0), lambda x, y: ~(y <= 0)),
    "leaky_relu": (lambda x, slope: np.where(x > 0, x, x * slope), lambda x, y, slope: _steps(x, x > 0, 1, slope)),
    "clip": (np.clip, lambda x, y, low, high: (x >= low) & (x <= high)),
    "hardtanh": (np.clip, lambda x, y, low, high: (x > low) & (x < high)),
    "elu": (
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x, y, alpha: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
    ),
    "sigmoid": (sigmoid, lambda x, y: y * (1 - y)),
    "tanh": (np.tanh, lambda x, y: 1 - y * y),
    "softplus": (_softplus, _softplus_slope),
    "gelu": (lambda x: 0.5 * x * erfc(x * -SQRT_HALF), _gelu_slope),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_slope),
    "silu": (lambda x: x * sigmoid(x), _silu_slope),
    "mish": (_mish, _mish_slope),
    "hardsigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda x, y: _steps(x, np.abs(x) < 3, 1 / 6, 0)),
    "hardswish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x, y: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    ),
}
