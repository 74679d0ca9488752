"""bench/peers/one_shot.py, against which `prune` is compared, computes what the published classes computed."""

import pathlib
import sys

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench/peers"))
import one_shot  # noqa: E402

CASES = {"2_4": dict(kept=2, group=4), "2_4_block32": dict(kept=2, group=4, block=32), "4_8": dict(kept=4, group=8),
         "unstructured": dict(kept=0, group=0)}


def golden(shared, name):
    values = load_file(shared / f"golden/sparsegpt_{name}.safetensors")
    statistics = one_shot.Statistics(values["x"].shape[1])
    for batch in values["x"].split(256):
        statistics.add(batch)
    return values, statistics


@pytest.mark.parametrize("name", CASES)
def test_sparsegpt_equals_the_published_class(shared, name):
    values, statistics = golden(shared, name)
    scale = values["hessian"].abs().max()
    assert (statistics.hessian - values["hessian"]).abs().max() < 1e-6 * scale
    weight, mask = one_shot.sparsegpt(values["weight"], statistics.hessian, **CASES[name])
    assert torch.equal(mask, values["mask"].bool())
    assert (weight - values["pruned"]).abs().max() <= 1e-4 * values["pruned"].abs().max()
    assert not weight[~mask].any()


def test_the_mask_of_the_untouched_weights_and_wanda_equal_the_published_ones(shared):
    values, statistics = golden(shared, "2_4")
    weight = values["weight"]
    assert torch.equal(one_shot.sparsegpt_mask(weight, statistics.hessian), values["mask_only"].bool())
    for group in (4, 8):
        _, mask = one_shot.prune_layer(weight, statistics, "wanda", group // 2, group)
        assert torch.equal(mask, values[f"wanda_mask_{group // 2}_{group}"].bool())


def test_a_mask_keeps_the_stated_share_of_its_scope():
    seed = int(torch.randint(2**31, ()))
    print(f"seed {seed}")
    scores = torch.rand(12, 48, generator=torch.Generator().manual_seed(seed))
    for kept, group in ((2, 4), (1, 4), (4, 8)):
        counts = one_shot.keep_largest(scores, kept, group, 0).view(-1, group).sum(1)
        assert (counts == kept).all()
    assert (one_shot.keep_largest(scores, 0, 0, 0.7).sum(1) == 48 - int(48 * 0.7)).all()
    whole = one_shot.keep_largest(scores, 0, 0, 0.7, "matrix")
    assert whole.sum() == scores.numel() - int(scores.numel() * 0.7)
    assert scores[whole].min() > scores[~whole].max()
