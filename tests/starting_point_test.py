"""Runs that begin from a model folder: gradients, saved models, given masks and distillation, judged by PyTorch."""

import json

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models_test import MODELS, peer_perplexity, random_model

CONTEXT, BATCH = 16, 2
IDS = [int(i) for i in numpy.random.default_rng(11).integers(0, 97, 400)]
# One step whose state shows the gradient: Adam's first moment with β1 = 0.
ONE_STEP = ["--steps", 1, "--batch", BATCH, "--context", CONTEXT, "--warmup", 0, "--beta1", 0, "--clip", 0, "--lr", 1e-3]
STEPS = ["--batch", BATCH, "--context", CONTEXT, "--warmup", 0, "--lr", 1e-2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    numpy.asarray(IDS, dtype=numpy.uint16).tofile(folder / "train.bin")
    return folder


def is_transposed(name, tensor):
    return ".h." in name and tensor.dim() == 2


def gradients_of(run, step=1):
    state = load_file(run / f"checkpoints/step-{step:07}/optimizer.safetensors")
    return {name.removeprefix("exp_avg."): tensor for name, tensor in state.items() if name.startswith("exp_avg.")}


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    """A file of exactly BATCH windows, so that a step sees all of it whatever the order."""
    folder = tmp_path_factory.mktemp("whole")
    numpy.asarray(IDS[:BATCH * CONTEXT + 1], dtype=numpy.uint16).tofile(folder / "train.bin")
    rows = [IDS[i * CONTEXT:(i + 1) * CONTEXT + 1] for i in range(BATCH)]
    return folder, torch.tensor(rows)


def loss_of(model, rows):
    logits = model(rows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_and_the_saved_model_equal_pytorch(twofour, whole_file, tmp_path, name):
    folder, rows = whole_file
    model = random_model(name)
    model.save_pretrained(tmp_path / "m")
    twofour("train", "--data", folder, "--out", tmp_path / "r", "--init", tmp_path / "m", *ONE_STEP)
    loss = loss_of(model, rows)
    loss.backward()
    ours = gradients_of(tmp_path / "r")
    stored = load_file(tmp_path / "m" / "model.safetensors")
    theirs = {key: parameter.grad for key, parameter in model.named_parameters()}
    theirs = {key.replace("lm_head", "embed_out") if name.startswith(("pythia", "neox")) else key: value
              for key, value in theirs.items()}
    assert set(ours) == set(stored)
    for key, gradient in ours.items():
        expected = theirs[key].T if name == "gpt2" and is_transposed(key, gradient) else theirs[key]
        scale = expected.abs().max().item()
        assert torch.allclose(gradient, expected, rtol=2e-3, atol=2e-5 * scale + 1e-9), key
    log = [json.loads(line) for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    assert [e["loss"] for e in log if e["event"] == "step"] == pytest.approx([loss.item()], rel=1e-5)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "r" / "model").eval()
    numpy.asarray(IDS, dtype=numpy.uint16).tofile(tmp_path / "ids.bin")
    evaluated = json.loads(twofour("eval", "perplexity", "--model", tmp_path / "r" / "model", "--data",
                                   tmp_path / "ids.bin", "--context", 32, "--json").stdout)
    assert evaluated["nll"] == pytest.approx(peer_perplexity(saved, IDS, 32, 32)[1], rel=1e-5)


@pytest.mark.parametrize("name", ["llama32_tied", "pythia", "opt_350m", "qwen3"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_steps_stay_near_float32(twofour, whole_file, tmp_path, name, dtype):
    folder, rows = whole_file
    model = random_model(name)
    model.save_pretrained(tmp_path / "m")
    twofour("train", "--data", folder, "--out", tmp_path / "r", "--init", tmp_path / "m", "--dtype", dtype, *ONE_STEP)
    loss_of(model, rows).backward()
    theirs = {key: parameter.grad for key, parameter in model.named_parameters()}
    for key, gradient in gradients_of(tmp_path / "r").items():
        expected = theirs[key.replace("embed_out", "lm_head")]
        if expected.abs().max() < 1e-6:  # of a key's bias: zero but for rounding
            continue
        assert torch.nn.functional.cosine_similarity(gradient.flatten(), expected.flatten(), 0) > 0.98, key


@pytest.mark.parametrize("name", ["llama2", "opt"])
def test_a_run_from_a_folder_resumes_exactly(twofour, data, tmp_path, name):
    random_model(name).save_pretrained(tmp_path / "m")
    common = ["--data", data, *STEPS, "--steps", 6, "--method", "s-ste", "--init", tmp_path / "m"]
    twofour("train", "--out", tmp_path / "whole", *common)
    twofour("train", "--out", tmp_path / "parts", *common, "--stop-after", 3)
    (tmp_path / "m").rename(tmp_path / "elsewhere")  # what the run began from is needed no more
    twofour("train", "--out", tmp_path / "parts", "--resume", "--stop-after", 0)
    whole, parts = (load_file(tmp_path / run / "model/model.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    masks = load_file(tmp_path / "whole/model/masks.safetensors")
    feed_forward = ".fc" if name == "opt" else ".mlp."
    assert masks and all(feed_forward in key for key in masks)


def pruned(model, share):
    """Random entries of every linear layer of the blocks are zero."""
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.dim() == 2 and ".layers." in key:
                weight.mul_((torch.rand(weight.shape) >= share).float())
    return model


def test_fixed_masks_stay(twofour, data, tmp_path):
    model = pruned(random_model("llama2"), 0.4)
    model.save_pretrained(tmp_path / "m")
    fixed = ["--data", data, *STEPS, "--steps", 3, "--forward-weight", "fixed"]
    twofour("train", "--out", tmp_path / "r", *fixed, "--init", tmp_path / "m")
    before = load_file(tmp_path / "m/model.safetensors")
    after = load_file(tmp_path / "r/model/model.safetensors")
    for key in (key for key in before if before[key].dim() == 2 and ".layers." in key):
        assert torch.equal(before[key] == 0, after[key] == 0), key
        assert not torch.equal(before[key], after[key])
    # The same masks from a file, for one kind of layer.
    dense = random_model("llama2")
    dense.save_pretrained(tmp_path / "dense")
    twofour("train", "--out", tmp_path / "f", *fixed, "--init", tmp_path / "dense", "--masks", tmp_path / "r/model",
            "--sparse-layers", "q_proj")
    masked = load_file(tmp_path / "f/model/model.safetensors")
    assert torch.equal(masked["model.layers.0.self_attn.q_proj.weight"] == 0,
                       before["model.layers.0.self_attn.q_proj.weight"] == 0)
    assert (masked["model.layers.0.self_attn.k_proj.weight"] != 0).all()


def test_masks_that_cannot_be_meant_are_refused(twofour, data, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "m")
    fixed = ["train", "--data", data, "--out", tmp_path / "r", *STEPS, "--steps", 1, "--forward-weight", "fixed"]
    assert "needs masks" in twofour(*fixed, "--vocabulary", 97, fails=2).stderr
    assert "zeros to keep" in twofour(*fixed, "--init", tmp_path / "m", fails=2).stderr
    assert "without --forward-weight fixed" in twofour(
        "train", "--data", data, "--out", tmp_path / "r", "--vocabulary", 97, "--masks", tmp_path / "m", fails=2).stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_distillation_equals_pytorch(twofour, whole_file, tmp_path, weight):
    folder, rows = whole_file
    model, teacher = random_model("llama2"), random_model("pythia")
    model.save_pretrained(tmp_path / "m")
    teacher.save_pretrained(tmp_path / "t")
    twofour("train", "--data", folder, "--out", tmp_path / "r", "--init", tmp_path / "m", "--distill", tmp_path / "t",
            "--distill-weight", weight, *ONE_STEP)
    student = torch.log_softmax(model(rows[:, :-1]).logits, -1)
    with torch.no_grad():
        target = torch.log_softmax(teacher(rows[:, :-1]).logits, -1)
    divergence = (target.exp() * (target - student)).sum(-1).mean()
    loss = (1 - weight) * loss_of(model, rows) + weight * divergence
    loss.backward()
    log = [json.loads(line) for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    assert [e["loss"] for e in log if e["event"] == "step"] == pytest.approx([loss.item()], rel=1e-4)
    ours = gradients_of(tmp_path / "r")
    for key, parameter in model.named_parameters():
        scale = parameter.grad.abs().max().item()
        assert torch.allclose(ours[key], parameter.grad, rtol=2e-3, atol=5e-5 * scale), key


def test_what_contradicts_the_folder_is_refused(twofour, data, corpus, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "m")
    run = ["train", "--data", data, "--out", tmp_path / "r", "--steps", 1, "--init", tmp_path / "m"]
    for flags, message in ((["--model", "gpt2-124m"], "--model and --init"), (["--layers", 3], "--layers"),
                           (["--vocabulary", 97], "--vocabulary"), (["--method", "half"], "--method half"),
                           (["--context", 65], "--context 65 is outside 1 to 64")):
        assert message in twofour(*run, *flags, fails=2).stderr
    random_model("llama2", vocab_size=90).save_pretrained(tmp_path / "small")
    assert "token" in twofour(*run[:-1], tmp_path / "small", fails=1).stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("method", ["dense", "half", "ste", "sr-ste", "step", "fst", "s-ste"])
def test_llama_is_pre_trained_with_every_method(twofour, corpus, tmp_path, method):
    sizes = ["--layers", 2, "--heads", 4, "--key-value-heads", 2, "--width", 64, "--context", 32]
    twofour("train", "--data", corpus / "data", "--out", tmp_path / "r", "--model", "llama-60m", *sizes, "--method", method,
            "--batch", 4, "--steps", 20, "--warmup", 2, "--lr", 3e-3, "--validation-windows", 4)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "r/model")
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.num_key_value_heads == 2
    assert model.config.intermediate_size == (88 if method == "half" else 176)
    log = [json.loads(line) for line in (tmp_path / "r/log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if entry["event"] == "step"]
    assert losses[-1] < losses[0] - 0.5
    if method in ("ste", "sr-ste", "s-ste"):
        weight = model.model.layers[0].mlp.down_proj.weight
        assert ((weight.reshape(-1, 4) == 0).sum(1) >= 2).all()
    text = twofour("generate", "--model", tmp_path / "r/model", "--prompt", "the cat", "--max-tokens", 5).stdout
    assert text.startswith("the cat")


def test_sizes_that_an_architecture_cannot_have_are_refused(twofour, corpus, tmp_path):
    run = ["train", "--data", corpus / "data", "--out", tmp_path / "r", "--steps", 1]
    (tmp_path / "c.json").write_text("{}")
    for flags, message in ((["--key-value-heads", 2], "makes no sense for GPT2"),
                           (["--model", "llama-60m", "--key-value-heads", 3], "8 heads are not divisible by 3"),
                           (["--model", "llama-60m", "--width", 100, "--heads", 8], "width 100 is not divisible"),
                           (["--model", "llama-6b"], "llama-60m"),
                           (["--model", tmp_path / "c.json", "--width", 8], "change the file")):
        assert message in twofour(*run, *flags, fails=2).stderr
    assert "config.json" in twofour(*run, "--model", tmp_path, fails=1).stderr
    assert "model_type is missing" in twofour(*run, "--model", tmp_path / "c.json", fails=1).stderr


@pytest.mark.parametrize("name", ["biases", "llama32_tied", "pythia", "opt_350m", "qwen3"])
def test_any_architecture_is_pre_trained_from_its_config(twofour, corpus, tmp_path, name):
    random_model(name).config.save_pretrained(tmp_path)
    common = ["--data", corpus / "data", "--method", "s-ste", "--batch", 4, "--context", 32, "--steps", 6, "--warmup", 1,
              "--lr", 3e-3, "--validation-windows", 2, "--model", tmp_path / "config.json"]
    twofour("train", "--out", tmp_path / "whole", *common)
    twofour("train", "--out", tmp_path / "parts", *common, "--stop-after", 3)
    given = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    twofour("train", "--out", tmp_path / "parts", "--resume", "--stop-after", 0)
    whole, parts = (load_file(tmp_path / run / "model/model.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "whole/model")
    assert model.config.model_type == given["model_type"]
    assert model.config.tie_word_embeddings == given["tie_word_embeddings"]
    assert model.config.vocab_size == json.loads((corpus / "data/train.json").read_text())["vocabulary_size"]
