"""torch.ops.twofour.soft_mask and add_prior against golden values, the published formulation in float64, and the
properties of the noise."""

import itertools
import random

import pytest
import torch
from safetensors.torch import load_file

from torch_operators import DTYPES, fails, gradients, ops, run_program

PATTERNS = [(2, 4), (1, 4), (1, 2), (4, 8), (1, 16), (2, 3), (3, 7), (1, 70)]


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(12)


def candidates(kept, group):
    """[C, group], earlier positions first."""
    places = list(itertools.combinations(range(group), kept))
    masks = torch.zeros(len(places), group, dtype=torch.float64)
    return masks.scatter_(1, torch.tensor(places), 1.0)


def published(logits, kappa, tau, gumbel=None, kept=2, group=4, hard=False):
    """y and the mask in plain PyTorch."""
    noise = 0 if gumbel is None else gumbel.double()
    y = ((kappa * logits.double() + noise) / tau).softmax(-1)
    used = y
    if hard:
        one = torch.zeros_like(y).scatter_(-1, y.argmax(-1, keepdim=True), 1.0)
        used = one - y.detach() + y
    return y, used @ candidates(kept, group)


def gumbel_like(tensor):
    return -(-torch.rand(tensor.shape, dtype=torch.float64).clamp(1e-7, 1 - 1e-7).log()).log()


def number_of_candidates(kept, group):
    return len(candidates(kept, group))


# Golden values

@pytest.mark.parametrize("index", range(3))
def test_masks_loss_and_gradients_are_the_golden_ones(shared, index):
    golden = load_file(shared / "golden" / f"learned_mask_{index}.safetensors")
    kappa, tau = golden["kappa"].item(), golden["tau"].item()
    logits, gumbel = golden["logits"].float().requires_grad_(), golden["gumbel"].float()
    weight, x, r = (golden[name] for name in ("weight", "x", "r"))
    mask = ops.soft_mask(logits, kappa=kappa, tau=tau, gumbel=gumbel)
    torch.testing.assert_close(mask.double(), golden["y"] @ candidates(2, 4), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mask.double().reshape(weight.shape), golden["soft_mask"], rtol=1e-4, atol=1e-5)
    masked = weight * mask.reshape(weight.shape)
    loss = (x @ masked.t() * r).sum() - golden["regularisation"].item() * (masked**2).sum()
    loss.backward()
    assert loss.item() == pytest.approx(golden["loss"].item(), rel=1e-4)
    assert (logits.grad - golden["dlogits"]).abs().max() < 1e-4 * golden["dlogits"].abs().max()
    hard = ops.soft_mask(logits, kappa=kappa, tau=tau, gumbel=gumbel, hard=True)
    assert hard.reshape(weight.shape).equal(golden["hard_mask_with_noise"].float())
    best = ops.soft_mask(logits, kappa=kappa, tau=tau, seed=-1, hard=True)
    assert best.reshape(weight.shape).equal(golden["argmax_mask"].float())
    # y itself, entry by entry: the gradient of a group of a 1:6 pattern is its softmax's.
    y = ops.soft_mask(logits.detach(), kappa=kappa, tau=tau, gumbel=gumbel, kept=1, group=6)
    torch.testing.assert_close(y.double(), golden["y"], rtol=1e-4, atol=1e-6)


def test_the_prior_is_the_golden_one(shared):
    golden = load_file(shared / "golden" / "learned_prior.safetensors")
    logits, mask, alpha = golden["logits"].float(), golden["prior_mask"], golden["alpha"].item()
    with_prior = ops.add_prior(logits, mask, alpha)
    assert (with_prior - golden["logits_with_prior"]).abs().max() < 1e-6
    assert ops.add_prior(logits, mask.bool(), alpha).equal(with_prior)


# Random masks

