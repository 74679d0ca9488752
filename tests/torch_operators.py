"""Shared by the tests of torch.ops.twofour: the library, weights and comparisons."""

import os
import pathlib
import subprocess
import sys

import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = os.path.abspath(os.environ.get("TWOFOUR_OPS", str(ROOT / "build" / "libtwofour_ops.so")))
torch.ops.load_library(LIBRARY)
ops = torch.ops.twofour

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def magnitude_mask(weight, kept, group):
    """The later of equal magnitudes is kept: a stable sort in descending order, from the end."""
    groups = weight.abs().float().reshape(-1, group).flip(-1)
    order = groups.sort(dim=-1, descending=True, stable=True).indices[:, :kept]
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, order, True)
    return mask.flip(-1).reshape(weight.shape)


def sparse_weight(rows, columns, dtype=torch.float32):
    weight = torch.randn(rows, columns)
    return (weight * magnitude_mask(weight, 2, 4)).to(dtype)


def close(ours, theirs, dtype):
    torch.testing.assert_close(ours.float(), theirs.float(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def error(ours, theirs):
    """The largest difference, relative to the largest expected entry."""
    return ((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max()).item()


def fails(part, call, *arguments, **options):
    with pytest.raises(RuntimeError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert part in message and "\n" not in message, message


def gradients(function, *inputs):
    """The result, and its gradients for one random gradient of it."""
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    out = function(*inputs)
    torch.manual_seed(5)
    return [out.detach(), *torch.autograd.grad(out, inputs, torch.randn(out.shape).to(out.dtype))]


def run_program(source, *arguments, timeout=300, **environment):
    """Runs Python source with the library and its arguments in sys.argv[1:]; returns its output."""
    command = [sys.executable, "-c", source, LIBRARY, *map(str, arguments)]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True,
                         timeout=timeout)
    assert run.returncode == 0, run.stdout + run.stderr
    return run
