"""The published scenarios: what they resolve to, and that they run on the toy world."""

import io
from pathlib import Path

import pytest

from mdir.scenario.cli import main
from mdir.scenario.plan import load_scenario, plan_target

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
GENERATORS = ["cyclegan", "cut", "hedgan", "hedngan", "rcfgan", "rcfngan"]
EMBEDDINGS = ["cyclegan", "hedngan"]
TOY = "iccv23/toy.yml"
SHRUNK = {
    "learning.training.epochs": 2,
    "learning.training.scheduler.generator_X.n_epochs_decay": 1,
    "data.train.dataset.size": 2,
    "data.train.transforms": "pil2np | scalecrop:48_48:0.8_1 | totensor | normalize",
}
DOWNLOADS = "http://ptak.felk.cvut.cz/personal/jenicto2/download/iccv23_gan"


def steps(path, target):
    plan = plan_target(load_scenario([str(SCENARIOS / path)]), target)
    return {step.name: step for step in plan.steps}


def shrunk(target):
    """Arguments that make the training of a generator in this target as short as can be."""
    step = {"train": "1_train_augment", "all": "0_train_augment"}.get(target)
    return [f"{target}.{step}.{key}={value}" for key, value in SHRUNK.items()] if step else []


def find(parameters, path):
    for key in path.split("."):
        parameters = parameters[key]
    return parameters


