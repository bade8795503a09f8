"""SoftTriple (Qian et al., ICCV 2019) on instance labels: a supervised reference of OSSCo."""

from mdir.methods.contrastive.instance_proxies import ProxyAnchor
from mdir.registry import register


@register("method", "softtriple")
class SoftTriple(ProxyAnchor):
    """As :class:`ProxyAnchor`, with the criterion ``softtriple``."""

    criterion_name = "softtriple"
