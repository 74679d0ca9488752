"""torch.ops.twofour with other features of PyTorch: weights that change unnoticed, gradients of gradients, autocast,
nested and empty tensors, NaN, checkpointing, export."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import grad
from torch.utils.checkpoint import checkpoint

from torch_operators import DTYPES, close, error, fails, gradients, ops, sparse_weight

NAN = float("nan")
Weight24 = torch.classes.twofour.Weight24


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(11)


# A product uses the weight's current values, however they were written. Neither its address nor its version shows that
# it is unchanged. (`.data` always has version 0.)

def through_data(weight, rows, columns):
    weight.data[rows, columns] *= 2


def through_numpy(weight, rows, columns):
    weight.detach().numpy()[rows, columns] *= 2


def through_a_kept_version(weight, rows, columns):  # as FSDP2 fills its parameters
    with torch.no_grad(), torch.autograd._unsafe_preserve_version_counter(weight):
        weight[rows, columns] *= 2


def counted(weight, rows, columns):
    with torch.no_grad():
        weight[rows, columns] *= 2


CHANGES = [through_data, through_numpy, through_a_kept_version, counted]


@pytest.mark.parametrize("tokens", [1, 16, 80])
@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (320, 784), (250, 256)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_product_sees_every_change_of_its_weight(change, shape, tokens):
    weight, x = torch.nn.Parameter(sparse_weight(*shape)), torch.randn(tokens, shape[1])
    everything = slice(None)
    one = weight.detach().nonzero()[-1].tolist()
    for rows, columns in ((everything, slice(4, None)), (3, everything), one):
        for argument in (lambda: weight, lambda: weight.data, lambda: weight.detach()):
            ops.linear24(x, argument())
            change(weight, rows, columns)
            assert error(ops.linear24(x, argument()), F.linear(x, weight)) < 1e-5
    weight.data[3] = 1
    fails("row 3 keeps more than two", ops.linear24, x, weight)


@pytest.mark.parametrize("step", [1e-4, 1e-5, 1e-6])
def test_a_product_sees_small_steps_of_an_optimizer(step):
    weight = torch.nn.Parameter((sparse_weight(512, 512) * 0.04).bfloat16())
    x, mask = torch.randn(80, 512).bfloat16(), weight.detach() != 0
    for _ in range(10):
        ours, fresh = ops.linear24(x, weight), ops.linear24(x, weight.detach().clone())
        assert ours.equal(fresh)
        (update,) = grad(ours.float().pow(2).mean(), weight)
        weight.data.add_(update.sign() * mask, alpha=-step)


def test_a_transposable_gradient_sees_a_change_of_the_weight():
    weight, x = torch.randn(256, 256), torch.randn(80, 256, requires_grad=True)
    weight = torch.nn.Parameter(weight * ops.transposable_mask24(weight))
    for _ in range(2):
        (dx,) = grad(ops.linear24(x, weight, transposable=True).sum(), x)
        assert error(dx, torch.ones(80, 256) @ weight.detach()) < 1e-5
        weight.data[3] *= 2


@pytest.mark.parametrize("rows", [slice(100, 103), slice(None)])
def test_training_through_data_is_training(rows):
    """Only three rows, or inputs whose first four are 0: a sample of the weight may miss them."""
    x, target = torch.randn(80, 512), torch.randn(80, 512)
    x[:, :4] = 0
    start, losses = sparse_weight(512, 512) * 0.04, {}
    for is_counted in (False, True):
        weight, losses[is_counted] = torch.nn.Parameter(start.clone()), []
        for _ in range(30):
            loss = (ops.linear24(x, weight) - target)[:, rows].square().sum() / 240
            losses[is_counted].append(loss.item())
            update = grad(loss, weight)[0] * (weight.detach() != 0)
            with torch.no_grad():
                (weight if is_counted else weight.data).add_(update, alpha=-0.1)
    assert losses[False] == losses[True] and losses[True][-1] < 0.9 * losses[True][0]


# Gradients of gradients

class Masked(torch.autograd.Function):
    @staticmethod
    def forward(context, weight, mask):
        return weight * mask

    @staticmethod
    def backward(context, gradient):
        return gradient, None


def penalised(layer, x, weight):
    """The gradients of x and the weight of a loss with a penalty of its gradient."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = layer(x, weight)
    (dx,) = grad(y.square().sum(), x, create_graph=True)
    return grad(y.mean() + dx.square().sum(), [x, weight])


