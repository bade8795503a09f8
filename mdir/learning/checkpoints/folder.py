"""The folder of a run's checkpoints, with file names and meanings of the published project.

    NAME_epoch_NN.pth   one network after epoch NN (from 1); NAME is "net" for the outermost one
    NAME_frozen.pth     a network that does not change; its other names are links to it
    NAME_bestsofar.pth  during training; NAME_best.pth and NAME_last.pth at its end
    NAME_notrain.pth    a run of 0 epochs
    learning_epoch_NN.pth, extra_epoch_NN.pth   the rest of the state; the latter is only ours
    inputs.json             what the run read, for whoever goes on with it; only ours
    midepoch.pth            all of a state since then, in the middle of an epoch; only ours
    previous/               the checkpoint before the newest, in case that is damaged; only ours

``learning_epoch_NN.pth`` is written when everything else of epoch NN is in place, so its presence
makes an epoch complete; whatever a killed run left besides is overwritten or removed.
"""

import os
import re
import shutil
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from cirtorch.utils.errors import DamagedFile
from cirtorch.utils.files import replace_link
from cirtorch.utils.weight_files import load_weights, save_weights
from mdir import distributed
from mdir.artifacts import collecting, produced
from mdir.errors import UserError
from mdir.learning.checkpoints.inputs import StoredInputs
from mdir.learning.checkpoints.previous import PreviousCheckpoint
from mdir.learning.checkpoints.within import WithinEpoch
from mdir.networks.comparing import Differs
from mdir.networks.files import network_files, read_network_set
from mdir.paths import resolve_path
from mdir.registry.ranges import at_least


@dataclass
class StoredEpoch:
    """What a checkpoint holds: ``epoch`` from 1, states by network, learning and extra state.

    ``within`` tells what has been done since, of the next epoch; None: nothing.
    """

    epoch: int
    networks: dict
    learning: dict
    extra: dict
    within: dict | None = None


