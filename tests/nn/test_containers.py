"""Sequential, ModuleList and ModuleDict."""

import numpy as np
import pytest

from pyconv import nn


def test_sequential_chains_in_order():
    first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    model = nn.Sequential(first, second)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(model(x), second(first(x)))
    assert len(model) == 2
    assert list(model) == [first, second]
    assert model[-1] is second


def test_sequential_takes_names():
    model = nn.Sequential({"first": nn.Linear(2, 3), "last": nn.ReLU()})
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert model.last is model[1]


def test_slices_keep_names_and_share_modules():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    tail = model[1:]
    assert list(tail.state_dict()) == ["2.weight", "2.bias"]
    assert tail[1] is model[2]
    with pytest.raises(ValueError, match="a module named '2' is there already"):
        tail.append(nn.ReLU())


def test_a_chain_can_be_edited():
    model = nn.Sequential(nn.ReLU())
    model.append(nn.Tanh()).extend([nn.Flatten()])
    model.insert(1, nn.Sigmoid())
    model[0] = nn.Identity()
    del model[2]
    assert [type(module).__name__ for module in model] == ["Identity", "Sigmoid", "Flatten"]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]


@pytest.mark.parametrize("position", [2, -3])
def test_positions_outside_are_refused(position):
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    with pytest.raises(IndexError, match=f"position {position} is outside of 2 modules"):
        model[position]
    with pytest.raises(IndexError, match="is outside of 2 modules"):
        model[position] = nn.ReLU()


def test_only_modules_are_held():
    with pytest.raises(TypeError, match="module '0' must be a Module, not function"):
        nn.Sequential(lambda x: x)


def test_module_list_registers_and_slices():
    blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(list(blocks.named_parameters())) == 6
    assert isinstance(blocks[1:], nn.ModuleList)
    assert [name for name, _ in blocks[1:].named_children()] == ["0", "1"]
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        blocks(1)


def test_module_dict_is_a_dict():
    heads = nn.ModuleDict({"a": nn.Linear(1, 1)})
    heads["b"] = nn.ReLU()
    assert list(heads.keys()) == list(heads) == ["a", "b"]
    assert "a" in heads
    assert len(heads) == 2
    heads["a"] = nn.Tanh()  # keeps its place
    assert [type(module).__name__ for module in heads.values()] == ["Tanh", "ReLU"]
    del heads["a"]
    assert [name for name, _ in heads.items()] == ["b"]
