"""Golden numbers on a device: the greatest deviation of each group, beside what is allowed.

The groups read the same files as the golden tests, which hold the CPU to them. ``STRICT`` is what
float32 without TF32, and float64, may differ by; where a card computes convolutions in TF32
(torch's default), the bounds of float32 are ``TF32_FACTOR`` times as wide.
"""

import numpy as np
import torch

from mdir.networks.architectures.parts.norms import exact_gradients
from tests.golden import golden

TF32_FACTOR = 100


def arrays_of(topic, pattern):
    """``(name, arrays)`` of the files of a kind."""
    return [(name, golden.load_npz(topic, name)) for name in golden.files(topic, pattern)]


def translators(device):
    """Forward passes of generators, discriminators, edge detectors."""
    from tests.golden import test_generators_networks as tests

    expected = golden.load_npz("generators", "networks.npz")
    for case in tests.NETWORKS:
        network = golden.fill(tests.build(case["architecture"], case["params"])).to(device)
        with torch.no_grad():
            result = network.train(case["mode"] == "train")(
                tests.input_of(case).to(device), **case["forward"]
            )
        features, name = [], case["name"]
        if case["n_feats"]:
            only = case["forward"].get("encode_only")
            result, features = (None, result) if only else (result[0], result[1])
        bounds = (1e-3, 10 * tests.tolerance(case)["atol"])
        if f"{name}/out" in expected:
            yield name, result, expected[f"{name}/out"], *bounds
        for index, feature in enumerate(features):
            yield f"{name}/{index}", feature, expected[f"{name}/feat{index}"], *bounds


def trajectories(device, dtype, stored, rtol):
    """Losses of training steps of every method.

    The published ones hold the wrong gradient of torch's instance normalization on a CPU (see
    :func:`mdir.networks.architectures.parts.norms.exact_gradients`). A card, which has none, is
    compared with the CPU's steps without it.
    """
    from tests.golden import test_generators_trajectories as tests

    def move(method):
        method.network.to(device)
        method.criterion.to(device)

    def mend(method):
        for member in method.network.members.values():
            exact_gradients(member.model)

    for name in tests.CASES:
        losses, _, _ = tests.run(name, dtype, move)
        if torch.device(device).type == "cpu":
            expected = golden.load_npz("generators", f"traj_{name}.npz")[f"{stored}/losses"]
        else:
            expected, _, _ = tests.run(name, dtype, mend)
        for step, pair in enumerate(zip(losses, expected, strict=True)):
            yield f"{name}/step {step}", *pair, rtol, 1e-6


def translation_losses(device):
    """PatchNCE with its gradient, and what discriminators are judged by."""
    from tests.golden import test_generators_losses as tests

    arrays = {key: torch.from_numpy(value).to(device) for key, value in tests.ARRAYS.items()}
    for key in tests.single_discriminator_losses():
        name, _, kind = key.removeprefix("disc/").rpartition("_")
        loss = tests.discriminator_loss(name).to(device)
        yield key, loss(arrays["disc/pred"], kind == "real"), arrays[key], 1e-4, 1e-5
    for name in tests.patchnce_cases():
        loss, count = tests.patchnce_loss(name)
        queries = [arrays[f"{name}/q{i}"].requires_grad_() for i in range(count)]
        result = loss.to(device)(queries, [arrays[f"{name}/k{i}"] for i in range(count)])
        result.backward()
        yield name, result.total, arrays[f"{name}/total"], 1e-4, 1e-5
        yield f"{name}/gradient", queries[0].grad, arrays[f"{name}/grad_q0"], 1e-4, 1e-5


def embeddings(device, dtype, atol):
    """Descriptors of retrieval networks."""
    from tests.golden import test_retrieval_networks as tests

    for name, config in tests.embedding_cases():
        network = golden.fill(tests.build(config, dtype)).to(device)
        x = torch.from_numpy(tests.embedding_input(name, config)).to(device, dtype)
        with torch.no_grad():
            found = network(x)
        expected = golden.load_npz("retrieval", name)[f"{config}_out"]
        yield f"{name}/{config}", found, expected, 0, atol


