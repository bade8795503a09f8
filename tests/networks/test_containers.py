"""Networks and their containers: stages, freezing, wrappers, overlays."""

import pytest
import torch

from mdir import registry
from mdir.data.labelled import LabelledImage
from mdir.errors import UserError
from mdir.networks.containers import NetworkSet
from mdir.registry import ComponentError, Section
from tests.sections import build, cirnet, generator, sequence, single

IMAGE = torch.linspace(-1, 1, 3 * 16 * 12).reshape(1, 3, 16, 12)


def names_of(stack):
    return [type(wrapper).__name__ for wrapper in stack]


def test_single_maps_lists_none_and_labelled_images():
    network = build(generator()).eval()
    with torch.no_grad():
        single = network(IMAGE)
        listed = network([IMAGE, None, LabelledImage(IMAGE, name="a")])
    assert type(single) is torch.Tensor
    assert listed[1] is None
    assert torch.equal(listed[0], single) and torch.equal(listed[2], single)
    assert network(None) is None


def test_frozen_network_stays_in_eval_and_lets_gradients_through():
    network = build(generator(frozen=True)).train()
    assert network.stage == "eval" and not network.model.training
    assert network.parameters({"lr": 1}) == []
    image = IMAGE.clone().requires_grad_()
    network(image).sum().backward()
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.model.parameters())


def test_freeze_by_name():
    network = build(sequence())
    network.train()
    assert network["embed"].model.training
    network.freeze("embed")
    assert network["embed"].frozen and not network.frozen
    assert not network.train()["embed"].model.training


def test_sequence_takes_data_of_first_and_wrappers_of_last():
    section = sequence()
    section["augment"]["runtime"]["data"]["transforms"] = "pil2np | totensor"
    network = build(section)
    assert network.runtime["data"]["transforms"] == "pil2np | totensor"
    assert network.runtime["wrappers"] == "reflectpad_divisible:4"
    assert names_of(network.wrappers["train"]) == ["ReflectPadMakeDivisible"]
    assert names_of(network["embed"].wrappers["train"]) == []
    assert network["embed"].runtime["wrappers"] == "reflectpad_divisible:4"
    assert network.model is network["embed"].model
    assert network.meta == {"in_channels": 3, "out_channels": 3}


def test_sequence_without_rearranging():
    network = build(sequence(rearrange_wrappers=False))
    assert network.runtime["wrappers"] == ""
    assert names_of(network.wrappers["eval"]) == []
    assert names_of(network["embed"].wrappers["eval"]) == ["ReflectPadMakeDivisible"]


def test_sequence_is_one_after_the_other():
    network = build(sequence()).eval()
    with torch.no_grad():
        expected = network["embed"](network["augment"](IMAGE))
        torch.testing.assert_close(network(IMAGE), expected)
        torch.testing.assert_close(network([IMAGE, IMAGE])[1], expected)


@pytest.mark.parametrize("kind", ["SequentialNetwork", "CirSequentialNetwork"])
def test_only_the_cir_variant_hands_lists_on_as_a_whole(kind):
    network = build(sequence(kind)).eval()
    seen = []
    first = network["augment"]
    forward = first.forward_batch
    first.forward_batch = lambda images, **p: seen.append(images) or forward(images, **p)
    with torch.no_grad():
        network([IMAGE, IMAGE])
    assert isinstance(seen[0], list) == (kind == "CirSequentialNetwork")


def augmented_embedding():
    """The published chain in small: some anchors are translated, all equalized, then described."""
    wrappers = (
        "meanstd_post:[[0.5,0.5,0.5],[0.5,0.5,0.5]]:[[0.485,0.456,0.406],[0.229,0.224,0.225]],"
        "clahepost:[[0.5,0.5,0.5],[0.5,0.5,0.5]]:1.0,cir_ratio_pass_through:0.5:anc"
    )
    embed = single(cirnet(), wrappers="cirfaketuplebatch")
    augment = generator(7, frozen=True, wrappers=wrappers)
    return {
        "type": "CirSequentialNetwork",
        "sequence": "augment,embed",
        "augment": augment,
        "embed": embed,
    }


