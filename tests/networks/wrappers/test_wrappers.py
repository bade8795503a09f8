"""The wrapper mini-language, and what wrappers do with lists, batches and bad arguments."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from cirtorch.utils.errors import DataError
from mdir.data.labelled import LabelledImage
from mdir.errors import UserError
from mdir.networks.wrappers.retrieval import named_scales
from mdir.networks.wrappers.stack import build_wrappers, check_wrappers, parse_wrappers

STATISTICS = "[[0.5,0.5,0.5],[0.5,0.5,0.5]]:[[0,0,0],[1,1,1]]"


class Embedding(nn.Module):
    """Channel means, so that every image of a batch has its own descriptor ``[D, B]``."""

    meta = {"out_channels": 3, "pooling": "mac"}

    def forward(self, x):
        x = x.mean(dim=(2, 3))
        return (x / x.norm(dim=1, keepdim=True)).t()


def run(wrappers, images, network=None):
    network = network or Embedding()
    stack = build_wrappers(wrappers, network)["eval"]

    def bare(x):
        if x is None:
            return None
        return [bare(i) for i in x] if isinstance(x, list) else network(getattr(x, "tensor", x))

    images, states = stack.preprocess(images)
    return stack.postprocess(bare(images), states)


def batch(count=3, side=12):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def whitening(tmp_path):
    path = tmp_path / "w.pkl"
    random = np.random.RandomState(0)
    path.write_bytes(pickle.dumps({"m": random.rand(3, 1), "P": random.rand(3, 3)}))
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cirwhiten:http://h.org/w.pkl:5", [("cirwhiten", ["http://h.org/w.pkl", "5"])]),
        ("cirwhiten:http://h:80/w.pkl:5", [("cirwhiten", ["http://h:80/w.pkl", "5"])]),
        ("a:{1:2}:3", [("a", ["{1:2}", "3"])]),
        ("a:x:1", [("a", ["x", "1"])]),
        ("cirwhiten:/x/wd)x/w.pkl:2", [("cirwhiten", ["/x/wd)x/w.pkl", "2"])]),
        ("a:x]},b:(1):]", [("a", ["x]}"]), ("b", ["(1)", "]"])]),
        (" , a ,", [("a", [])]),
    ],
)
def test_colons_in_urls_and_brackets(text, expected):
    assert parse_wrappers(text) == expected


@pytest.mark.parametrize("text", ["a:(", "a:)(", "a:(1]"])
def test_unbalanced_brackets(text):
    with pytest.raises(ValueError, match="unbalanced"):
        parse_wrappers(text)


def test_mapping_is_ordered_by_number():
    keys = ["10_rgb2bgr_pre", "2_fakebatch", "0_reflectpad_divisible"]
    params = {"0_reflectpad_divisible": {"divisible_by": 2}}
    stack = build_wrappers({key: params.get(key) for key in keys}, Embedding())["train"]
    assert [type(w).__name__ for w in stack] == [
        "ReflectPadMakeDivisible",
        "FakeBatch",
        "Rgb2BgrPre",
    ]


def test_stages_have_their_own_wrappers():
    stacks = build_wrappers({"train": "fakebatch", "eval": None}, Embedding())
    assert len(stacks["train"]) == 1 and len(stacks["eval"]) == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("reflectpad", "Did you mean 'reflectpad_divisible'"),
        ("reflectpad_divisible:x", "expected a whole number"),
        ("reflectpad_divisible:0", "above 0"),
        ("cirmultiscale:tiny", "unknown scales"),
        ("meanstd_pre:[[0],[0]]:[[0],[1]]", "zero"),
        ("meanstd_pre:[[0],[1]]", "missing parameter 'out_meanstd'"),
        ("cir_ratio_pass_through:2:anc", "from 0 to 1"),
        ("cir_ratio_pass_through:0.5:(", "unbalanced"),
        ({"0_cir_ratio_pass_through": {"ratio": 1, "label_regex": "("}}, "regular expression"),
        ("clahepost:[[0],[1]]:4:8:hsv", "lab"),
        ({"fakebatch": {}}, "Did you mean|NUMBER_NAME|unknown wrapper"),
        ({"train": "", "eval": "", "test": ""}, "unknown stage"),
        (3, "expected wrappers"),
    ],
)
def test_problems_are_told_before_building(value, message):
    import re

    problems = "\n".join(problem.message for problem in check_wrappers(value))
    assert re.search(message, problems)
    with pytest.raises(UserError):
        build_wrappers(value, Embedding())


def test_published_wrappers_have_no_problems():
    published = [
        "cirfaketuplebatch",
        "cirmultiscale:True",
        f"rgb2bgr_pre,meanstd_pre:{STATISTICS}",
        f"meanstd_post:{STATISTICS},clahepost:[[0.5,0.5,0.5],[0.5,0.5,0.5]]:1.0,"
        "cir_ratio_pass_through:0.25:anc",
        {
            "train": None,
            "eval": {
                "0_cirwhiten": {"whitening": "http://x/w.pkl", "dimensions": None},
                "1_cirmultiscale": {"scales": True},
            },
        },
        "",
        None,
    ]
    assert [list(check_wrappers(value)) for value in published] == [[] for _ in published]


def test_multiscale_of_a_batch_is_that_of_its_images():
    images = batch()
    together = run("cirmultiscale:ms", images)
    alone = [run("cirmultiscale:ms", image[None]) for image in images]
    torch.testing.assert_close(together, torch.stack(alone, dim=1))
    torch.testing.assert_close(run("cirmultiscale:ms", list(images.split(1))), alone)


def test_a_single_scale_other_than_one_resamples():
    seen = []
    network = nn.Module()
    network.meta = Embedding.meta
    network.forward = lambda x: seen.append(x.shape) or Embedding()(x)
    run({"0_cirmultiscale": {"scales": [0.5]}}, batch(1), network)
    assert seen == [(1, 3, 6, 6)]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_scales_of_tiny_images_keep_a_pixel(size):
    vector = run("cirmultiscale:ms", torch.rand(1, 3, *size) + 0.1)
    assert vector.isfinite().all()


@pytest.mark.parametrize("scales", [[], [0], [-1.0], "x", ["a"]])
def test_scales_that_are_none(scales):
    with pytest.raises(ValueError):
        named_scales(scales)


def test_whitening_of_batches_and_lists_leaves_its_input(whitening):
    images = batch()
    stack = build_wrappers(f"cirwhiten:{whitening}:2", Embedding())["eval"]
    vectors = Embedding()(images)
    before = vectors.clone()
    together = stack.postprocess(vectors, [None])
    assert torch.equal(vectors, before)
    assert together.shape == (2, 3)
    alone = stack.postprocess([vectors[:, i] for i in range(3)], [None])
    torch.testing.assert_close(together, torch.stack(alone, dim=1))


def test_whitening_file_is_checked(whitening, tmp_path):
    with pytest.raises(UserError, match="7 dimensions of 3"):
        build_wrappers(f"cirwhiten:{whitening}:7", Embedding())
    hostile = tmp_path / "h.pkl"
    hostile.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for path in (hostile, tmp_path / "absent.pkl"):
        with pytest.raises(ValueError):
            build_wrappers(f"cirwhiten:{path}", Embedding())


def test_whitening_of_another_length_is_named(whitening):
    stack = build_wrappers(f"cirwhiten:{whitening}", Embedding())["eval"]
    message = "w.pkl: whitens descriptors of 3 dimensions, the network's have 5"
    for vectors in (torch.rand(5, 2), torch.rand(5), [torch.rand(5)]):
        with pytest.raises(DataError, match=message):
            stack.postprocess(vectors, [None])


def test_tuples_of_different_lengths():
    image = batch(1)
    with pytest.raises(UserError, match="different lengths"):
        run("cirfaketuplebatch", [[image, image], [image]])


def test_fakebatch_makes_columns():
    image = batch(1)
    assert run("fakebatch", [image, image]).shape == (3, 2)


def test_meanstd_takes_lists_with_none_and_labels():
    image = LabelledImage(batch(1), name="x", image_label="anc")
    stack = build_wrappers(f"meanstd_pre:{STATISTICS}", nn.Identity())["eval"]
    listed, _ = stack.preprocess([image, None])
    assert listed[1] is None and listed[0].name == "x"
    torch.testing.assert_close(listed[0].tensor, image.tensor * 0.5 + 0.5)


def test_pass_through_needs_labels():
    with pytest.raises(UserError, match="carry none"):
        run("cir_ratio_pass_through:0.5:anc", batch())


def test_pass_through_of_a_batch_whose_images_change_size():
    names = [f"image{i}" for i in range(6)]
    images = LabelledImage(batch(6, 5), names, names, ["anc"] * 6)

    def grow(x):
        return nn.functional.pad(x, (0, 3, 0, 3))

    output = run("cir_ratio_pass_through:0.5:anc", images, grow)
    sizes = {tuple(image.shape[-2:]) for image in output}
    assert isinstance(output, list) and sizes == {(5, 5), (8, 8)}


def test_padding_crops_every_output_by_its_own_border():
    images = [batch(1, 5), None, batch(1, 8)]
    output = run("reflectpad_divisible:8", images, nn.Identity())
    assert torch.equal(output[0], images[0]) and output[1] is None
    assert torch.equal(output[2], images[2])


def test_bgr_needs_three_channels():
    with pytest.raises(UserError, match="3 channels"):
        run("rgb2bgr_pre", torch.zeros(1, 1, 4, 4))
