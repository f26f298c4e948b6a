"""Module: names, states, copies, and functional calls."""

import copy
import pickle
import threading

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import nn
from pyconv.graph.transforms import value_and_grad


class Branches(nn.Module):
    """A user's module: two branches, a sum, a concatenation, a shared layer, a parameter of its own."""

    def __init__(self):
        self.shared = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.scale = nn.Parameter(np.ones((1, 4, 1, 1), np.float32))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        left = F.relu(self.shared(x)) + x
        right = self.norm(self.shared(x))
        joined = F.concat([left, right], 1) * self.scale
        return self.head(F.flatten(F.global_avg_pool(joined), 1))


class Tied(nn.Module):
    def __init__(self):
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


def images(n=4, channels=2, size=5, seed=0):
    return np.random.default_rng(seed).standard_normal((n, channels, size, size)).astype(np.float32)


# --- names


def test_names_come_in_pytorchs_order():
    names = [name for name, _ in Branches().named_parameters()]
    assert names == ["scale", "shared.weight", "shared.bias", "norm.weight", "norm.bias", "head.weight", "head.bias"]


def test_state_dict_has_parameters_and_persistent_buffers():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())
    assert list(model.state_dict()) == [
        "0.weight",
        "0.bias",
        "0.running_mean",
        "0.running_var",
        "0.num_batches_tracked",
    ]
    assert "1.rng_state" in dict(model.named_buffers())


def test_an_attribute_is_the_array_and_not_a_copy():
    layer = nn.Linear(2, 2)
    assert layer.weight is dict(layer.named_parameters())["weight"]
    assert type(layer.weight) is np.ndarray


def test_a_constructor_need_not_call_its_base():
    class Plain(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.zeros(3))

    class Called(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.zeros(3))

    assert Plain().num_parameters() == Called().num_parameters() == 3


def test_assignment_moves_a_name_between_kinds():
    module = nn.Module()
    module.thing = nn.Parameter(np.zeros(2))
    module.thing = nn.Linear(1, 1)
    assert not module._parameters
    assert list(module._modules) == ["thing"]
    module.thing = None
    assert not module._modules
    assert module.thing is None
    module.thing = nn.Parameter(np.zeros(2))
    assert "thing" not in vars(module)
    del module.thing
    with pytest.raises(AttributeError, match="has no attribute 'thing'"):
        _ = module.thing


def test_a_parameter_may_be_replaced_and_left_out():
    layer = nn.Linear(2, 3)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    layer.weight = np.ones((3, 2), np.float32)
    assert layer(np.ones((1, 2), np.float32)).tolist() == [[2, 2, 2]]


def test_integers_are_no_parameters():
    with pytest.raises(TypeError, match="'data' must be float32 or float64, not int64"):
        nn.Parameter(np.zeros(3, np.int64))
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="'weight' must be float32 or float64"):
        layer.weight = np.zeros((2, 2), np.int32)


@pytest.mark.parametrize("name", ["", "a.b", 3])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="non-empty string without a dot"):
        nn.Module().register_buffer(name, np.zeros(1))


def test_shared_modules_and_parameters_count_once():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, layer)
    assert model.num_parameters() == layer.num_parameters() == 6
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]  # under every name
    assert [name for name, _ in Tied().named_parameters()] == ["first.weight"]


def test_modes_reach_all_modules():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)))
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model[1].train()
    assert [module.training for module in model.modules()] == [False, False, True, True]


def test_apply_goes_children_first():
    seen = []
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh()))
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["ReLU", "Tanh", "Sequential", "Sequential"]


def test_repr_nests():
    model = nn.Sequential({"conv": nn.Conv2d(3, 6, 5, padding=2), "inner": nn.Sequential(nn.MaxPool2d(2))})
    assert repr(model) == (
        "Sequential(\n"
        "  (conv): Conv2d(3, 6, kernel_size=(5, 5), padding=(2, 2))\n"
        "  (inner): Sequential(\n"
        "    (0): MaxPool2d(2)\n"
        "  )\n"
        ")"
    )


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


# --- states


def test_load_state_dict_copies_in_place_and_casts():
    source, target = Branches(), Branches()
    held = target.head.weight
    result = target.load_state_dict(
        {name: a.astype(np.float64) for name, a in source.state_dict().items() if a.ndim}
        | {"norm.num_batches_tracked": np.asarray(7)}
    )
    assert result == ([], [])
    assert target.head.weight is held
    assert held.dtype == np.float32
    np.testing.assert_array_equal(held, source.head.weight)
    assert target.norm.num_batches_tracked == 7


def test_load_state_dict_may_take_the_arrays_over():
    model = Tied()
    model.load_state_dict({name: a.astype(np.float64) for name, a in model.state_dict().items()}, assign=True)
    assert model.first.weight.dtype == np.float64
    assert model.first.weight is model.second.weight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bias"), "missing: bias"),
        (lambda s: s.update(extra=np.zeros(1)), "unexpected: extra"),
        (lambda s: s.update(bias=np.zeros(5)), r"bias has shape \(5,\) where the model has \(3,\)"),
        (lambda s: s.update(bias=np.array(["a", "b", "c"])), "bias holds <U1"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(change, message):
    model = nn.Linear(2, 3)
    before = model.clone().state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    for name, array in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], array)