@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_masks_and_gradients_are_the_published_formulation(seed, hard):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    kept, group = draw.choice(PATTERNS)
    kappa, tau = draw.uniform(100, 500), draw.choice([4.0, 1.0, 0.3, 0.05])
    groups = draw.choice([(1,), (15,), (16,), (17,), (300,), (3, 5), (2, 1, 7)])
    logits = 0.01 * torch.randn(*groups, number_of_candidates(kept, group))
    gumbel = draw.choice([None, gumbel_like(logits).float()])
    options = {"kappa": kappa, "tau": tau, "kept": kept, "group": group, "hard": hard}

    def ours(values):
        if gumbel is None:
            return ops.soft_mask(values, seed=-1, **options)
        return ops.soft_mask(values, gumbel=gumbel, **options)

    mask, gradient = gradients(ours, logits)
    reference = logits.double().clone().requires_grad_()
    y, expected = published(reference, gumbel=gumbel, **options)
    torch.manual_seed(5)
    expected.backward(torch.randn(expected.shape).double())
    about = f"seed {seed}: {options}, {groups}"
    assert mask.shape == (*groups, group) and mask.is_contiguous(), about
    assert (mask - expected).abs().max() < 2e-4, about
    assert (mask.sum(-1) - kept).abs().max() < 1e-5 * kept, about
    # The softmax is steep: κ π has 24 bits before the division by tau.
    assert (gradient - reference.grad).abs().max() < 2e-4 * kappa / tau, about


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_is_float32_for_all_dtypes(dtype):
    logits = (0.01 * torch.randn(50, 6)).to(dtype)
    for options in ({"seed": 3, "step": 4}, {"seed": -1}, {"gumbel": gumbel_like(logits).to(dtype)}):
        wide = {name: value.float() if name == "gumbel" else value for name, value in options.items()}
        mask, gradient = gradients(lambda one: ops.soft_mask(one, kappa=100.0, tau=1.0, **options), logits)
        assert mask.dtype == gradient.dtype == dtype
        exact = logits.float().clone().requires_grad_()
        expected = ops.soft_mask(exact, kappa=100.0, tau=1.0, **wide)
        torch.manual_seed(5)
        expected.backward(torch.randn(mask.shape).to(dtype).float())
        assert mask.equal(expected.to(dtype)) and gradient.equal(exact.grad.to(dtype))
    prior = torch.tensor([1, 0, 0, 1], dtype=torch.bool).expand(50, 4)
    ours = ops.add_prior(logits, prior, 3.0)
    assert ours.dtype == dtype and ours.equal(ops.add_prior(logits.float(), prior, 3.0).to(dtype))


def test_strides_and_leading_dimensions_do_not_matter():
    logits = 0.01 * torch.randn(12, 6)
    options = {"kappa": 100.0, "tau": 1.0, "seed": 1}
    plain = ops.soft_mask(logits, **options)
    assert ops.soft_mask(logits.t().contiguous().t(), **options).equal(plain)
    assert ops.soft_mask(torch.stack([logits, logits], -1)[..., 0], **options).equal(plain)
    assert ops.soft_mask(logits.reshape(3, 4, 6), **options).equal(plain.reshape(3, 4, 4))
    mask = torch.tensor([0, 1, 0, 1], dtype=torch.bool).expand(12, 4)
    assert ops.add_prior(logits.reshape(3, 4, 6), mask.reshape(3, 4, 4), 2.0).equal(
        ops.add_prior(logits.t().contiguous().t(), mask.contiguous(), 2.0).reshape(3, 4, 6))


@pytest.mark.parametrize("kept, group", PATTERNS)
def test_a_prior_is_its_definition_for_every_pattern(kept, group):
    logits = 0.01 * torch.randn(40, number_of_candidates(kept, group))
    all_masks = candidates(kept, group)
    mask = all_masks[torch.randint(len(all_masks), (40,))]
    overlap = mask @ all_masks.t() - kept**2 / group
    expected = logits.double() + overlap * logits.double().std() * 3
    torch.testing.assert_close(ops.add_prior(logits, mask.bool(), 3.0).double(), expected, rtol=0, atol=1e-7)


def test_without_noise_and_with_a_small_tau_the_mask_is_the_argmax():
    for kept, group in PATTERNS:
        logits = torch.randn(100, number_of_candidates(kept, group))
        best = candidates(kept, group)[logits.argmax(-1)].float()
        assert ops.soft_mask(logits, kappa=500.0, tau=1e-5, seed=-1, kept=kept, group=group).equal(best)


# Noise

def test_noise_depends_on_every_number_of_the_stream_alone():
    logits = torch.zeros(1000, 6)

    def mask(**stream):
        return ops.soft_mask(logits, kappa=100.0, tau=1.0, **stream)

    base = {"seed": 5, "step": 6, "micro_batch": 7, "tensor": 8}
    assert mask(**base).equal(mask(**base))
    assert mask().equal(mask(seed=0, step=0, micro_batch=0, tensor=0))
    for name in base:
        other = mask(**{**base, name: base[name] + 1})
        assert (other - mask(**base)).abs().mean() > 0.1, name
    assert mask(seed=-1).equal(torch.full((1000, 4), 0.5)) and mask(seed=-7, step=3).equal(mask(seed=-1))
    assert ops.soft_mask(logits[:10], kappa=100.0, tau=1.0, **base).equal(mask(**base)[:10])


