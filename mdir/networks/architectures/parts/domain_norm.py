"""Batch normalisation of parts of a batch: a domain each, or as many as there were devices.

Domain-specific batch normalisation: Chang et al., CVPR 2019; in this form Ge et al., SpCL, NeurIPS
2020. The layers hold ordinary ones, whose parameters and statistics keep their published names.
"""

from copy import deepcopy
from typing import Literal

import torch
from torch import nn

from mdir.errors import UserError

Statistics = Literal["target", "source"]


class _InGroups:
    """In training, each of ``groups`` equal parts of the batch is normalised by itself.

    So do the devices that share a batch under ``DataParallel``. Running statistics are those of
    the first part, because there they were those of the first device.
    """

    def __init__(self, num_features: int, groups: int):
        super().__init__(num_features)
        self.groups = groups

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        first, *others = equal_parts(x, self.groups, "bn_groups")
        require_several(len(x) * x[0, 0].numel(), self.groups)
        return torch.cat([super().forward(first), *map(self._by_itself, others)])

    def _by_itself(self, x):
        return nn.functional.batch_norm(
            x, None, None, self.weight, self.bias, training=True, eps=self.eps
        )


class BatchNormInGroups1d(_InGroups, nn.BatchNorm1d):
    """``[B, C]``, see :class:`_InGroups`."""


class BatchNormInGroups2d(_InGroups, nn.BatchNorm2d):
    """``[B, C, H, W]``, see :class:`_InGroups`."""


class _DomainNorm(nn.Module):
    """A batch normalisation a domain: ``BN_S`` for the source, ``BN_T`` for the target.

    In training, the first half of a batch is the source's, the second the target's. Otherwise all
    of it goes through the one that ``statistics`` names.
    """

    statistics: Statistics = "target"

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.BN_S, self.BN_T = (deepcopy(norm).requires_grad_() for _ in range(2))

    def chosen(self) -> nn.Module:
        """The layer whose statistics count outside of training."""
        return self.BN_T if self.statistics == "target" else self.BN_S

    def forward(self, x):
        if not self.training:
            return self.chosen()(x)
        source, target = equal_parts(x, 2, "domains")
        return torch.cat([self.BN_S(source), self.BN_T(target)])


class DSBN1d(_DomainNorm):
    """``[B, C]``, see :class:`_DomainNorm`."""


class DSBN2d(_DomainNorm):
    """``[B, C, H, W]``, see :class:`_DomainNorm`."""


def convert_dsbn(model: nn.Module) -> nn.Module:
    """Put a domain-specific one in the place of every batch normalisation inside ``model``.

    Both domains begin with its state. All their parameters learn, a bias that was frozen too: the
    published runs were so.
    """
    return _replace(model, _of_domains)


def convert_bn(model: nn.Module, statistics: Statistics = "target") -> nn.Module:
    """The way back: the layer of one domain in the place of every domain-specific one."""
    choose_statistics(model, statistics)
    return _replace(model, _of_one_domain)


def choose_statistics(model: nn.Module, statistics: Statistics) -> None:
    """Say whose statistics count outside of training."""
    for module in model.modules():
        if isinstance(module, _DomainNorm):
            module.statistics = statistics


def equal_parts(x: torch.Tensor, count: int, what: str) -> tuple[torch.Tensor, ...]:
    """A batch in ``count`` parts of equal size.

    Raises:
        UserError: it does not divide; the message begins with ``what``.
    """
    if len(x) % count:
        raise UserError(
            f"{what}: a training batch of {len(x)} images cannot be divided into {count} equal "
            "parts; change batch_size, and set drop_last: true"
        )
    return x.chunk(count)


def require_several(count: int, groups: int) -> None:
    """Refuse to normalise parts of a batch of which each is one value for a channel.

    Args:
        count: of values for a channel. groups: how many parts.

    Raises:
        UserError: says what to change.
    """
    if count > groups:
        return
    change = "raise batch_size, and set drop_last: true"
    if groups == 1:
        raise UserError(
            "a training batch of one image, or of one of each domain, gives batch normalisation "
            f"nothing to compare; {change}"
        )
    raise UserError(
        f"bn_groups: {count} images in {groups} parts are one in each, which gives batch "
        f"normalisation nothing to compare; lower bn_groups, or {change}"
    )


def _of_domains(module):
    if isinstance(module, nn.BatchNorm2d):
        return DSBN2d(module)
    return DSBN1d(module) if isinstance(module, nn.BatchNorm1d) else None


def _of_one_domain(module):
    return module.chosen() if isinstance(module, _DomainNorm) else None


def _replace(model, substitute):
    """Replace what ``substitute`` gives something for; nothing inside a domain-specific layer."""
    for name, child in model.named_children():
        other = substitute(child)
        if other is not None:
            setattr(model, name, other)
        elif not isinstance(child, _DomainNorm):
            _replace(child, substitute)
    return model