@pytest.mark.parametrize("name", GENERATORS)
def test_targets_of_training(name):
    scenario = load_scenario([str(SCENARIOS / f"iccv23/train/{name}.yml")])
    targets = ["download", "train", "output", "finetune", "finetune_r101", "all"]
    assert list(scenario.targets) == targets


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_published_files_train_the_generator_before_they_use_it(name, tmp_path):
    """As gandtr has them: target ``all`` shares steps by aliases and names them out of order."""
    parameters = SCENARIOS / "iccv23/parameters"
    (tmp_path / "_train.yml").write_text(
        "train:\n"
        "  1_train_augment: &train_augment {__function__: mdir.stages.train.train}\n"
        "finetune:\n"
        "  1_finetune_embed: &finetune_embed\n"
        "    __function__: mdir.stages.train.train\n"
        f"    __template__: {parameters}/finetune.yml\n"
        "all:\n"
        "  0_download_augment: {__function__: mdir.utils.download.rsfm120k}\n"
        "  1_train_augment: *train_augment\n"
        "  1_finetune_embed: *finetune_embed\n"
        "  2_train_whitening:\n"
        "    __function__: mdir.stages.multistep.infer_and_learn_whitening\n"
        f"    __template__: {parameters}/whitening.yml\n"
    )
    (tmp_path / f"{name}.yml").write_text(
        "__template__: _train.yml\n"
        "train:\n"
        "  1_train_augment: &train_augment\n"
        f"    __template__: {parameters}/train_{name}.yml\n"
        "finetune:\n"
        "  1_finetune_embed: {network.augment.path: http://host/published_generator_X.pth}\n"
        "all:\n"
        "  1_train_augment: *train_augment\n"
    )
    plan = plan_target(load_scenario([str(tmp_path / f"{name}.yml")]), "all")
    assert [step.name for step in plan.steps] == [
        "0_download_augment",
        "1_train_augment",
        "1_finetune_embed",
        "2_train_whitening",
    ]
    (told,) = plan.warnings
    assert told.endswith(
        "target all: step 1_train_augment runs before 1_finetune_embed, which reads "
        f"experiments/gan/{name}/epochs/generator_X_best.pth that it makes"
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_is_trained_before_it_is_used(name):
    names = list(steps(f"iccv23/train/{name}.yml", "all"))
    assert names == [
        "0_download_augment",
        "0_train_augment",
        "1_finetune_embed",
        "2_train_whitening",
        "3_download_test",
        "4_evaluate",
        "5_print_scores",
    ]


@pytest.mark.parametrize("name", GENERATORS)
def test_all_uses_its_own_generator(name):
    embed = steps(f"iccv23/train/{name}.yml", "all")["1_finetune_embed"].parameters
    own = "experiments/gan/${SCENARIO_NAME}/epochs/generator_X_best.pth"
    assert find(embed, "network.augment.path") == own


@pytest.mark.parametrize("target", ["finetune", "finetune_r101"])
@pytest.mark.parametrize("name", GENERATORS)
def test_fine_tuning(name, target):
    plan = steps(f"iccv23/train/{name}.yml", target)
    embed = plan["1_finetune_embed"].parameters
    path = find(embed, "network.augment.path")
    if name in EMBEDDINGS:
        assert path == f"{DOWNLOADS}/{name}_generator_X.pth"
    else:
        assert path.startswith("experiments/gan/")
    backbone, margin = {"finetune": ("vgg16", 0.75), "finetune_r101": ("resnet101", 0.85)}[target]
    assert find(embed, "network.embed.model.cir_architecture") == backbone
    assert find(embed, "learning.training.criterion.margin") == margin
    assert find(embed, "learning.training.optimizer.lr") == 5e-7
    assert find(embed, "data.val.dataset.query_size") == float("inf")
    whitening = plan["4_evaluate"].parameters["network"]["runtime"]["wrappers"]["eval"]
    assert whitening["0_cirwhiten"]["whitening"].endswith("/whitening/lw-retrieval.pkl")
    assert whitening["1_cirmultiscale"] == {"scales": True}


@pytest.mark.parametrize(
    ("name", "norm", "epochs", "batch", "criterion", "detectors"),
    [
        ("cyclegan", "instance", 100, 1, "cycle_loss", []),
        ("cut", "instance", 50, 1, "multihead_loss", []),
        ("hedgan", "batch", 50, 10, "multihead_loss", ["hed_interpolation"]),
        ("hedngan", "batch", 50, 10, "multihead_loss", ["hed_interpolation"] * 2),
        ("rcfgan", "batch", 50, 10, "multihead_loss", ["rcf"]),
        ("rcfngan", "batch", 50, 10, "multihead_loss", ["rcf"] * 2),
    ],
)
def test_generators(name, norm, epochs, batch, criterion, detectors):
    parameters = steps(f"iccv23/train/{name}.yml", "train")["1_train_augment"].parameters
    assert find(parameters, "network.generator_X.model.norm_layer") == norm
    assert find(parameters, "network.generator_X.model.n_blocks") == 9
    assert find(parameters, "learning.training.epochs") == epochs
    assert find(parameters, "learning.training.criterion.loss") == criterion
    assert find(parameters, "data.train.loader.batch_size") == batch
    assert find(parameters, "data.train.dataset.size") == 10000
    assert find(parameters, "learning.validation.decisive_criterion") == "epoch"
    networks = parameters["network"]
    found = [networks[key]["model"]["architecture"] for key in networks if "detector" in key]
    assert found == detectors
    if detectors:
        wrappers = [networks[key]["runtime"]["wrappers"] for key in networks if "detector" in key]
        assert all(("255.0" in wrapper) == (detectors[0] == "rcf") for wrapper in wrappers)


@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize(("target", "backbone"), [("eval", "vgg16"), ("eval_r101", "resnet101")])
def test_evaluation(name, target, backbone):
    parameters = steps(f"iccv23/eval/{name}.yml", target)["1_evaluate"].parameters
    assert find(parameters, "network.path") == f"{DOWNLOADS}/{name}_embed_{backbone}.pth"
    whitening = find(parameters, "network.runtime.wrappers.eval")["0_cirwhiten"]
    assert whitening == {
        "whitening": f"{DOWNLOADS}/{name}_embed_{backbone}_lw.pkl",
        "dimensions": None,
    }
    sizes = {
        key: value["criterion"]["image_size"]
        for key, value in parameters["validation"].items()
        if isinstance(value, dict)
    }
    assert sizes == {"roxford5k": 1024, "rparis6k": 1024, "247tokyo1k": 1024}


ALL = [
    *(f"iccv23/train/{name}.yml" for name in GENERATORS),
    *(f"iccv23/eval/{name}.yml" for name in EMBEDDINGS),
    *(f"iccv19/{name}.yml" for name in ("alexnet_clahe", "vgg16_clahe", "vgg16_unet")),
]


@pytest.mark.parametrize("overlays", [[], ["toy.yml"]])
@pytest.mark.parametrize("path", ALL)
def test_every_target_is_valid(path, overlays, root):
    family = path.split("/")[0]
    assert main(["validate", path, *(f"{family}/{name}" for name in overlays)]) == 0


@pytest.mark.parametrize("path", [*ALL[6:8], "iccv19/alexnet_clahe.yml"])
def test_comparisons_are_valid(path, root):
    assert main(["validate", path, f"{path.split('/')[0]}/compare.yml"]) == 0


def test_train_and_translate(city, monkeypatch):
    assert main(["train", "iccv23/train/cut.yml", TOY, *shrunk("train")]) == 0
    epochs = city / "experiments/gan/toy_cut/epochs"
    assert (epochs / "generator_X_best.pth").exists()
    names = (city / "toy_world/data/train/retrieval-SfM-120k/dataset/train_day.txt").read_text()
    lines = io.BytesIO("\n\n".join(names.split()[:2]).encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(lines))
    assert main(["output", "iccv23/train/cut.yml", TOY]) == 0
    assert len(list((city / "outputs/toy_cut").rglob("*.jpg"))) == 2


def test_evaluate_and_compare(city, capsys):
    assert main(["eval", "iccv23/eval/hedngan.yml", TOY, "iccv23/compare.yml"]) == 0
    printed = capsys.readouterr().out
    assert "roxford.5k medium" in printed
    assert "not the same test sets" in printed
    assert (city / "reports/iccv23/hedngan_vgg16/comparison.csv").exists()


def test_fine_tune_and_evaluate(city, capsys):
    assert main(["finetune", "iccv23/train/hedngan.yml", TOY]) == 0
    assert "247tokyo.1k" in capsys.readouterr().out
    folder = city / "experiments/cirtorch/vgg16_toy_hedngan"
    assert (folder / "epochs/embed_best.pth").exists()
    assert (folder / "whitening/lw-retrieval.pkl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["download", "train", "finetune_r101", "all"])
@pytest.mark.parametrize("name", GENERATORS)
def test_every_target_of_training_runs(name, target, root):
    assert main([target, f"iccv23/train/{name}.yml", TOY, *shrunk(target)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("target", ["download", "eval", "eval_r101"])
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_every_target_of_evaluation_runs(name, target, root):
    assert main([target, f"iccv23/eval/{name}.yml", TOY]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet_clahe", "vgg16_clahe", "vgg16_unet"])
def test_earlier_evaluations_run(name, root):
    assert main(["eval", f"iccv19/{name}.yml", "iccv19/toy.yml"]) == 0