def test_hard_choices_have_the_frequencies_of_the_softmax():
    """Gumbel-max: the candidate is drawn with probability softmax(κ π), at every temperature. Chi-square with five
    degrees of freedom exceeds 35.9 with probability 1e-6; the seed is fixed."""
    logits = 0.01 * torch.randn(6)
    groups = 200_000
    expected = groups * (100 * logits.double()).softmax(-1)
    for tau in (4.0, 0.05):
        hard = ops.soft_mask(logits.expand(groups, 6), kappa=100.0, tau=tau, seed=3, hard=True)
        observed = (hard.double() @ candidates(2, 4).t() == 2).sum(0)
        assert observed.sum() == groups
        assert ((observed - expected) ** 2 / expected).sum() < 35.9


# The same in other modes of PyTorch

def test_threads_and_modes_do_not_change_bits():
    logits = 0.01 * torch.randn(20_000, 6)
    mask = torch.tensor([1, 1, 0, 0], dtype=torch.bool).expand(20_000, 4)

    def results():
        soft, gradient = gradients(lambda one: ops.soft_mask(one, kappa=300.0, tau=0.5, seed=1), logits)
        return soft, gradient, ops.add_prior(logits, mask, 3.0)

    threads, expected = torch.get_num_threads(), results()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert all(ours.equal(theirs) for ours, theirs in zip(results(), expected)), count
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                assert ops.soft_mask(logits, kappa=300.0, tau=0.5, seed=1).equal(expected[0])
    finally:
        torch.set_num_threads(threads)


ISAS = """
import sys, torch
torch.ops.load_library(sys.argv[1])
torch.manual_seed(1)
for kept, group, count in ((2, 4, 6), (1, 4, 4), (4, 8, 70), (1, 16, 16)):
    logits = (0.01 * torch.randn(333, count)).requires_grad_()
    for hard in (False, True):
        mask = torch.ops.twofour.soft_mask(logits, kappa=200.0, tau=0.3, seed=7, kept=kept, group=group, hard=hard)
        (gradient,) = torch.autograd.grad(mask, logits, torch.randn(mask.shape))
        print(mask.view(torch.int32).tolist(), gradient.view(torch.int32).tolist())
"""


def test_instruction_sets_agree():
    reference = run_program(ISAS, TWOFOUR_ISA="reference").stdout
    assert reference == run_program(ISAS, TWOFOUR_ISA="avx2").stdout == run_program(ISAS).stdout


def test_a_compiled_layer_gives_the_same_gradients():
    def layer(logits, weight, step):
        mask = ops.soft_mask(logits, kappa=100.0, tau=1.0, seed=1, step=step)
        return (weight * mask.reshape(weight.shape)).tanh()

    logits, weight = 0.01 * torch.randn(32, 6), torch.randn(8, 16)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for step in range(3):
        ours = gradients(lambda *inputs: compiled(*inputs, step), logits, weight)
        for one, two in zip(ours, gradients(lambda *inputs: layer(*inputs, step), logits, weight)):
            torch.testing.assert_close(one, two)


@pytest.mark.parametrize("options", [{}, {"seed": -1, "hard": True}, {"kept": 1}, {"gumbel": True}])
def test_operators_pass_opcheck(options):
    logits = 0.01 * torch.randn(5, 4 if "kept" in options else 6)
    if "gumbel" in options:
        options = {"gumbel": gumbel_like(logits).float()}
    options = {"kappa": 100.0, "tau": 1.0, **options}
    torch.library.opcheck(ops.soft_mask.default, (logits.clone().requires_grad_(),), options)
    torch.library.opcheck(ops.soft_mask_gradient.default, (torch.randn(5, 4), logits), options)
    mask = torch.tensor([1, 1, 0, 0] if "kept" not in options else [0, 1, 0, 0]).bool().expand(5, 4).contiguous()
    torch.library.opcheck(ops.add_prior.default, (logits, mask, 3.0))


def test_only_the_logits_have_a_gradient_of_first_order():
    logits, gumbel = torch.randn(5, 6, requires_grad=True), torch.zeros(5, 6, requires_grad=True)
    mask = ops.soft_mask(logits, kappa=1.0, tau=1.0, gumbel=gumbel)
    gradient, none = torch.autograd.grad((mask**2).sum(), (logits, gumbel), create_graph=True, allow_unused=True)
    assert none is None and gradient.abs().sum() > 0
    with pytest.raises(RuntimeError, match="derivative for twofour::soft_mask_gradient is not implemented"):
        gradient.sum().backward()
    prior = torch.ones(5, 4, dtype=torch.bool).triu(1)[:, [0, 1, 2, 3]].new_tensor([0, 0, 1, 1]).expand(5, 4)
    with pytest.raises(RuntimeError, match="derivative for twofour::add_prior is not implemented"):
        ops.add_prior(logits, prior, 3.0).sum().backward()


