"""The peer of `prune`: the published one-shot loop in plain PyTorch on a transformers model, block by block.

Magnitude, Wanda (arXiv 2306.11695), RIA (ICLR 2024) and SparseGPT (arXiv 2301.00774), N:M and unstructured, with and
without weight updates, in float32 on the CPU. Masks are bool, True = kept. The functions on tensors also serve the
tests and `bench/prune.py`. As a script it prunes a folder, writes the result with masks.safetensors, and prints one
JSON object.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import numpy
import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from hugging_face import perplexity  # noqa: E402

METHODS = ("magnitude", "wanda", "ria", "sparsegpt")


class Statistics:
    """What the methods need of a layer's inputs, summed batch by batch: H = 2 XᵀX / n and ‖X_j‖² / n, n = sequences.

    The running mean is rescaled by every batch, in float32, as the published classes do.
    """

    def __init__(self, inputs, hessian=True):
        self.sequences = 0
        self.squares = torch.zeros(inputs)
        self.hessian = torch.zeros(inputs, inputs) if hessian else None

    def add(self, x):
        """x [sequences, tokens, in], or the tokens of one sequence [tokens, in]."""
        count = x.shape[0] if x.dim() == 3 else 1
        total = self.sequences + count
        x = x.reshape(-1, x.shape[-1]).float()
        self.squares.mul_(self.sequences / total).add_(x.norm(dim=0) ** 2 / total)
        if self.hessian is not None:
            self.hessian.mul_(self.sequences / total)
            x = math.sqrt(2 / total) * x
            self.hessian.add_(x.t() @ x)
        self.sequences = total

    @property
    def norm(self):
        """‖X_j‖₂ [in]."""
        return (self.squares * self.sequences).sqrt()


def keep_largest(scores, kept, group, sparsity, scope="row"):
    """The mask of the `kept` largest scores of every group, the later of equals; with group 0 all but
    floor(sparsity * entries) of each row, or of the whole matrix (scope "matrix")."""
    rows, columns = scores.shape
    sets = scores.reshape(-1, group) if group else scores if scope == "row" else scores.reshape(1, -1)
    drop = group - kept if group else int(sets.shape[1] * sparsity)
    mask = torch.ones_like(sets, dtype=torch.bool)
    mask.scatter_(1, sets.sort(dim=1, stable=True).indices[:, :drop], False)
    return mask.view(rows, columns)


def wanda_scores(weight, norm):
    return weight.abs() * norm


def ria_scores(weight, norm, power=0.5):
    size = weight.abs()
    relative = size / size.sum(dim=0, keepdim=True) + size / size.sum(dim=1, keepdim=True)
    return relative.nan_to_num() * norm**power


def inverse_factor(hessian, damping=0.01):
    """The upper Cholesky factor of (H + λI)⁻¹, λ = damping * mean(diag H), and which inputs are dead."""
    hessian = hessian.clone()
    diagonal = hessian.diagonal()
    dead = diagonal == 0
    diagonal[dead] = 1
    diagonal += damping * diagonal.mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    return torch.linalg.cholesky(inverse, upper=True), dead


def removed_of_block(scores, sparsity):
    """Unstructured: the entries up to the threshold at floor(sparsity * entries), which itself goes, as published."""
    threshold = scores.flatten().sort().values[int(scores.numel() * sparsity)]
    return scores <= threshold


def sparsegpt_mask(weight, hessian, kept=2, group=4, *, sparsity=0.5, block=128, damping=0.01):
    """The mask of SparseGPT's scores of the untouched weights."""
    factor, dead = inverse_factor(hessian, damping)
    scores = weight.masked_fill(dead, 0) ** 2 / factor.diagonal() ** 2
    if group:
        return keep_largest(scores, kept, group, sparsity)
    return torch.cat([~removed_of_block(part, sparsity) for part in scores.split(block, dim=1)], dim=1)


def sparsegpt(weight, hessian, kept=2, group=4, *, sparsity=0.5, block=128, damping=0.01):
    """The column loop: (weight, mask). kept = group = 0: unstructured, by sparsity in every block."""
    factor, dead = inverse_factor(hessian, damping)
    weight = weight.float().masked_fill(dead, 0)
    removed = torch.zeros_like(weight, dtype=torch.bool)
    for first in range(0, weight.shape[1], block):
        last = min(first + block, weight.shape[1])
        part, local = weight[:, first:last].clone(), factor[first:last, first:last]
        pivots, out = local.diagonal(), removed[:, first:last]
        errors = torch.zeros_like(part)
        if not group:
            out.copy_(removed_of_block(part**2 / pivots**2, sparsity))
        for j in range(last - first):
            if group and j % group == 0:
                scores = part[:, j:j + group] ** 2 / pivots[j:j + group] ** 2
                out.scatter_(1, j + scores.topk(group - kept, dim=1, largest=False).indices, True)
            column = part[:, j]
            pruned = column.masked_fill(out[:, j], 0)
            error = (column - pruned) / pivots[j]
            part[:, j:] -= error[:, None].matmul(local[j, j:][None])
            part[:, j] = pruned
            errors[:, j] = error
        weight[:, first:last] = part
        weight[:, last:] -= errors @ factor[first:last, last:]
    return weight, ~removed


