"""The command, from a scenario to an address; what it says where something is missing."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests
import torch
import yaml

from cirtorch.search.index import open_index
from mdir.networks.files import save_network
from mdir.scenario.cli import main
from mdir.serve import cli
from tests.cirtorch.world import draw
from tests.conftest import PROJECT
from tests.sections import DATA, build, cirnet, single
from tests.serve.conftest import require_extra

SCENARIO = {
    "find": {
        "00_settings": {"__function__": "mdir.stages.settings.settings", "network": "net.pth"},
        "01_extract": {
            "__function__": "mdir.stages.extract.extract",
            "network": {"path": "${00_settings.network}", "runtime": None},
            "images": "images",
            "directory": "vectors",
            "image_size": 64,
            "loader": {"num_workers": 0},
        },
        "02_index": {
            "__function__": "mdir.stages.index.index",
            "database": "${01_extract.directory}",
            "directory": "index",
        },
    },
    "other": {"1": {"__function__": "mdir.stages.settings.settings", "x": 1}},
}


@pytest.fixture(scope="module", autouse=True)
def made(tmp_path_factory):
    """A root in which the target is performed."""
    require_extra()
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRTORCH_ROOT", str(root))
        for number in range(3):
            draw(root / f"images/{number}.jpg", number)
        for seed, name in enumerate(("net.pth", "other.pth")):
            torch.manual_seed(seed)
            model = build(single(cirnet("squeezenet1_1"), data=DATA))
            save_network(model.state_dict(), root / name)
        (root / "scenario.yml").write_text(yaml.safe_dump(SCENARIO))
        assert main(["find", str(root / "scenario.yml")]) == 0
        yield root


@pytest.fixture
def scenario(made, monkeypatch):
    monkeypatch.setenv("CIRTORCH_ROOT", str(made))
    return str(made / "scenario.yml")


def test_served_until_interrupted(scenario):
    command = [sys.executable, PROJECT / "perform_scenario.py", "serve", scenario]
    process = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert (
            process.stdout.readline()
            == f"serving 3 images of {os.environ['CIRTORCH_ROOT']}/index\n"
        )
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        assert requests.get(f"{address}health").json()["images"] == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0 and process.stdout.read() == "stopped\n"
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.parametrize("words", [["find"], ["find.01_extract.loader.num_workers=1"]])
def test_target_and_overlays(scenario, capsys, monkeypatch, words):
    monkeypatch.setattr("mdir.serve.server.make_server", lambda *_: Served([]))
    assert main(["serve", scenario, *words, "--port", "0"]) == 0
    assert re.match(r"serving 3 images of .*/index\nhttp://127", capsys.readouterr().out)


def refused(capsys, *arguments):
    assert main(["serve", *arguments, "--port", "0"]) in (1, 2)
    return capsys.readouterr().err


def test_an_index_of_another_network(scenario, capsys):
    told = refused(capsys, scenario, "find.00_settings.network=other.pth")
    assert "is of another network, or of the same with another whitening" in told
    told = refused(
        capsys, scenario, 'find.01_extract.network.runtime={"wrappers": "cirmultiscale:True"}'
    )
    assert "is of another network, or of the same with another whitening" in told
    told = refused(capsys, scenario, "find.01_extract.image_size=65")
    assert "were read with image_size 64, these with 65" in told


def test_scenarios_without_an_index(scenario, capsys, tmp_path):
    assert "makes no index: it has no step" in refused(capsys, scenario, "other")
    assert "Targets with one: find" in refused(capsys, scenario, "other")
    assert "unknown target 'fin'. Did you mean 'find'?" in refused(capsys, scenario, "fin")
    told = refused(capsys, scenario, "find.02_index.database=elsewhere")
    assert "no step mdir.stages.extract.extract fills elsewhere" in told
    other = tmp_path / "another.yml"
    other.write_text(yaml.safe_dump(SCENARIO))
    told = refused(capsys, str(other))
    assert "step 02_index of target find has not made its index yet; first: " in told
    assert f"find {other}" in told
    other.write_text(yaml.safe_dump({**SCENARIO, "too": SCENARIO["find"]}))
    assert "which target? find, too make an index each" in refused(capsys, str(other))
    other.write_text(yaml.safe_dump({"other": SCENARIO["other"]}))
    assert "none of its targets makes an index" in refused(capsys, str(other))


def test_an_index_that_is_gone(scenario, made, capsys):
    (made / "index").rename(made / "moved")
    try:
        assert "holds no index (index.sqlite)" in refused(capsys, scenario)
    finally:
        (made / "moved").rename(made / "index")


def test_no_generator(scenario, capsys):
    told = refused(capsys, scenario, "--translate", "night=net.pth")
    assert "net.pth: is no generator: what it gives is no picture" in told


def test_a_port_in_use(scenario, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", scenario, "--port", str(port)]) == 1
    told = capsys.readouterr().err
    assert f"127.0.0.1:{port}: cannot be listened at (Address already in use)" in told
    assert "--port chooses another" in told
    assert main(["serve", scenario, "--host", "no.such.host.invalid"]) == 1
    assert "there is no such address" in capsys.readouterr().err


def test_without_the_extra(scenario, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve", scenario]) == 1
    assert "the package fastapi is not installed; it comes with the extra 'serve'" in (
        capsys.readouterr().err
    )


def test_an_empty_index_and_missing_images_are_told(made, scenario, capsys, monkeypatch):
    opened = open_index(made / "index")
    (made / "images/0.jpg").rename(made / "away.jpg")
    removed = [1, 2]
    opened.remove(removed)
    served = []
    monkeypatch.setattr("mdir.serve.server.make_server", lambda *_: Served(served))
    monkeypatch.setattr(cli.threading, "Thread", Now)
    try:
        assert main(["serve", scenario, "--port", "0", "--host", "0.0.0.0"]) == 0
        told = capsys.readouterr()
        assert re.search(r"serving 1 image of .*/index\nhttp://\S+:\d+/\?token=\S{43}\n", told.out)
        assert "warning: 1 image of the index cannot be shown, though found" in told.err
        opened.remove([0])
        assert main(["serve", scenario, "--port", "0"]) == 0
        assert "is empty: nothing is found before images are added" in capsys.readouterr().out
    finally:
        (made / "away.jpg").rename(made / "images/0.jpg")
    assert len(served) == 2


class Served:
    def __init__(self, calls):
        self.calls = calls

    def run(self, sockets):
        self.calls.append(sockets)


class Now:
    """A thread that is done when it is started."""

    def __init__(self, target, args, daemon):
        self.start = lambda: target(*args)


def test_usage(capsys):
    for words in (
        [],
        ["x.yml", "--translate", "night"],
        ["--prot", "1"],
        ["x.yml", "--port", "70000"],
    ):
        with pytest.raises(SystemExit) as error:
            cli.main(words)
        assert error.value.code == 2
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "POST /search" in capsys.readouterr().out
