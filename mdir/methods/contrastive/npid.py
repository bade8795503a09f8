"""NPID (Wu et al., CVPR 2018): every image is a class of its own, kept in a memory bank."""

from mdir.methods.contrastive.views import ViewsMethod
from mdir.registry import register


@register("method", "npid")
class NPID(ViewsMethod):
    """Views: one of the original. Criterion: ``npid``, whose bank has a row for each image.

    The bank is refreshed after the step with the projections computed before it.
    """

    views, criterion_name = 1, "npid"
    images, keeps_preparation = None, True

    def prepare_epoch(self, dataset, epoch):
        self.images = len(dataset)
        return super().prepare_epoch(dataset, epoch)

    def loss(self, views, about):
        _, self._projections = self.network(views[0])
        if self.criterion.bank is None:
            self.criterion.start(self.images, self._projections.shape[1], self._projections)
        return self.criterion(self._projections, about["index"])

    def after_step(self, about):
        self.criterion.enqueue(self._projections, about["index"])

    def state_dict(self):
        return {"criterion": self.criterion.state_dict()}

    def load_state_dict(self, state):
        self.criterion.load_state_dict(state["criterion"])
