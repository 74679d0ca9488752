"""Random calls of torch.ops.twofour with odd shapes, any strides, every dtype and option, each compared with a plain
PyTorch expression. TWOFOUR_CALLS is their number for each operator, TWOFOUR_SEED the first."""

import os
import random

import pytest
import torch
import torch.nn.functional as F

from torch_operators import DTYPES, TOLERANCE, error, magnitude_mask, ops

CALLS = int(os.environ.get("TWOFOUR_CALLS", 100))
SEED = int(os.environ.get("TWOFOUR_SEED", 1))
WIDTHS = [4, 8, 12, 20, 36, 64, 68, 100, 132, 260]


class Draw(random.Random):
    def dtype(self):
        return self.choice(DTYPES)

    def leading(self):
        """The shape before the last dimension."""
        return self.choice([(), (1,), (3,), (17,), (64,), (65,), (130,), (2, 3), (1, 5, 1), (4, 1, 33), (0,),
                            (2, 0)])

    def laid(self, tensor):
        """The same values in another memory layout."""
        way = self.randrange(6)
        if tensor.dim() == 0 or way == 0:
            return tensor
        if way == 1 and tensor.dim() > 1:  # transposed
            return tensor.transpose(-1, 0).contiguous().transpose(-1, 0)
        if way == 2:  # a part of a wider one, not aligned
            wide = F.pad(tensor, (self.randrange(1, 4), self.randrange(4)), value=float("nan")) \
                if tensor.is_floating_point() else F.pad(tensor, (1, 2))
            start = next(i for i in range(4) if wide[..., i:i + tensor.shape[-1]].equal(tensor))
            return wide[..., start:start + tensor.shape[-1]]
        if way == 3:  # every other entry
            return torch.stack([tensor, torch.zeros_like(tensor)], -1)[..., 0]
        if way == 4:  # every other row
            return torch.cat([tensor, torch.zeros_like(tensor)], -1)[..., :tensor.shape[-1]]
        if way == 5 and tensor.dim() > 1 and tensor.shape[0] == 1:
            return tensor[:1].expand(tensor.shape)
        return tensor

    def tensor(self, *shape, dtype):
        return torch.randn(*shape).to(dtype)

    def sparse(self, rows, columns, dtype):
        weight = torch.randn(rows, columns)
        return (weight * magnitude_mask(weight, 2, 4)).to(dtype)


def same(ours, theirs, dtype):
    assert ours.dtype == dtype and ours.shape == theirs.shape
    if theirs.numel() and theirs.float().abs().max() > 0:
        assert error(ours, theirs) < TOLERANCE[dtype]


def linear(draw):
    dtype, columns, rows = draw.dtype(), draw.choice(WIDTHS), draw.choice(WIDTHS + [1, 7, 33])
    x, dense = draw.tensor(*draw.leading(), columns, dtype=dtype), draw.tensor(rows, columns, dtype=dtype)
    transposable = rows % 4 == 0 and draw.random() < 0.3
    mask = ops.transposable_mask24(dense) if transposable else magnitude_mask(dense, 2, 4)
    bias = draw.tensor(rows, dtype=dtype) if draw.random() < 0.5 else None
    is_masked, options = draw.random() < 0.5, {"transposable": transposable}
    weight = dense if is_masked else dense * mask
    inputs = [draw.laid(each).detach().requires_grad_() for each in (x, weight, bias) if each is not None]
    call = [inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None, draw.laid(mask) if is_masked else None]
    ours = ops.linear24(*call, **options)
    plain = [each.detach().float().requires_grad_() for each in (x, dense * mask, bias) if each is not None]
    theirs = F.linear(*plain)
    same(ours, theirs, dtype)
    dz = torch.randn(theirs.shape).to(dtype)
    for one, two in zip(torch.autograd.grad(ours, inputs, dz), torch.autograd.grad(theirs, plain, dz.float())):
        same(one, two, dtype)
    with torch.no_grad():
        packed = [draw.laid(each) for each in ops.pack24(dense, mask)]
        same(ops.linear24_packed(call[0], *packed, call[2]), theirs, dtype)
        prepared = torch.classes.twofour.Weight24(draw.laid(dense * mask))
        same(ops.linear24_prepared(call[0], prepared, call[2]), theirs, dtype)