def poolings(device):
    """Poolings of feature maps, and GeM's gradients."""
    from tests.golden import test_retrieval_cirtorch as tests

    arrays = tests.POOLING
    with torch.device(device):
        for name, key in tests.pooling_cases():
            if key != "gemmp":
                x = torch.from_numpy(arrays[f"{name}_x"]).to(device)
                found = tests.pooling_case(key)(x, name)
                yield f"{name}_{key}", found, arrays[f"{name}_{key}"], 0, 1e-4
        for name in sorted(key[:-10] for key in arrays if key.endswith("_gemgrad_w")):
            x = torch.from_numpy(arrays[f"{name}_x"]).to(device).requires_grad_()
            layer = tests.GeM()
            weights = torch.from_numpy(arrays[f"{name}_gemgrad_w"]).to(device)
            (layer(x) * weights).sum().backward()
            yield f"{name}_gradient", x.grad, arrays[f"{name}_gemgrad_x"], 0, 1e-4
            yield f"{name}_exponent", layer.p.grad, arrays[f"{name}_gemgrad_p"], 0, 1e-4


def pair_losses(device):
    """Contrastive and triplet loss."""
    from tests.golden import test_retrieval_cirtorch as tests

    arrays = tests.LOSSES
    for case, kind in tests.loss_cases():
        name = f"{case}_margin" if kind == "contrastive" else f"{case}_triplet_margin"
        options = {"margin": float(arrays[name])} if name in arrays else {}
        x, label = (torch.from_numpy(arrays[f"{case}_{key}"]).to(device) for key in ("x", "label"))
        found = getattr(tests.LF, f"{kind}_loss")(x, label, **options)
        yield f"{case}_{kind}", found, arrays[f"{case}_{kind}"], 0, 1e-4


def multiscale(device):
    """The wrapper that averages descriptors of several scales."""
    from tests.golden import test_retrieval_wrappers as tests

    for key in tests.keys(r"ms_(?!x$).+"):
        _, net, scales = key.split("_")
        listed = {"0_cirmultiscale": {"scales": tests.listed_scales()}}
        wrappers = listed if scales == "list" else f"cirmultiscale:{scales}"
        found = tests.run(tests.tiny(net).to(device), wrappers, tests.array("ms_x").to(device))
        yield key, found, tests.ARRAYS[key], 0, 1e-4


def reid_networks(device):
    """Re-identification networks of two domains, evaluated and in training."""
    from tests.golden import test_reid_networks as tests

    for name, case in ((item.values) for item in tests.NETWORKS):
        arrays = golden.load_npz("reid", name)
        images = torch.tensor(arrays["x"]).to(device)
        model = tests.network(case, domains=2).to(device)
        expected = arrays[f"{case}_dsbn_eval"]
        with torch.no_grad():
            yield f"{case}_eval", model.eval()(images[: len(expected)]).T, expected, 0, 1e-3
            yield f"{case}_train", model.train()(images).T, arrays[f"{case}_dsbn_train"], 0, 1e-2


def memories(device):
    """SpCL's hybrid memory and Cluster Contrast's: losses, gradients, refreshed rows."""
    from mdir.losses.hybrid_memory import HybridMemoryLoss
    from tests.golden import test_cluster_contrast_memory as cluster

    found = []
    for name, arrays in arrays_of("reid", "memory*.npz"):
        if "cfg" in arrays:
            temperature, momentum = map(float, arrays["cfg"])
            memory = HybridMemoryLoss(temperature=temperature, momentum=momentum)
            memory.start(*(torch.tensor(arrays[key]) for key in ("features0", "labels")))
            scales = {2: 2.5}  # as the manifest has them
            found.append((f"reid/{name}", memory, arrays, "idx", scales))
    for name, arrays in arrays_of("cluster_contrast", "memory*.npz"):
        steps = range(int(arrays["num_steps"]))
        scales = {step: float(arrays[f"s{step}_scale"]) for step in steps}
        found.append((name, cluster.make_memory(arrays), arrays, "y", scales))
    for name, memory, arrays, places, scales in found:
        memory.to(device)
        for step in range(sum(key.endswith("_features_after") for key in arrays)):
            x, rows = (torch.tensor(arrays[f"s{step}_{key}"]).to(device) for key in ("x", places))
            loss = memory(x.requires_grad_(), rows)
            (scales.get(step, 1.0) * loss).backward()
            memory.enqueue(x, rows)
            for kind, value in (("loss", loss), ("grad", x.grad), ("features", memory.features)):
                key = f"s{step}_{kind}" + ("_after" if kind == "features" else "")
                yield f"{name}/{key}", value, arrays[key], 1e-3, 1e-3


