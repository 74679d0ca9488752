"""torch.ops.twofour.wanda_mask, sparsegpt and swap_mask against golden values, plain PyTorch ports of the published
algorithms, and the definition of the layer's error."""

import random

import pytest
import torch
from safetensors.torch import load_file

from torch_operators import DTYPES, fails, magnitude_mask, ops, run_program

PATTERNS = [(2, 4), (1, 4), (4, 8), (2, 8), (1, 2), (2, 3), (3, 7), (5, 6), (0, 0)]


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(11)


def published(weight, hessian, kept, group, sparsity=0.5, block=128, damping=0.01, mask=None):
    """SparseGPT's column loop with the explicit inverse, in float64. Returns the weight, the mask, and the smallest
    relative distance of a score from the limit that decided it."""
    w, h = weight.double().clone(), hessian.double().clone()
    dead = h.diagonal() == 0
    h.diagonal()[dead] = 1
    w[:, dead] = 0
    h.diagonal().add_(damping * h.diagonal().mean())
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    columns, kept_mask, closest = w.shape[1], torch.ones_like(w, dtype=torch.bool), float("inf")
    block = block if group == 0 else max(group, block - block % group)
    for first in range(0, columns, block):
        last = min(columns, first + block)
        errors = torch.zeros(w.shape[0], last - first, dtype=torch.double)
        if mask is not None:
            kept_mask[:, first:last] = mask[:, first:last]
        elif group == 0:
            scores = w[:, first:last] ** 2 / u.diagonal()[first:last] ** 2
            ordered = scores.flatten().sort().values
            rank = int(ordered.numel() * sparsity)
            kept_mask[:, first:last] = scores > ordered[rank]
            if rank + 1 < ordered.numel():
                closest = min(closest, (1 - ordered[rank] / ordered[rank + 1]).item())
        for j in range(first, last):
            if mask is None and group and j % group == 0:
                scores = w[:, j:j + group] ** 2 / u.diagonal()[j:j + group] ** 2
                kept_mask[:, j:j + group] = magnitude_mask(scores.float(), kept, group)
                ordered = scores.sort(-1).values
                ratio = ordered[:, group - kept - 1] / ordered[:, group - kept]
                closest = min([closest, *(1 - ratio[ordered[:, group - kept] > 0]).tolist()])
            error = torch.where(kept_mask[:, j], 0, w[:, j]) / u[j, j]
            w[:, j:last] -= error[:, None] * u[j, j:last]
            errors[:, j - first] = error
        w[:, last:] -= errors @ u[first:last, last:]
    return w * kept_mask, kept_mask, closest


def layer(rows, columns, tokens, dead=()):
    """A weight, and the Hessian of correlated inputs."""
    x = torch.randn(tokens, columns) @ (torch.eye(columns) + 0.5 * torch.randn(columns, columns) / columns**0.5)
    x *= torch.rand(columns) * 3 + 0.1
    x[:, list(dead)] = 0
    return torch.randn(rows, columns), 2 * x.t() @ x / tokens


def layer_error(weight, pruned, hessian):
    difference = (weight - pruned).double()
    return ((difference @ hessian.double()) * difference).sum(-1)


# Golden values

@pytest.mark.parametrize("name, pattern, block", [("2_4", (2, 4), 128), ("2_4_block32", (2, 4), 32),
                                                  ("4_8", (4, 8), 128), ("unstructured", (0, 0), 128)])
def test_sparsegpt_is_the_published_one(shared, name, pattern, block):
    golden = load_file(shared / "golden" / f"sparsegpt_{name}.safetensors")
    weight, mask = ops.sparsegpt(golden["weight"], golden["hessian"], *pattern, block=block)
    assert mask.equal(golden["mask"].bool())
    assert (weight - golden["pruned"]).abs().max() < 1e-4 * golden["pruned"].abs().max()
    x = golden["x"].double()
    error = ((golden["weight"] - weight).double() @ x.t()).norm() / (golden["weight"].double() @ x.t()).norm()
    assert error.item() == pytest.approx(golden["relative_output_error"].item(), rel=1e-3)


