"""Golden vectors of fine-tuning: mined tuples, losses by name, one training step."""

import itertools
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.datasets.datahelpers import cid2filename
from cirtorch.layers.functional import l2n
from cirtorch.layers.pooling import GeM
from mdir import registry
from mdir.data.transforms.parse import parse_transforms
from mdir.inference.descriptors import prepare_dataset
from mdir.methods.metric import SupervisedEpoch
from mdir.networks.single import SingleNetwork
from tests.golden.golden import fill, load_json, load_npz, normal

META = load_json("retrieval", "meta.json", {})
EXACT = 1e-5
# --- mining -------------------------------------------------------------------------------------

MINING = load_json("retrieval", "mining.json", {})
NAMES_OF_PARAMETERS = {"nnum": "neg_num", "qsize": "query_size", "poolsize": "pool_size"}
CLASSES = {"TuplesDataset": "CirTuples", "DiverseAnchorsDataset": "CirDiverseAnchors"}


class Descriptors(torch.nn.Module):
    """Looks up the golden descriptor of an image, whose red and green say its number."""

    def __init__(self, vectors):
        super().__init__()
        self.vectors = torch.from_numpy(vectors)
        self.meta = {"in_channels": 3, "out_channels": len(vectors)}

    def forward(self, x):
        number = x[:, 0, 0, 0] * 255 + 256 * 255 * x[:, 1, 0, 0]
        return self.vectors[:, number.round().long()]


class Recording(SingleNetwork):
    """Keeps the labels of the images that it is asked about."""

    def __call__(self, images, **params):
        self.seen = [*getattr(self, "seen", ()), images.image_label[0]]
        return self.forward(images, **params)


def write_database(root, database, vectors):
    cids = database["cids"]
    for number, cid in enumerate(cids):
        path = Path(cid2filename(cid, str(root / "ims")))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2), (number % 256, number // 256, 0)).save(path, "png")
    (root / "db.pkl").write_bytes(pickle.dumps({"train": database}))


def requests(labels):
    """Labels of consecutive images -> one entry a request, as the golden file has it."""
    kinds = [re.fullmatch(r"(\w+(?:-\w+)*?)-mine", label)[1] for label in labels]
    result = []
    for pool, group in itertools.groupby(kinds, key=lambda kind: kind.endswith("-pool") and kind):
        result.append(pool if pool else sorted(set(group)))
    return result


@pytest.mark.parametrize("name", MINING.get("runs", {}))
def test_mining(name, root):
    run = MINING["runs"][name]
    vectors = load_npz("retrieval", "mining.npz")["desc"]
    write_database(root, MINING[run["db"]], vectors)
    params = {NAMES_OF_PARAMETERS.get(key, key): value for key, value in run["params"].items()}
    section = {
        "name": CLASSES[run["class"]],
        "dataset": "golden",
        "dataset_pkl": "db.pkl",
        "image_dir": "ims",
        "split": "train",
        "image_size": None,
        **params,
    }
    dataset = registry.build("dataset", section, parse_transforms("pil2np | totensor"), ())
    network = Recording(Descriptors(vectors), {"model": {}, "runtime": {"wrappers": ""}})
    torch.manual_seed(run["seed"])
    report = prepare_dataset(dataset, network)
    assert len(dataset) == run["len"]
    for key in ("qidxs", "pidxs"):
        assert getattr(dataset, key) == run[key], key
    assert dataset.nidxs == (run["nidxs"] or [[]] * len(dataset))
    labels = np.array([dataset.labels(index) for index in range(len(dataset))])
    # Without negatives the published labels have a row for one all the same.
    assert labels.T.tolist() == run["labels"][: 2 + dataset.neg_num]
    assert requests(network.seen) == run["extract_labels"]
    assert report.keys() == run["meta"].keys()
    for key, values in run["meta"].items():
        np.testing.assert_allclose(report[key], values, rtol=0, atol=EXACT)


# --- the training step --------------------------------------------------------------------------

TRAINSTEP = load_npz("retrieval", "trainstep.npz")
STEPS = sorted({m[0] for m in map(re.compile(r"\w+_fb\d_ba\d").match, TRAINSTEP) if m})


def tuple_network():
    """The tiny GeM network of the golden wrappers, filled by the rule."""
    net = torch.nn.Module()
    net.features = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, padding=1),
        torch.nn.ReLU(),
    )
    net.pool = GeM()
    net.meta = {"in_channels": 3, "out_channels": 16, "pooling": "gem"}
    net.forward = lambda x: l2n(net.pool(net.features(x))).flatten(1).t()
    params = {"model": {}, "runtime": {"wrappers": "cirfaketuplebatch"}}
    return SingleNetwork(fill(net), params)


