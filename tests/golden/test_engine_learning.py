"""Golden: schedules, alternation, events of the published learning loop."""

import math
import os

import pytest
import torch

from mdir.errors import UserError
from mdir.learning.checkpoints.folder import CheckpointFolder
from mdir.learning.events.events import Events
from mdir.learning.optimizers import AlternationOptimizer
from mdir.learning.schedulers import make_scheduler
from tests.golden.golden import load_json

UNITS = load_json("engine", "units.json", {})
EXACT = {"rel": 1e-12, "abs": 1e-15}
CLOSE = {"rel": 1e-9, "abs": 1e-12}


def cases(section):
    return [pytest.param(case, id=f"{i}") for i, case in enumerate(UNITS.get(section, []))]


def sgd(lr):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


@pytest.mark.parametrize("case", cases("schedulers"))
def test_schedulers(case):
    optimizer = sgd(case["lr"])
    scheduler = make_scheduler(case["params"], optimizer, case["epochs"])
    rates = []
    for epoch in range(case["epochs"]):
        scheduler.apply(epoch)
        rates.append(optimizer.param_groups[0]["lr"])
        if case["resumed_after_epoch_index"] == epoch:
            scheduler.apply(epoch + 1)
            state, optimizer = optimizer.state_dict(), sgd(case["lr"])
            optimizer.load_state_dict(state)
            scheduler = make_scheduler(case["params"], optimizer, case["epochs"])
    scheduler.apply(case["epochs"])
    assert rates == pytest.approx(case["lr_in_epoch"], **EXACT)
    after = optimizer.param_groups[0]["lr"]
    assert after == pytest.approx(case["lr_after_last"], **EXACT)


@pytest.mark.parametrize("case", cases("alternation"))
def test_alternation(case):
    stepped = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            stepped[-1].append(next(n for n, o in optimizers.items() if o is self))

    order = case["order"].split(",")
    optimizers = {n: Spy([torch.nn.Parameter(torch.zeros(1))], lr=1) for n in order}
    optimizer = AlternationOptimizer(optimizers, case["alternate_iteration"])
    for _ in case["stepped"]:
        stepped.append([])
        optimizer.step()
    assert stepped == case["stepped"]
    assert optimizer.state_dict()["alternation"] == case["state_alternation"]
    assert list(optimizer.state_dict()) == case["state_keys"]
    assert list(optimizer) == case["iteration_order"]
    assert all(name in optimizer for name in case["names"])


@pytest.mark.parametrize("case", cases("events"))
def test_events(case):
    events = Events()
    for epoch, expected in zip(case["stream"], case["is_last_best_after_epoch"], strict=True):
        for iteration, size, key, data, dtype in epoch["rows"]:
            events.register(epoch["epoch"], iteration, size, key, data, dtype)
        events.close_epoch()
        assert {c: events.metrics.is_last_best(c) for c in expected} == expected
    metadata = events.metrics.metadata()
    assert sorted(metadata) == sorted(case["metadata"])
    for name, values in case["metadata"].items():
        assert metadata[name] == pytest.approx(values, nan_ok=True, **CLOSE), name
    for criterion, expected in case["best_epoch"].items():
        found = events.metrics.best_epoch(criterion)
        if expected is None:
            assert found is None
        else:
            assert (found["index"], found["key"]) == (expected["index"], expected["key"])
            assert math.isclose(found["metric_avg.3"], expected["metric_avg.3"], rel_tol=1e-9)


def listing(folder):
    """The .pth files of a folder as the golden traces write them."""
    found = {}
    for path in sorted(folder.glob("*.pth")):
        if path.name.startswith("extra_"):
            continue
        name = f"epochs/{path.name}"
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            content = torch.load(path, weights_only=True)
            written = (
                content["written"] if "written" in content else content["model_state"]["epoch"]
            )
            found[name] = f"epoch {int(written)}"
    return found