def test_masks_without_update_are_the_published_ones(shared):
    golden = load_file(shared / "golden" / "sparsegpt_2_4.safetensors")
    weight, mask = ops.sparsegpt(golden["weight"], golden["hessian"], 2, 4, update=False)
    assert mask.equal(golden["mask_only"].bool()) and weight.equal(golden["weight"] * mask)
    for kept, group in ((2, 4), (4, 8)):
        ours = ops.wanda_mask(golden["weight"], golden["wanda_input_norm"], kept, group)
        assert ours.equal(golden[f"wanda_mask_{kept}_{group}"].bool())


# Random layers

@pytest.mark.parametrize("seed", range(40))
def test_sparsegpt_is_the_published_loop_on_random_layers(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    kept, group = draw.choice(PATTERNS)
    columns = max(group, 1) * draw.randrange(1, 60)
    dead = draw.sample(range(columns), draw.randrange(columns // 8 + 1))
    weight, hessian = layer(draw.randrange(1, 150), columns, draw.choice([30, 2 * columns]), dead)
    options = {"block": draw.choice([128, 1, 7, 32, 64, 1000]), "damping": draw.choice([0.01, 0.1, 1.0])}
    if group == 0:
        options["sparsity"] = draw.choice([0.5, 0.2, 0.77])
    expected, mask, closest = published(weight, hessian, kept, group, **options)
    ours = ops.sparsegpt(weight, hessian, kept, group, **options)
    about = f"seed {seed}: {kept}:{group}, {tuple(weight.shape)}, {options}, closest scores {closest:.1e}"
    if closest > 1e-5 and not ours[1].equal(mask):
        raise AssertionError(f"{about}: {(ours[1] ^ mask).sum()} entries of the mask differ")
    if ours[1].equal(mask):
        assert (ours[0] - expected).abs().max() < 1e-4 * expected.abs().max(), about
    assert (ours[0] * ~ours[1] == 0).all(), about
    # A near tie that is decided otherwise changes later entries of its row, but no error by much.
    errors = [layer_error(weight, pruned, hessian).sum() for pruned in (ours[0], expected)]
    assert errors[0] < 1.01 * errors[1] + 1e-6, about


@pytest.mark.parametrize("seed", range(15))
def test_wanda_keeps_the_largest_products_with_the_norms(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    kept, group = draw.choice(PATTERNS[:-1])
    weight = torch.randn(draw.randrange(1, 90), group * draw.randrange(1, 60)).to(draw.choice(DTYPES))
    norm = torch.rand(weight.shape[1], dtype=draw.choice([torch.float32, torch.float64]))
    expected = magnitude_mask(weight.float() * norm.float(), kept, group)
    assert ops.wanda_mask(weight, norm, kept, group).equal(expected), f"seed {seed}"


@pytest.mark.parametrize("seed", range(15))
def test_swaps_lower_the_error_until_none_does(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    kept, group = draw.choice(PATTERNS[:-1])
    columns = group * draw.randrange(1, 24)
    weight, hessian = layer(draw.randrange(1, 80), columns, 2 * columns)
    mask = ops.wanda_mask(weight, hessian.diagonal().sqrt(), kept, group)
    swapped = ops.swap_mask(weight, mask.to(draw.choice([torch.bool, torch.uint8])), hessian, kept, group)
    assert swapped.dtype == torch.bool and (swapped.reshape(-1, group).sum(-1) == kept).all()
    before, after = (layer_error(weight, weight * one, hessian) for one in (mask, swapped))
    assert (after <= before).all(), f"seed {seed}"
    for p in range(columns):
        for r in range(p // group * group, p // group * group + group):
            rows = swapped[:, p] & ~swapped[:, r]
            other = swapped[rows].clone()
            other[:, p], other[:, r] = False, True
            change = layer_error(weight[rows], weight[rows] * other, hessian) - after[rows]
            assert (change > -1e-4 * after[rows] - 1e-9).all(), f"seed {seed}: {p}, {r}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_are_those_of_the_weight(dtype):
    weight, hessian = layer(20, 48, 100)
    weight = weight.to(dtype)
    for pattern in ((2, 4), (0, 0)):
        for update in (True, False):
            pruned, mask = ops.sparsegpt(weight, hessian, *pattern, update=update)
            wide, same = ops.sparsegpt(weight.float(), hessian.double(), *pattern, update=update)
            assert pruned.dtype == dtype and pruned.equal(wide.to(dtype)) and mask.equal(same)
            assert update or pruned.equal(weight * mask)
    assert ops.swap_mask(weight, magnitude_mask(weight, 2, 4), hessian.double(), 2, 4).equal(
        ops.swap_mask(weight.float(), magnitude_mask(weight, 2, 4), hessian, 2, 4))


def test_strides_do_not_matter():
    wide, hessian = layer(48, 24, 100)
    hessian = hessian.t()
    for weight in (wide.t().contiguous().t(), torch.stack([wide, wide], -1)[..., 0], wide[::2]):
        plain = weight.contiguous()
        mask = ops.wanda_mask(plain, hessian.diagonal(), 2, 4)
        assert ops.wanda_mask(weight, hessian.diagonal(), 2, 4).equal(mask)
        for ours, theirs in zip(ops.sparsegpt(weight, hessian, 2, 4),
                                ops.sparsegpt(plain, hessian.contiguous(), 2, 4)):
            assert ours.equal(theirs)
        assert ops.swap_mask(weight, mask.t().contiguous().t(), hessian, 2, 4).equal(
            ops.swap_mask(plain, mask, hessian.contiguous(), 2, 4))


def test_the_inputs_stay_as_they_are():
    weight, hessian = layer(20, 48, 100, dead=[3])
    mask = magnitude_mask(weight, 2, 4)
    copies = [one.clone() for one in (weight, hessian, mask)]
    ops.sparsegpt(weight, hessian, 2, 4)
    ops.sparsegpt(weight, hessian, 0, 0, update=False)
    ops.swap_mask(weight, mask, hessian, 2, 4)
    assert all(one.equal(copy) for one, copy in zip((weight, hessian, mask), copies))


def test_a_singular_hessian_is_damped():
    weight, hessian = layer(20, 48, 10)
    pruned, mask = ops.sparsegpt(weight, hessian, 2, 4, damping=0.0)
    assert pruned.isfinite().all() and (mask.reshape(-1, 4).sum(-1) == 2).all()


# The same in other modes of PyTorch

def test_threads_and_modes_do_not_change_bits():
    weight, hessian = layer(150, 264, 500)
    mask = magnitude_mask(weight, 2, 4)

    def results():
        return [*ops.sparsegpt(weight, hessian, 2, 4), *ops.sparsegpt(weight, hessian, 0, 0),
                ops.swap_mask(weight, mask, hessian, 2, 4)]

    threads, expected = torch.get_num_threads(), results()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for mode in (torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)):
                with mode():
                    assert all(ours.equal(theirs) for ours, theirs in zip(results(), expected)), count
    finally:
        torch.set_num_threads(threads)


def test_pruning_is_not_differentiated_by_mistake():
    weight, hessian = layer(8, 16, 40)
    weight.requires_grad_()
    assert not ops.wanda_mask(weight, hessian.diagonal(), 2, 4).requires_grad
    with pytest.raises(RuntimeError, match="derivative for twofour::sparsegpt is not implemented"):
        ops.sparsegpt(weight, hessian, 2, 4)[0].sum().backward()


ISAS = """
import sys, torch
torch.ops.load_library(sys.argv[1])
torch.manual_seed(1)
weight, x = torch.randn(70, 96), torch.randn(200, 96)
hessian = (x.t() @ x / 8).round()
mask = torch.ops.twofour.sparsegpt(weight, hessian, 2, 4)[1]
swapped = torch.ops.twofour.swap_mask(weight, mask, hessian, 2, 4)
print(torch.ops.twofour.pack_mask(mask).tolist(), torch.ops.twofour.pack_mask(swapped).tolist())
"""


def test_instruction_sets_agree():
    assert run_program(ISAS, TWOFOUR_ISA="reference").stdout == run_program(ISAS).stdout


# Errors

def test_errors_are_one_line_that_says_what_is_wrong():
    weight, hessian = layer(8, 16, 40)
    mask, norm, bad = magnitude_mask(weight, 2, 4), hessian.diagonal().sqrt(), weight.clone()
    bad[3, 5] = float("nan")
    calls = {
        "wanda_mask": lambda w, pattern: ops.wanda_mask(w, norm, *pattern),
        "sparsegpt": lambda w, pattern: ops.sparsegpt(w, hessian, *pattern),
        "swap_mask": lambda w, pattern: ops.swap_mask(w, mask, hessian, *pattern),
    }
    for name, call in calls.items():
        for pattern in ((0, 4), (4, 4), (5, 4), (2, 9), (-1, 4), (2, 0)):
            fails(f"the pattern {pattern[0]}:{pattern[1]} is not one of N:M", call, weight, pattern)
        fails("16 columns are not a multiple of 3", call, weight, (1, 3))
        fails("must be a matrix", call, weight[0], (2, 4))
        fails("must be float32, bfloat16 or float16, not Double", call, weight.double(), (2, 4))
        fails("the weight has an entry that is not finite", call, bad, (2, 4))
        fails("the weight has an entry that is not finite", call, bad.nan_to_num(float("-inf")), (2, 4))
    for call in (lambda h: ops.sparsegpt(weight, h, 2, 4), lambda h: ops.swap_mask(weight, mask, h, 2, 4)):
        for wrong in (hessian[:8], hessian[:, :8], hessian[:8, :8], hessian[0]):
            fails("the Hessian must be a matrix [16, 16]", call, wrong)
        fails("the Hessian must have floating-point entries, not Long", call, hessian.long())
        fails("the Hessian is on meta, but the weight on cpu", call, hessian.to("meta"))
        for value in ("nan", "inf"):
            broken = hessian.clone()
            broken[2, 7] = float(value)
            fails("not finite", call, broken)
    fails("the vector of input norms must be a vector [16]", ops.wanda_mask, weight, norm[:8], 2, 4)
    fails("input norms has an entry that is not finite", ops.wanda_mask, weight, norm * float("inf"), 2, 4)
    fails("the sparsity 1 does not lie between 0 and 1", ops.sparsegpt, weight, hessian, 0, 0, sparsity=1.0)
    fails("the sparsity 0 does not lie between 0 and 1", ops.sparsegpt, weight, hessian, 0, 0, sparsity=0.0)
    fails("at least one column, not 0", ops.sparsegpt, weight, hessian, 2, 4, block=0)
    fails("the damping is -1", ops.sparsegpt, weight, hessian, 2, 4, damping=-1.0)
    fails("the damping is nan", ops.sparsegpt, weight, hessian, 2, 4, damping=float("nan"))
    fails("negative entry on its diagonal", ops.sparsegpt, weight, -hessian, 2, 4)
    fails("a mask [16, 8] does not fit a weight [8, 16]", ops.swap_mask, weight, mask.t(), hessian, 2, 4)
    fails("must be bool or uint8, not Float", ops.swap_mask, weight, weight, hessian, 2, 4)
    fails("the mask is not 1:4: row 0 keeps 2", ops.swap_mask, weight, mask, hessian, 1, 4)


def test_weights_without_entries_stay_so():
    for rows, columns in ((0, 8), (3, 0), (0, 0)):
        weight, hessian = torch.zeros(rows, columns), torch.eye(columns)
        assert ops.wanda_mask(weight, hessian.diagonal(), 2, 4).shape == (rows, columns)
        for pattern in ((2, 4), (0, 0)):
            assert all(one.shape == (rows, columns) for one in ops.sparsegpt(weight, hessian, *pattern))
        assert ops.swap_mask(weight, weight.bool(), hessian, 2, 4).shape == (rows, columns)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (3, 50, 130), (0, 4), (5, 0)])
def test_the_gram_matrix_is_the_full_product(shape, dtype):
    x = torch.randn(*shape).to(dtype)
    rows = x.double().reshape(-1, shape[-1]) if x.numel() else x.new_zeros(0, shape[-1]).double()
    torch.testing.assert_close(ops.gram(x), (rows.t() @ rows).float(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ops.gram(x.t().contiguous().t() if x.dim() == 2 else x), ops.gram(x), rtol=1e-5, atol=1e-4)