def test_load_state_dict_reports_what_differs_when_not_strict():
    model = nn.Linear(2, 3)
    result = model.load_state_dict({"weight": np.ones((3, 2)), "other": np.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["other"]
    assert (model.weight == 1).all()
    with pytest.raises(TypeError, match="state must map names to arrays"):
        model.load_state_dict([1, 2])


@pytest.mark.parametrize("duplicate", [nn.Module.clone, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_equal_and_independent(duplicate):
    model = Branches().eval()
    other = duplicate(model)
    x = images()
    np.testing.assert_array_equal(other(x), model(x))
    assert not other.training
    other.head.weight[...] = 0
    assert model.head.weight.any()
    tied = duplicate(Tied())
    assert tied.first.weight is tied.second.weight


def test_astype_gives_a_copy_in_another_precision():
    model = Branches().eval()
    double = model.astype(np.float64)
    assert {a.dtype for a in double.parameters()} == {np.dtype(np.float64)}
    assert double.norm.running_mean.dtype == np.float64
    assert double.norm.num_batches_tracked.dtype == np.int64
    assert model.head.weight.dtype == np.float32
    x = images()
    np.testing.assert_allclose(double(x.astype(np.float64)), model(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="must be float32 or float64, not float16"):
        model.astype(np.float16)
    tied = Tied().astype(np.float64)
    assert tied.first.weight is tied.second.weight


# --- functional calls


def test_a_functional_call_leaves_the_model_alone():
    model = Branches()
    before = model.clone()
    state = {name: array * 2 for name, array in model.named_parameters()}
    y, updates = nn.functional_call(model, state, images())
    assert set(updates) == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert updates["norm.num_batches_tracked"] == 1
    for name, array in before.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)
    model.load_state_dict(state, strict=False)
    np.testing.assert_array_equal(model(images()), y)
    for name, value in updates.items():  # the plain call writes what the functional one reports
        np.testing.assert_array_equal(model.state_dict()[name], value)


def test_a_buffer_reads_back_what_the_call_assigned():
    class Counter(nn.Module):
        def __init__(self):
            self.register_buffer("count", np.asarray(0.0))

        def forward(self, x):
            self.count = self.count + 1
            self.count = self.count + 1
            return x + self.count

    model = Counter()
    y, updates = nn.functional_call(model, {}, np.zeros(1))
    assert y == 2
    assert updates == {"count": 2}
    assert model.count == 0
    model(np.zeros(1))
    assert model.count == 2


def test_bad_states_are_refused():
    model = nn.Linear(2, 3)
    with pytest.raises(ValueError, match="state names 'other', which this Linear does not have"):
        nn.functional_call(model, {"other": np.zeros(1)}, np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"state gives bias the shape \(2,\); it must be \(3,\)"):
        nn.functional_call(model, {"bias": np.zeros(2)}, np.zeros((1, 2)))


def test_parameters_cannot_be_assigned_in_a_functional_call():
    class Wrong(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones(1))

        def forward(self, x):
            self.weight = x

    with pytest.raises(TypeError, match="'weight' cannot be assigned inside a functional call"):
        nn.functional_call(Wrong(), {}, np.ones(1))


def test_a_shared_parameter_is_given_once_for_all_its_names():
    model, x = Tied(), np.eye(3, dtype=np.float32)
    given = np.full((3, 3), 2, np.float32)
    for name in ("first.weight", "second.weight"):
        y, _ = nn.functional_call(model, {name: given}, x)
        np.testing.assert_array_equal(y, given.T @ given.T)


def test_a_shared_module_reports_its_buffers_once_and_takes_its_whole_state():
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(norm, norm)
    _, updates = nn.functional_call(model, model.state_dict(), np.eye(2, dtype=np.float32))
    assert set(updates) == {"0.running_mean", "0.running_var", "0.num_batches_tracked"}
    assert updates["0.num_batches_tracked"] == 2
    assert norm.num_batches_tracked == 0


def test_gradients_of_branches_match_finite_differences():
    model = Branches().astype(np.float64)
    x = images().astype(np.float64)

    def loss(params):
        y, _ = nn.functional_call(model, params, x)
        return F.sum(y * y)

    params = dict(model.named_parameters())
    _, grads = value_and_grad(loss)(params)
    for name, array in params.items():
        for index in ((0,) * array.ndim, tuple(n - 1 for n in array.shape)):
            step = np.zeros_like(array)
            step[index] = 1e-6
            slope = (loss({**params, name: array + step}) - loss({**params, name: array - step})) / 2e-6
            np.testing.assert_allclose(grads[name][index], slope, rtol=1e-5, atol=1e-7)


def test_shared_parameters_sum_their_gradients():
    model, x = Tied().astype(np.float64), np.eye(3)

    def loss(params):
        return F.sum(nn.functional_call(model, params, x)[0])

    _, grads = value_and_grad(loss)(dict(model.named_parameters()))
    w = model.first.weight
    np.testing.assert_allclose(grads["first.weight"], np.outer(np.ones(3), w.sum(1)) + w.sum(0)[:, None], rtol=1e-12)


def test_one_model_serves_two_threads_with_different_values():
    class Meeting(nn.Module):
        def __init__(self, parties):
            self.weight = nn.Parameter(np.zeros(1))
            self.parties = parties

        def forward(self, x):
            self.parties.wait(10)  # both threads are inside
            return x * self.weight

    model, results = Meeting(threading.Barrier(2)), {}

    def work(value):
        results[value], _ = nn.functional_call(model, {"weight": np.array([value])}, np.ones(1))

    workers = [threading.Thread(target=work, args=(value,)) for value in (1.0, 2.0)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == {1.0: 1.0, 2.0: 2.0}
    assert model.weight == 0


def test_watch_sees_every_call_of_this_thread():
    model, seen = nn.Sequential(nn.ReLU(), nn.Flatten()), []
    with nn.watch(lambda module, args, output: seen.append((type(module).__name__, args[0].shape, output.shape))):
        model(images())
    model(images())
    assert seen == [
        ("ReLU", (4, 2, 5, 5), (4, 2, 5, 5)),
        ("Flatten", (4, 2, 5, 5), (4, 50)),
        ("Sequential", (4, 2, 5, 5), (4, 50)),
    ]