class CheckpointFolder:
    """Where a run is kept.

    Args:
        directory: files go to its ``epochs`` folder.
        store_every: n keeps the networks of every n-th epoch; 0: none.
        checkpoint_every: how often the run can be resumed from; 0: only stored epochs.
        directory_epoch_regex: three groups (prefix, number, suffix) that find a folder of an
            earlier run to take over from; null: none.
        every_minutes: how much of an epoch a killed run may lose: so often its state is kept in the
            middle of one. 0: after every step; null: never.
    """

    def __init__(
        self,
        *,
        directory: str,
        store_every: int,
        checkpoint_every: int,
        directory_epoch_regex: str | None,
        every_minutes: Annotated[float, at_least(0)] | None = 15,
    ):
        self.folder = Path(resolve_path(directory)) / "epochs"
        self.store_every = store_every
        self.checkpoint_every = checkpoint_every
        self.regex = directory_epoch_regex
        self.inputs = StoredInputs(self.folder)
        self.within = WithinEpoch(self.folder, every_minutes)
        self.previous = PreviousCheckpoint(self.folder)
        self.source = self.folder  # the file that the latest state was read from
        self._unfit: set[Path] = set()  # those that turned out not to be one
        self._newest: int | None = None  # the complete epoch from which the run could be resumed
        self._frozen_written: set[str] = set()
        self._continues = False

    def latest(self, epochs: int) -> StoredEpoch | None:
        """The newest sound state, also of an earlier run's folder; None for a fresh run.

        Raises:
            DamagedFile: there are states, and none of them is sound.
            Differs: the folder holds more epochs than the run is to have.
        """
        stored, within = self._epochs("learning"), self._sound(self._read_within)
        complete = stored[-1] if stored else 0
        newest = max(complete, within.epoch if within else 0)
        if newest > epochs:
            raise Differs(
                f"{self.folder}: epoch {newest} is stored, but the scenario asks for {epochs} "
                "epochs only; ask for at least as many or choose another directory"
            )
        is_within = within is not None and complete <= within.epoch < epochs
        self._continues = bool(stored) or is_within
        if not self._continues:
            return self._take_over()
        if is_within:
            self._newest, self.source = complete or None, self.within.path
            return within
        return self._newest_sound(stored)

    def _read_within(self):
        if self.within.path in self._unfit:
            return None
        state = self.within.load([field.name for field in fields(StoredEpoch)])
        return state and StoredEpoch(**state)

    def _newest_sound(self, stored):
        before = self._epochs("learning", self.previous.folder)
        found = [(self.folder, epoch) for epoch in reversed(stored)]
        for folder, epoch in [*found, *((self.previous.folder, each) for each in reversed(before))]:
            self.source = folder / f"learning_epoch_{epoch:02d}.pth"
            if self.source not in self._unfit and (state := self._sound(_load, folder, epoch)):
                if folder == self.folder:
                    self._newest = epoch
                return state
        raise DamagedFile(
            f"{self.folder}: no checkpoint is sound; put one back, or remove or rename the folder "
            "to train anew"
        )

    def _sound(self, read, *place):
        """What is read; None where it is damaged, which is told."""
        try:
            return read(*place)
        except DamagedFile as error:
            self._tell_unsound(error)
            return None

    def leave_out(self, error: DamagedFile) -> None:
        """Forget the latest state, which the run cannot take up: the next is the one before it.

        Raises:
            DamagedFile: the one given, if the state is that of an earlier run's folder.
        """
        own = (self.folder, self.previous.folder)
        if self.source.parent not in own:
            raise error
        self._unfit.add(self.source)
        self._tell_unsound(error)

    def _tell_unsound(self, error):
        if distributed.is_first():
            print(f"{error}: going back to the state before it", file=sys.stderr, flush=True)

    def set_aside(self) -> Path:
        """Rename the folder, so that the run can begin anew; returns its new place."""
        number = 1
        while (place := self.folder.with_name(f"epochs.outdated-{number}")).exists():
            number += 1
        self.folder.rename(place)
        return place

    def begin_anew(self) -> None:
        """Forget what was found in the folder."""
        self._continues = False

    def begin(self, names: list[str]) -> None:
        """Make the folder ready for a fresh run: what a killed one left must not be mistaken."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in (*self.folder.glob(".*.tmp"), *self.folder.glob(".*.link")):
            leftover.unlink()
        if self._continues:
            return
        self.within.remove()
        for name in names:
            self._file(name, "bestsofar").unlink(missing_ok=True)
            for alias in (self._file(name, "best"), self._file(name, "last")):
                if alias.is_symlink():
                    alias.unlink()

    def save(self, epoch: int, last: int, networks: dict, best: bool, learning, extra) -> None:
        """Write what is due after an epoch (from 1).

        Args:
            last: the final epoch.
            networks: ``network.state_dict()``.
            best: the epoch is the best so far.
            learning, extra: functions that give the other states, called if they are written.
        """
        checkpointed = self._is_checkpointed(epoch, last)
        stored = self.keeps(epoch, last)
        for name, state in network_files(networks).items():
            self._reopen(name)
            self._save_network(name, state, epoch if stored else None, best)
        if stored:
            number = f"epoch_{epoch:02d}"
            save_weights(extra(), self._file("extra", number))
            save_weights(learning(), self._file("learning", number))
            self.within.remove()
            self._keep_previous(list(networks), epoch)
            self._drop_states(epoch)
        if epoch == last:
            self.finish(list(networks), last)
        elif checkpointed:
            self._drop_networks(list(networks), epoch)
        for name in networks if epoch < last else ():
            if not self._file(name, "last").exists():  # of a finished run: its target is gone now
                self._file(name, "last").unlink(missing_ok=True)

    def _keep_previous(self, names, epoch):
        if self._newest is not None and self._newest != epoch:
            self.previous.keep(self._newest, [*names, "extra", "learning"])
        self._newest = epoch

    def keeps(self, epoch: int, last: int) -> bool:
        """Whether the run can be resumed from after this epoch (from 1)."""
        return self._is_checkpointed(epoch, last) or self._is_stored(epoch)

    def save_within(self, state: StoredEpoch) -> None:
        """Keep a state in the middle of an epoch in place of an earlier one."""
        self.within.save({field.name: getattr(state, field.name) for field in fields(state)})

    def finish(self, names: list[str], last: int) -> None:
        """Give the results of a finished run their final names (again, if need be)."""
        self._drop_states(last)
        self._drop_networks(names, last)
        for name in names:
            if os.path.lexists(self._file(name, "bestsofar")):
                os.replace(self._file(name, "bestsofar"), self._file(name, "best"))
            epoch_file = self._file(name, f"epoch_{last:02d}")
            target = os.readlink(epoch_file) if epoch_file.is_symlink() else epoch_file.name
            replace_link(target, self._file(name, "last"))
        self._tell_produced(names)

    def restore_best(self, names: list[str], epoch: int | None) -> None:
        """Link anew what is gone of a finished run's best networks.

        Args:
            epoch: the best one (from 1); None if there is none.

        Raises:
            UserError: the networks of that epoch are not kept.
        """
        for name in names if epoch else ():
            best, kept = self._file(name, "best"), self._file(name, f"epoch_{epoch:02d}")
            if best.exists():
                continue
            if not kept.exists() and not (kept := self._file(name, "frozen")).exists():
                raise UserError(
                    f"{best} is gone, and networks of epoch {epoch}, the best one, are not kept; "
                    f"put the file back, or remove or rename {self.folder} to train anew"
                )
            replace_link(os.readlink(kept) if kept.is_symlink() else kept.name, best)
            produced(best)

    def save_untrained(self, networks: dict) -> None:
        """Write the networks of a run of 0 epochs."""
        for name, state in network_files(networks).items():
            save_weights(state, self._file(name, "notrain"))
            for alias in ("best", "last"):
                replace_link(f"{name}_notrain.pth", self._file(name, alias))
        self._tell_produced(list(networks))

    def _tell_produced(self, names):
        for path in (self._file(name, alias) for name in names for alias in ("best", "last")):
            if path.exists():
                produced(path)

    def _file(self, name, suffix):
        return self.folder / f"{name}_{suffix}.pth"

    def _epochs(self, name, folder=None):
        folder = self.folder if folder is None else folder
        pattern = re.compile(re.escape(name) + r"_epoch_(\d+)\.pth")
        names = os.listdir(folder) if folder.is_dir() else []
        return sorted(int(match[1]) for match in map(pattern.fullmatch, names) if match)

    def _is_checkpointed(self, epoch, last):
        every = self.checkpoint_every
        return (every > 0 and epoch % every == 0) or epoch == last

    def _is_stored(self, epoch):
        return self.store_every > 0 and epoch % self.store_every == 0

    def _reopen(self, name):
        """Turn the best of a finished run that goes on back into that of a running one."""
        if not self._continues:
            return
        best, so_far = self._file(name, "best"), self._file(name, "bestsofar")
        if os.path.lexists(best) and not os.path.lexists(so_far):
            os.replace(best, so_far)

    def _save_network(self, name, state, epoch, best):
        target = None
        if state["frozen"]:
            target = f"{name}_frozen.pth"
            self._save_frozen(name, state)
        if epoch is not None:
            path = self._file(name, f"epoch_{epoch:02d}")
            if target is None:
                save_weights(state, path)
                target = path.name
            else:
                replace_link(target, path)
        if best and target is not None:
            replace_link(target, self._file(name, "bestsofar"))
        elif best:
            save_weights(state, self._file(name, "bestsofar"))

    def _save_frozen(self, name, state):
        path = self._file(name, "frozen")
        if name not in self._frozen_written and not (self._continues and path.exists()):
            save_weights(state, path)
        self._frozen_written.add(name)

    def _drop_states(self, newest):
        for name in ("learning", "extra"):
            for epoch in self._epochs(name):
                if epoch != newest:
                    self._file(name, f"epoch_{epoch:02d}").unlink()

    def _drop_networks(self, names, newest):
        """Remove networks of earlier epochs, except stored ones and the best so far.

        ``NAME_last.pth`` of a finished run that goes on stays as long as what it links to.
        """
        for name in names:
            best = self._file(name, "bestsofar")
            for epoch in self._epochs(name):
                if epoch >= newest or self._is_stored(epoch):
                    continue
                path = self._file(name, f"epoch_{epoch:02d}")
                if best.is_symlink() and os.readlink(best) == path.name:
                    os.replace(path, best)
                else:
                    path.unlink()
            if not (final := self._file(name, "last")).exists():
                final.unlink(missing_ok=True)

    def _take_over(self):
        match = re.fullmatch(self.regex, str(self.folder)) if self.regex else None
        if self.regex and not match:
            raise UserError(f"directory_epoch_regex {self.regex!r} does not match {self.folder}")
        if not match:
            return None
        prefix, number, suffix = match.groups()
        for epoch in range(int(number) - 1, 0, -1):
            folder = Path(f"{prefix}{epoch}{suffix}")
            if (folder / f"learning_epoch_{epoch:02d}.pth").exists():
                return self._copy_from(folder, epoch)
        return None

    def _copy_from(self, folder, epoch):
        last, own = folder / "net_last.pth", folder / f"net_epoch_{epoch:02d}.pth"
        if not last.exists() or not last.samefile(own):
            raise UserError(f"{folder}: its last network is not that of epoch {epoch}")
        self.source = folder / f"learning_epoch_{epoch:02d}.pth"
        stored = _load(folder, epoch)
        self.begin(list(stored.networks))
        for name in stored.networks:
            best = folder / f"{name}_best.pth"
            if best.exists():
                shutil.copyfile(best, self._file(name, "bestsofar"))
        if (folder / self.inputs.path.name).exists():
            shutil.copyfile(folder / self.inputs.path.name, self.inputs.path)
        if (folder / "blobs").is_dir():
            shutil.copytree(folder / "blobs", self.folder / "blobs", dirs_exist_ok=True)
        self._continues, self._frozen_written = True, set()
        return stored


def _load(folder, epoch):
    number = f"epoch_{epoch:02d}.pth"
    with collecting():  # the run's own files are not inputs of the step
        networks = read_network_set(folder / f"net_{number}")
    extra = folder / f"extra_{number}"
    return StoredEpoch(
        epoch,
        networks,
        load_weights(folder / f"learning_{number}"),
        load_weights(extra) if extra.exists() else {},
    )
