"""The onnx package's own tests of backends: every operator, small models, networks converted from PyTorch, real ones.

A case of an operator that is ours must run on our kernels: the reference implementation may step in for dtypes that
they do not take, and for the reasons listed here, no others.
"""

from unittest import mock

import numpy as np
import onnx.backend.test
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from onnx.reference.ops import op_pool_common

import pyconv.onnx
from pyconv.onnx import stretch
from pyconv.onnx.registry import names

# What the reference implementation itself gets wrong, or nobody can get right.
EXCLUDED = {
    r"test_bernoulli": "random numbers, which the expected outputs hold",
    r"test_if_opt_cpu": "the expected output is no optional",
    r"test_loop16_seq_none": "the expected output is an empty sequence, read as an array",
    r"test_range_.*_delta_expanded": "the reference implementation's Loop adds an axis",
    r"test_scan_sum_cpu": "Scan of operator set 8, which the reference implementation lacks",
    r"test_scatter_with": "Scatter, replaced by ScatterElements, which the reference implementation lacks",
    r"test_gradient_of": "Gradient, which the reference implementation lacks",
}


_FOLDS = {"AVG": np.average, "MAX": np.max}
_window_by_window = op_pool_common.pool


def pool(padded, x_shape, kernel, strides, out_shape, pooling_type, *args, p=1, **options):
    """`op_pool_common.pool`, which folds window by window: 3-d images without padding are folded at once here.

    Three cases of this kind take nine seconds of the twelve in which onnx makes its cases.
    """
    plain = len(kernel) == 3 and set(strides or (1,)) == {1} and not args and not options and padded.shape == x_shape
    if not plain:
        return _window_by_window(padded, x_shape, kernel, strides, out_shape, pooling_type, *args, p=p, **options)
    windows = sliding_window_view(padded, kernel, (2, 3, 4))
    if pooling_type == "LPPOOL":
        return (np.sum(np.abs(windows) ** p, (5, 6, 7)) ** (1.0 / p)).astype(padded.dtype)
    return _FOLDS[pooling_type](windows, (5, 6, 7))


def test_pool_is_theirs():
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 5, 3)).astype(np.float32)
    for kind in ("AVG", "MAX", "LPPOOL"):
        arguments = x, x.shape, (2, 3, 2), (1, 1, 1), (3, 3, 2), kind
        np.testing.assert_allclose(pool(*arguments, p=3), _window_by_window(*arguments, p=3), rtol=1e-6)


def standard_cases():
    """The classes of tests, for the CPU alone."""
    with mock.patch.object(op_pool_common, "pool", pool):
        tests = onnx.backend.test.BackendTest(pyconv.onnx, __name__)
    for pattern in EXCLUDED:
        tests.exclude(pattern)
    cases = tests.test_cases
    for case in cases.values():
        for name in [name for name in vars(case) if name.endswith("_cuda")]:
            delattr(case, name)
    return cases


globals().update(standard_cases())

OURS = {  # reasons for which the reference implementation may run an operator of ours on dtypes that kernels take
    "ArgMax": (),
    "ArgMin": (),
    "AveragePool": ("dilated", "padding must be at most half"),
    "BatchNormalization": ("statistics of the batch",),
    "Clip": (),
    "Concat": (),
    "Conv": (),
    "ConvInteger": (),
    "ConvTranspose": ("padding must be at least 0",),  # negative: more than the whole convolution
    "DeformConv": (),
    "DepthToSpace": (),
    "DequantizeLinear": ("from", "blocks"),
    "Elu": (),
    "Flatten": (),
    "Gelu": (),
    "Gemm": (),
    "GlobalAveragePool": (),
    "GlobalMaxPool": (),
    "GridSample": (),
    "GroupNormalization": (),
    "GRU": (),
    "HardSigmoid": (),
    "HardSwish": (),
    "InstanceNormalization": (),
    "LayerNormalization": ("3 outputs",),
    "LeakyRelu": (),
    "LogSoftmax": (),
    "LpNormalization": (),
    "LpPool": ("dilated",),
    "LRN": (),
    "LSTM": (),
    "MatMul": (),
    "MatMulInteger": (),
    "MaxPool": ("padding must be at most half", "indices in column-major order"),
    "MaxUnpool": (),
    "Mish": (),
    "NegativeLogLikelihoodLoss": (),
    "Pad": (),
    "PRelu": (),
    "QLinearConv": (),
    "QLinearMatMul": ("float16",),  # of the scales
    "QuantizeLinear": ("to", "blocks", "int4", "uint4", "int2", "uint2", "float8", "float4"),  # of the zero point
    "ReduceMean": (),
    "Relu": (),
    "Reshape": (),
    "Resize": ("antialias", "nearest with", "linear with", "cubic with", "cubic_coeff_a", "a change of the batch"),
    "RMSNormalization": (),
    "RoiAlign": (),
    "Selu": (),
    "Sigmoid": (),
    "Slice": (),
    "Softmax": (),
    "SoftmaxCrossEntropyLoss": (),
    "Softplus": (),
    "SpaceToDepth": (),
    "Split": (),
    "Tanh": (),
    "TopK": (),
    "Transpose": (),
    "Where": (),
}
QUANTIZED = ("ConvInteger", "DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")


def test_ours_have_an_entry():
    assert set(OURS) <= set(names())


@pytest.fixture(autouse=True)
def _only_the_reasons_listed(monkeypatch, tmp_path_factory):
    """Hold every case to `OURS`; keep what the tests write out of the home directory."""
    monkeypatch.setenv("ONNX_HOME", str(tmp_path_factory.getbasetemp() / "onnx"))
    seen = []
    run = stretch.Foreign.run

    def watched(self, values):
        known = {**self.node.constants, **values}
        arrays = [known[name] for name in self.node.call.reads]
        if self.node.call.version >= 7 and all(_is_ours(self.node.call.op_type, a) for a in arrays[:1]):
            seen.append((self.node.call.op_type, self.reason))
        run(self, values)

    monkeypatch.setattr(stretch.Foreign, "run", watched)
    yield
    for op_type, reason in seen:
        if op_type in OURS:
            assert reason.startswith(OURS[op_type] or ("never",)), f"{op_type} fell back: {reason}"


def _is_ours(op_type, value):
    """Whether our kernels take an operator's first input: floats, and 8 bits where it is quantized."""
    dtypes = (np.int8, np.uint8) if op_type in QUANTIZED else (np.float32, np.float64)
    return isinstance(value, np.ndarray) and value.dtype in dtypes