def as_built(files, directory=None):
    """A golden listing with the newest learning file only, and without dangling links.

    Args:
        directory: of the run, where the listing tells it.
    """
    if directory:
        files = {name.removeprefix(f"{directory}/"): text for name, text in files.items()
                 if name.startswith((f"{directory}/", "epochs/"))}  # fmt: skip
    files = {name: text for name, text in files.items() if not text.endswith("(dangling)")}
    learning = sorted(name for name in files if "/learning_epoch_" in name)
    return {name: text for name, text in files.items() if name not in learning[:-1]}


def states(nets, epoch):
    """Network states whose files say when they were written."""

    def one(frozen):
        return {"type": "T", "frozen": frozen, "model_state": {"epoch": epoch}}

    members = {name: one(frozen) for name, frozen in nets.items() if name != "net"}
    return {"net": one(nets["net"]), **members}


def newest_epoch(folder):
    """The last epoch that a run in this folder can be resumed from, 0 without any."""
    files = sorted(path.stem for path in folder.glob("learning_epoch_*"))
    return int(files[-1].rpartition("_")[2]) if files else 0


def perform(root, case, run, trace):
    """One run over a folder; checks the listing after every epoch that the golden has."""
    folder = CheckpointFolder(
        directory=os.path.join(root, run.get("directory") or ""),
        store_every=run["store_every"],
        checkpoint_every=run["checkpoint_every"],
        directory_epoch_regex=run.get("regex"),
    )
    if run["epochs"] < newest_epoch(folder.folder):
        with pytest.raises(UserError, match="is stored, but the scenario asks for"):
            folder.latest(run["epochs"])
        return
    stored = folder.latest(run["epochs"])
    start = stored.epoch if stored else 0
    assert start == (trace["resumed_from"] or 0)
    if trace["loaded"]:
        loaded = {name: state["model_state"]["epoch"] for name, state in stored.networks.items()}
        assert loaded == trace["loaded"]
    folder.begin(list(case["nets"]))
    if run["epochs"] == 0:
        folder.save_untrained(states(case["nets"], 0))
        if trace["after"]:
            assert listing(folder.folder) == trace["after"]["notrain"]
    best, raised = set(), False
    for epoch in range(start + 1, run["epochs"] + 1):
        written = {"written": epoch}
        is_best = epoch in run["best"]
        folder.save(
            epoch, run["epochs"], states(case["nets"], epoch), is_best, written.copy, written.copy
        )
        best |= {epoch} if is_best else set()
        expected = trace["after"].get(str(epoch), {})
        raised = raised or "raises" in expected  # the published run ended there
        if not raised:
            assert listing(folder.folder) == as_built(expected, run.get("directory")), (
                f"after epoch {epoch}"
            )
        if epoch == run.get("stop_after"):
            return
    if start == run["epochs"] != 0:
        folder.finish(list(case["nets"]), run["epochs"])
    check_finished(folder.folder, case["nets"], run)


def check_finished(folder, nets, run):
    """What holds at the end of every run, those included that failed in the published project."""
    files = listing(folder)
    for name in nets:
        assert (folder / f"{name}_last.pth").exists()
        assert f"epochs/{name}_bestsofar.pth" not in files
        assert all((folder.parent / file).exists() for file in files), "a dangling link"
    if run["epochs"]:
        newest = [name for name in files if "/learning_epoch_" in name]
        assert newest == [f"epochs/learning_epoch_{run['epochs']:02d}.pth"]


@pytest.mark.parametrize("through_link", [False, True], ids=["plain", "through-link"])
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in UNITS.get("checkpoints", [])]
)
def test_checkpoints(case, through_link, tmp_path, monkeypatch):
    """Also in a folder given relatively and reached through a link."""
    root = tmp_path / "run"
    if through_link:
        root.mkdir()
        (tmp_path / "link").symlink_to(root)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CIRTORCH_ROOT", ".")
        root = "link"
    for run, trace in zip(case["runs"], case["trace"], strict=True):
        perform(root, case, run, trace)
