"""Real-world config.json: old and new spellings, unknown fields, odd values. The program computes what transformers
computes, or refuses in one line that names the field."""

import json
import math
import os
import random
import re
import shutil

import numpy
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from models_test import peer_perplexity, write_ids

VOCABULARY, CONTEXT, LAYERS = 61, 32, 2
LLAMA = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT)
FAMILIES = {
    "gpt2": dict(vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=LAYERS, n_head=4, n_inner=48),
    "llama": LLAMA,
    "mistral": {**LLAMA, "sliding_window": None},
    "qwen2": LLAMA,
    "qwen3": {**LLAMA, "head_dim": 16},
    "gpt_neox": dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS,
                     num_attention_heads=4, max_position_embeddings=CONTEXT),
    "opt": dict(vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=LAYERS, num_attention_heads=4,
                max_position_embeddings=CONTEXT, dropout=0.0),
}
IDS = [int(i) for i in numpy.random.default_rng(7).integers(0, VOCABULARY, 200)]
ABSENT = object()
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8)

# Field and values: each is a spelling. A draw takes several.
ANY = {
    "architectures": [ABSENT, None, [], ["Other"], "x"], "torch_dtype": ["auto", "float16", None, "bfloat16"],
    "dtype": ["auto", "float64", ABSENT], "eos_token_id": [[2, 3], 2, None, ABSENT], "bos_token_id": [None, 1, ABSENT],
    "transformers_version": ["2.1.0", ABSENT], "unsloth_version": ["2024.9"], "unsloth_fixed": [True],
    "output_past": [True], "n_special": [0], "predict_special_tokens": [True, False], "num_labels": [1, 5],
    "is_decoder": [True, False], "use_cache": [False], "torchscript": [True], "use_bfloat16": [True],
    "pruned_heads": [{}], "is_encoder_decoder": [False, True], "add_cross_attention": [False], "id2label": [{"0": "a"}],
    "task_specific_params": [{"text-generation": {"do_sample": True}}], "finetuning_task": [None, "x"],
    "quantization_config": [None, {"quant_method": "gptq", "bits": 4}], "vocab_size": [VOCABULARY + 1, "61", 61.0],
    "temperature": [0.5], "repetition_penalty": [1.3], "gradient_checkpointing": [True], "_anything": [{"a": 1}],
    "is_causal": [True, False], "per_layer_config": [{}], "tie_encoder_decoder": [False], "chunk_size_feed_forward": [4],
    "attn_implementation": ["eager"], "max_sequence_length": [8], "initializer_range": [0.5], "my_note": ["text"],
    "trained_by": [["a", 3]], "logit_scale": [0.5, None, 0], "num_experts": [8, 0], "attention_sink_size": [4],
    "residual_multiplier": [2.0], "final_logit_softcapping": [30.0, None], "router_aux_loss_coef": [0.1],
    "hidden_dropout": [0.1], "tie_last_hidden_states": [False],
}
OF_GPT2 = {
    "n_ctx": [16, CONTEXT, ABSENT], "activation_function": ["gelu_pytorch_tanh", "gelu", "gelu_fast", "relu", ABSENT],
    "scale_attn_weights": [True, False, ABSENT], "scale_attn_by_inverse_layer_idx": [False, True],
    "tie_word_embeddings": [True, ABSENT], "hidden_size": [32], "num_hidden_layers": [1, LAYERS], "n_layer": [2.0, 1],
    "num_attention_heads": [2, 4], "layer_norm_epsilon": ["1e-5", 0.1, ABSENT], "afn": ["gelu"], "n_inner": [48.0],
    "reorder_and_upcast_attn": [True], "resid_pdrop": [0.5], "summary_type": ["first"], "n_head": [2, 4.0],
}
OF_LLAMA = {
    "rope_theta": [10000, 5000.0, ABSENT], "rope_parameters": [ABSENT, None, {}, {"rope_theta": 777.0}, LLAMA3],
    "rope_scaling": [None, False, {}, {"type": "linear", "factor": 2.0}, {"type": "dynamic", "factor": 2.0}, LLAMA3,
                     {"rope_type": "linear", "type": "default", "factor": 3}, {"type": "yarn", "factor": 2.0},
                     {"rope_type": "default", "rope_theta": 333.0}, {"factor": 2.0}],
    "original_max_position_embeddings": [16], "partial_rotary_factor": [1.0, 0.5], "rope_interleaved": [False],
    "head_dim": [8, None, ABSENT], "attention_bias": [False, True, ABSENT], "mlp_bias": [False, True],
    "pretraining_tp": [2, None], "tie_word_embeddings": [False, True, ABSENT], "hidden_act": ["swish", "gelu", ABSENT],
    "rms_norm_eps": ["1e-6", 0.1, ABSENT], "num_key_value_heads": [2, 4], "is_llama_config": [True, False],
    "sliding_window": [None, 4, CONTEXT, 4096, ABSENT], "use_sliding_window": [True, False],
    "max_window_layers": [0, 1, 28, ABSENT], "attention_dropout": [0.5], "use_mrope": [False],
    "layer_types": [ABSENT, None, ["full_attention"] * LAYERS, ["attention"] * LAYERS, ["full_attention"],
                    ["sliding_attention"] * LAYERS],
}