def tuple_batch(case):
    """``N(S0 + 900 + 10 q + i, (1, 3, 14 + i, 16))`` for image i of tuple q."""
    images = [
        tuple(
            torch.from_numpy(normal(META["seed"] + 900 + 10 * q + i, (1, 3, 14 + i, 16)))
            for i in range(len(case["targets"]))
        )
        for q in range(case["tuples"])
    ]
    return images, [torch.tensor(case["targets"], dtype=torch.float32)] * case["tuples"]


@pytest.mark.parametrize("step", STEPS)
def test_training_step(step):
    loss, fakebatch, average = re.fullmatch(r"(\w+)_fb(\d)_ba(\d)", step).groups()
    case = META["trainstep"]
    network = tuple_network()
    criterion = registry.build("criterion", {"loss": loss, "margin": case[f"{loss}_margin"]})
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    method = SupervisedEpoch(
        network, optimizer, criterion, batch_average=average == "1", fakebatch=fakebatch == "1"
    )
    reported = method.step(tuple_batch(case))
    gradients = {key: value.grad for key, value in network.named_parameters()}
    found = {
        "reported": reported["total"],
        "grad_conv0": gradients["features.0.weight"],
        "grad_p": gradients["pool.p"],
    }
    for key, value in found.items():
        np.testing.assert_allclose(value, TRAINSTEP[f"{step}_{key}"], rtol=1e-5, atol=EXACT)


# --- losses through their scenario names --------------------------------------------------------

LOSSES = load_npz("retrieval", "losses.npz")


def loss_section(case, name):
    return {"loss": name, "margin": float(LOSSES[f"{case}_{name}_margin"])}


@pytest.mark.parametrize(
    "key", [key for key in LOSSES if re.fullmatch(r"\w+_multidesc_total", key)]
)
def test_loss_of_several_descriptors(key):
    case = key.removesuffix("_multidesc_total")
    x = torch.from_numpy(LOSSES[f"{case}_x"])
    section = {
        "loss": "contrastive_multidesc",
        "margin": float(LOSSES[f"{case}_margin"]),
        "weights": "0.25,2",
    }
    loss = registry.build("criterion", section)(
        [x, 0.5 * x], torch.from_numpy(LOSSES[f"{case}_label"])
    )
    for name, value in loss:
        np.testing.assert_allclose(value, LOSSES[f"{case}_multidesc_{name}"], atol=EXACT)


@pytest.mark.parametrize(
    "key", [key for key in LOSSES if re.fullmatch(r"l\d+_(contrastive|triplet)", key)]
)
def test_losses_by_name(key):
    case, name = key.split("_")
    margin = LOSSES[f"{case}_margin" if name == "contrastive" else f"{case}_triplet_margin"]
    criterion = registry.build("criterion", {"loss": name, "margin": float(margin)})
    x = torch.from_numpy(LOSSES[f"{case}_x"]).requires_grad_()
    value = criterion(x, torch.from_numpy(LOSSES[f"{case}_label"]))
    value.backward()
    np.testing.assert_allclose(value.item(), LOSSES[key], rtol=1e-5, atol=EXACT)
    np.testing.assert_allclose(x.grad, LOSSES[f"{key}_grad"], rtol=1e-5, atol=EXACT)
