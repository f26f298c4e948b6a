"""A layer as the dense layer that computes the same: one matrix, mostly empty, in which few numbers repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pyconv import kernels, nn

LARGEST = 2**27  # entries of a matrix: half a gigabyte of indices
_BLOCK = 256  # inputs that are tried at once
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class DenseEquivalent:
    """The matrix of a layer: ``layer(x).ravel()`` is ``weight @ x.ravel() + bias`` for one input x.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Without the batch axis.
    parameters : array (P,)
        The layer's weight, raveled.
    index : array (outputs, inputs) of int
        Which of the parameters connects an input to an output; -1 where they are not connected.
    bias : array (outputs,)
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: np.ndarray
    index: np.ndarray
    bias: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """The dense layer's weight (outputs, inputs)."""
        return np.where(self.index < 0, 0, self.parameters[self.index])

    @property
    def connections(self) -> int:
        """How many pairs of an input and an output are connected."""
        return int(np.count_nonzero(self.index >= 0))

    @property
    def sparsity(self) -> float:
        """Share of the matrix that is empty: 0 for a dense layer."""
        return 1 - self.connections / self.index.size

    @property
    def inputs_per_output(self) -> int:
        """The most inputs that one output is computed from."""
        return int((self.index >= 0).sum(1).max())

    @property
    def uses(self) -> np.ndarray:
        """How often each parameter stands in the matrix (P,): once each in a dense layer."""
        return np.bincount(self.index[self.index >= 0], minlength=len(self.parameters))


def dense_equivalent(layer: nn.Module, input_shape: tuple[int, ...]) -> DenseEquivalent:
    """The dense layer that computes what a convolution does.

    It is found by asking the layer itself: with the numbers 1, 2, 3, … for parameters, what it makes of an input of one
    1 among zeros says which parameter connects that input to which outputs.

    Parameters
    ----------
    layer : nn.Conv1d, …, nn.ConvTranspose3d or nn.Linear
    input_shape : tuple of int
        Of one input, without the batch axis.

    Raises
    ------
    TypeError
        If `layer` is another one.
    ValueError
        If it does not take such inputs; if the matrix would have more than 2²⁷ entries; if an input meets an output
        through several parameters, as a padding that repeats the input makes it.

    Examples
    --------
    The filter of the lecture on its 6×6 image: 16 · 36 entries, of which 16 · 9 are not empty and hold 9 numbers.

    >>> from pyconv import nn
    >>> from pyconv.analysis import dense_equivalent
    >>> dense = dense_equivalent(nn.Conv2d(1, 1, 3), (1, 6, 6))
    >>> dense.index.shape, dense.connections, dense.sparsity, dense.uses.tolist()
    ((16, 36), 144, 0.75, [16, 16, 16, 16, 16, 16, 16, 16, 16])
    """
    if not isinstance(layer, _LAYERS):
        raise TypeError(f"layer must be a convolution or nn.Linear, not {type(layer).__name__}")
    layer = layer.astype(np.float64)
    with kernels.backend("im2col"):  # exact on whole numbers, which a fast algorithm need not be
        zero = layer(np.zeros((1, *input_shape)))[0]
        inputs, outputs = math.prod(input_shape), zero.size
        if inputs * outputs > LARGEST:
            raise ValueError(
                f"input_shape {tuple(input_shape)} gives a matrix of {outputs:,} × {inputs:,}: take smaller inputs"
            )
        numbers = np.arange(1.0, layer.weight.size + 1).reshape(layer.weight.shape)
        index = np.empty((outputs, inputs), np.int32)
        for start in range(0, inputs, _BLOCK):
            part = slice(start, min(start + _BLOCK, inputs))
            ones = np.zeros((part.stop - start, inputs))
            ones[np.arange(part.stop - start), np.arange(start, part.stop)] = 1
            ones = ones.reshape(-1, *input_shape)
            if _response(layer, np.ones_like(numbers), ones).max(initial=0) > 1:
                raise ValueError(f"an input meets an output of {layer!r} through several parameters: use zeros to pad")
            index[:, part] = _response(layer, numbers, ones).T.astype(np.int32) - 1
    return DenseEquivalent(tuple(input_shape), zero.shape, layer.weight.ravel(), index, zero.ravel())


def _response(layer: nn.Module, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the layer with this weight and no bias makes of x: (N, outputs)."""
    state = {"weight": weight, **({} if layer.bias is None else {"bias": np.zeros_like(layer.bias)})}
    return nn.functional_call(layer, state, x)[0].reshape(len(x), -1)