OF_GPT_NEOX = {
    "rotary_pct": [0.25, 0.5, 1.0, 0, "x", ABSENT], "rotary_emb_base": [10000, 500.0, ABSENT], "rope_theta": [777.0],
    "use_parallel_residual": [True, False, ABSENT], "attention_bias": [True, False], "layer_norm_eps": [0.1, ABSENT],
    "hidden_act": ["gelu", "gelu_new", "relu", ABSENT], "tie_word_embeddings": [False, True, ABSENT],
    "rope_parameters": [ABSENT, None, {}, {"rope_theta": 777.0}, {"partial_rotary_factor": 0.5}, LLAMA3],
    "rope_scaling": [None, {"type": "linear", "factor": 2.0}, {"type": "dynamic", "factor": 2.0}],
    "partial_rotary_factor": [0.5], "classifier_dropout": [0.5], "num_key_value_heads": [2], "sliding_window": [4],
}
OF_OPT = {
    "do_layer_norm_before": [True, False, ABSENT], "_remove_final_layer_norm": [True, False, ABSENT],
    "word_embed_proj_dim": [32, 16, None, ABSENT], "enable_bias": [True, False], "layerdrop": [0.5], "init_std": [0.5],
    "layer_norm_elementwise_affine": [True, False], "activation_function": ["relu", "gelu", ABSENT],
    "tie_word_embeddings": [True, False, ABSENT], "ffn_dim": [48, "48", ABSENT], "dropout": [0.5],
    "attention_dropout": [0.5], "layer_norm_eps": [0.1], "scale_embeddings": [True],
}
OF_FAMILY = {"gpt2": OF_GPT2, "gpt_neox": OF_GPT_NEOX, "opt": OF_OPT}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of each family, with weights large enough to show a change of the arithmetic."""
    folders = {}
    for family, sizes in FAMILIES.items():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.4)
        folders[family] = tmp_path_factory.mktemp(family) / "model"
        model.save_pretrained(folders[family])
    return folders


def changed(folder, to, changes):
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    for field, value in changes.items():
        config.pop(field, None)
        if value is not ABSENT:
            config[field] = value
    (to / "config.json").write_text(json.dumps(config))
    return to


def reference(folder, context=CONTEXT):
    """The log-likelihood from transformers over such windows, or None if it refuses or draws weights anew."""
    try:
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        if info["missing_keys"] or info["mismatched_keys"]:
            return None
        return peer_perplexity(model.eval(), IDS, context, context)[1]
    except Exception:  # whatever it raises
        return None


def ours(twofour, folder, data, *options, fails=None):
    done = twofour("eval", "perplexity", "--model", folder, "--data", data, "--json", *options, fails=fails)
    return done if fails else (json.loads(done.stdout)["nll"], done.stderr)


def draw(family, seed):
    choose = random.Random(f"{family} {seed}")
    fields = {**ANY, **(OF_FAMILY.get(family, OF_LLAMA))}
    names = choose.sample(sorted(fields), choose.choice([1, 1, 2, 3]))
    return {name: choose.choice(fields[name]) for name in names}


@pytest.mark.parametrize("family", FAMILIES)
def test_drawn_configs_compute_what_transformers_computes_or_are_refused_by_name(twofour, written, tmp_path, family):
    data = write_ids(tmp_path / "ids.bin", IDS)
    counts = {"same": 0, "refused by both": 0, "refused here": 0, "taken here": 0}
    for seed in range(int(os.environ.get("TWOFOUR_DRAWS", 10))):
        changes = draw(family, seed)
        folder = changed(written[family], tmp_path / f"m{seed}", changes)
        try:
            nll, log = ours(twofour, folder, data)
        except AssertionError:
            error = ours(twofour, folder, data, fails=1).stderr
            assert "tensor" in error or any(field in error for field in changes), (changes, error)
            counts["refused by both" if reference(folder) is None else "refused here"] += 1
            continue
        window = re.search(r"sequences may have (\d+) tokens", log)
        expected = reference(folder, int(window[1]) if window else CONTEXT)
        if expected is None:
            counts["taken here"] += 1
            continue
        assert math.isclose(nll, expected, rel_tol=2e-5), (changes, nll, expected)
        counts["same"] += 1
    print(family, counts)
    assert counts["same"] >= 6


@pytest.mark.parametrize("family", FAMILIES)
def test_fields_that_nobody_knows_are_warned_of_once_and_refused_by_strict(twofour, written, tmp_path, family):
    data = write_ids(tmp_path / "ids.bin", IDS)
    expected = reference(written[family])
    known = {"n_special": 0, "predict_special_tokens": True, "output_past": True, "unsloth_fixed": True,
             "unsloth_version": "2024.9"}
    folder = changed(written[family], tmp_path / "known", known)
    nll, log = ours(twofour, folder, data, "--strict")
    assert math.isclose(nll, expected, rel_tol=2e-5) and "ignored" not in log
    folder = changed(written[family], tmp_path / "unknown", {"my_note": "x", "of_mine": 3, "logit_scale": None,
                                                            "num_experts": 0})
    nll, log = ours(twofour, folder, data)
    assert math.isclose(nll, expected, rel_tol=2e-5)
    warnings = [line for line in log.splitlines() if "ignored" in line]
    assert len(warnings) == 1 and all(name in warnings[0] for name in ("my_note", "of_mine", "num_experts")), log
    for command in (["info", "--model"], ["convert", "--to", "hf", folder, tmp_path / "out"]):
        done = twofour(*command, *([folder] if command[0] == "info" else []), "--strict", fails=1)
        assert "my_note is not known here" in done.stderr
    for name, value in {"logit_scale": 2.0, "num_experts": 8, "final_logit_softcapping": 30.0, "qk_layernorm": True,
                        "embedding_multiplier": [1, 2], "attn_temperature": "x", "residual_scale": {"a": 1},
                        "window": 4, "weight_quant": "int8", "my_act": "relu", "k_bias": True}.items():
        folder = changed(written[family], tmp_path / name, {name: value})
        assert f"{name} is not known here" in ours(twofour, folder, data, fails=1).stderr


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused_where_they_are_used(twofour, written, tmp_path, family, value):
    """Python writes and reads them."""
    data = write_ids(tmp_path / "ids.bin", IDS)
    word = json.dumps(value)
    folder = changed(written[family], tmp_path / "ignored", {
        "temperature": value, "initializer_range": value, "my_note": [1, {"NaN": value}, "-Infinity"], "other": word})
    nll, log = ours(twofour, folder, data)
    assert math.isclose(nll, reference(written[family]), rel_tol=2e-5) and "my_note" in log
    twofour("convert", folder, tmp_path / "copy", "--to", "hf")
    assert (tmp_path / "copy/config.json").read_text().count(word) == (folder / "config.json").read_text().count(word)
    copied, given = (json.loads((place / "config.json").read_text()) for place in (tmp_path / "copy", folder))
    assert repr(copied) == repr(given)  # NaN is not equal to itself
    config = json.loads((written[family] / "config.json").read_text())
    used = [name for name, old in config.items() if type(old) in (int, float, bool) and name in (
        "vocab_size", "hidden_size", "n_embd", "n_layer", "n_head", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "rope_theta", "head_dim",
        "intermediate_size", "ffn_dim", "tie_word_embeddings", "max_position_embeddings", "n_positions")]
    assert len(used) >= 5
    for name in [*used, "sliding_window" if family == "mistral" else "is_encoder_decoder", "logit_scale"]:
        folder = changed(written[family], tmp_path / name, {name: value})
        assert name in ours(twofour, folder, data, fails=1).stderr
    folder = tmp_path / "broken"
    shutil.copytree(written[family], folder)
    text = json.dumps(config)
    (folder / "config.json").write_text(f'{{"a": {word}, "b": [{word}], ' + text[1:-1] + ", }")
    place = len(f'{{"a": {word}, "b": [{word}], ' + text[1:-1] + ", }")
    assert f"no valid JSON at byte {place}\n" in ours(twofour, folder, data, fails=1).stderr
    (folder / "config.json").write_text(f'{{{word}: 1, ' + text[1:])
    ours(twofour, folder, data, fails=1)


def test_architectures_are_names_only(twofour, written, tmp_path):
    data = write_ids(tmp_path / "ids.bin", IDS)
    expected = reference(written["gpt2"])
    for names, warned in ((["GPT2Model"], False), (["GPT2ForSequenceClassification"], True), (["Mine"], True)):
        folder = changed(written["gpt2"], tmp_path / names[0], {"architectures": names})
        nll, log = ours(twofour, folder, data)
        assert math.isclose(nll, expected, rel_tol=2e-5) and (names[0] in log) == warned
        if warned:
            assert names[0] in ours(twofour, folder, data, "--strict", fails=1).stderr
    folder = changed(written["gpt2"], tmp_path / "old", {"model_type": ABSENT})
    assert 'model_type is missing: add "gpt2"' in ours(twofour, folder, data, fails=1).stderr
    folder = changed(written["gpt2"], tmp_path / "older", {"model_type": ABSENT, "architectures": ABSENT})
    assert "model_type is missing, expected" in ours(twofour, folder, data, fails=1).stderr


def test_published_spellings_load(twofour, shared):
    cases = shared / "cases/fail-02"
    if not cases.is_dir():
        pytest.skip("no cases in ../shared")
    for name in ("medium", "xl", "unsloth"):
        twofour("info", "--model", cases / name, "--strict")