def gradient_products(draw):
    dtype, rows, columns = draw.dtype(), 4 * draw.randrange(1, 30), draw.randrange(1, 150)
    tokens = draw.choice([0, 1, 3, 16, 70, 129])
    dz, x = draw.tensor(tokens, rows, dtype=dtype), draw.tensor(tokens, columns, dtype=dtype)
    weight = draw.sparse(columns, rows, dtype).t()  # 2:4 along its columns
    same(ops.input_gradient24(draw.laid(dz), draw.laid(weight)), dz.float() @ weight.float(), dtype)
    stream = [draw.randrange(2**40), draw.randrange(2**32), draw.randrange(2**32), draw.randrange(2**32)]
    exact = draw.random() < 0.5
    estimate = ops.mvue24(dz, *stream, exact)
    assert ops.mvue24(draw.laid(dz), *stream, exact).equal(estimate)
    ours = ops.weight_gradient24(draw.laid(dz), draw.laid(x), *stream, exact)
    same(ours, estimate.float().t() @ x.float(), dtype)


def masks(draw):
    dtype, group = draw.dtype(), draw.randrange(1, 9)
    kept, shape = draw.randrange(group + 1), (*draw.leading(), group * draw.randrange(1, 30))
    weight = torch.randint(-5, 6, shape).to(dtype) if draw.random() < 0.3 else draw.tensor(*shape, dtype=dtype)
    mask = ops.magnitude_mask(draw.laid(weight), kept, group)
    assert mask.equal(magnitude_mask(weight, kept, group))
    assert ops.apply_mask(draw.laid(weight), draw.laid(mask)).equal(weight * mask)
    bits = ops.pack_mask(draw.laid(mask))
    assert ops.unpack_mask(draw.laid(bits), mask.shape).equal(mask)
    other = torch.rand(shape) < 0.5
    assert ops.mask_flips(draw.laid(mask), draw.laid(other)) == (mask ^ other).sum()


def thresholds(draw):
    dtype, scale = draw.dtype(), draw.choice([1.0, 0.5, 1.75])
    weight = draw.tensor(*draw.leading(), 4 * draw.randrange(1, 40), dtype=dtype)
    groups = weight.float().reshape(-1, 4)
    threshold = groups.abs().sort(-1).values[:, 1:2]
    shrunk = (groups.sign() * (groups.abs() - threshold).clamp(min=0)).reshape(weight.shape)
    out, mask = ops.soft_threshold24(draw.laid(weight), scale)
    assert out.equal((scale * shrunk).to(dtype)) and mask.equal(magnitude_mask(weight, 2, 4))
    same(ops.round_to_float8(draw.laid(weight), "e5m2", scale),
         (weight.float() * scale).to(torch.float8_e5m2).float() / scale, dtype)


def packing(draw):
    dtype = draw.dtype()
    weight = draw.sparse(draw.randrange(1, 80), 4 * draw.randrange(1, 80), dtype)
    values, positions = ops.pack24(draw.laid(weight))
    assert ops.unpack24(draw.laid(values), draw.laid(positions)).equal(weight)
    dense = draw.tensor(*weight.shape, dtype=dtype)
    mask = magnitude_mask(dense, 2, 4)
    assert ops.unpack24(*ops.pack24(draw.laid(dense), draw.laid(mask))).equal(dense * mask)


@pytest.mark.parametrize("call", [linear, gradient_products, masks, thresholds, packing])
def test_calls_of_any_shape_and_strides_are_the_plain_expression(call):
    for number in range(CALLS):
        seed = SEED * 1000003 + number
        torch.manual_seed(seed)
        try:
            call(Draw(seed))
        except Exception as problem:
            raise AssertionError(f"TWOFOUR_SEED={SEED}, call {number} of {call.__name__}") from problem
