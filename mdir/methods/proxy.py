"""Learning with a proxy for each class (leftthomas/UnifiedProxy, ProxyAnchor)."""

import sys
from dataclasses import dataclass
from typing import Annotated, TypedDict

import torch
from torch import Tensor, nn

from mdir import distributed
from mdir.distributed import WHOLE
from mdir.errors import UserError
from mdir.losses.proxy_cosines import require_labels
from mdir.methods.base import Dividing, Method
from mdir.registry import register
from mdir.registry.ranges import at_least


class PublishedFiles(TypedDict):
    """Where the files of the published project go, see the processor ``proxy_files``.

    Args:
        directory: relative to CIRTORCH_ROOT.
        prefix: of their names: ``DATA_BACKBONE_LOSS_DIM`` in the published project.
    """

    directory: str
    prefix: str


@dataclass(frozen=True)
class TrainedEpoch:
    """What an epoch's steps have seen.

    Attributes:
        epoch: from 0.
        loss, accuracy: means over the images; accuracy is the share of images that are nearest to
            the proxy of their class.
        model: as it is after the epoch.
        features, labels: unit rows ``[N, D]`` and classes ``[N]`` of the images, both on the CPU,
            as they went through training; None where they are not kept.
    """

    epoch: int
    loss: float
    accuracy: float
    model: nn.Module
    features: Tensor | None
    labels: Tensor | None

    @property
    def summary(self) -> str:
        """A line for people."""
        percent = 100 * self.accuracy
        return f"Training [{self.epoch + 1:02d}]: loss {self.loss:.4f}, accuracy {percent:.2f} %"


@register("method", "proxy")
class Proxy(Method):
    """Descriptors against proxies that are a part of the network, as of ``proxy_embedding``.

    Criterion: of cosines (``proxy_anchor``, ``balanced_proxy``, ...). Items are ``(image, about)``
    with the class, from 0, as ``about["identity"]``.

    A batch that is divided among processes has the loss of the whole: cosines are joined, those of
    other processes without their graph, and gradients add up to those of the whole.

    Args:
        warm_up: in so many first epochs the backbone does not learn; an optimizer that counts steps
            for each weight begins to count those later.
        published: null: no files.
    """

    criterion_name = (
        "proxy_anchor",
        "balanced_proxy",
        "unified_proxy",
        "normalized_softmax",
        "proxy_nca",
    )
    dividing, keeps_preparation = Dividing(), True

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        data=None,
        *,
        warm_up: Annotated[int, at_least(0)] = 2,
        published: PublishedFiles | None = None,
    ):
        super().__init__(network, optimizer, criterion, data)
        self.model = getattr(network, "model", None)
        if not hasattr(self.model, "proxies"):
            raise UserError(
                "the method proxy learns proxies that are a part of the network, which this one "
                "has not; take the architecture proxy_embedding"
            )
        self.warm_up, self.keeps_features = warm_up, published is not None
        if published is not None:
            self.processors = {"proxy_files": dict(published)}
        self._epoch, self._steps = 0, []

    def prepare_epoch(self, dataset, epoch):
        self._begin(epoch, [])
        return super().prepare_epoch(dataset, epoch)

    def _begin(self, epoch, steps):
        self.model.freeze_backbone(epoch < self.warm_up)
        self._epoch, self._steps = epoch, steps

    def check_dataset(self, dataset):
        """UserError where a class has no proxy; a word where a proxy has no class."""
        labels = getattr(dataset, "identities", None)
        if labels is None:
            return
        proxies, classes = len(self.model.proxies), len(set(labels))
        require_labels(torch.tensor(labels), proxies)
        if classes < proxies and distributed.is_first():
            message = f"proxy: {proxies} proxies, but the training has images of {classes} classes"
            print(message, file=sys.stderr)

    def step(self, batch, part=WHOLE):
        images, about = batch
        if not isinstance(about, dict) or "identity" not in about:
            raise UserError(
                "the method proxy learns from images with an identity each, as the datasets "
                "fine_grained and reid have them; these items have none"
            )
        columns, labels = self.network(images), part.join(about["identity"])
        cosines = part.join(self.model.cosines(columns))
        loss = self.criterion(cosines, labels)
        self.optimizer.zero_grad()
        loss.backward()  # that of the whole batch, whatever part of it is here
        self.optimizer.step()
        right = cosines.detach().argmax(dim=1) == labels.to(cosines.device)
        losses = {"total": loss.detach(), "accuracy": right.float().mean()}
        features = part.join(columns.detach().T) if self.keeps_features else None
        self._steps.append((*losses.values(), features, labels))
        return losses

    def results(self):
        steps, self._steps = self._steps, []
        if not steps:
            return None
        losses, accuracies, features, labels = zip(*steps, strict=True)
        sizes = torch.tensor([len(one) for one in labels], dtype=torch.float64)
        loss, accuracy = (
            float(torch.tensor(values, dtype=torch.float64) @ sizes / sizes.sum())
            for values in (losses, accuracies)
        )
        seen = (None, None)
        if self.keeps_features:
            seen = torch.cat([one.float().cpu() for one in features]), torch.cat(labels)
        return TrainedEpoch(self._epoch, loss, accuracy, self.model, *seen)

    def state_dict(self):
        return {"epoch": self._epoch, "steps": list(self._steps)}

    def load_state_dict(self, state):
        self._begin(state["epoch"], list(state["steps"]))
