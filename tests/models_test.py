"""Models that transformers wrote give the same numbers here, for all architectures and files."""

import json
import math

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

SMALL_LLAMA = dict(vocab_size=97, hidden_size=64, intermediate_size=172, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False)
SMALL_NEOX = dict(vocab_size=97, hidden_size=64, intermediate_size=172, num_hidden_layers=2, num_attention_heads=4,
                  max_position_embeddings=64)
SMALL_OPT = dict(vocab_size=97, hidden_size=64, ffn_dim=172, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=64, dropout=0.0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16, rope_theta=500000.0)
MODELS = {
    "gpt2": ("gpt2", dict(vocab_size=97, n_positions=64, n_embd=64, n_layer=2, n_head=4, n_inner=100)),
    "llama2": ("llama", SMALL_LLAMA),
    "llama31": ("llama", {**SMALL_LLAMA, "rope_parameters": LLAMA3}),
    "llama32_tied": ("llama", {**SMALL_LLAMA, "rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "multi_query": ("llama", {**SMALL_LLAMA, "num_key_value_heads": 1}),
    "multi_head": ("llama", {**SMALL_LLAMA, "num_key_value_heads": 4}),
    "wide_heads": ("llama", {**SMALL_LLAMA, "head_dim": 24}),
    "biases": ("llama", {**SMALL_LLAMA, "attention_bias": True, "mlp_bias": True}),
    "linear_rope": ("llama", {**SMALL_LLAMA, "rope_parameters": dict(rope_type="linear", factor=2.0, rope_theta=1e4)}),
    "mistral": ("mistral", {**SMALL_LLAMA, "sliding_window": None}),
    "mistral_window": ("mistral", {**SMALL_LLAMA, "sliding_window": 64, "max_position_embeddings": 128}),
    "qwen2": ("qwen2", SMALL_LLAMA),
    "qwen3": ("qwen3", {**SMALL_LLAMA, "head_dim": 24}),
    "qwen3_tied": ("qwen3", {**SMALL_LLAMA, "head_dim": 16, "tie_word_embeddings": True, "attention_bias": True}),
    "pythia": ("gpt_neox", SMALL_NEOX),
    "neox_sequential": ("gpt_neox", {**SMALL_NEOX, "use_parallel_residual": False, "attention_bias": False}),
    "neox_whole_heads_tied": ("gpt_neox", {**SMALL_NEOX, "tie_word_embeddings": True, "rope_parameters": dict(
        rope_type="linear", factor=2.0, rope_theta=500.0, partial_rotary_factor=1.0)}),
    "opt": ("opt", SMALL_OPT),
    "opt_350m": ("opt", {**SMALL_OPT, "word_embed_proj_dim": 32, "do_layer_norm_before": False}),
    "opt_no_biases": ("opt", {**SMALL_OPT, "enable_bias": False, "_remove_final_layer_norm": True,
                              "tie_word_embeddings": False}),
}


def write_ids(path, ids):
    numpy.asarray(ids, dtype=numpy.uint16).tofile(path)
    return path


def peer_perplexity(model, ids, context, stride):
    """The windows of a Hugging Face script, in float64."""
    ids, nll, count, covered = torch.tensor(ids), 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        window = ids[begin:end]
        with torch.no_grad():
            logits = model(window[None]).logits[0].double()
        first = max(covered - begin, 1)
        nll += torch.nn.functional.cross_entropy(logits[first - 1:-1], window[first:], reduction="sum").item()
        count += len(window) - first
        covered = end
        if end == len(ids):
            return math.exp(nll / count), nll, count


def random_model(name, **changes):
    family, sizes = MODELS[name]
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**sizes, "eos_token_id": None, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too, which start as zeros and ones
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return model.eval()


@pytest.fixture(scope="module", params=MODELS)
def written(request, tmp_path_factory):
    model = random_model(request.param)
    folder = tmp_path_factory.mktemp(request.param) / "model"
    model.save_pretrained(folder)
    return model, folder


IDS = [int(i) for i in numpy.random.default_rng(3).integers(0, 97, 300)]


@pytest.mark.parametrize("context,stride", [(64, 64), (32, 16), (20, 7)])
def test_perplexity_equals_transformers(twofour, written, tmp_path, context, stride):
    model, folder = written
    data = write_ids(tmp_path / "ids.bin", IDS)
    ours = json.loads(twofour("eval", "perplexity", "--model", folder, "--data", data, "--context", context, "--stride",
                              stride, "--json").stdout)
    perplexity, nll, count = peer_perplexity(model, IDS, context, stride)
    assert ours["tokens"] == count
    assert ours["nll"] == pytest.approx(nll, rel=1e-5)
    assert ours["perplexity"] == pytest.approx(perplexity, rel=1e-5)


def test_greedy_text_equals_transformers(twofour, written, tmp_path):
    """The prompt takes the tensor path, the tokens after it the decode step where the architecture has one."""
    model, folder = written
    expected = model.generate(torch.tensor([IDS[:7]]), max_new_tokens=20, do_sample=False)[0, 7:]
    ours = json.loads(twofour("generate", "--model", folder, "--prompt-ids", write_ids(tmp_path / "ids.bin", IDS[:7]),
                              "--max-tokens", 20, "--temperature", 0, "--json").stdout)
    assert ours["ids"] == expected.tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_weights_are_widened_exactly(twofour, tmp_path, dtype):
    model = random_model("llama31").to(dtype)
    model.save_pretrained(tmp_path / "m", max_shard_size="50kB")
    assert (tmp_path / "m" / "model.safetensors.index.json").exists()
    data = write_ids(tmp_path / "ids.bin", IDS)
    ours = json.loads(twofour("eval", "perplexity", "--model", tmp_path / "m", "--data", data, "--json").stdout)
    assert ours["nll"] == pytest.approx(peer_perplexity(model.float(), IDS, 64, 64)[1], rel=1e-5)


def test_16_bit_arithmetic_stays_near(twofour, tmp_path):
    model = random_model("qwen2")
    model.save_pretrained(tmp_path / "m")
    data = write_ids(tmp_path / "ids.bin", IDS)
    exact = peer_perplexity(model, IDS, 64, 64)[1]
    for dtype in ("bfloat16", "float16"):
        ours = json.loads(twofour("eval", "perplexity", "--model", tmp_path / "m", "--data", data, "--dtype", dtype,
                                  "--json").stdout)
        assert ours["nll"] == pytest.approx(exact, rel=5e-3)


def test_info_counts_parameters_and_zeros_as_torch_does(twofour, written):
    model, folder = written
    info = json.loads(twofour("info", "--model", folder, "--json").stdout)
    assert info["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert info["zeros"] == sum(int((parameter == 0).sum()) for parameter in model.parameters())
    assert info["memory_bytes"] == 4 * info["parameters"]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_weights_are_read(twofour, tmp_path, dtype):
    model = random_model("llama2")
    model.save_pretrained(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = {name: tensor.to(dtype) if tensor.dim() == 2 else tensor for name, tensor in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    data = write_ids(tmp_path / "ids.bin", IDS)
    ours = json.loads(twofour("eval", "perplexity", "--model", tmp_path / "m", "--data", data, "--json").stdout)
    assert ours["nll"] == pytest.approx(peer_perplexity(model, IDS, 64, 64)[1], rel=1e-5)
    info = json.loads(twofour("info", "--model", tmp_path / "m", "--json").stdout)
    assert info["zeros"] == sum(int((parameter == 0).sum()) for parameter in model.parameters())


def test_options_of_generate_that_cannot_be_meant_are_refused(twofour, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "m")
    prompt = write_ids(tmp_path / "ids.bin", IDS[:5])
    run = ["generate", "--model", tmp_path / "m", "--prompt-ids", prompt]
    for wrong in (["--temperature", "nan"], ["--temperature", "inf"], ["--top-p", "nan"], ["--stop", "x"],
                  ["--prompt", "x"]):
        twofour(*run, *wrong, fails=2)
    twofour("generate", "--model", tmp_path / "m", "--prompt", "x", "--prompt-file", prompt, fails=2)
    (tmp_path / "m" / "generation_config.json").write_text('{"no_repeat_ngram_size": 3, "num_beams": 1}')
    warned = twofour(*run, "--max-tokens", 2)
    assert "no_repeat_ngram_size, which is not applied" in warned.stderr and "num_beams" not in warned.stderr


def test_settings_of_generation_config_that_change_greedy_text_are_named(twofour, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "m")
    run = ["generate", "--model", tmp_path / "m", "--prompt-ids", write_ids(tmp_path / "ids.bin", IDS[:5]), "--max-tokens", 0]
    changed = {"encoder_repetition_penalty": 1.5, "encoder_no_repeat_ngram_size": 2, "guidance_scale": 1.5,
               "exponential_decay_length_penalty": [5, 1.5], "watermarking_config": {"bias": 2.5}, "dola_layers": "low",
               "penalty_alpha": 0.6, "stop_strings": ["."], "token_healing": True, "force_words_ids": [[1]],
               "suppress_tokens": [3], "min_length": 4}
    idle = {"encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0, "guidance_scale": 1,
            "exponential_decay_length_penalty": None, "stop_strings": [], "token_healing": False, "penalty_alpha": 0,
            "bad_words_ids": [], "temperature": 0.5, "max_length": 9, "renormalize_logits": True}
    for settings, is_named in ((changed, True), (idle, False)):
        (tmp_path / "m" / "generation_config.json").write_text(json.dumps(settings))
        warned = twofour(*run).stderr
        assert [name in warned for name in settings] == [is_named] * len(settings), warned


def test_weights_that_are_not_there_are_named(twofour, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2_000_000}))
    assert "2000000" in twofour("info", "--model", tmp_path / "m", fails=1, timeout=20).stderr
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "pytorch_model.bin")
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    assert "save_pretrained" in twofour("info", "--model", tmp_path / "m", fails=1).stderr


@pytest.mark.parametrize("name", ["gpt2", "llama31", "pythia", "opt_350m", "qwen3", "mistral_window"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_streamed_model_gives_the_same_bits(twofour, tmp_path, name, dtype):
    random_model(name).save_pretrained(tmp_path / "m", max_shard_size="50kB")
    data = write_ids(tmp_path / "ids.bin", IDS)
    run = ["eval", "perplexity", "--model", tmp_path / "m", "--data", data, "--dtype", dtype, "--context", 32, "--stride",
           20, "--batch", 3, "--json"]
    whole, streamed = (json.loads(twofour(*run, *flags).stdout) for flags in ([], ["--stream"]))
    assert {**whole, "seconds": 0} == {**streamed, "seconds": 0}
