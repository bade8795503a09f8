"""Published descriptors that torch.hub loads, from one commit of a repository or from a folder."""

from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from cirtorch.networks.imageretrievalnet import set_batchnorm_eval
from mdir import registry
from mdir.artifacts import used_files
from mdir.errors import UserError
from mdir.networks.architectures.parts import hub_repository as repositories
from mdir.networks.architectures.parts.sizes import resized
from mdir.networks.architectures.parts.unit_rows import unit_rows
from mdir.networks.architectures.timm_backbone import TRANSFORMS, MeanStd, Size
from mdir.paths import resolve_path
from mdir.registry import Check, Problem, register
from mdir.registry.ranges import at_least

Repository = Annotated[str, Check(repositories.check_repository)]
Commit = Annotated[str, Check(repositories.check_commit)]
_SIDE = 224  # of the image that tells the length of descriptors


def check_hub(section):
    """Where the code comes from, whether it may run, and what its hubconf.py says."""
    if registry.holds_unresolved(section):
        return
    repository, commit, path = (section.get(key) for key in ("repository", "commit", "path"))
    if (repository is None) == (path is None) or (path is not None and commit is not None):
        yield Problem((), "name either repository and commit, or path")
        return
    if section.get("trust") is not True:
        message = "the code of {} runs with all your rights: look at it, then say trust: true"
        yield Problem(("trust",), message.format(path or repository))
    if path is None and commit is None:
        where = f"https://github.com/{repository}/commits"
        yield Problem(("commit",), f"name the whole commit whose code may run, of {where}")
        return
    for name in section.get("needs", {}):
        try:
            repositories.check_repository(name)
        except ValueError as error:
            yield Problem(("needs", name), str(error))
    folder = _folder(section)
    if folder.is_dir():
        arguments = section.get("arguments", {})
        for key, message in repositories.check_entry(folder, section["entry"], arguments):
            yield Problem((key,), message)
    elif path is not None:
        yield Problem(("path",), f"{folder}: there is no such folder")


def _folder(section):
    if section.get("path") is not None:
        return Path(resolve_path(section["path"]))
    return repositories.commit_folder(section["repository"], section["commit"])


@register("architecture", "hub", check=check_hub)
class HubEmbedding(nn.Module):
    """Images ``[B, 3, H, W]`` -> L2-normalized descriptors as columns ``[D, B]``.

    Batch normalization keeps its statistics in training. A stored network of this architecture runs
    the code again: loading one needs the same ``model`` section in the scenario.

    Args:
        repository: ``OWNER/REPOSITORY`` on GitHub.
        commit: all 40 digits of the commit whose code runs; it is kept below ``<root>/hub``.
        path: a folder with a ``hubconf.py``, in place of repository and commit.
        entry: function of ``hubconf.py`` that gives the network.
        arguments: of the entry.
        trust: has to be true: the code runs with all rights of its user.
        needs: ``OWNER/REPOSITORY: COMMIT`` of further code that the entry loads by torch.hub.
        mean_std: normalization ``[means, stds]`` of the images that the network takes.
        output: which part of a tuple (index) or mapping (key) is the descriptor; null: all of it.
        size_multiple: sides of images go to the nearest multiple of it.
        input_size: ``[height, width]`` that all images are resized to; null: they keep theirs.
    """

    runs_code_of_others = True
    depends_on_size = True

    def __init__(
        self,
        *,
        entry: str,
        trust: bool,
        mean_std: MeanStd,
        repository: Repository | None = None,
        commit: Commit | None = None,
        path: str | None = None,
        arguments: dict = {},  # noqa: B006 -- never changed
        needs: dict[str, Commit] = {},  # noqa: B006
        output: int | str | None = None,
        size_multiple: Annotated[int, at_least(1)] = 1,
        input_size: Size | None = None,
    ):
        super().__init__()
        if trust is not True:
            raise UserError("architecture hub: trust has to be true")
        folder = Path(resolve_path(path)) if path else repositories.fetched(repository, commit)
        registry.refuse(
            Problem((key,), message)
            for key, message in repositories.check_entry(folder, entry, arguments)
        )
        used_files(sorted(folder.rglob("*.py")))
        self.model = repositories.load_entry(folder, entry, arguments, needs)
        if not isinstance(self.model, nn.Module):
            kind = type(self.model).__name__
            raise UserError(f"hub entry {entry!r} gives a {kind}, a torch module is expected")
        self.entry, self.output = entry, output
        self.size = tuple(input_size) if input_size else None
        self.multiples = (size_multiple, size_multiple)
        self.meta = {
            "in_channels": 3,
            "out_channels": self._dimensions(),
            "preprocessing": {"transforms": TRANSFORMS, "mean_std": mean_std},
        }

    @staticmethod
    def mean_std_of(section) -> list | None:
        """The normalization of images for a model's section."""
        return section.get("mean_std")

    @property
    def maps_images_apart(self) -> bool:
        """Whether the descriptor of an image depends on no other image of its batch."""
        return not self.training

    def train(self, mode=True):
        """As usual, but batch normalization keeps its running statistics."""
        super().train(mode)
        return self.apply(set_batchnorm_eval) if mode else self

    @torch.no_grad()
    def _dimensions(self):
        side = -(-_SIDE // self.multiples[0]) * self.multiples[0]
        training = self.training
        try:
            length = len(self.eval()(torch.zeros(1, 3, side, side)))
        except UserError:
            raise
        except Exception as error:  # whatever the code of others raises
            sides = f"{self.size or (side, side)}"
            raise UserError(
                f"hub entry {self.entry!r} fails on an image of {sides}: {error}"
            ) from None
        self.train(training)
        return length

    def forward(self, images):
        vectors = self._descriptor(self.model(resized(images, self.size, self.multiples)))
        if not torch.is_tensor(vectors) or vectors.flatten(1).shape != vectors.shape[:2]:
            raise UserError(f"hub entry {self.entry!r} gives {_shown(vectors)}, not [B, D]")
        return unit_rows(vectors.flatten(1)).T

    def _descriptor(self, found):
        if self.output is None:
            if torch.is_tensor(found):
                return found
            raise UserError(
                f"hub entry {self.entry!r} gives {_shown(found)}: say which by output: INDEX or KEY"
            )
        parts = found if isinstance(found, dict) else {}
        if isinstance(found, (list, tuple)):
            parts = dict(enumerate(found))
        if self.output not in parts:
            raise UserError(
                f"hub entry {self.entry!r} gives {_shown(found)}, without an output {self.output!r}"
            )
        return parts[self.output]


def _shown(value):
    """Kinds and shapes of what a network gave."""
    if torch.is_tensor(value):
        return f"a tensor {list(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(_shown, value)) + ")"
    return f"a {type(value).__name__}"
