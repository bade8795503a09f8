"""The edge detectors of the toy world, through the wrappers of the published scenarios."""

import pytest
import torch

from mdir.networks.factory import initialize_network
from mdir.scenario.plan import SCENARIOS, load_scenario, plan_target
from mdir.toy_world.detectors import detector_file

SCENARIO = {"hed_interpolation": "hedgan", "rcf": "rcfgan"}


@pytest.fixture(params=SCENARIO)
def detector(request, tmp_path):
    plan = plan_target(
        load_scenario([f"{SCENARIOS}/iccv23/train/{SCENARIO[request.param]}.yml"]), "train"
    )
    section = {step.name: step for step in plan.steps}["1_train_augment"].parameters["network"]
    path = tmp_path / "detector.pth"
    path.write_bytes(detector_file(request.param))
    section["detector"]["model"]["pretrained"] = str(path)
    return initialize_network(section["detector"], "cpu")


@pytest.mark.parametrize("contrast", [0.3, 1.0])
def test_edges_light_up_and_flat_areas_stay_dark(detector, contrast):
    images = torch.full((1, 3, 40, 48), -contrast)
    images[:, :, 12:28, 14:34] = contrast
    edges = detector(images)[0, 0]
    assert edges.shape == (40, 48)
    border = torch.zeros(40, 48, dtype=torch.bool)
    border[11:29, 13:35] = True
    border[13:27, 15:33] = False
    corners = torch.zeros_like(border)
    corners[[11, 11, 28, 28], [13, 34, 13, 34]] = True
    assert (edges[border & ~corners] > 0.8).all()
    assert (edges[~border] < 0.1).all()


def test_a_frame_is_no_edge(detector):
    assert (detector(torch.ones(1, 3, 32, 32)) < 0.1).all()
    assert (detector(-torch.ones(1, 3, 32, 32)) < 0.1).all()


def test_the_file_is_small_and_always_the_same():
    for name in SCENARIO:
        assert detector_file(name) == detector_file(name)
        assert len(detector_file(name)) < 1e6