def test_the_inputs_stay_as_they_are():
    logits, gumbel = torch.randn(20, 6), torch.randn(20, 6)
    mask = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).expand(20, 4).contiguous()
    copies = [one.clone() for one in (logits, gumbel, mask)]
    ops.soft_mask(logits, kappa=100.0, tau=1.0, gumbel=gumbel)
    ops.add_prior(logits, mask, 3.0)
    assert all(one.equal(copy) for one, copy in zip((logits, gumbel, mask), copies))


def test_a_nan_makes_its_group_nan():
    logits = torch.randn(30, 6)
    logits[7, 0] = logits[8, 5] = float("nan")
    for hard in (False, True):
        mask, gradient = gradients(lambda one: ops.soft_mask(one, kappa=1.0, tau=1.0, seed=2, hard=hard), logits)
        for tensor in (mask, gradient):
            assert tensor[7:9].isnan().all() and tensor[:7].isfinite().all() and tensor[9:].isfinite().all()


def test_without_groups_there_is_no_mask():
    logits = torch.zeros(0, 6, requires_grad=True)
    mask = ops.soft_mask(logits, kappa=1.0, tau=1.0)
    mask.sum().backward()
    assert mask.shape == (0, 4) and logits.grad.shape == (0, 6)
    assert ops.add_prior(logits.detach(), torch.zeros(0, 4, dtype=torch.bool), 3.0).shape == (0, 6)


# Errors

def test_errors_are_one_line_that_says_what_is_wrong():
    logits = torch.randn(8, 6)

    def call(values=logits, kappa=1.0, tau=1.0, **options):
        return ops.soft_mask(values, kappa=kappa, tau=tau, **options)

    for pattern in ((0, 4), (4, 4), (5, 4), (-1, 4), (2, 0)):
        fails(f"the pattern {pattern[0]}:{pattern[1]} is not one of N:M", call, kept=pattern[0], group=pattern[1])
    fails("the pattern 4:9 has more than 70 masks a group", call, kept=4, group=9)
    fails("the pattern 1:71 has more than 70 masks a group", call, kept=1, group=71)
    fails("logits [8, 6] are not [.., 4], the number of masks of 1:4", call, kept=1)
    fails("must be float32, bfloat16 or float16, not Double", call, logits.double())
    fails("not a single number", call, torch.tensor(1.0))
    for value in (0.0, -1.0, float("nan"), float("inf"), 1e-50, 1e50):
        fails("but must be a finite number above 0", call, kappa=value)
        fails("but must be a finite number above 0", call, tau=value)
    fails("does not fit logits [8, 6]", call, gumbel=torch.randn(8, 5))
    fails("must be float32, bfloat16 or float16, not Long", call, gumbel=torch.ones(8, 6, dtype=torch.long))
    fails("on meta, but the tensor of logits on cpu", call, gumbel=torch.zeros(8, 6, device="meta"))
    fails("step is -1, but must lie between 0 and 2^32 - 1", call, step=-1)
    fails("micro_batch is 4294967296", call, micro_batch=2**32)
    fails("tensor is -2", call, tensor=-2)
    fails("dsoft [8, 6] does not fit logits [8, 6]", ops.soft_mask_gradient, logits, logits, kappa=1.0, tau=1.0)

    mask = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).repeat(8, 1)
    fails("a mask must be bool or uint8, not Float", ops.add_prior, logits, mask.float(), 3.0)
    fails("the mask [7, 4] does not fit logits [8, 6]", ops.add_prior, logits, mask[:7], 3.0)
    fails("the strength is nan, but must be finite", ops.add_prior, logits, mask, float("nan"))
    wrong = mask.clone()
    wrong[5, 2] = 1
    fails("the prior's group 5 keeps 3 of 4 entries, but group 0 keeps 2", ops.add_prior, logits, wrong, 3.0)
    fails("the prior's group 0 keeps 0 of 4 entries", ops.add_prior, logits, mask * 0, 3.0)
    fails("the prior is 1:4, which has 4 masks a group, but there are 6 logits", ops.add_prior, logits,
          mask * torch.tensor([1, 0, 0, 0], dtype=torch.uint8), 3.0)
    nested = torch.nested.nested_tensor([torch.randn(2, 6), torch.randn(3, 6)])
    fails("twofour::soft_mask takes no nested tensors", call, nested)
