"""`prune` gives what the published loop in plain PyTorch (bench/peers/one_shot.py) gives on the same samples."""

import json
import math
import pathlib
import sys

import numpy
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench/peers"))
import one_shot  # noqa: E402
from hugging_face import perplexity  # noqa: E402

VOCABULARY, CONTEXT, STEPS = 96, 48, 120
LLAMA = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False)
FAMILIES = {
    "llama": LLAMA,
    "gpt2": dict(vocab_size=VOCABULARY, n_positions=64, n_embd=64, n_layer=3, n_head=4, n_inner=96),
    "gpt_neox": dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
                     num_attention_heads=4, max_position_embeddings=64, attention_dropout=0.0, hidden_dropout=0.0),
    "qwen2": LLAMA,
}
TWO_OF_FOUR, HALF = dict(kept=2, group=4), dict(kept=0, group=0, sparsity=0.5)
SPARSEGPT = ["--method", "sparsegpt", "--reweight", "none"]
# Name -> the program's options and the peer's.
CASES = {
    "magnitude": (["--method", "magnitude", "--pattern", "2:4"], ("magnitude", TWO_OF_FOUR)),
    "magnitude-unstructured": (["--method", "magnitude", "--sparsity", 0.5], ("magnitude", HALF)),
    "wanda": (["--method", "wanda", "--pattern", "2:4"], ("wanda", TWO_OF_FOUR)),
    "wanda-4:8": (["--method", "wanda", "--pattern", "4:8"], ("wanda", dict(kept=4, group=8))),
    "wanda-unstructured": (["--method", "wanda", "--sparsity", 0.5], ("wanda", HALF)),
    "ria": (["--method", "ria", "--pattern", "2:4"], ("ria", TWO_OF_FOUR)),
    "sparsegpt": ([*SPARSEGPT, "--pattern", "2:4"], ("sparsegpt", TWO_OF_FOUR)),
    "sparsegpt-1:4": ([*SPARSEGPT, "--pattern", "1:4"], ("sparsegpt", dict(kept=1, group=4))),
    "sparsegpt-unstructured": ([*SPARSEGPT, "--sparsity", 0.5], ("sparsegpt", HALF)),
    "sparsegpt-masks": (["--method", "sparsegpt", "--pattern", "2:4", "--no-update-weights"],
                        ("sparsegpt", dict(TWO_OF_FOUR, update=False))),
    "sparsegpt-masks-unstructured": (["--method", "sparsegpt", "--sparsity", 0.5, "--no-update-weights"],
                                     ("sparsegpt", dict(HALF, update=False))),
    "sparsegpt-dense": ([*SPARSEGPT, "--pattern", "2:4", "--calibrate", "dense"],
                        ("sparsegpt", dict(TWO_OF_FOUR, dense=True))),
}


def language(tokens, seed):
    """Ids that a small model learns with its attention: three quarters follow from the id two before."""
    random = numpy.random.default_rng(seed)
    jumps, chosen = random.integers(0, VOCABULARY, tokens), random.random(tokens) < 0.25
    ids = [0, 1]
    for i in range(2, tokens):
        ids.append(int(jumps[i]) if chosen[i] else (5 * ids[-2] + 7) % VOCABULARY)
    return numpy.array(ids, dtype=numpy.uint16)


