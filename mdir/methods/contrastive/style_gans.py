"""Single-image CycleGANs: one translator for each style image (leftthomas/OSSCo)."""

import random

import torch
from torch import nn
from torch.nn.functional import l1_loss, mse_loss

from mdir.methods.translation.image_pool import ImagePool
from mdir.networks.architectures.initializers import normal_p2p
from mdir.networks.architectures.patch_discriminator import PatchDiscriminator
from mdir.networks.architectures.resnet_generator import ResnetGenerator

ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}


def linear_decay(step: int, total: int) -> float:
    """Factor of the learning rate after ``step`` optimiser steps of ``total``.

    One for the first half, then down to 0, never below (the published code may end slightly
    negative).
    """
    half = max(total // 2, 1)
    return max(0.0, 1.0 - max(0, step - half) / half)


class StyleGAN(nn.Module):
    """Content <-> one style: generators F (to style) and G (to content), discriminators DF, DG.

    DG judges style images, DF content images. CycleGAN's networks with half the filters.
    """

    def __init__(self, *, blocks: int = 9, filters: int = 32):
        super().__init__()
        discriminator = {"input_nc": 3, "ndf": filters, "norm_layer": "instance"}
        self.F = _generator(blocks, filters)
        self.G = _generator(blocks, filters)
        self.DF = PatchDiscriminator(**discriminator)
        self.DG = PatchDiscriminator(**discriminator)
        for network in self.children():
            normal_p2p(network, init_gain=0.02)


class Translators(nn.ModuleList):
    """The generators F of a round, one for each style: all that is left once they are trained."""

    @classmethod
    def untrained(cls, styles: int, *, blocks: int = 9, filters: int = 32) -> "Translators":
        """Generators of that size, to load a state into."""
        return cls(_generator(blocks, filters) for _ in range(styles))

    @torch.no_grad()
    def restyle(self, images: torch.Tensor, choice: torch.Tensor) -> torch.Tensor:
        """Translate image i (B, 3, H, W) into style ``choice[i]``; one pass for each style.

        Instance normalisation looks at one image at a time, so a batch gives what single images
        give. The result has the images' type, also where the generators run in bfloat16, and lies
        on their device.
        """
        device = next(self.parameters()).device
        restyled = torch.empty_like(images, device=device)
        for index, translate in enumerate(self):
            chosen = torch.nonzero(choice == index).flatten()
            if len(chosen):
                translated = translate(images[chosen].to(device)).to(restyled.dtype)
                restyled[chosen.to(device)] = translated[..., : images.shape[2], : images.shape[3]]
        return restyled


class StyleGANs:
    """The translators of a round and what their training needs.

    Args:
        styles: how many.
        iterations: length of the training, for the learning-rate schedule.
        blocks, filters: size of the generators.
        cycle_weight: of the cycle loss.
        pool_size: of the two replay buffers of each style.
        device: where to train.
    """

    def __init__(
        self,
        styles: int,
        iterations: int,
        *,
        blocks: int = 9,
        filters: int = 32,
        cycle_weight: float = 10,
        pool_size: int = 50,
        device="cpu",
    ):
        self.iterations, self.cycle_weight = iterations, cycle_weight
        self.gans = nn.ModuleList(
            StyleGAN(blocks=blocks, filters=filters) for _ in range(styles)
        ).to(device)
        self.device = device
        self.start_optimizers()
        self.pools = [
            {kind: ImagePool(pool_size, random) for kind in ("content", "style")}
            for _ in range(styles)
        ]

    def start_optimizers(self) -> None:
        """Fresh optimizers over the present parameters: FG together, DF and DG alone."""
        self.optimizers = [
            {
                "FG": torch.optim.Adam([*gan.F.parameters(), *gan.G.parameters()], **ADAM),
                "DF": torch.optim.Adam(gan.DF.parameters(), **ADAM),
                "DG": torch.optim.Adam(gan.DG.parameters(), **ADAM),
            }
            for gan in self.gans
        ]
        self.done = 0

    def learning_rate(self) -> float:
        """Of the next step, the same for all optimizers."""
        return ADAM["lr"] * linear_decay(self.done, self.iterations)

    def step(self, content, styles) -> list[dict[str, torch.Tensor]]:
        """One step of every translator.

        Args:
            content: (1, 3, H, W) in [-1, 1].
            styles: as many tensors (1, 3, H, W).

        Returns:
            for each style the detached losses: adversarial, cycle, fg, df, dg.
        """
        rate = self.learning_rate()
        for optimizers in self.optimizers:
            for optimizer in optimizers.values():
                optimizer.param_groups[0]["lr"] = rate
        content = content.to(self.device)
        losses = [
            self._step_one(index, content, style.to(self.device))
            for index, style in enumerate(styles)
        ]
        self.done += 1
        return losses

    def _step_one(self, index, content, style):
        gan, optimizers, pools = self.gans[index], self.optimizers[index], self.pools[index]
        # The generators' step leaves no gradient in the discriminators, which would be cleared.
        gan.DF.requires_grad_(False)
        gan.DG.requires_grad_(False)
        optimizers["FG"].zero_grad()
        fake_style, fake_content = gan.F(content), gan.G(style)
        adversarial = _gan_loss(gan.DG(fake_style), 1) + _gan_loss(gan.DF(fake_content), 1)
        cycle = l1_loss(gan.G(fake_style), content) + l1_loss(gan.F(fake_content), style)
        fg = adversarial + self.cycle_weight * cycle
        fg.backward()
        optimizers["FG"].step()
        gan.DF.requires_grad_(True)
        gan.DG.requires_grad_(True)
        df = _discriminate(gan.DF, optimizers["DF"], content, pools["content"], fake_content)
        dg = _discriminate(gan.DG, optimizers["DG"], style, pools["style"], fake_style)
        losses = {"adversarial": adversarial, "cycle": cycle, "fg": fg, "df": df, "dg": dg}
        return {name: loss.detach() for name, loss in losses.items()}

    def translators(self) -> Translators:
        """The generators F, not copied."""
        return Translators(gan.F for gan in self.gans)

    def state_dict(self) -> dict:
        """Networks, optimizers, buffers and the count of steps."""
        return {
            "done": self.done,
            "gans": self.gans.state_dict(),
            "optimizers": [
                {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
                for optimizers in self.optimizers
            ],
            "pools": [
                {kind: pool.state_dict() for kind, pool in pools.items()} for pools in self.pools
            ],
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`."""
        self.done = state["done"]
        self.gans.load_state_dict(state["gans"])
        for optimizers, saved in zip(self.optimizers, state["optimizers"], strict=True):
            for name, optimizer in optimizers.items():
                optimizer.load_state_dict(saved[name])
        for pools, saved in zip(self.pools, state["pools"], strict=True):
            for kind, pool in pools.items():
                pool.load_state_dict(saved[kind])


class RunningLosses:
    """Means of the losses fg, df and dg since the round's start, a row every ``interval`` steps.

    A row is its number, the means, and the steps so far.
    """

    def __init__(self, interval: int, device="cpu"):
        self.interval, self.steps, self.rows = interval, 0, []
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, losses: dict) -> None:
        """Take the losses of a step, scalar tensors by name."""
        self.sums += torch.stack([losses[name].double() for name in ("fg", "df", "dg")])
        self.steps += 1
        if self.steps % self.interval == 0:
            means = (self.sums / self.steps).tolist()
            self.rows.append([len(self.rows) + 1, *means, self.steps])

    def state_dict(self) -> dict:
        """Sums, count and rows."""
        return {"sums": self.sums, "steps": self.steps, "rows": self.rows}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`."""
        self.sums = state["sums"].to(self.sums.device)
        self.steps, self.rows = state["steps"], [list(row) for row in state["rows"]]


def _generator(blocks, filters):
    return ResnetGenerator(
        input_nc=3, output_nc=3, ngf=filters, norm_layer="instance", n_blocks=blocks
    )


def _gan_loss(scores, target):
    return mse_loss(scores, torch.full_like(scores, target))


def _discriminate(discriminator, optimizer, real, pool, fake):
    optimizer.zero_grad()
    loss = (_gan_loss(discriminator(real), 1) + _gan_loss(discriminator(pool.query(fake)), 0)) / 2
    loss.backward()
    optimizer.step()
    return loss