def test_a_mask_lets_gradients_of_gradients_through():
    x, weight = torch.randn(2, 5, 16), torch.randn(8, 16)
    mask = ops.magnitude_mask(weight, 2, 4)
    ours = penalised(lambda x, w: ops.linear24(x, w, None, mask), x, weight)
    theirs = penalised(lambda x, w: F.linear(x, Masked.apply(w, mask)), x, weight)
    within = penalised(lambda x, w: ops.linear24(x, ops.apply_mask(w, mask)), x, weight)
    for one, two, three in zip(ours, theirs, within):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(three, one if one is ours[0] else one * mask, rtol=1e-4, atol=1e-3)
    x, weight = x.double().float(), weight * mask
    for one, two in zip(penalised(ops.linear24, x, weight), penalised(F.linear, x, weight)):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("option", ["transposable", "mvue"])
def test_what_has_no_gradient_of_its_gradient_says_so(option):
    weight = torch.randn(8, 16)
    weight = (weight * ops.transposable_mask24(weight)).requires_grad_()
    x = torch.randn(5, 16, requires_grad=True)
    first = grad(ops.linear24(x, weight, **{option: True}).square().sum(), [x, weight], create_graph=True)
    with pytest.raises(RuntimeError, match="derivative for twofour::.*_gradient24 is not implemented"):
        sum(one.square().sum() for one in first).backward()


# No entries

@pytest.mark.parametrize("tokens, inputs, outputs", [((5,), 0, 8), ((5,), 16, 0), ((0,), 16, 8), ((0,), 0, 0),
                                                     ((2, 0), 16, 8), ((2, 3), 0, 4), ((), 0, 4)])
@pytest.mark.parametrize("options", [{}, {"transposable": True}, {"mvue": True}, {"mvue": True, "exact": True}])
def test_products_without_entries_have_gradients(tokens, inputs, outputs, options):
    x, weight, bias = torch.randn(*tokens, inputs), torch.zeros(outputs, inputs), torch.randn(outputs)
    mask = torch.ones(outputs, inputs, dtype=torch.bool)
    expected = gradients(F.linear, x, weight, bias)
    for kept in (None, mask):
        ours = gradients(lambda *inputs: ops.linear24(*inputs, kept, **options), x, weight, bias)
        for one, two in zip(ours, expected):
            torch.testing.assert_close(one, two, check_stride=False)
    arguments = x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()
    torch.library.opcheck(ops.linear24.default, arguments, options)
    packed = ops.linear24_packed(x, *ops.pack24(weight), bias)
    prepared = ops.linear24_prepared(x, Weight24(weight), bias)
    assert packed.equal(expected[0]) and prepared.equal(expected[0])


# Infinities and NaN

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [1, 2, 3, 4])
def test_a_nan_of_the_weight_reaches_the_output(dtype, bad):
    weight = torch.randn(16, 64)
    weight[5, 8:8 + bad] = NAN
    sparse, mask = ops.soft_threshold24(weight.to(dtype))
    assert sparse[5, 8:12].isnan().sum() == min(bad, 2) and (sparse != 0).sum(-1).max() <= 32
    assert sparse.isnan().sum() == min(bad, 2) and mask.sum() == 512
    for tokens in (1, 80):
        for one in (sparse, ops.apply_mask(weight.to(dtype), mask)):
            out = ops.linear24(torch.randn(tokens, 64).to(dtype), one)
            assert out[:, 5].isnan().all() and out.isnan().sum() == tokens
    assert torch.tensor(ops.soft_threshold_scale(weight)).isnan()


