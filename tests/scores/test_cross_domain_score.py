"""What the score of two domains shows of its rankings."""

import torch
from PIL import Image

from mdir.scores.cross_domain_score import CrossDomainRecall
from tests.scores.test_samples import assert_samples_are_the_averages


def test_rankings_show_the_nearest_others_and_mark_the_counterpart(root):
    for domain in ("a", "b"):
        for number in range(8):
            path = root / "set/original" / domain / "val" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(path)
    dataset = {"name": "TwoDomains", "image_dir": "set/original", "split": "val"}
    score = CrossDomainRecall(
        dataset=dataset, ranks=[1], transforms="pil2np | totensor", mean_std=None
    )
    angles = torch.tensor([*range(8), *(number + 0.4 for number in range(8))]) / 10
    rankings = score.evaluate(torch.stack([angles.cos(), angles.sin()], dim=1)).rankings
    assert len(rankings) == 16 and {len(query["found"]) for query in rankings} == {10}
    second = rankings[1]
    assert second["name"] == "val/1" and second["path"].endswith("a/val/1.png")
    assert second["ap"] == 1 and second["found"][0] == {
        "name": "val/1",
        "path": str(root / "set/original/b/val/1.png"),
        "right": True,
    }
    paths = [answer["path"].removeprefix(f"{root}/set/original/") for answer in second["found"]]
    assert paths[:2] == ["b/val/1.png", "b/val/0.png"]
    assert second["path"] not in {answer["path"] for answer in second["found"]}
    assert [answer["right"] for answer in second["found"]] == [True] + 9 * [False]
    for naming in ("daco", "ossco"):
        score.naming, score.ranks = naming, [1, 2]
        result = score.evaluate(torch.stack([angles.cos(), angles.sin()], dim=1))
        assert_samples_are_the_averages(result)
        assert result.samples["val_precise"].hits == (naming == "ossco")
    equal = score.evaluate(torch.ones(16, 2)).rankings[15]
    assert [answer["path"][-11:] for answer in equal["found"][:2]] == ["a/val/0.png", "a/val/1.png"]
    assert [answer["right"] for answer in equal["found"]] == 7 * [False] + [True] + 2 * [False]