def proxy_losses(device):
    """Losses of cosines and proxies, and their gradients."""
    from tests.golden import test_unified_proxy_losses as tests

    for name, case in (item.values for item in tests.CASES):
        pairs = zip(*tests.computed(name, case, device), strict=True)
        for kind, (found, expected) in zip(("loss", "gradient"), pairs, strict=True):
            yield f"{name}/{case} {kind}", found, expected, 1e-3, 1e-3


def encoders(device):
    """The contrastive encoder, evaluated."""
    from tests.golden import test_contrastive_networks as tests

    for name, arrays in arrays_of("contrastive", "model_forward*.npz"):
        for variant in (key[:-10] for key in arrays if key.endswith("_eval_proj")):
            sizes = {
                "hidden_dim": len(arrays[f"{variant}_after_g.1.running_mean"]),
                "proj_dim": arrays[f"{variant}_eval_proj"].shape[1],
            }
            network = golden.fill(tests.ContrastiveEncoder(**sizes)).to(device).eval()
            with torch.no_grad():
                feature, proj = network(torch.tensor(arrays["x"]).to(device))
            yield f"{name}/{variant}", feature, arrays[f"{variant}_eval_feature"], 0, 2e-5
            yield f"{name}/{variant}/proj", proj, arrays[f"{variant}_eval_proj"], 0, 2e-5


GROUPS = {
    "translators": translators,
    "trajectories float64": lambda on: trajectories(on, torch.float64, "f64", 1e-5),
    "trajectories float32": lambda on: trajectories(on, torch.float32, "f32", 5e-3),
    "translation losses": translation_losses,
    "descriptors float32": lambda on: embeddings(on, torch.float32, 1e-4),
    "descriptors float64": lambda on: embeddings(on, torch.float64, 1e-4),
    "poolings": poolings,
    "pair losses": pair_losses,
    "multi-scale": multiscale,
    "re-identification": reid_networks,
    "memories": memories,
    "proxy losses": proxy_losses,
    "encoders": encoders,
}
CONVOLUTIONS = (
    "translators",
    "descriptors float32",
    "multi-scale",
    "re-identification",
    "encoders",
)


def deviation(cases, factor=1.0) -> dict:
    """The cases of a group, the greatest difference, and the greatest as a share of its bound.

    A bound is ``factor (atol + rtol |expected|)``. ``outside``: the cases beyond it, in
    their order. ``errors``: what cases could not be computed.
    """
    told = {"cases": 0, "greatest": 0.0, "of_bound": 0.0, "worst": None, "outside": []}
    told["errors"] = []
    for name, found, expected, rtol, atol in cases:
        found, expected = (_array(value) for value in (found, expected))
        if found.shape != expected.shape:
            told["errors"].append(f"{name}: shape {found.shape}, not {expected.shape}")
            continue
        difference = np.abs(found - expected)
        if np.isnan(difference).any():
            told["errors"].append(f"{name}: not a number")
            continue
        share = (difference / (factor * (atol + rtol * np.abs(expected)))).max(initial=0)
        told["cases"] += 1
        if share > 1:
            told["outside"].append(name)
        told["greatest"] = max(told["greatest"], float(difference.max(initial=0)))
        if share > told["of_bound"]:
            told |= {"of_bound": float(share), "worst": name}
    return told


def _array(value):
    value = value.detach().cpu().numpy() if torch.is_tensor(value) else value
    return np.asarray(value, dtype=np.float64)
