"""torch.ops.twofour under torch.compile's code generator, AOTInductor, DataLoader, DDP and FSDP2, and with tensors
of more than 4 GiB. Slow: compilers and processes start."""

import pytest
import torch
import torch.nn.functional as F

from torch_operators import error, gradients, magnitude_mask, ops, run_program, sparse_weight


@pytest.fixture(autouse=True)
def fixed_seed(tmp_path, monkeypatch):
    torch.manual_seed(11)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))


class Layer(torch.nn.Module):
    """A masked product, trained with an estimate."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = torch.nn.Parameter(torch.randn(16, 32)), torch.nn.Parameter(torch.randn(16))

    def forward(self, x):
        mask = ops.magnitude_mask(self.weight.detach(), 2, 4)
        return ops.linear24(x, self.weight, self.bias, mask).relu()


def test_a_compiled_product_sees_a_buffer_that_is_used_again():
    """Inductor writes the pruned weight over the one that the first product has read."""
    def layer(x, weight, mask, threshold):
        first_weight = weight * mask
        first = ops.linear24(x, first_weight)
        keep = (first.abs().mean(0) > threshold).to(weight.dtype)[:, None]
        return first, ops.linear24(x, first_weight * keep)

    compiled = torch.compile(layer, fullgraph=True)
    for tokens in (80, 1, 512):
        for seed in range(4):
            torch.manual_seed(seed)
            x, weight = torch.randn(tokens, 1024), torch.randn(1024, 1024)
            mask = ops.magnitude_mask(weight, 2, 4).float()
            size = F.linear(x, weight * mask).abs().mean(0)
            threshold = size.sort().values[2:4].mean()
            expected = F.linear(x, weight * mask * (size > threshold).float()[:, None])
            with torch.no_grad():
                assert error(compiled(x, weight, mask, threshold)[1], expected) < 1e-5


def test_a_compiled_layer_has_the_gradients_of_the_eager_one():
    layer, x = Layer(), torch.randn(6, 32)
    compiled = torch.compile(layer, fullgraph=True)
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            for one, two in zip(gradients(compiled, x), gradients(layer, x)):
                assert one.dtype == two.dtype and error(one, two) < (1e-2 if autocast else 1e-5)


def test_a_layer_is_compiled_ahead_of_time(tmp_path):
    layer, x = Layer().eval(), torch.randn(6, 32)
    with torch.no_grad():
        exported = torch.export.export(layer, (x,))
        package = torch._inductor.aoti_compile_and_package(exported, package_path=str(tmp_path / "layer.pt2"))
        ours = torch._inductor.aoti_load_package(package)
        for _ in range(2):
            torch.testing.assert_close(ours(x), layer(x))
            x = torch.randn(6, 32)


LOADED = """
import sys, torch
from torch.utils.data import DataLoader, Dataset
torch.ops.load_library(sys.argv[1])
weight = torch.randn(64, 64)
weight, x = weight * torch.ops.twofour.magnitude_mask(weight, 2, 4), torch.randn(80, 64)

class Products(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.ops.twofour.linear24(x, weight).sum()

expected = torch.ops.twofour.linear24(x, weight).sum()
for batch in DataLoader(Products(), num_workers=2, timeout=60, multiprocessing_context="fork"):
    torch.testing.assert_close(batch[0], expected, rtol=1e-4, atol=1e-3)
"""


def test_workers_of_a_data_loader_can_multiply():
    run_program(LOADED)


DISTRIBUTED = """
import sys, torch
from torch.distributed.device_mesh import init_device_mesh
torch.ops.load_library(sys.argv[1])
kind, rank, store = sys.argv[2], int(sys.argv[3]), sys.argv[4]
ops = torch.ops.twofour
torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
torch.manual_seed(3)
mask = ops.magnitude_mask(torch.randn(64, 64), 2, 4)

class Layer(torch.nn.Module):
    def __init__(self, is_ours):
        super().__init__()
        self.is_ours = is_ours
        torch.manual_seed(4)
        self.weight = torch.nn.Parameter(torch.randn(64, 64) * mask)

    def forward(self, x):
        product = ops.linear24 if self.is_ours else torch.nn.functional.linear
        return product(x, self.weight)

def wrapped(layer):
    if kind == "ddp":
        return torch.nn.parallel.DistributedDataParallel(layer)
    from torch.distributed.fsdp import fully_shard
    fully_shard(layer, mesh=init_device_mesh("cpu", (2,)))
    return layer

losses = []
for is_ours in (True, False):
    model = wrapped(torch.nn.Sequential(Layer(is_ours), torch.nn.ReLU(), Layer(is_ours)))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    torch.manual_seed(5 + rank)
    x = torch.randn(80, 64)
    losses.append([])
    for step in range(5):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        for p in model.parameters():  # the pruned entries stay 0
            rows = p.grad.to_local() if kind == "fsdp2" else p.grad
            kept = mask.chunk(2)[rank] if kind == "fsdp2" else mask
            rows.mul_(kept)
        optimizer.step()
        losses[-1].append(loss.item())
torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-4, atol=1e-5)
assert losses[0][-1] < losses[0][0]
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""

PAIR = """
import subprocess, sys
ranks = [subprocess.Popen([sys.executable, "-c", sys.argv[4], sys.argv[1], sys.argv[2], str(rank), sys.argv[3]])
         for rank in range(2)]
sys.exit(any([rank.wait() for rank in ranks]))
"""


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_train_one_model(kind, tmp_path):
    run_program(PAIR, kind, tmp_path / "store", DISTRIBUTED, OMP_NUM_THREADS="1")


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_tensors_of_more_than_4_gib(dtype):
    rows, columns = 2**15 + 8, 2**16 + 64  # 2^31 entries and more, 4 GiB in 16 bits
    block = sparse_weight(8, columns, dtype)
    weight = block.repeat(rows // 8, 1)
    assert weight.nbytes > 2**32
    x = torch.randn(3, columns).to(dtype)
    expected = F.linear(x.float(), block.float()).repeat(1, rows // 8)
    assert error(ops.linear24(x, weight), expected) < 2e-2
    mask = ops.magnitude_mask(weight, 2, 4)
    assert mask[-8:].equal(magnitude_mask(block, 2, 4)) and mask[:8].equal(mask[-8:])
    values, positions = ops.pack24(weight)
    assert error(ops.linear24_packed(x, values, positions), expected) < 2e-2
    assert ops.unpack24(values[-8:], positions[-8:]).equal(block)
