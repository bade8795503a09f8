"""Learning with proxies: steps, warm-up, processes, restarts, what is refused."""

import os
import signal

import pytest
import torch
from torch import nn

from cirtorch.utils.weight_files import load_weights
from mdir import distributed, registry
from mdir.distributed import BatchPart
from mdir.errors import UserError
from mdir.learning.optimizers import make_optimizer
from mdir.learning.parallel.steps import DividedSteps
from mdir.methods.proxy import Proxy
from mdir.networks.base import models_of
from mdir.registry import check_parameters
from mdir.stages.train import train
from tests.learning.parallel.launching import launch
from tests.learning.test_killed import assert_same, start_child
from tests.methods.tiny_proxies import DATA, images, train_params, write_classes
from tests.methods.tiny_reid import data_section, write_market
from tests.sections import build, generator, single

LOSSES = ("proxy_anchor", "balanced_proxy", "normalized_softmax", "proxy_nca")
ADAMP = {"algorithm": "adamp", "lr": 1e-2, "groups": {"fc": {"lr": 1e-1}}}


class Labelled:
    """A dataset of nothing but classes."""

    def __init__(self, *identities):
        self.identities = list(identities)


def method(loss="balanced_proxy", classes=3, **own):
    torch.manual_seed(0)
    model = {"architecture": "TinyProxiesOfTests", "classes": classes}
    network = build(single(model, wrappers="", data=DATA))
    network.model.double()
    criterion = registry.make("criterion", {"loss": loss})
    made = Proxy(network, make_optimizer(ADAMP, network), criterion, **own)
    network.train()
    return made


def batches():
    """Of five, two and one images."""
    for seed, labels in enumerate(([0, 1, 2, 1, 1], [2, 0], [1])):
        yield images(len(labels), seed).double(), {"identity": torch.tensor(labels)}


def weights(made):
    return {key: value.clone() for key, value in made.network.model.state_dict().items()}


def test_a_step_is_that_of_the_criterion():
    made = method()
    made.prepare_epoch(Labelled(0, 1, 2), 2)
    batch, about = next(batches())
    cosines = made.model.cosines(made.network(batch))
    expected = made.criterion(cosines, about["identity"])
    right = (cosines.argmax(dim=1) == about["identity"]).float().mean()
    losses = made.step((batch, about))
    assert list(losses) == ["total", "accuracy"]
    torch.testing.assert_close(losses["total"], expected.detach())
    assert losses["accuracy"] == right
    assert made.step((batch, about))["total"] < expected


def test_the_backbone_warms_up_and_its_steps_are_counted_later():
    made = method(warm_up=2)
    for epoch in range(3):
        before = weights(made)
        made.prepare_epoch(Labelled(0, 1, 2), epoch)
        made.network.train()
        for batch in batches():
            made.step(batch)
        moved = {key for key, value in weights(made).items() if not torch.equal(value, before[key])}
        learns = {"fc.weight", "refactor.weight"}
        if epoch == 2:
            learns |= {f"backbone.{at}.{kind}" for at in (0, 1) for kind in ("weight", "bias")}
        assert moved == learns
    steps = {
        group["name"]: {made.optimizer.state[one]["step"] for one in group["params"]}
        for group in made.optimizer.param_groups
    }
    assert steps == {"backbone": {3}, "refactor": {9}, "fc": {9}}


def test_without_warm_up_the_backbone_learns_at_once():
    made = method(warm_up=0)
    made.prepare_epoch(Labelled(0, 1, 2), 0)
    assert all(weight.requires_grad for weight in made.model.parameters())


def test_what_an_epoch_tells_is_weighted_by_the_batches():
    made = method(published={"directory": "results", "prefix": "tiny"})
    made.prepare_epoch(Labelled(0, 1, 2), 4)
    assert made.results() is None
    losses, seen = [], []
    for batch, about in batches():
        with torch.no_grad():
            seen.append(made.network(batch).T.float())
        losses.append(made.step((batch, about)))
    told = made.results()
    shares = torch.tensor([5, 2, 1]).double() / 8
    for value, name in ((told.loss, "total"), (told.accuracy, "accuracy")):
        values = torch.stack([loss[name].double() for loss in losses])
        assert value == pytest.approx(float(values @ shares), rel=1e-6)
    assert told.summary.startswith(f"Training [05]: loss {told.loss:.4f}, accuracy ")
    torch.testing.assert_close(told.features, torch.cat(seen))
    assert told.labels.tolist() == [0, 1, 2, 1, 1, 2, 0, 1]
    assert made.results() is None


def own_steps(made, number):
    """What the steps of one of two processes give, each of its part of a batch."""
    steps, found = DividedSteps(made, made.optimizer, models_of(made.network)), []
    for batch, about in batches():
        part = BatchPart(len(batch[number::2]), len(batch))
        own = {key: part.cut(value) for key, value in about.items()}
        found.append(steps.step((part.cut(batch), own), part))
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_two_processes_step_as_one(loss):
    published = {"directory": "results", "prefix": "tiny"}
    whole = method(loss, published=published)
    whole.prepare_epoch(Labelled(0, 1, 2), 2)
    expected = [whole.step(batch) for batch in batches()]
    told = whole.results()

    def run(number):
        with distributed.together():
            made = method(loss, published=published)
            made.prepare_epoch(Labelled(0, 1, 2), 2)
            found = own_steps(made, number)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
            torch.testing.assert_close(weights(made), weights(whole), rtol=1e-7, atol=1e-9)
            same = made.results()
            assert (same.loss, same.accuracy) == pytest.approx((told.loss, told.accuracy))
            torch.testing.assert_close(same.features, told.features)
            assert torch.equal(same.labels, told.labels)

    assert launch(run) == [0, 0]


