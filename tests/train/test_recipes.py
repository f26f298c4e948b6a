"""The recipes: complete for every data set and every optimizer."""

import pytest

from pyconv import data, models, optim
from pyconv.train.recipes import OPTIMIZERS, recipe


@pytest.mark.parametrize("name", data.names())
def test_every_recipe_can_be_made(name):
    values = recipe(name)
    assert values["model"] in models.names()
    optim.create(values["optimizer"], lr=values["lr"], weight_decay=values["weight_decay"])
    optim.schedules.create(values["schedule"], values["lr"], 10)
    data.Augment(*values["augment"])


def test_every_optimizer_has_a_rate_and_it_replaces_the_recipe_s():
    assert set(OPTIMIZERS) == set(optim.names())
    for name, (rate, _) in OPTIMIZERS.items():
        assert recipe("digits", name)["lr"] == rate
    assert recipe("mnist")["lr"] != recipe("mnist", "adam")["lr"] == OPTIMIZERS["adam"][0]


def test_unknown_dataset():
    with pytest.raises(ValueError, match="dataset must be one of digits"):
        recipe("imagenet")


def test_a_recipe_s_network_has_its_own_figures_and_another_one_not():
    own, other = recipe("cifar10", model="airbench94"), recipe("cifar10")
    assert (own["model"], own["batch_size"], own["shift_rate"], own["views"]) == ("airbench94", 1024, 64.0, "six")
    assert (other["model"], other["batch_size"], other["shift_rate"], other["views"]) == ("cifarnet", 128, 1.0, "one")
    changed = recipe("cifar10", "adam", "airbench94")
    assert changed["lr"] == OPTIMIZERS["adam"][0]
    assert changed["shift_rate"] == 1.0
    assert "momentum" not in changed
