"""`learn` against the published formulation in plain PyTorch (bench/peers/learned_masks.py), fed the same noise."""

import json
import math
import sys

import numpy
import pytest
import torch
from conftest import ROOT
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(ROOT / "bench/peers"))
import learned_masks  # noqa: E402
from prune_chain_test import CONTEXT, language, trained  # noqa: E402

STEPS, BATCH, SEED = 12, 2, 7
INITIAL_WEIGHTS, DATA_ORDER = 0x80000000, 0x80000001  # base/random.h


def philox(counter, seed):
    """Philox4x32-10 of counter [4, n]; Salmon et al., SC 2011."""
    c = [numpy.broadcast_to(numpy.asarray(word, numpy.uint64), numpy.broadcast(*counter).shape) for word in counter]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [product1 >> 32 ^ c[1] ^ key[0], product1 & 0xFFFFFFFF, product0 >> 32 ^ c[3] ^ key[1],
             product0 & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def gumbel_noise(step, tensor, groups, candidates):
    """The noise of kernels/soft_mask/soft_mask.h: 21 bits a number, six numbers a block."""
    blocks = -(-candidates // 6)
    words = philox([numpy.arange(groups * blocks, dtype=numpy.uint64), 0, step, tensor], SEED)
    low, high = words[0] | words[1] << 32, words[2] | words[3] << 32
    numbers = []
    for k in range(6):
        shift = 21 * k
        bits = low >> shift if shift < 64 else high >> (shift - 64)
        if shift < 64 < shift + 21:
            bits = bits | high << (64 - shift)
        numbers.append(bits & 0x1FFFFF)
    u = (numpy.stack(numbers, 1).reshape(groups, -1)[:, :candidates] + 0.5) * 2.0**-21
    return torch.from_numpy(-numpy.log(-numpy.log(u))).float()


def initial_logits(tensor, count, deviation=0.01):
    """Box and Muller's normal numbers, as model/initialise.cc draws them."""
    words = philox([numpy.arange((count + 1) // 2, dtype=numpy.uint64), tensor, 0, INITIAL_WEIGHTS], SEED)
    radius = numpy.float32(deviation) * numpy.sqrt(-2 * numpy.log((words[0] + 1.0) * 2.0**-32))
    angle = 2 * math.pi * words[1] * 2.0**-32
    both = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], 1)
    return torch.from_numpy(both.reshape(-1)[:count]).float()


def window_starts(tokens, count):
    """The windows of text/batches.h."""
    windows = (tokens - 1) // CONTEXT
    half = (max(windows - 1, 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    starts = []
    for position in range(count):
        epoch, value = divmod(position, windows)
        spare = tokens - 1 - windows * CONTEXT
        offset = int(philox([0, 6, epoch, DATA_ORDER], SEED)[0]) % (spare + 1)
        while True:
            left, right = value >> half, value & mask
            for turn in range(6):
                left, right = right, left ^ (int(philox([right, turn, epoch, DATA_ORDER], SEED)[0]) & mask)
            value = left << half | right
            if value < windows:
                break
        starts.append(offset + CONTEXT * value)
    return starts


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def dense(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    trained(request.param).save_pretrained(folder / "model")
    (folder / "data").mkdir()
    language(20000, 2).tofile(folder / "data/train.bin")
    return folder


def run_peer(folder, hard, mask_of):
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).train()
    layers = learned_masks.learn_masks_of(model, hard=hard)
    now = [0]
    for number, (name, layer) in enumerate(layers.items()):
        groups, candidates = layer.logits.shape
        logits = initial_logits(number, layer.logits.numel()).view_as(layer.logits)
        if mask_of:
            logits = learned_masks.add_prior(logits, mask_of(layer.weight), layer.candidates, 3.0)
        layer.logits.data.copy_(logits)
        layer.noise = lambda number=number, groups=groups, candidates=candidates: gumbel_noise(
            now[0], number, groups, candidates)
    ids = numpy.fromfile(folder / "data/train.bin", dtype=numpy.uint16).astype(numpy.int64)
    starts = window_starts(len(ids), STEPS * BATCH)
    learner = learned_masks.Learner(model, layers, STEPS, lr=2e-3, min_lr=2e-4, regularisation=1e-4)
    losses = []
    for step in range(STEPS):
        now[0] = step
        windows = [ids[start:start + CONTEXT + 1] for start in starts[step * BATCH:(step + 1) * BATCH]]
        losses.append(learner.step(step, torch.from_numpy(numpy.stack(windows))))
    return losses, layers


def largest_of_each_group(weight):
    """Of equals, the later."""
    groups = weight.detach().abs().reshape(-1, 4)
    order = groups.flip(1).argsort(dim=1, descending=True, stable=True)[:, :2]
    mask = torch.zeros_like(groups).scatter_(1, order, 1).flip(1)
    return mask


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("prior", ["none", "magnitude"])
def test_the_loss_and_the_logits_follow_the_published_formulation(twofour, dense, tmp_path, hard, prior):
    torch.set_num_threads(1)
    run = tmp_path / "run"
    twofour("learn", "--model", dense / "model", "--data", dense / "data", "--out", run, "--steps", STEPS, "--batch",
            BATCH, "--context", CONTEXT, "--seed", SEED, "--lr", 2e-3, "--weight-reg", 1e-4, "--prior", prior,
            "--log-every", 1, "--threads", 1, *(["--hard"] if hard else []), timeout=300)
    losses, layers = run_peer(dense, hard, largest_of_each_group if prior == "magnitude" else None)
    steps = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line for line in steps if line["event"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert [line["loss"] for line in steps] == pytest.approx(losses, rel=2e-5)
    stored = load_file(run / f"checkpoints/step-{STEPS:07}/logits.safetensors")
    assert set(stored) == {f"{name}.logits" for name in layers}
    for name, layer in layers.items():
        logits = torch.from_numpy(stored[f"{name}.logits"]).view_as(layer.logits)
        assert (logits - layer.logits.detach()).abs().max() < 0.02 * layer.logits.detach().std(), name
