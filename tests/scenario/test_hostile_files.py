"""What a hostile scenario or a damaged file leads to."""

import pytest

from tests.scenario.command import PROJECT, run_here

SANDBOX = str(PROJECT / "scenarios/sandbox.yml")
MODEL = "all.2_train.network.model"


def test_a_scenario_calls_no_function_of_its_choice(tmp_path):
    source = "python.lib://os.system/command=touch victim"
    result = run_here("validate", SANDBOX, f"{MODEL}.pretrained={source}", folder=tmp_path)
    assert result.returncode == 2
    assert "pretrained: 'python.lib://os.system/command=touch victim': os.system is not called" in (
        result.stderr
    )
    assert not (tmp_path / "victim").exists()


def test_a_scenario_calls_functions_of_torchvision(tmp_path):
    source = "python.lib://torchvision.models.[architecture]/progress=False"
    result = run_here("validate", SANDBOX, f"{MODEL}.pretrained={source}", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the drawn city and a network that the sandbox trained."""
    folder = tmp_path_factory.mktemp("trained")
    result = run_here("all", SANDBOX, "all.2_train.learning.training.epochs=1", folder=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_a_checkpoint_that_changed_on_the_disk_is_named(trained):
    (path,) = trained.glob("root/sandbox/sandbox/training/epochs/net_best.pth")
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 4
    path.write_bytes(changed)
    try:
        args = ("all", SANDBOX, "--only", "3_evaluate", "--force")
        result = run_here(*args, folder=trained)
    finally:
        path.write_bytes(content)
    assert result.returncode == 1
    assert result.stderr == (
        f"error: step 3_evaluate failed: {path}: is damaged, or another tool has saved it again: "
        "its content is not what was written. Take a copy of the original; if you trust this one, "
        "write what torch.load gives of it with torch.save\n"
    )
