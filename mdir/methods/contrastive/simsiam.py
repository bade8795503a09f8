"""SimSiam (Chen and He, CVPR 2021): predict one view's feature from the other, no negatives."""

from mdir.errors import UserError
from mdir.methods.contrastive.views import ViewsMethod, forward_views
from mdir.registry import register


@register("method", "simsiam")
class SimSiam(ViewsMethod):
    """Views: two of the original. Criterion: ``simsiam``.

    The projection is compared with the feature, so both need the same width.
    """

    views, criterion_name = 2, "simsiam"

    def loss(self, views, about):
        (f1, p1), (f2, p2) = forward_views(self.network, views)
        if f1.shape != p1.shape:
            raise UserError(
                f"simsiam compares projections ({p1.shape[1]} wide) with features "
                f"({f1.shape[1]} wide): set proj_dim to {f1.shape[1]}"
            )
        return self.criterion(f1, f2, p1, p2)
