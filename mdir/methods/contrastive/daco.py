"""DaCo (leftthomas/DaCo): contrast of originals and of their translations into the other domain."""

from mdir.methods.contrastive.views import ViewsMethod, forward_views
from mdir.registry import register


@register("method", "daco")
class DaCo(ViewsMethod):
    """Views: two of the original, two of its translation. Criterion: ``daco``.

    1. project o1, o2 (original) and g1, g2 (translation), each view with its own batch statistics
    2. minimise L(o1, o2) + L(g1, g2) + lamda (L(o1, g1) + L(o1, g2)), L as in SimCLR
    """

    views, criterion_name = 4, "daco"

    def loss(self, views, about):
        projections = [projection for _, projection in forward_views(self.network, views)]
        return self.criterion(*projections)
