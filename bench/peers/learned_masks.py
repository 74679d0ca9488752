"""The peer of `learn`: the published formulation of learned masks (MaskLLM, arXiv 2409.17481) in plain PyTorch.

LearnedMaskLinear replaces the linear layers of a transformers model; `learn` trains the masks' logits as the published
runs do. The classes also serve the tests and `bench/learn.py`. As a script it times one layer, or
learns the masks of a model folder on a token file, and prints one JSON object.
"""

import argparse
import itertools
import json
import math
import pathlib
import re
import time

import numpy
import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D


def candidates_of(kept, group):
    """[candidates, group], earlier positions first: 1100, 1010, 1001, 0110, 0101, 0011 for 2:4."""
    places = list(itertools.combinations(range(group), kept))
    table = torch.zeros(len(places), group)
    for row, place in zip(table, places):
        row[list(place)] = 1
    return table


def add_prior(logits, mask, candidates, strength):
    """logits [groups, candidates], mask [groups, group]: the overlap with every candidate, less the mean overlap."""
    kept, group = candidates[0].sum(), candidates.shape[1]
    return logits + (mask.float() @ candidates.t() - kept * kept / group) * logits.std() * strength


class LearnedMaskLinear(nn.Module):
    """z = x (W ⊙ soft mask)ᵀ + b with frozen W [out, in]. `noise`, if given, replaces the drawn Gumbel noise: a
    function without arguments that returns [groups, candidates]."""

    def __init__(self, weight, bias, kept=2, group=4, hard=False):
        super().__init__()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.register_buffer("candidates", candidates_of(kept, group).to(weight.dtype))
        drawn = torch.randn(weight.numel() // group, len(self.candidates), dtype=weight.dtype)
        self.logits = nn.Parameter(drawn * 0.01)
        self.kappa, self.tau, self.hard, self.noise = 100.0, 4.0, hard, None
        self.squares = None

    def soft_mask(self):
        scaled = self.logits * self.kappa
        if self.noise is None:
            choice = nn.functional.gumbel_softmax(scaled, tau=self.tau, hard=self.hard, dim=1)
        else:
            choice = ((scaled + self.noise()) / self.tau).softmax(1)
            if self.hard:
                one = nn.functional.one_hot(choice.argmax(1), choice.shape[1]).to(choice.dtype)
                choice = one - choice.detach() + choice
        return (choice @ self.candidates).view_as(self.weight)

    def best_mask(self):
        return self.candidates[self.logits.argmax(1)].view_as(self.weight)

    def forward(self, x):
        if not self.training:
            return nn.functional.linear(x, self.weight * self.best_mask(), self.bias)
        masked = self.weight * self.soft_mask()
        self.squares = masked.float().square().sum()
        return nn.functional.linear(x, masked, self.bias)


def learn_masks_of(model, **options):
    """Replaces every linear layer inside the blocks, freezes all else, without dropout, and returns name of a weight ->
    layer."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    layers = {}
    for path, module in list(model.named_modules()):
        if not isinstance(module, (nn.Linear, Conv1D)) or module is model.get_output_embeddings():
            continue
        weight = module.weight.t().contiguous() if isinstance(module, Conv1D) else module.weight
        layer = LearnedMaskLinear(weight, module.bias, **options)
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, layer)
        layers[f"{path}.weight"] = layer
    return layers


def at(first, last, step, steps):
    return first + (last - first) * step / steps


class Learner:
    """AdamW on the logits, cosine without warm-up, κ and τ linear, the regulariser falling to 0, clipping at 1."""

    def __init__(self, model, layers, steps, lr=5e-5, min_lr=5e-6, factor=10, regularisation=1e-5, decay=0.1, eps=1e-5,
                 kappa=(100.0, 500.0), tau=(4.0, 0.05)):
        self.model, self.layers, self.steps = model, layers, steps
        self.lr, self.min_lr, self.factor, self.regularisation = lr, min_lr, factor, regularisation
        self.kappa, self.tau = kappa, tau
        self.logits = [layer.logits for layer in layers.values()]
        self.optimizer = torch.optim.AdamW(self.logits, betas=(0.9, 0.95), eps=eps, weight_decay=decay)

    def step(self, step, ids):
        """ids [batch, context + 1]. Returns the loss without the regulariser."""
        for layer in self.layers.values():
            layer.kappa, layer.tau = at(*self.kappa, step, self.steps), at(*self.tau, step, self.steps)
        logits = self.model(ids[:, :-1], use_cache=False).logits.float()
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        term = sum(layer.squares for layer in self.layers.values())
        (loss - at(self.regularisation, 0.0, step, self.steps) * term).backward()
        nn.utils.clip_grad_norm_(self.logits, 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.factor * (self.min_lr + (self.lr - self.min_lr) * cosine)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def status_of(name):
    return int(re.search(rf"{name}:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024


def run_layer(args):
    """Milliseconds of forward and backward of one layer, and the bytes by which they raise the resident set."""
    weight = (torch.randn(args.width, args.width) * 0.02).to(getattr(torch, args.dtype))
    layer = LearnedMaskLinear(weight, None).train()
    x = torch.randn(args.tokens, args.width).to(weight.dtype).requires_grad_()
    dz = torch.randn(args.tokens, args.width).to(weight.dtype)

    def work():
        layer.logits.grad = x.grad = None
        z = layer(x)
        torch.autograd.backward([z, 1e-5 * layer.squares], [dz, torch.tensor(-1.0)])

    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status_of("VmRSS")
    work()
    added, best = status_of("VmHWM") - before, math.inf
    for _ in range(args.rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return {"ms": 1e3 * best, "added_bytes": added}


def run_steps(args):
    """The loss and the seconds of each step of a run on the model of a folder."""
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).train()
    learner = Learner(model, learn_masks_of(model), args.steps)
    ids = torch.from_numpy(numpy.fromfile(args.ids, dtype=numpy.uint16).astype(numpy.int64))
    window, losses, seconds = args.batch * (args.context + 1), [], []
    for step in range(args.steps):
        first = step * window % (len(ids) - window)
        start = time.perf_counter()
        losses.append(learner.step(step, ids[first:first + window].view(args.batch, -1)))
        seconds.append(time.perf_counter() - start)
    return {"losses": losses, "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(required=True)
    layer = tasks.add_parser("layer")
    layer.add_argument("--tokens", type=int, default=512)
    layer.add_argument("--width", type=int, default=4096)
    layer.add_argument("--rounds", type=int, default=5)
    layer.set_defaults(run=run_layer)
    step = tasks.add_parser("step")
    step.add_argument("model")
    step.add_argument("ids", help="uint16 file")
    step.add_argument("--steps", type=int, default=10)
    step.add_argument("--batch", type=int, default=4)
    step.add_argument("--context", type=int, default=256)
    step.set_defaults(run=run_steps)
    for task in (layer, step):
        task.add_argument("--dtype", default="float32")
        task.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    print(json.dumps(args.run(args)))


if __name__ == "__main__":
    main()
