"""Bad arguments: the right error, from Python, naming the argument."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv.ops.node import Node

X = np.ones((2, 3), np.float32)
IMAGES = np.ones((2, 4, 5, 6))
LABELS = np.array([0, 2])
SYMBOL = Node.placeholder((2, 4, 5, 6), np.float64)
V = np.ones(4)

UNARY = ("relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "sigmoid")
UNARY += ("tanh", "softplus", "softmax", "log_softmax", "exp", "log", "log1p", "sqrt", "abs", "sign", "neg", "erf")
UNARY += ("sin", "cos", "floor", "ceil", "round", "sum", "mean", "max", "min", "dropout")


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("bad", [[1.0], 1.0, "x", None, np.ones(2, int), np.ones(2, np.float16), np.ones(2, complex)])
def test_input_is_no_float_array(name, bad):
    with pytest.raises(TypeError, match=r"^x must be"):
        getattr(F, name)(bad)


CASES = {
    "approximate": (ValueError, lambda: F.gelu(X, "exact"), "approximate must be one of none, tanh, not 'exact'"),
    "clip nothing": (ValueError, lambda: F.clip(X), "min, max"),
    "clip text": (TypeError, lambda: F.clip(X, "a"), "min must be a number"),
    "softplus beta": (ValueError, lambda: F.softplus(X, 0), "beta must not be 0"),
    "softmax dim": (ValueError, lambda: F.softmax(X, 2), r"dim must lie in -2 … 1"),
    "softmax float dim": (TypeError, lambda: F.softmax(X, 1.0), "dim must be an int"),
    "softmax no axes": (ValueError, lambda: F.softmax(np.array(1.0)), "dim"),
    "prelu weight": (ValueError, lambda: F.prelu(X, np.ones(2, np.float32)), "weight must have one element"),
    "prelu dtype": (TypeError, lambda: F.prelu(X, np.ones(3)), "weight must have x's dtype"),
    "two numbers": (TypeError, lambda: F.add(1, 2), "a or b must be an array"),
    "add list": (TypeError, lambda: F.add(X, [1, 2]), "b must be an array"),
    "add half": (TypeError, lambda: F.add(X, np.ones(3, np.float16)), "b must be float32 or float64"),
    "add shapes": (ValueError, lambda: F.add(X, np.ones(2)), r"a and b must broadcast together.*\(2, 3\) and \(2,\)"),
    "where shapes": (ValueError, lambda: F.where(X > 0, X, np.ones(2)), "condition and a and b must broadcast"),
    "linear rank": (ValueError, lambda: F.linear(X, X[0]), "weight must have 2 axes"),
    "linear features": (ValueError, lambda: F.linear(X, X.T), "x must end in weight's 2 input features"),
    "linear bias": (ValueError, lambda: F.linear(X, X, X[0]), r"bias must have shape \(2,\)"),
    "linear dtype": (TypeError, lambda: F.linear(X, np.ones((2, 3))), "weight must have x's dtype float32"),
    "matmul": (ValueError, lambda: F.matmul(X, X), "b must have 3 rows to match the columns of a, not 2"),
    "matmul number": (ValueError, lambda: F.matmul(X, np.float32(2)), "at least one axis"),
    "matmul batches": (ValueError, lambda: F.matmul(np.ones((2, 1, 3)), np.ones((3, 3, 1))), "broadcast"),
    "sum dim": (ValueError, lambda: F.sum(X, 2), "dim must name axes of an array that has 2, not 2"),
    "sum twice": (ValueError, lambda: F.sum(X, (1, -1)), "dim names one axis twice"),
    "sum float dim": (TypeError, lambda: F.sum(X, 0.5), "dim must be an int"),
    "max of nothing": (ValueError, lambda: F.max(X[:0], 0), "x must not be empty"),
    "batch norm missing": (ValueError, lambda: F.batch_norm(IMAGES, None, V), "running_mean and running_var must be"),
    "batch norm shape": (ValueError, lambda: F.batch_norm(IMAGES, V[:3], V), r"running_mean must have shape \(4,\)"),
    "batch norm weight": (ValueError, lambda: F.batch_norm(IMAGES, V, V, V[:1]), r"weight must have shape \(4,\)"),
    "batch norm dtype": (TypeError, lambda: F.batch_norm(IMAGES, V, V, np.ones(4, np.float32)), "weight must have x's"),
    "batch norm rank": (ValueError, lambda: F.batch_norm(V, V, V), "x must have at least 2 axes"),
    "batch norm eps": (ValueError, lambda: F.batch_norm(IMAGES, V, V, eps=-1), "eps must not be negative"),
    "batch norm one": (ValueError, lambda: F.batch_norm(np.ones((1, 4)), None, None, training=True), "at least 2 elem"),
    "batch norm empty": (ValueError, lambda: F.batch_norm(IMAGES[:0], None, None, training=True), "at least 2 elem"),
    "batch norm node": (
        TypeError,
        lambda: F.batch_norm(IMAGES, Node.leaf(V), V, training=True),
        "running_mean must be an ndarray",
    ),
    "batch norm symbol": (TypeError, lambda: F.batch_norm(SYMBOL, V.copy(), None, training=True), "batch_norm_train"),
    "batch norm locked": (
        ValueError,
        lambda: F.batch_norm(IMAGES, np.broadcast_to(1.0, 4), None, training=True),
        "running_mean must be writeable",
    ),
    "layer norm": (ValueError, lambda: F.layer_norm(X, 2), r"x must end in normalized_shape \(2,\)"),
    "layer norm weight": (ValueError, lambda: F.layer_norm(IMAGES, 6, V), r"weight must have shape \(6,\)"),
    "group norm": (ValueError, lambda: F.group_norm(IMAGES, 3), "num_groups must divide the 4 channels"),
    "group norm 0": (ValueError, lambda: F.group_norm(IMAGES, 0), "num_groups must be at least 1"),
    "instance norm": (ValueError, lambda: F.instance_norm(IMAGES[..., :1, :1]), "at least 2 elements"),
    "lrn": (ValueError, lambda: F.local_response_norm(IMAGES, 0), "size must be at least 1"),
    "reduction": (ValueError, lambda: F.cross_entropy(X, LABELS, reduction="avg"), "reduction must be one of"),
    "labels": (ValueError, lambda: F.cross_entropy(X, np.array([0, 3])), r"target must lie in 0 … 2.*holds 3"),
    "negative": (ValueError, lambda: F.cross_entropy(X, np.array([0, -1])), "holds -1"),
    "taped labels": (ValueError, lambda: F.cross_entropy(X, Node.leaf(np.array([0, 3]))), "holds 3"),
    "label count": (ValueError, lambda: F.cross_entropy(X, np.array([0])), r"target must have shape \(2,\)"),
    "label column": (ValueError, lambda: F.cross_entropy(X, LABELS[:, None]), r"target must have shape \(2,\)"),
    "label dtype": (TypeError, lambda: F.cross_entropy(X, LABELS > 0), "target must be float32 or float64"),
    "probabilities": (ValueError, lambda: F.cross_entropy(X, X[:1]), r"target must have shape \(2, 3\)"),
    "probabilities 64": (TypeError, lambda: F.cross_entropy(X, np.ones((2, 3))), "target must have x's dtype"),
    "class weight": (ValueError, lambda: F.cross_entropy(X, LABELS, X[0, :2]), r"weight must have shape \(3,\)"),
    "no classes": (ValueError, lambda: F.cross_entropy(X[:, :0], LABELS), "at least one class"),
    "smoothing": (ValueError, lambda: F.cross_entropy(X, LABELS, label_smoothing=1.5), "label_smoothing must lie"),
    "ignore": (TypeError, lambda: F.cross_entropy(X, LABELS, ignore_index=None), "ignore_index must be an int"),
    "nll float": (TypeError, lambda: F.nll_loss(X, X), "target must hold integer labels"),
    "bce shape": (ValueError, lambda: F.binary_cross_entropy_with_logits(X, X[0]), "target must have x's shape"),
    "bce pos": (ValueError, lambda: F.binary_cross_entropy_with_logits(X, X, pos_weight=X.T), "pos_weight must broad"),
    "mse dtype": (TypeError, lambda: F.mse_loss(X, np.ones((2, 3))), "target must have x's dtype"),
    "hinge target": (ValueError, lambda: F.hinge_loss(X, X * 2), "target must be -1 or 1"),
    "hinge label": (ValueError, lambda: F.hinge_loss(X, np.array([0, 5])), "holds 5"),
    "hinge margin": (ValueError, lambda: F.hinge_loss(X, X, margin=0), "margin must be positive"),
    "p": (ValueError, lambda: F.dropout(X, 1.5), "p must lie in 0 … 1, not 1.5"),
    "p nan": (ValueError, lambda: F.dropout(X, float("nan")), "p must lie"),
    "state dtype": (TypeError, lambda: F.dropout(X, rng_state=np.array([1, 2])), "rng_state must be a uint64"),
    "state shape": (ValueError, lambda: F.dropout(X, rng_state=np.zeros(3, np.uint64)), r"rng_state .* \(2,\)"),
    "dropout2d": (ValueError, lambda: F.dropout2d(X), "x must have 4 axes, or 3"),
    "reshape": (ValueError, lambda: F.reshape(X, (4, 2)), "6 elements"),
    "reshape two": (ValueError, lambda: F.reshape(X, (-1, -1)), "6 elements"),
    "reshape float": (TypeError, lambda: F.reshape(X, (2.0, 3)), "shape must be an int"),
    "flatten": (ValueError, lambda: F.flatten(X, 1, 0), "start_dim must not come after end_dim"),
    "flatten dim": (ValueError, lambda: F.flatten(X, 2), "start_dim must lie"),
    "permute": (ValueError, lambda: F.permute(X, (0, 0)), "dims must name each"),
    "broadcast": (ValueError, lambda: F.broadcast_to(X, (3, 2)), "does not broadcast"),
    "broadcast smaller": (ValueError, lambda: F.broadcast_to(X, (3,)), "does not broadcast"),
    "getitem": (IndexError, lambda: F.getitem(X, 2), "index 2 is outside axis 0"),
    "concat none": (ValueError, lambda: F.concat([]), "at least one array"),
    "concat array": (TypeError, lambda: F.concat(X), "arrays must be a list or tuple"),
    "concat shape": (ValueError, lambda: F.concat([X, X.T]), r"arrays\[1\] must have the shape"),
    "concat dtype": (TypeError, lambda: F.concat([X, np.ones((2, 3))]), r"arrays\[1\] must have arrays\[0\]'s dtype"),
    "stack shape": (ValueError, lambda: F.stack([X, X[:1]]), r"arrays\[1\] must have the shape"),
    "split": (ValueError, lambda: F.split(X, [1, 2], 0), "add up to 2"),
    "split 0": (ValueError, lambda: F.split(X, 0), "split_size_or_sections must be at least 1"),
    "pad odd": (ValueError, lambda: F.pad(X, (1,)), "pad must hold"),
    "pad too many": (ValueError, lambda: F.pad(X, (1,) * 6), "pad must hold"),
    "pad mode": (ValueError, lambda: F.pad(X, (1, 1), "same"), "mode must be one of"),
    "pad reflect": (ValueError, lambda: F.pad(X, (3, 0), "reflect"), "at most 2 elements to axis 1"),
    "pad circular": (ValueError, lambda: F.pad(X, (-1, 3), "circular"), "at most 2 elements to axis 1"),
    "pad replicate": (ValueError, lambda: F.pad(X[:, :0], (1, 0), "replicate"), "at most 0 elements"),
    "pad cut": (ValueError, lambda: F.pad(X, (-2, -2)), "cuts more from axis 1 than its 3 elements"),
    "resize nothing": (ValueError, lambda: F.interpolate(IMAGES), "either size or scale_factor"),
    "resize both": (ValueError, lambda: F.interpolate(IMAGES, 2, 2), "either size or scale_factor"),
    "resize rank": (ValueError, lambda: F.interpolate(X, 2), "x must have 1 to 3 spatial axes"),
    "resize mode": (ValueError, lambda: F.interpolate(IMAGES, 2, mode="linear"), "mode must be one of .*bilinear"),
    "resize corners": (ValueError, lambda: F.interpolate(IMAGES, 2, align_corners=True), "align_corners goes with"),
    "resize 0": (ValueError, lambda: F.interpolate(IMAGES, (0, 2)), "size must be at least 1"),
    "resize scale": (ValueError, lambda: F.interpolate(IMAGES, scale_factor=-1.0), "scale_factor must be positive"),
    "resize to 0": (ValueError, lambda: F.interpolate(IMAGES, scale_factor=0.1), "size that scale_factor gives"),
    "resize text": (TypeError, lambda: F.interpolate(IMAGES, scale_factor="2"), "scale_factor must be a number"),
    "resize empty": (ValueError, lambda: F.interpolate(IMAGES[:, :, :0], 2), "must not be empty"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name):
    error, call, message = CASES[name]
    with pytest.raises(error, match=message):
        call()
