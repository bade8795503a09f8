"""Images of a folder or list through a generator: what the scores of generators look at."""

import torch

from cirtorch.datasets.imagefiles import list_images
from cirtorch.utils.errors import DataError
from mdir.artifacts import used
from mdir.data.image_lists import listed_images, read_names
from mdir.data.labelled import tensor_of
from mdir.data.loading import make_dataset, make_loader, merge_defaults
from mdir.errors import UserError
from mdir.paths import resolve_path


class ImageSource:
    """Image files, and the data section that opens them.

    Args:
        data: data section with an ``InferImageList`` or ``ImageList``; what it lacks comes from
            the network's ``runtime.data``.
        names_file: text file of names below the section's ``image_dir``; null: all image files
            of that folder, sorted.

    Raises:
        DataError: the folder or the list is missing or holds no image, or images are missing.
    """

    def __init__(self, data: dict, names_file: str | None = None):
        self.data = data
        folder = resolve_path(data["dataset"]["image_dir"]).partition("*")[0]
        if names_file is None:
            used(folder)
            self.names = list_images(folder, recursive=True)
        else:
            listed_images(names_file, data["dataset"]["image_dir"])
            self.names = read_names(resolve_path(names_file))

    def __len__(self):
        return len(self.names)

    def section(self, network) -> dict:
        """The data section with the network's preprocessing where it has none."""
        return merge_defaults(self.data, network.preprocessing)

    def images(self, network):
        """Yield ``(names, images)``: batches (B,3,H,W) on the CPU, as the network takes them."""
        section = self.section(network)
        dataset = make_dataset(section, None, (self.names,))
        done = 0
        for batch in make_loader(dataset, section, {"batch_size": 1}):
            images = batch[-1] if isinstance(batch, (list, tuple)) else batch
            images = tensor_of(images)
            yield self.names[done : done + len(images)], images
            done += len(images)


def choose_generator(network, net_name: str | None = None):
    """The member that translates: of that name, else ``generator_X``, else ``generator``.

    A network without members is taken itself.

    Raises:
        UserError: there is no such member.
    """
    if not network.members:
        return network
    wanted = [net_name] if net_name else ["generator_X", "generator"]
    for name in wanted:
        if name in network:
            return network[name]
    raise UserError(
        f"no network {' or '.join(map(repr, wanted))} to translate with; there are "
        f"{', '.join(network.names())}"
    )


@torch.no_grad()
def translate(generator, images: torch.Tensor, names: list[str]) -> torch.Tensor:
    """(B,3,H,W) -> (B,C,H,W), normalized as before; a size that was rounded up is cut back.

    Raises:
        DataError: the translation of one of ``names`` has pixels of NaN or infinity.
    """
    output = generator(images)
    sound = output.flatten(1).isfinite().all(dim=1)
    broken = [name for name, good in zip(names, sound.tolist(), strict=True) if not good]
    if broken:
        raise DataError(f"the generator gives NaN or infinity for {', '.join(broken)}")
    return output[..., : images.shape[-2], : images.shape[-1]]


def to_unit_range(images: torch.Tensor, mean_std) -> torch.Tensor:
    """Undo the normalization: the first three channels as values in 0..1, clipped."""
    mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in mean_std)
    return (images[:, :3] * std + mean).clamp(0, 1)


def announce(numbers: str, protocol: dict) -> None:
    """Print numbers with the conditions under which they hold."""
    conditions = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in protocol.items())
    print(f">> {numbers} ({conditions})", flush=True)