@pytest.mark.parametrize("side", [64, 66])
def test_augmented_batch_is_described_like_its_images(side):
    network = build(augmented_embedding()).eval()
    images = torch.rand(5, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    names = [f"image{i}" for i in range(5)]
    labels = ["anc", "pos", "anc", "anc", "anc"]
    one_by_one = [
        LabelledImage(images[i : i + 1], [name], [name], [labels[i]])
        for i, name in enumerate(names)
    ]
    with torch.no_grad():
        together = network(LabelledImage(images, names, names, labels))
        alone = torch.cat([network(image) for image in one_by_one], dim=1)
        as_tuples = network([one_by_one[:2], one_by_one[2:4]])
    assert together.shape == (256, 5)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(as_tuples, alone[:, :4], atol=1e-5, rtol=1e-4)


def test_parameters_are_groups_by_member():
    network = build(sequence())
    groups = network.parameters({"lr": 0.1})
    assert len(groups) == 1
    assert len(groups[0]["params"]) == len(list(network["embed"].model.parameters()))
    assert network.parameters({"lr": 0.1}, "augment") == []
    names = [name for name, _ in network.named_parameters()]
    assert any(n.startswith("augment.") for n in names)


def test_set_has_members_and_no_output():
    network = build({"type": "NetworkSet", "b": generator(), "a": sequence()})
    assert list(network.members) == ["a", "b"]
    assert "embed" in network and network["embed"].type == "SingleNetwork"
    assert network.hierarchy() == {"a": ["augment", "embed"], "b": []}
    with pytest.raises(UserError, match="take one of"):
        network(IMAGE)
    with pytest.raises(UserError, match="no network 'c'"):
        network["c"]


@pytest.mark.parametrize("name", ["net", "a/b"])
def test_forbidden_names(name):
    with pytest.raises(UserError, match="names are unique"):
        NetworkSet({name: build(generator())})


def test_names_are_unique_over_all_levels():
    with pytest.raises(UserError, match="names are unique"):
        build({"type": "NetworkSet", "embed": generator(), "a": sequence()})


def test_channels_have_to_fit():
    section = sequence()
    section["augment"]["model"]["output_nc"] = 1
    with pytest.raises(UserError, match="augment gives 1 channels, embed takes 3"):
        build(section)


def test_overlay_shares_the_model_under_another_runtime():
    network = build(generator())
    overlay = network.overlay_params({"runtime": {"wrappers": "reflectpad_divisible:8"}})
    assert overlay.model is network.model
    assert overlay.frozen and not network.frozen
    assert overlay.runtime == {"wrappers": "reflectpad_divisible:8"}
    assert all(p.requires_grad for p in network.model.parameters())
    assert set(overlay.state_dict()["net"]) == {"type", "frozen", "network_params"}
    assert network.overlay_params(None) is network
    with pytest.raises(UserError, match="just 'runtime'"):
        network.overlay_params({"model": {}})


def test_overlay_of_a_sequence_needs_every_member():
    network = build(sequence())
    with pytest.raises(UserError, match="augment"):
        network.overlay_params({"embed": None})
    runtime = {"wrappers": "", "data": {}}
    overlay = network.overlay_params({"augment": None, "embed": {"runtime": runtime}})
    assert overlay.frozen and overlay["augment"] is network["augment"]
    assert names_of(overlay.wrappers["eval"]) == []
    assert names_of(network.wrappers["eval"]) == ["ReflectPadMakeDivisible"]
    unchanged = network.overlay_params({"augment": None, "embed": None})
    assert names_of(unchanged.wrappers["eval"]) == ["ReflectPadMakeDivisible"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence": "augment"}, "exactly two networks"),
        ({"sequence": "augment,embde"}, "the networks are augment, embed"),
        ({"embed": {"type": "SingelNetwork"}}, "Did you mean 'SingleNetwork'"),
        ({"embed": {"type": "SingleNetwork", "runtime": {}}}, "missing parameter 'model'"),
        ({"embed": generator(frozen="yes")}, "expected true or false"),
        ({"embed": generator(wrapers="")}, "Did you mean 'wrappers'"),
        ({"embed": generator(wrappers="fakebatch:1")}, "fakebatch takes 0 arguments"),
        ({"embed": generator(wrappers={"train": None})}, "missing 'eval'"),
        ({"embed": generator(data={"transforms": "pil2np | totenser"})}, "totensor"),
        ({"embed": {**generator(), "initialize": {"weights": "normal_p2p", "gain": 1}}}, "gain"),
        ({"embed": {**generator(), "runtime": "load_from_checkpoint"}}, "needs a 'path'"),
    ],
)
def test_mistakes_are_found_without_building(change, message):
    section = {**sequence(), **change}
    problems = list(registry.check(Section("network"), section))
    assert len(problems) >= 1
    assert message in "\n".join(problem.message for problem in problems)
    with pytest.raises(ComponentError):
        build(section)
