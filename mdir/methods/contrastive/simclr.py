"""SimCLR (Chen et al., ICML 2020): two views of an image against all others of the batch."""

from mdir.methods.contrastive.views import ViewsMethod, forward_views
from mdir.registry import register


@register("method", "simclr")
class SimCLR(ViewsMethod):
    """Views: two of the original. Criterion: ``simclr``."""

    views, criterion_name = 2, "simclr"

    def loss(self, views, about):
        (_, p1), (_, p2) = forward_views(self.network, views)
        return self.criterion(p1, p2)