# Autocast

@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_under_autocast_are_those_of_linear(dtype):
    x, weight, bias = torch.randn(2, 6, 32), sparse_weight(20, 32), torch.randn(20)
    mask = weight != 0

    def run(function, *inputs):
        with torch.autocast("cpu", dtype):
            return gradients(function, *inputs)

    for inputs in ((x, weight, bias), (x.bfloat16(), weight, bias), (x, weight.bfloat16(), bias)):
        expected = run(F.linear, *inputs)
        for kept in (None, mask):
            ours = run(lambda *inputs: ops.linear24(*inputs, kept), *inputs)
            assert ours[0].dtype == dtype
            for one, two in zip(ours, expected):
                assert one.dtype == two.dtype
                close(one / two.abs().max(), two / two.abs().max(), torch.bfloat16)
    with torch.autocast("cpu", dtype):
        assert ops.linear24_packed(x, *ops.pack24(weight), bias).dtype == dtype
        dz = torch.randn(6, 20)
        assert ops.input_gradient24(dz, torch.zeros(20, 32).to(dtype)).dtype == dtype
        assert ops.weight_gradient24(dz.to(dtype), x[0], 1, 2).dtype == dtype
        assert ops.soft_threshold24(weight)[0].dtype == torch.float32
        prepared = Weight24(weight.bfloat16())
        assert ops.linear24_prepared(x, prepared, bias).dtype == torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert ops.linear24(x, weight).dtype == torch.float32
    fails("the weight is Float, but the first argument BFloat16", ops.linear24, x.bfloat16(), weight)


def test_autocast_has_rules_on_every_device():
    for name in ("linear24", "linear24_packed", "input_gradient24", "weight_gradient24"):
        for key in ("AutocastCPU", "AutocastCUDA"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key(f"twofour::{name}", key)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused_in_one_line(layout):
    nested = torch.nested.nested_tensor([torch.randn(2, 8), torch.randn(3, 8)], layout=layout)
    weight = sparse_weight(4, 8)
    fails("twofour::linear24 takes no nested tensors", ops.linear24, nested, weight)
    fails("twofour::magnitude_mask takes no nested tensors", ops.magnitude_mask, nested, 2, 4)
    fails("twofour::mvue24 takes no nested tensors", ops.mvue24, nested, 1, 2)
    fails("twofour::sparsegpt takes no nested tensors", ops.sparsegpt, nested, torch.eye(8), 2, 4)
    fails("takes no nested tensors", ops.linear24_prepared, nested, Weight24(weight))
    with torch.no_grad():
        fails("twofour::linear24 takes no nested tensors", ops.linear24, nested, weight)


# Checkpointing and export

def test_a_checkpointed_layer_has_the_same_gradients():
    x, weight, bias = torch.randn(6, 32), sparse_weight(20, 32), torch.randn(20)
    mask = ops.magnitude_mask(weight, 2, 4)

    def layer(*inputs):
        return ops.linear24(*inputs, mask, mvue=True, seed=3).relu()

    plain = gradients(layer, x, weight, bias)
    for one, two in zip(gradients(lambda *inputs: checkpoint(layer, *inputs, use_reentrant=False), x, weight,
                                  bias), plain):
        assert one.equal(two)


def test_an_exported_layer_runs_with_any_number_of_tokens():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(16, 32))

        def forward(self, x):
            return ops.linear24(x, self.weight, None, ops.magnitude_mask(self.weight.detach(), 2, 4)).relu()

    layer, tokens = Layer(), torch.export.Dim("tokens", min=2)
    exported = torch.export.export(layer, (torch.randn(6, 32),), dynamic_shapes=({0: tokens},)).module()
    for count in (2, 6, 70):
        x = torch.randn(count, 32)
        torch.testing.assert_close(exported(x), layer(x))
