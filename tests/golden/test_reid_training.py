"""Golden parity of a few steps of SpCL and Cluster Contrast, as their methods take them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mdir.losses.hybrid_memory import HybridMemoryLoss
from mdir.methods.cluster_contrast import ClusterContrast
from mdir.methods.spcl import SpCL
from mdir.networks.architectures.parts.domain_norm import convert_dsbn
from tests.golden.golden import files, fill, load_npz, needed_npz, needs
from tests.golden.test_cluster_contrast_memory import make_memory
from tests.golden.test_contrastive_training import Bare
from tests.golden.test_reid_networks import close


class Encoder(nn.Module):
    """Flatten, a linear layer, batch normalisation, unit length: columns ``[D, B]``."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.fc, self.bn = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)

    def forward(self, images):
        return F.normalize(self.bn(self.fc(images.flatten(1))), dim=1).T


def adam(encoder, lr=3.5e-4, weight_decay=5e-4):
    return torch.optim.Adam(encoder.parameters(), lr=lr, weight_decay=weight_decay)


@pytest.mark.parametrize("gradients, ending", [("forward", ""), ("published", "_upstream")])
def test_spcl(gradients, ending):
    arrays = needed_npz("reid", "trainer_uda.npz")
    outputs, inputs = arrays["after_fc__weight"].shape
    encoder = fill(convert_dsbn(Encoder(inputs, outputs))).train()
    memory = HybridMemoryLoss(gradients=gradients)
    memory.start(*(torch.tensor(arrays[key]) for key in ("features0", "labels")))
    method = SpCL(Bare(encoder), adam(encoder), memory, images="target", source_images="source")
    method.classes = int(arrays["source_classes"])
    sources, targets, identities, indices = (
        torch.tensor(arrays[key]) for key in ("im_s", "im_t", "pid_s", "idx_t")
    )
    for step, (source, target) in enumerate(zip(sources, targets, strict=True)):
        batch = [source, {"identity": identities[step]}], [target, {"index": indices[step]}]
        losses = method.step(batch)
        close(losses["source"], arrays["loss_s" + ending][step], 0, 1e-4)
        close(losses["target"], arrays["loss_t" + ending][step], 0, 1e-4)
        assert losses["total"] == losses["source"] + losses["target"]
    close(memory.features, arrays["features_after" + ending], 0, 1e-4)
    for key, value in encoder.state_dict().items():
        expected = arrays.get(f"after_{key.replace('.', '__')}{ending}")
        assert (expected is None) == key.endswith("num_batches_tracked")
        if expected is not None:
            close(value, expected, 0, 1e-4)


def test_cluster_contrast_is_there():
    for name in ("trainer.npz", "trainer_hard.npz"):
        needs("cluster_contrast", name)


@pytest.mark.parametrize("name", files("cluster_contrast", "trainer*.npz"))
def test_cluster_contrast(name):
    arrays = load_npz("cluster_contrast", name)
    outputs, inputs = arrays["init_fc__weight"].shape
    encoder = fill(Encoder(inputs, outputs)).train()
    encoder.bn.bias.requires_grad_(False)
    assert list(encoder.state_dict()) == arrays["state_keys"].tolist()
    for key, value in encoder.state_dict().items():
        close(value, arrays[f"init_{key.replace('.', '__')}"], 0, 1e-7)
    learning = {key: value for key, value in encoder.named_parameters() if value.requires_grad}
    assert list(learning) == arrays["trainable_keys"].tolist()
    memory, seen = make_memory(arrays), []
    encoder.register_forward_hook(lambda *given: seen.append(given[-1].detach().T))
    method = ClusterContrast(
        Bare(encoder), adam(encoder, *map(float, arrays["cfg"][3:])), memory, images="images"
    )
    for step, (images, labels) in enumerate(zip(arrays["images"], arrays["labels"], strict=True)):
        losses = method.step([torch.tensor(images), {"identity": torch.tensor(labels)}])
        close(seen[step], arrays["outputs"][step], 0, 1e-4)
        close(losses["total"], arrays["loss"][step], 0, 1e-4)
        close(memory.features, arrays["features_after"][step], 0, 1e-4)
    for key, value in encoder.state_dict().items():
        close(value, arrays[f"after_{key.replace('.', '__')}"], 0, 1e-4)