def prune_layer(weight, statistics, method, kept=2, group=4, *, sparsity=0.5, update=True):
    """One layer, weight [out, in]: (weight, mask)."""
    if method == "sparsegpt" and update:
        return sparsegpt(weight, statistics.hessian, kept, group, sparsity=sparsity)
    if method == "sparsegpt":
        mask = sparsegpt_mask(weight, statistics.hessian, kept, group, sparsity=sparsity)
    elif method == "magnitude":
        mask = keep_largest(weight.abs(), kept, group, sparsity, "matrix")
    else:
        scores = {"wanda": wanda_scores, "ria": ria_scores}[method](weight, statistics.norm)
        mask = keep_largest(scores, kept, group, sparsity)
    return weight * mask, mask


def blocks_of(model):
    """The decoder's blocks and the prefix of their names."""
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == model.config.num_hidden_layers:
            return module, name
    raise ValueError("no list of blocks in this model")


def linears_of(block):
    return {name: module for name, module in block.named_modules() if isinstance(module, (nn.Linear, Conv1D))}


def weight_of(layer):
    """[out, in], a view: Conv1D stores it transposed."""
    return layer.weight.data.t() if isinstance(layer, Conv1D) else layer.weight.data


class _Stop(Exception):
    pass


def first_inputs(model, block, samples):
    """The inputs of the first block for each sample, and its other arguments, which all samples share."""
    inputs, others = [], {}

    def record(_, args, kwargs):
        inputs.append(args[0] if args else kwargs.pop("hidden_states"))
        others.update(args=args[1:], kwargs={key: value for key, value in kwargs.items() if key != "hidden_states"})
        raise _Stop

    handle = block.register_forward_pre_hook(record, with_kwargs=True)
    for sample in samples:
        try:
            model(sample[None], use_cache=False)
        except _Stop:
            pass
    handle.remove()
    return inputs, others


@torch.no_grad()
def prune_model(model, samples, method, kept=2, group=4, *, sparsity=0.5, update=True, dense=False,
                after_block=None):
    """Prunes the linear layers of all blocks in place on samples [S, context]: {weight name: mask [out, in]}.

    A block's layers are observed while the block is still dense. The next block's inputs come from the pruned block,
    or with `dense` from the block as it was. after_block(number, block) is called when a block is pruned, and may still
    change it.
    """
    blocks, prefix = blocks_of(model)
    inputs, others = first_inputs(model, blocks[0], samples)
    masks = {}
    for number, block in enumerate(blocks):

        def run(x):
            output = block(x, *others["args"], **others["kwargs"])
            return output[0] if isinstance(output, tuple) else output

        layers = linears_of(block)
        statistics = {name: Statistics(weight_of(layer).shape[1], method == "sparsegpt")
                      for name, layer in layers.items()}
        handles = [layer.register_forward_pre_hook(lambda _, args, name=name: statistics[name].add(args[0]))
                   for name, layer in layers.items()]
        outputs = [run(x) for x in inputs]
        for handle in handles:
            handle.remove()
        for name, layer in layers.items():
            weight = weight_of(layer)
            pruned, mask = prune_layer(weight.clone(), statistics[name], method, kept, group, sparsity=sparsity,
                                       update=update)
            weight.copy_(pruned)
            masks[f"{prefix}.{number}.{name}.weight"] = mask
        if after_block:
            after_block(number, block)
        inputs = outputs if dense else [run(x) for x in inputs]
    return masks


def read_ids(path, vocabulary):
    if path.suffix == ".npy":
        ids = numpy.load(path)
    else:
        ids = numpy.fromfile(path, dtype=numpy.uint16 if vocabulary <= 65536 else numpy.uint32)
    return torch.from_numpy(ids.astype(numpy.int64)).flatten()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", type=pathlib.Path, help="the samples one after another: .npy, or a flat .bin")
    parser.add_argument("--context", type=int, required=True, help="ids of a sample")
    parser.add_argument("--method", choices=METHODS, default="sparsegpt")
    parser.add_argument("--pattern", default="2:4", help="N:M, or a share of zeros such as 0.5")
    parser.add_argument("--no-update", action="store_true", help="SparseGPT's mask of the untouched weights")
    parser.add_argument("--dense", action="store_true", help="observe every block on the dense model's activations")
    parser.add_argument("--evaluate", type=pathlib.Path, help="ids to compute the perplexity on, before and after")
    parser.add_argument("--out", help="folder for the pruned model and masks.safetensors")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    kept, group = map(int, args.pattern.split(":")) if ":" in args.pattern else (0, 0)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()

    def evaluate():
        ids = read_ids(args.evaluate, model.config.vocab_size)
        with torch.inference_mode():
            result = perplexity(model, ids, args.context, 1)
        return math.exp(result["nll"] / result["tokens"])

    result = {"dense_perplexity": evaluate()} if args.evaluate else {}
    samples = read_ids(args.ids, model.config.vocab_size).view(-1, args.context)
    start = time.perf_counter()
    masks = prune_model(model, samples, args.method, kept, group, sparsity=0.0 if group else float(args.pattern),
                        update=not args.no_update, dense=args.dense)
    result["seconds"] = time.perf_counter() - start
    result["zeros"] = sum(int((~mask).sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    if args.evaluate:
        result["perplexity"] = evaluate()
    if args.out:
        from safetensors.torch import save_file

        model.save_pretrained(args.out)
        save_file({name: mask.to(torch.uint8) for name, mask in masks.items()},
                  pathlib.Path(args.out, "masks.safetensors"))
    print(json.dumps(result) if args.json else "\n".join(f"{key}: {value:.6g}" for key, value in result.items()))


if __name__ == "__main__":
    main()
