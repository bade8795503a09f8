"""Descriptors of many images (published project: cnnimageretrieval-pytorch)."""

from contextlib import contextmanager

import torch

from cirtorch.datasets.genericdataset import ImagesFromList
from cirtorch.datasets.same_size_batches import (
    PIXELS_ON_CPU,
    PIXELS_ON_GPU,
    area,
    read_ahead,
    same_size_batches,
    split_transform,
)
from cirtorch.layers.multiscale import average_scales, rescaled
from cirtorch.networks.fused import computed_by, fused_pairs
from cirtorch.utils.errors import DataError


def extract_vectors(net, images, image_size, transform, bbxs=None, ms=(1,), msp=1, print_freq=10):
    """Descriptors of image files.

    Images are decoded ahead by threads. They go through a network in batches of one size where its
    class says ``maps_images_apart = True``, one at a time through any other.

    Args:
        net: network ``[B, C, H, W] -> [D, B]``, or ``[1, C, H, W] -> [D]`` with further axes of
            length one; goes to the GPU if there is one, and to eval mode.
        images: paths.
        image_size: longest side in pixels, None: original size.
        transform: PIL image -> tensor ``[C, H, W]``.
        bbxs: None, or per image a box ``(x1, y1, x2, y2)`` or None.
        ms: scales whose descriptors are averaged. msp: exponent of that average.
        print_freq: images between two updates of the progress line.

    Returns:
        ``[D, N]`` float32 on the CPU.
    """
    device = _prepared(net)
    here, there = split_transform(transform)
    dataset = ImagesFromList(root="", images=images, imsize=image_size, bbxs=bbxs, transform=here)
    pixels = PIXELS_ON_GPU if device.type == "cuda" else PIXELS_ON_CPU
    pixels = pixels if takes_batches(net) else 0
    vecs, done = None, 0
    with torch.no_grad(), computed_by(fused_pairs([net])):
        tensors = read_ahead(dataset.__getitem__, len(dataset))
        for positions, batch in same_size_batches(tensors, pixels, area):
            with naming(images[positions[0]], batch[0]):
                found = _extract_batch(net, torch.stack(batch), device, there, list(ms), msp)
            if vecs is None:
                vecs = torch.zeros(found.shape[0], len(images))
            vecs[:, positions] = found
            done = _progress(done, len(positions), len(images), print_freq)
    print("")
    return vecs


def takes_batches(net) -> bool:
    """Whether a network's class, or that from which it has ``forward``, says so of itself."""
    for kind in type(net).__mro__:
        if "maps_images_apart" in vars(kind):
            return bool(net.maps_images_apart)
        if "forward" in vars(kind):
            break
    return False


@contextmanager
def naming(image, batch):
    """Tell of which image the network makes an error, and how large it is.

    Args:
        image: the first of the batch. batch: of shape ``[..., H, W]``, or a list of such.

    Raises:
        DataError: in place of torch's own error in the block.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        height, width = (batch[0] if isinstance(batch, list) else batch).shape[-2:]
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{image}: as an input of {width} x {height} pixels the network cannot take it "
            f"({reason})"
        ) from error


def _prepared(net):
    """The device of the network, after moving it to the GPU where there is one."""
    net.eval()
    if torch.cuda.is_available():
        net.cuda()
    parameter = next(net.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _extract_batch(net, batch, device, transform, ms, msp):
    """``[D, B]`` on the CPU; a batch too large for the device's memory is halved."""
    if not takes_batches(net):
        x = transform(batch.to(device))
        found = extract_ss(net, x) if ms == [1] else extract_ms(net, x, ms, msp)
        return found.float().reshape(-1, 1)
    try:
        # convolutions of VGG are faster in this layout, those of ResNet no slower
        x = transform(batch.to(device)).contiguous(memory_format=torch.channels_last)
        return (net(x) if ms == [1] else multiscale(net, x, ms, msp)).float().cpu()
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    halves = batch.split((len(batch) + 1) // 2)
    return torch.cat([_extract_batch(net, h, device, transform, ms, msp) for h in halves], dim=1)


def _progress(done, more, total, print_freq):
    if (done + more) // print_freq > done // print_freq or done + more == total:
        print(f"\r>>>> {done + more}/{total} done...", end="", flush=True)
    return done + more


def multiscale(net, x, ms, msp):
    """Generalized mean over scales of the descriptors of a batch, L2-normalized: ``[D, B]``."""
    return average_scales([net(rescaled(x, s)) for s in ms], msp)


def extract_ss(net, input):
    """Descriptor ``[D]`` on the CPU of one image ``[1, C, H, W]``."""
    return net(input).cpu().data.squeeze()


def extract_ms(net, input, ms, msp):
    """Multi-scale descriptor ``[D]`` on the CPU of one image ``[1, C, H, W]``."""
    return multiscale(net, input, ms, msp).cpu().data.squeeze()


def extract_ssl(net, input):
    """L2-normalized local vectors ``[D, h * w]`` of one image ``[1, C, H, W]``."""
    return net.norm(net.features(input)).squeeze(0).flatten(1).cpu().data


def extract_ssr(net, input):
    """Vectors of regions ``[D, R]`` of one image ``[1, C, H, W]``; needs a regional network."""
    vectors = net.pool(net.features(input), aggregate=False)
    return vectors.squeeze(0).squeeze(-1).squeeze(-1).permute(1, 0).cpu().data


def extract_local_vectors(
    net, images, image_size, transform, bbxs=None, ms=(1,), msp=1, print_freq=10
):
    """Local vectors of image files: list of ``[D, h * w]``; arguments as extract_vectors."""
    return _each(extract_ssl, net, images, image_size, transform, bbxs, ms, print_freq)


def extract_regional_vectors(
    net, images, image_size, transform, bbxs=None, ms=(1,), msp=1, print_freq=10
):
    """Vectors of regions of image files: list of ``[D, R]``; arguments as extract_vectors."""
    return _each(extract_ssr, net, images, image_size, transform, bbxs, ms, print_freq)


def _each(extract, net, images, image_size, transform, bbxs, ms, print_freq):
    if len(ms) != 1:
        raise DataError(f"local and regional vectors have one scale, not {list(ms)}")
    device = _prepared(net)
    here, there = split_transform(transform)
    dataset = ImagesFromList(root="", images=images, imsize=image_size, bbxs=bbxs, transform=here)
    vectors = []
    with torch.no_grad():
        for image, tensor in zip(
            images, read_ahead(dataset.__getitem__, len(dataset)), strict=True
        ):
            with naming(image, tensor):
                x = there(tensor[None].to(device))
                vectors.append(extract(net, rescaled(x, ms[0])))
            _progress(len(vectors) - 1, 1, len(images), print_freq)
    print("")
    return vectors
