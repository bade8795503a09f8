"""The published training steps of the generators as they stand, with the work they waste.

The yardstick of :mod:`benchmarks.generators`; tests hold our methods against it as well. Each
step takes a method (for its networks, optimizers and criteria) and a batch.
"""

import torch

from mdir.losses.value import LossValue


def cyclegan(method, batch):
    """Two backward passes, gradients of discriminators that are cleared, a read-out per number."""
    network, optimizer, criterion = method.network, method.optimizer, method.criterion
    G_X, G_Y = network["generator_X"], network["generator_Y"]
    D_X, D_Y = network["discriminator_X"], network["discriminator_Y"]
    real_X, real_Y = batch
    fake_Y = G_X(real_X)
    rec_X = G_Y(fake_Y)
    fake_X = G_Y(real_Y)
    rec_Y = G_X(fake_X)
    optimizer["generator_X"].zero_grad()
    judged = D_X(fake_Y)
    loss_GX = criterion.loss_G_X(
        {"adversarial": judged, "cycle": rec_X},
        {"adversarial": criterion.loss_D_X.target(judged, True), "cycle": real_X},
    )
    optimizer["generator_Y"].zero_grad()
    judged = D_Y(fake_X)
    loss_GY = criterion.loss_G_Y(
        {"adversarial": judged, "cycle": rec_Y},
        {"adversarial": criterion.loss_D_Y.target(judged, True), "cycle": real_Y},
    )
    loss_GX.total.backward(retain_graph=True)
    loss_GY.total.backward()
    optimizer["generator_X"].step()
    optimizer["generator_Y"].step()
    sides = (("X", D_X, real_Y, "fake_Y", fake_Y), ("Y", D_Y, real_X, "fake_X", fake_X))
    losses_D = []
    for side, D, real, pool, fake in sides:
        judge = getattr(criterion, f"loss_D_{side}")
        optimizer[f"discriminator_{side}"].zero_grad()
        fake = method.pools[pool].query(fake)
        loss = (judge(D.model(real), True) + judge(D.model(fake.detach()), False)) / 2
        loss.backward()
        optimizer[f"discriminator_{side}"].step()
        losses_D.append(loss)
    losses = {"total": loss_GX.total + loss_GY.total + sum(losses_D)}
    losses |= {f"netG_X_{name}": value for name, value in loss_GX}
    losses |= {f"netG_Y_{name}": value for name, value in loss_GY}
    return _read({**losses, "netD_X_total": losses_D[0], "netD_Y_total": losses_D[1]})


def cut(method, batch):
    """Source features by passes of their own, with graphs that are thrown away."""
    network, optimizer = method.network, method.optimizer
    G, D, F = network["generator_X"], network["discriminator_Y"], network["featdown"]
    weights, nce = method.criterion.weights, method.criterion.losses["nce"]
    real_X, real_Y = batch
    fake_Y, idt_Y = G(torch.cat([real_X, real_Y])).chunk(2)
    loss_real, loss_fake = _discriminator_step(method, D, real_Y, fake_Y)
    optimizer["generator_X"].zero_grad()
    optimizer["featdown"].zero_grad()
    gan = weights["adversarial"] * method.criterion.losses["adversarial"](D(fake_Y), True)

    def contrast(source, translated):
        queries = G(translated, layers=nce.layers, encode_only=True)
        keys = G(source, layers=nce.layers, encode_only=True)
        keys, places = F.model(keys, nce.num_patches)
        queries, _ = F.model(queries, nce.num_patches, places)
        return nce(queries, keys)

    own = contrast(real_X, fake_Y)
    identity = weights["identity"] * contrast(real_Y, idt_Y)
    combined = (own + identity) / 2
    (gan + combined.total).backward()
    optimizer["generator_X"].step()
    optimizer["featdown"].step()
    losses = {"total": gan + combined.total + (loss_real + loss_fake) / 2}
    losses |= {"D_real": loss_real, "D_fake": loss_fake, "G_gan": gan}
    losses |= {"G_nce": combined.total, "G_idt": identity.total}
    losses |= {f"G_idt_{name}": value for name, value in identity.parts.items()}
    return _read(losses | {f"G_nce_{name}": value for name, value in combined.parts.items()})


def hedgan(method, batch):
    """The edges of the source with a graph; gradients of D and of the detector in G's step."""
    network, optimizer = method.network, method.optimizer
    G, D, H = network["generator_X"], network["discriminator_Y"], network["detector"]
    H.model.requires_grad_(True)
    real_X, real_Y = batch
    fake_Y = G(real_X)
    fake_E, real_E = H(fake_Y), H(real_X)
    loss_real, loss_fake = _discriminator_step(method, D, real_Y, fake_Y)
    optimizer["generator_X"].zero_grad()
    gan, edge = _generator_losses(method, D, fake_Y, fake_E, real_E)
    (gan + edge).backward()
    optimizer["generator_X"].step()
    losses = {"total": gan + edge + (loss_real + loss_fake) / 2, "D_real": loss_real}
    return _read({**losses, "D_fake": loss_fake, "G_gan": gan, "G_hed": edge})


def hedngan(method, batch):
    """Two passes of the teacher with graphs, one of the student for a picture alone."""
    network, optimizer = method.network, method.optimizer
    G, D = network["generator_X"], network["discriminator_Y"]
    student, teacher = network["detector"], network["detector_frozen"]
    teacher.model.requires_grad_(True)
    real_X, real_Y = batch
    fake_Y = G(real_X)
    loss_real, loss_fake = _discriminator_step(method, D, real_Y, fake_Y)
    hed, weight = method.criterion.losses["hed"], method.criterion.weights["hed"]
    optimizer["detector"].zero_grad()
    taught = teacher(real_X, no_sigmoid=True)
    student_real = weight * hed(student(real_X, no_sigmoid=True), taught)
    student_fake = weight * hed(student(fake_Y.detach(), no_sigmoid=True), taught)
    (student_real + student_fake).backward()
    optimizer["detector"].step()
    fake_E, real_E = student(fake_Y), teacher(real_X)
    student(real_X)
    optimizer["generator_X"].zero_grad()
    gan, edge = _generator_losses(method, D, fake_Y, fake_E, real_E)
    (gan + edge).backward()
    optimizer["generator_X"].step()
    losses = {"total": gan + edge + (loss_real + loss_fake) / 2, "D_real": loss_real}
    losses |= {"D_fake": loss_fake, "G_gan": gan, "G_hed": edge}
    return _read({**losses, "E_real": student_real, "E_fake": student_fake})


STEPS = {"cyclegan": cyclegan, "cut": cut, "hedgan": hedgan, "hedngan": hedngan}


def _discriminator_step(method, D, real_Y, fake_Y):
    judge, weight = method.criterion.losses["adversarial"], method.criterion.weights["adversarial"]
    optimizer = method.optimizer["discriminator_Y"]
    optimizer.zero_grad()
    on_real, on_fake = D(real_Y), D(fake_Y.detach())
    loss_real, loss_fake = weight * judge(on_real, True), weight * judge(on_fake, False)
    ((loss_real + loss_fake) / 2).backward()
    optimizer.step()
    return loss_real, loss_fake


def _generator_losses(method, D, fake_Y, fake_E, real_E):
    losses, weights = method.criterion.losses, method.criterion.weights
    gan = weights["adversarial"] * losses["adversarial"](D(fake_Y), True)
    return gan, weights["edge"] * losses["edge"](fake_E, real_E)


def _read(losses):
    """One number at a time, each waiting for the device."""
    return {
        name: value.item() if isinstance(value, (torch.Tensor, LossValue)) else value
        for name, value in losses.items()
    }
