"""SupervisedEpoch against a loop written for clarity."""

import copy

import pytest
import torch
from torch import nn

from mdir.data.labelled import LabelledImage
from mdir.errors import UserError
from mdir.losses.retrieval import Contrastive, Triplet
from mdir.losses.value import LossValue
from mdir.methods.metric import SupervisedEpoch, _join_tuples, batch_size, to_device
from tests.sections import build, cirnet, single

B = 4


class Net:
    """Stands in for a network of one linear layer."""

    members = {}
    device = torch.device("cpu")

    def __init__(self, dtype):
        torch.manual_seed(0)
        self.model = nn.Linear(3, 2).to(dtype)

    def __contains__(self, name):
        return False

    def __call__(self, images):
        if isinstance(images, list):
            return torch.stack([self(image) for image in images])
        images = images.tensor if isinstance(images, LabelledImage) else images
        return self.model(images)


class Loss:
    def __init__(self, reduction, parts=False):
        self.reduction, self.parts = reduction, parts

    def __call__(self, output, target):
        loss = getattr((output - target).square(), self.reduction)()
        return LossValue(2 * loss, {"one": loss}) if self.parts else loss


def naive(model, images, targets, reduction, batch_average, fakebatch):
    """Gradient and reported loss by the published rule, item by item."""
    pieces = [(images, targets)]
    if fakebatch:
        pieces = [(images[i : i + 1], targets[i : i + 1]) for i in range(B)]
    total = 0
    for image, target in pieces:
        loss = (model(image) - target).square()
        loss = loss.mean() if reduction == "mean" else loss.sum()
        if batch_average and reduction == "sum":
            loss = loss / B
        if not batch_average and reduction == "mean":
            loss = loss * B
        total = total + loss
    total.backward()
    return model.weight.grad, total.item() / (1 if batch_average else B)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fakebatch", [False, True])
@pytest.mark.parametrize("batch_average", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_and_report(reduction, batch_average, fakebatch, dtype):
    net = Net(dtype)
    images, targets = torch.randn(B, 3, dtype=dtype), torch.randn(B, 2, dtype=dtype)
    settings = {"batch_average": batch_average, "fakebatch": fakebatch}
    gradient, report = naive(copy.deepcopy(net.model), images, targets, reduction, **settings)
    before = net.model.weight.detach().clone()
    optimizer = torch.optim.SGD(net.model.parameters(), lr=1.0)
    method = SupervisedEpoch(net, optimizer, Loss(reduction), **settings)
    losses = method.step((images, targets))
    torch.testing.assert_close(before - net.model.weight, gradient)
    assert losses["total"].item() == pytest.approx(report, rel=1e-5)
    assert not losses["total"].requires_grad


def test_parts_are_reported_and_tuples_stay_together():
    net = Net(torch.float32)
    optimizer = torch.optim.SGD(net.model.parameters(), lr=0.1)
    method = SupervisedEpoch(
        net, optimizer, Loss("sum", parts=True), batch_average=False, fakebatch=True
    )
    tuples = [[torch.randn(3), torch.randn(3)] for _ in range(B)]
    losses = method.step((tuples, [torch.zeros(2, 2)] * B))
    assert list(losses) == ["total", "one"]
    assert losses["total"].item() == pytest.approx(2 * losses["one"].item())
    assert set(method.samples()) == {"input", "output", "target"}


def test_labels_go_along_with_the_items_of_a_batch():
    seen = []

    class Watching(Net):
        def __call__(self, images):
            seen.append((images.name, images.image_label))
            return super().__call__(images)

    net = Watching(torch.float32)
    optimizer = torch.optim.SGD(net.model.parameters(), lr=0.1)
    method = SupervisedEpoch(net, optimizer, Loss("mean"), batch_average=True, fakebatch=True)
    images = LabelledImage(torch.randn(2, 3), ["p", "q"], ["a", "b"], ["anc", "pos"])
    method.step((images, LabelledImage(torch.zeros(2, 2), ["x", "y"], ["x", "y"], ["", ""])))
    assert seen == [(["a"], ["anc"]), (["b"], ["pos"])]
    assert batch_size(images) == 2
    assert to_device([images], "cpu")[0] is images.tensor


def test_a_criterion_without_reduction_is_refused():
    with pytest.raises(UserError, match="whose reduction is mean or sum"):
        SupervisedEpoch(Net(torch.float32), None, None, batch_average=True, fakebatch=False)


def tuples_of_sizes(sizes):
    """One tuple a row of ``(height, width)``: labelled batches of one, and targets."""
    tuples = [
        tuple(LabelledImage(torch.rand(1, 3, *size), ["p"], [str(i)], ["anc"]) for size in row)
        for i, row in enumerate(sizes)
    ]
    return tuples, [torch.tensor([-1.0, 1.0, *[0.0] * (len(row) - 2)]) for row in sizes]


def embedding(wrappers):
    return build(single(cirnet(), wrappers=wrappers))


SMALL = [[(64, 80), (80, 64), (64, 80)], [(64, 80)] * 3, [(80, 64), (64, 80), (64, 80)]]


class Counting(torch.nn.Module):
    """A criterion that keeps the number of columns of each call."""

    def __init__(self, criterion):
        super().__init__()
        self.criterion, self.reduction, self.columns = criterion, "sum", []

    def forward(self, x, target):
        self.columns.append(x.shape[1])
        return self.criterion(x, target)


@pytest.mark.parametrize("batch_average", [False, True])
@pytest.mark.parametrize("criterion", [Contrastive(margin=2.0), Triplet(margin=1.0)])
def test_tuples_of_small_images_go_together_with_the_gradient_of_each_alone(
    criterion, batch_average
):
    torch.manual_seed(0)
    network = embedding("cirfaketuplebatch").train()
    images, targets = tuples_of_sizes(SMALL)
    found = []
    for sums in (True, False):
        counting = Counting(criterion)
        counting.sums_over_tuples = sums
        optimizer = torch.optim.SGD(network.model.parameters(), lr=0.0)
        settings = {"batch_average": batch_average, "fakebatch": True}
        method = SupervisedEpoch(network, optimizer, counting, **settings)
        loss = method.step((images, targets))["total"].item()
        found.append((loss, [p.grad.clone() for p in network.model.parameters()]))
        assert counting.columns == ([9] if sums else [3, 3, 3])
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5) and found[0][0] > 0
    for together, alone in zip(*(gradients for _, gradients in found), strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-6)


def test_joined_tuples_have_one_length_and_the_pixels_of_a_published_tuple():
    sizes = [[(362, 272)] * 3, [(362, 272)] * 3, [(362, 272)] * 3, [(40, 40)] * 3, [(40, 40)] * 2]
    images, targets = tuples_of_sizes(sizes)
    pieces = list(_join_tuples(zip(images, targets, strict=True)))
    assert [len(members) for members, _ in pieces] == [6, 6, 2]
    assert [target.tolist() for _, target in pieces] == [[-1, 1, 0] * 2, [-1, 1, 0] * 2, [-1, 1]]


def test_tuples_stay_alone_where_a_part_of_the_way_may_know_their_ends():
    class Reordering:
        def __init__(self, outputmodel):
            pass

        def preprocess(self, images):
            return images, None

        def postprocess(self, output, state):
            return output

    network = embedding("cirfaketuplebatch,meanstd_pre:[[0],[1]]:[[0],[1]]")
    assert network.gives_columns
    network.wrappers["train"].wrappers.append(Reordering(None))
    assert not network.gives_columns
    assert not embedding("").gives_columns
