"""Tensors inside containers: every one is reached, the containers stay what they are."""

from collections import OrderedDict, defaultdict, namedtuple

import torch

from cirtorch.utils.nested import map_tensors

Pair = namedtuple("Pair", "image text")


def test_containers_keep_their_kind_and_order():
    one = torch.ones(1)
    value = OrderedDict(b=[one, (one, None)], a=defaultdict(list, x=one), c=Pair(one, "t"), d=7)
    found = map_tensors(lambda tensor: tensor + 1, value)
    assert type(found) is OrderedDict and list(found) == ["b", "a", "c", "d"]
    assert found["b"] == [torch.full((1,), 2.0), (torch.full((1,), 2.0), None)]
    assert type(found["a"]) is defaultdict and found["a"]["x"] == 2 and found["a"]["new"] == []
    assert found["c"] == Pair(torch.full((1,), 2.0), "t") and found["d"] == 7
    assert value["b"][0] == 1 and list(value["a"]) == ["x"]


def test_what_implements_the_functions_of_torch_is_a_tensor():
    class Tagged:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    tagged = Tagged()
    assert map_tensors(lambda given: [given], (tagged, "text")) == ([tagged], "text")