def trained(family):
    torch.set_num_threads(1)  # in products so small, threads would only wait for each other
    torch.manual_seed(5)
    config = AutoConfig.for_model(family, **FAMILIES[family], eos_token_id=None, bos_token_id=None)
    model = AutoModelForCausalLM.from_config(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batches = torch.from_numpy(language(STEPS * 8 * CONTEXT, 1).astype(numpy.int64)).view(STEPS, 8, CONTEXT)
    for ids in batches:
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture(scope="module", params=FAMILIES)
def dense(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    trained(request.param).save_pretrained(folder / "model")
    language(20000, 2).tofile(folder / "calibration.bin")
    language(40 * CONTEXT, 3).tofile(folder / "test.bin")
    return folder


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def perplexity_of(model, ids):
    with torch.inference_mode():
        result = perplexity(model, ids, CONTEXT, 8)
    return math.exp(result["nll"] / result["tokens"])


def prune(twofour, dense, out, *options):
    done = twofour("prune", "--model", dense / "model", "--calibration", dense / "calibration.bin", "--samples", 12,
                   "--context", CONTEXT, "--seed", 3, "--save-samples", out / "samples.bin", "--out", out / "model",
                   "--json", *options)
    samples = one_shot.read_ids(out / "samples.bin", VOCABULARY).view(12, CONTEXT)
    return json.loads(done.stdout), samples


def stored_masks(folder, shapes):
    masks = {}
    for name, bits in load_file(folder / "masks.safetensors").items():
        shape = shapes[name.removesuffix(".mask")]
        entries = numpy.unpackbits(bits.numpy())[:shape.numel()]
        masks[name.removesuffix(".mask")] = torch.from_numpy(entries.astype(bool)).view(shape)
    return masks


def weights_of(model):
    """By name, [out, in]."""
    blocks, prefix = one_shot.blocks_of(model)
    return {f"{prefix}.{number}.{name}.weight": one_shot.weight_of(layer) for number, block in enumerate(blocks)
            for name, layer in one_shot.linears_of(block).items()}


def same_but_for_ties(masks, expected):
    """The sums of both round differently, so near ties may fall either way, and then later entries of the row."""
    assert masks.keys() == expected.keys()
    different = sum(int((masks[name] != expected[name]).sum()) for name in masks)
    return different <= 0.002 * sum(mask.numel() for mask in masks.values())


def prune_alike(model, samples, ours, method, changes):
    """The peer's masks and weights of every block, each after the program's blocks before it: one tie that falls the
    other way would change all later blocks a little."""
    given, weights = weights_of(ours), {}

    def after_block(number, _):
        for name, weight in weights_of(model).items():
            if f".{number}." in name:
                weights[name] = weight.clone()
                weight.copy_(given[name])

    masks = one_shot.prune_model(model, samples, method, after_block=after_block, **changes)
    for name, weight in weights_of(model).items():
        weight.copy_(weights[name])
    return masks, weights


@pytest.mark.parametrize("case", CASES)
def test_every_block_is_pruned_as_by_the_published_loop(twofour, dense, tmp_path, case):
    options, (method, changes) = CASES[case]
    summary, samples = prune(twofour, dense, tmp_path, *options)
    peer, ours = load(dense / "model"), load(tmp_path / "model")
    expected, peer_weights = prune_alike(peer, samples, ours, method, changes)
    masks = stored_masks(tmp_path / "model", {name: mask.shape for name, mask in expected.items()})
    assert {layer["name"] for layer in summary["layers"]} == masks.keys()
    assert same_but_for_ties(masks, expected)
    for name, weight in weights_of(ours).items():
        assert not weight[~masks[name]].any()
        same_rows = (masks[name] == expected[name]).all(dim=1)
        gap = (weight - peer_weights[name])[same_rows].abs().max()
        assert gap <= 1e-3 * peer_weights[name].abs().max(), name

    test = one_shot.read_ids(dense / "test.bin", VOCABULARY)
    pruned = perplexity_of(ours, test)
    assert pruned == pytest.approx(perplexity_of(peer, test), rel=1e-3)
    evaluated = json.loads(twofour("eval", "perplexity", "--model", tmp_path / "model", "--data", dense / "test.bin",
                                   "--context", CONTEXT, "--json").stdout)
    assert evaluated["perplexity"] == pytest.approx(pruned, rel=1e-5)


@pytest.mark.parametrize("case", ["wanda", "sparsegpt"])
def test_the_whole_chain_has_the_perplexity_of_the_published_loop(twofour, dense, tmp_path, case):
    options, (method, changes) = CASES[case]
    _, samples = prune(twofour, dense, tmp_path, *options)
    peer = load(dense / "model")
    expected = one_shot.prune_model(peer, samples, method, **changes)
    masks = stored_masks(tmp_path / "model", {name: mask.shape for name, mask in expected.items()})
    first = [name for name in masks if ".0." in name]
    assert same_but_for_ties({name: masks[name] for name in first}, {name: expected[name] for name in first})
    has_ties = any(not torch.equal(masks[name], expected[name]) for name in masks)
    test = one_shot.read_ids(dense / "test.bin", VOCABULARY)
    assert perplexity_of(load(tmp_path / "model"), test) == pytest.approx(perplexity_of(peer, test),
                                                                          rel=1e-2 if has_ties else 1e-3)


def test_masks_alone_leave_every_weight(twofour, dense, tmp_path):
    _, samples = prune(twofour, dense, tmp_path, "--method", "sparsegpt", "--pattern", "2:4", "--mask-only",
                       "--calibrate", "dense")
    peer = load(dense / "model")
    expected = one_shot.prune_model(peer, samples, "sparsegpt", update=False, dense=True)
    masks = stored_masks(tmp_path / "model", {name: mask.shape for name, mask in expected.items()})
    assert same_but_for_ties(masks, expected)
    before, after = (load(folder / "model").state_dict() for folder in (dense, tmp_path))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_models_have_learned_something(dense):
    """Otherwise all perplexities would be alike."""
    model = load(dense / "model")
    ids = one_shot.read_ids(dense / "test.bin", VOCABULARY)
    whole = perplexity_of(model, ids)
    one_shot.prune_model(model, ids[:12 * CONTEXT].view(12, CONTEXT), "magnitude", 1, 4)
    assert whole < 0.6 * VOCABULARY
    assert perplexity_of(model, ids) > 1.02 * whole
