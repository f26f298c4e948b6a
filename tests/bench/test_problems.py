"""The table of named problems: well formed, with the operation counts that papers and libraries give for networks."""

import itertools
import math

import numpy as np
import pytest

from pyconv.bench.problems import CLASSES, PASSES, PROBLEMS, SHORT, find, scaled, select

EVERY = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


@EVERY
def test_problem_is_well_formed(problem):
    assert problem.group in CLASSES
    assert problem.kind in ("conv", "conv_transpose", "max_pool", "avg_pool")
    rank = len(problem.size)
    assert rank in (1, 2, 3)
    for option in (problem.kernel, problem.stride, problem.padding, problem.dilation):
        assert len(option) == rank
    assert problem.c % problem.groups == 0
    assert problem.k % problem.groups == 0
    assert min(problem.output_shape) >= 1
    assert problem.uses >= 1
    for axis in range(rank):
        if problem.is_pool:  # as PyTorch and the ONNX operators demand
            assert 2 * problem.padding[axis] <= problem.kernel[axis]
        else:
            assert problem.padding[axis] <= problem.dilation[axis] * (problem.kernel[axis] - 1)
    assert (problem.group == "depthwise") == problem.is_depthwise
    assert (problem.group == "pooling") == problem.is_pool
    assert (problem.group == "transposed") == (problem.kind == "conv_transpose")


def test_names_are_unique_and_find_their_problem():
    assert all(problem.name == name and find(name) == problem for name, problem in PROBLEMS.items())
    assert len(set(map(str, PROBLEMS.values()))) > len(PROBLEMS) / 2
    assert set(SHORT) <= PROBLEMS.keys()
    assert {PROBLEMS[name].group for name in SHORT} == set(CLASSES)
    assert {problem.group for problem in PROBLEMS.values()} == set(CLASSES)


def taps(problem):
    """(input, output) position pairs that a kernel tap joins along each axis, padding included, by enumeration."""
    sizes = problem.size if problem.kind == "conv_transpose" else problem.output_shape[2:]
    axes = zip(sizes, problem.kernel, strict=True)
    return math.prod(sum(1 for _ in itertools.product(range(size), range(r))) for size, r in axes)


@EVERY
def test_flops_are_two_a_tap_channel_and_filter(problem):
    expected = problem.n * problem.k * taps(problem)
    if not problem.is_pool:
        expected *= 2 * (problem.c // problem.groups)
    assert problem.flops() == expected
    for pass_ in problem.passes:
        assert problem.flops(pass_) == (2 if pass_ == "backward" and not problem.is_pool else 1) * expected


@pytest.mark.parametrize(
    ("network", "dense", "published"),
    [  # multiply-adds of one 224² image, dense layers included, as torchvision's model cards give them
        ("vgg16", 25088 * 4096 + 4096 * 4096 + 4096 * 1000, 15.47e9),
        ("resnet50", 2048 * 1000, 4.089e9),
        ("mobilenetv2", 1280 * 1000, 0.301e9),
    ],
)
def test_complete_networks_have_the_published_cost(network, dense, published):
    layers = [p for p in PROBLEMS.values() if p.name.startswith(f"{network}/") and p.n == 1 and not p.is_pool]
    total = sum(p.uses * p.flops() // 2 for p in layers) + dense
    assert total == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize("problem", scaled(), ids=str)
def test_arrays_have_the_problems_shapes_and_do_not_change(problem):
    arrays = problem.arrays()
    shapes = {"x": problem.input_shape, "dy": problem.output_shape}
    if not problem.is_pool:
        shapes |= {"w": problem.weight_shape, "b": (problem.k,)}
    assert {name: array.shape for name, array in arrays.items()} == shapes
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for a in arrays.values())
    assert all(np.array_equal(a, b) for a, b in zip(arrays.values(), problem.arrays().values(), strict=True))


@EVERY
def test_scaled_problem_is_the_same_layer_and_small(problem):
    small = problem.scaled()
    assert (small.kind, small.kernel, small.stride, small.padding, small.dilation, small.group) == (
        problem.kind, problem.kernel, problem.stride, problem.padding, problem.dilation, problem.group
    )  # fmt: skip
    assert small.is_depthwise == problem.is_depthwise
    assert min(small.output_shape) >= 1
    assert small.flops() <= 2.5e8
    assert math.prod(small.output_shape[2:]) * small.n <= 2 * 56**2
    assert small.scaled() == small
    assert find(small.name) == small


def test_scaled_problems_differ_and_keep_every_class():
    shapes = [(str(problem), problem.kind) for problem in scaled()]
    assert len(set(shapes)) == len(shapes)
    assert {problem.group for problem in scaled()} == set(CLASSES)


def test_backward_pools_have_no_weights():
    assert find("vgg16/pool1").passes == ("forward", "backward")
    assert find("vgg16/conv1_1").passes == PASSES


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("lenet5/conv1", ["lenet5/conv1"]),
        ("lenet5/conv*,lenet5/conv1", ["lenet5/conv1", "lenet5/conv2"]),
        ("dilated", ["deeplabv3/conv5", "deeplabv3/aspp12"]),
        ("dilated@2, lecture/*", ["deeplabv3/conv5@2", "deeplabv3/aspp12@2", "lecture/conv"]),
        ("short@small", [f"{name}@small" for name in PROBLEMS if name in SHORT]),
        ("vgg16/conv5@16", ["vgg16/conv5@16"]),
        ("resnet50/conv1@7", ["resnet50/conv1@7"]),
    ],
)
def test_select(patterns, names):
    assert [problem.name for problem in select(patterns)] == names


@pytest.mark.parametrize(
    "patterns", ["", "nothing", "vgg16/conv1_1@", "vgg16/conv1_1@0", "vgg16/conv1_1@x", "short,none"]
)
def test_select_refuses_what_names_nothing(patterns):
    with pytest.raises(ValueError, match="--list"):
        select(patterns)