def test_two_processes_drop_as_one():
    """As GoogLeNet does, before its descriptors."""

    def dropping():
        made = method()
        made.model.backbone.append(nn.Dropout(0.5))
        made.prepare_epoch(Labelled(0, 1, 2), 2)
        torch.manual_seed(1)
        return made

    whole = dropping()
    expected = [whole.step(batch) for batch in batches()]

    def run(number):
        with distributed.together():
            made = dropping()
            found = own_steps(made, number)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
            torch.testing.assert_close(weights(made), weights(whole), rtol=1e-7, atol=1e-9)

    assert launch(run) == [0, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((0, 1, 2, 3), "labels 0 to 3, but there are 3 proxies: each class needs one"),
        ((1, 2, 3), "from 0 to 2; these seem to start at 1"),
        ((-1, 0), "labels -1 to 0"),
    ],
)
def test_classes_without_proxies_are_refused(labels, message):
    with pytest.raises(UserError, match=message):
        method().check_dataset(Labelled(*labels))


def test_proxies_without_classes_are_told(capsys):
    method().check_dataset(Labelled(1, 2, 2))
    assert "3 proxies, but the training has images of 2 classes" in capsys.readouterr().err
    method().check_dataset(Labelled(0, 1, 2))
    assert capsys.readouterr().err == ""


def test_a_class_too_many_is_refused_before_anything_is_written(root):
    write_classes(root)
    params = train_params(published={"directory": "results", "prefix": "tiny"})
    params["network"]["model"]["classes"] = 2
    with pytest.raises(UserError, match="labels 0 to 2, but there are 2 proxies"):
        train(params)
    assert [path.name for path in root.iterdir()] == ["classes"]


def test_a_network_without_proxies_is_refused():
    network = build(generator())
    with pytest.raises(UserError, match="take the architecture proxy_embedding"):
        Proxy(network, None, None)


def test_criteria_of_other_kinds_are_refused_before_the_run(root):
    (problem,) = check_parameters(train.function, train_params(loss="l1"))
    assert problem.path == ("learning", "training", "criterion", "loss")
    assert "'proxy_anchor' or 'balanced_proxy' or 'unified_proxy'" in problem.message


def test_identities_of_persons_are_classes_too(root):
    write_market(root / "market", persons=3, test=False)
    params = train_params(epochs=1)
    sampler = {"name": "identities", "instances": 2}
    loader = {"batch_size": 4, "num_workers": 0, "sampler": sampler}
    params["data"]["train"] = data_section(root / "market", **loader)
    params["learning"]["validation"] = False
    metrics = train(params)[0]["metrics"]
    assert metrics["train/learning/loss:accuracy_avg.4"][0] <= 1


def test_images_without_identities_are_refused():
    made = method()
    with pytest.raises(UserError, match="images with an identity each"):
        made.step((images(2).double(), torch.zeros(2)))
    with pytest.raises(UserError, match="images with an identity each"):
        made.step((images(2).double(), {"index": torch.zeros(2)}))


def test_two_processes_train_as_one_and_leave_its_files(uninterrupted, root):
    write_classes(root)

    def training(_):
        train(train_params(warm_up=2, published={"directory": "results", "prefix": "tiny"}))

    assert launch(training) == [0, 0]
    files, expected = outcome(root)[0], uninterrupted[0]
    table, wanted = (
        [[float(cell) for cell in line.split(",")] for line in one["statistics"].split()[1:]]
        for one in (files, expected)
    )
    assert table == [pytest.approx(row, rel=1e-4) for row in wanted]
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(files["tiny_model.pth"], expected["tiny_model.pth"], **close)
    found, base = files["tiny_data_base.pth"], expected["tiny_data_base.pth"]
    assert found["test_images"] == base["test_images"]
    assert found["train_labels"] == base["train_labels"]
    for name in ("test_features", "train_features", "train_proxies"):
        torch.testing.assert_close(found[name], base[name], **close)


def outcome(root):
    folder = root / "run" / "epochs"
    results = {path.name: load_weights(path) for path in (root / "results").glob("*.pth")}
    results["statistics"] = (root / "results" / "tiny_statistics.csv").read_text()
    learning = load_weights(folder / "learning_epoch_04.pth")["training"]["optimizer_state"]
    return results, learning, load_weights(folder / "net_last.pth")["model_state"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    write_classes(root)
    assert run_in_child(root) == 0
    return outcome(root)


def run_in_child(root, steps=None, every_minutes=None):
    """Train in a process of its own, killed before the step of that number."""

    def training():
        os.environ["CIRTORCH_ROOT"] = str(root)
        step, done = Proxy.step, []

        def fused(*given):
            if len(done) == steps:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(None)
            return step(*given)

        Proxy.step = fused
        params = train_params(warm_up=2, published={"directory": "results", "prefix": "tiny"})
        params["learning"]["checkpoints"]["every_minutes"] = every_minutes
        train(params)

    return os.waitstatus_to_exitcode(os.waitpid(start_child(training), 0)[1])


@pytest.mark.parametrize("every_minutes", [None, 0])
@pytest.mark.parametrize("steps", [6, 8, 10, 15], ids=["warm_up", "border", "after", "end"])
def test_a_killed_run_ends_as_if_never_interrupted(steps, every_minutes, uninterrupted, root):
    write_classes(root)
    assert run_in_child(root, steps, every_minutes) == -signal.SIGKILL
    assert run_in_child(root, None, every_minutes) == 0
    files, learning, weights_then = outcome(root)
    expected_files, expected, expected_weights = uninterrupted
    assert_same(files, expected_files)
    steps = {one["step"] for one in learning["state"].values()}
    assert steps == {8, 16}
    assert_same(learning, expected)
    assert_same(weights_then, expected_weights)
