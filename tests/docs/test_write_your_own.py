"""The pages "write your own": what they print is installed and run, and gives what it should."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from mdir.data.image_files import load_image
from mdir.data.transforms.parse import parse_transforms
from mdir.networks.factory import load_network
from tests.conftest import PROJECT
from tests.docs.pages import Page, run_tests

PAGES = sorted((PROJECT / "docs").glob("write_your_own_*.md"))


@dataclass
class Outcome:
    """A page and what its scenario left below a root."""

    page: Page
    root: Path
    folder: Path
    result: CompletedProcess

    @property
    def name(self):
        (scenario,) = [name for name in self.page.files if name.endswith(".yml")]
        return scenario.removesuffix(".yml")

    def record(self, step):
        return json.loads((self.root / f"journal/sandbox+{self.name}/all/{step}.json").read_text())

    def metrics(self):
        return self.record("2_train")["metadata"]["metrics"]

    def stored(self, kind):
        path = self.root / f"sandbox/{self.name}/training/epochs/{kind}_epoch_02.pth"
        return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """The pages' scenarios, one after the other on one drawn city."""
    place, found = tmp_path_factory.mktemp("pages"), {}
    root = place / "root"
    root.mkdir()
    for path in PAGES:
        page, folder = Page.of(path.read_text(encoding="utf-8")), place / path.stem
        site = page.install(folder, root)
        result = page.perform(folder, root, site)
        kind = path.stem.removeprefix("write_your_own_")
        found[kind] = Outcome(page, root, folder, result)
    return found


def check_step(outcome, plain):
    record = outcome.record("2_count")
    assert record["metadata"] == {"images": {"day": 18, "night": 12}, "total": 30}
    table = outcome.root / "sandbox/count/counts.tsv"
    assert table.read_text() == "condition\timages\nday\t18\nnight\t12\n"
    assert str(table) in record["outputs"]
    assert [path.rpartition("/")[2] for path in record["inputs"]] == [
        "train_day.txt",
        "train_night.txt",
    ]


def check_loss(outcome, plain):
    stored = outcome.stored("learning")["training"]["params"]["criterion"]
    assert stored == {"loss": "angular_margin", "margin": 0.3}
    totals = outcome.metrics()["train/learning/loss:total_avg.4"]
    assert all(0 < total < 2 * (math.pi + 0.3) for total in totals)
    assert not equal(outcome.stored("net"), plain.stored("net"))


def check_architecture(outcome, plain):
    stored = outcome.stored("net")
    model = {"architecture": "small_embedding", "width": 8, "depth": 3}
    assert stored["network_params"]["model"] == model
    weights = stored["model_state"]
    assert [weights[f"features.{number}.weight"].shape[0] for number in (0, 3, 6)] == [8, 16, 32]
    assert weights["pool.p"].item() != 3  # where it begins
    scores = outcome.record("3_evaluate")["metadata"]["eval"]
    assert 0 < scores["night_to_day/validation/score_avg:map"] <= 1


def check_dataset(outcome, plain):
    assert str(outcome.root / "pairs.csv") in outcome.record("2_train")["inputs"]
    events = outcome.root / "sandbox/pairs/training/epochs/events.jsonl"
    rows = [json.loads(line) for line in events.read_text().splitlines()]
    losses = [row for row in rows if row.get("key") == "train/learning/loss"]
    assert [row["epoch_size"] for row in losses] == [2, 2]  # batches of two out of four rows
    assert not equal(outcome.stored("net"), plain.stored("net"))


def check_score(outcome, plain):
    scores = outcome.record("3_evaluate")["metadata"]["eval"]
    found = scores["weather/validation/score_avg:similarity"]
    path = outcome.root / "sandbox/gap/training/epochs/net_epoch_02.pth"
    network = load_network({"path": str(path), "runtime": {"wrappers": ""}}, "cpu").eval()
    transform = parse_transforms(*network.runtime["data"].values())
    folder = outcome.root / "sandbox/city/data/cityscapes/train"
    means = []
    for weather in ("clear", "fog"):
        images = [transform(load_image(str(p), 64)) for p in sorted((folder / weather).iterdir())]
        with torch.no_grad():
            means.append(torch.cat([network(image[None]) for image in images], dim=1).mean(dim=1))
    expected = (means[0] @ means[1] / means[0].norm() / means[1].norm()).item()
    assert found == pytest.approx(expected, abs=1e-5)
    with open(outcome.root / "sandbox/gap/report/scores.csv", newline="") as file:
        head, row = csv.reader(file)
    assert dict(zip(head, row, strict=True))["weather similarity"] == f"{100 * found:.1f}"


def check_method(outcome, plain):
    student = outcome.stored("net")["model_state"]
    teacher = outcome.stored("extra")["method"]["teacher"]
    assert student.keys() == teacher.keys()
    assert not all(torch.equal(teacher[name], student[name]) for name in student)
    apart = outcome.metrics()["train/learning/loss:teacher_avg.4"]
    assert apart[0] > 0 and apart[1] > 0


EXPECTED = {
    "step": check_step,
    "loss": check_loss,
    "architecture": check_architecture,
    "dataset": check_dataset,
    "score": check_score,
    "method": check_method,
}


def equal(one, other):
    ours, theirs = one["model_state"], other["model_state"]
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("kind", EXPECTED)
def test_page(kind, outcomes):
    outcome = outcomes[kind]
    assert outcome.page.idle() == set()
    assert outcome.result.returncode == 0, outcome.result.stdout + outcome.result.stderr
    EXPECTED[kind](outcome, outcomes["step"])  # which trains as the sandbox does


def test_tests_of_the_pages(outcomes):
    files = [each.folder / name for each in outcomes.values() for name in each.page.test_files()]
    sites = [each.folder / "site" for each in outcomes.values()]
    result = run_tests(files, outcomes["step"].root, sites)
    assert result.returncode == 0, result.stdout
    assert all(f"{file.name}::" in result.stdout for file in files) and len(files) == len(PAGES)


def test_all_pages_are_there_and_linked():
    assert {path.stem.removeprefix("write_your_own_") for path in PAGES} == set(EXPECTED)
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [path.name for path in PAGES if f"(docs/{path.name})" not in text] == []


FILE = "```python\n# {}\n```\n"
TOML = '```toml\n# pyproject.toml\n[project.entry-points.g]\nx = "nightowl.{}"\n```\n'
GOOD = (
    FILE.format("nightowl/a.py")
    + TOML.format("a:f")
    + "```yaml\n# s.yml\n```\n"
    + FILE.format("test_a.py")
    + "```sh\npython3 perform_scenario.py all s.yml\npython3 -m pytest test_a.py\n```\n"
)


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        (GOOD, set()),
        ("prose", {"nightowl/", "test_", ".yml"}),
        (GOOD.replace("nightowl.a:f", "nightowl.b"), {"nightowl/a.py"}),
        (GOOD + FILE.format("test_b.py"), {"test_b.py"}),
        (GOOD.replace("all s.yml", "all t.yml"), {"s.yml"}),
        (GOOD + "```csv\n# t.csv\n```\n", {"t.csv"}),
        (GOOD.replace("python3 -m pytest test_a.py", "true"), {"test_a.py", "true"}),
    ],
)
def test_idle_files_of_a_page_are_found(text, idle):
    assert Page.of(text).idle() == idle


def test_a_block_without_a_name_is_found():
    with pytest.raises(ValueError, match="a block of python has no name: x = 1"):
        Page.of("```python\nx = 1\n```\n")
