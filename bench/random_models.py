"""Writes Hugging Face folders with random weights for the benchmarks, shard by shard, so that a model of any size needs
the memory of one shard."""

import json
import pathlib

import torch
from safetensors.torch import save_file

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
         "rope_theta": 10000.0, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": None}
GPT2 = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": None}

SIZES = {
    "gpt2-124m": {**GPT2, "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "llama-100m": {**LLAMA, "vocab_size": 32000, "max_position_embeddings": 1024, "hidden_size": 768,
                   "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 12,
                   "num_key_value_heads": 4},
    # The shape of SmolLM-135M, untied, and of TinyLlama-1.1B.
    "llama-160m": {**LLAMA, "vocab_size": 32000, "max_position_embeddings": 1024, "hidden_size": 768,
                   "intermediate_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 12,
                   "num_key_value_heads": 4},
    "llama-1b": {**LLAMA, "vocab_size": 32000, "max_position_embeddings": 2048, "hidden_size": 2048,
                 "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
                 "num_key_value_heads": 4},
    # The shape of LLaMA-2 7B.
    "llama-7b": {**LLAMA, "vocab_size": 32000, "max_position_embeddings": 4096, "hidden_size": 4096,
                 "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
                 "num_key_value_heads": 32},
}


def llama_shapes(config):
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], width)
    for i in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{i}."
        yield prefix + "input_layernorm.weight", (width,)
        for name, shape in [("q", (width, width)), ("k", (keys, width)), ("v", (keys, width)), ("o", (width, width))]:
            yield f"{prefix}self_attn.{name}_proj.weight", shape
        yield prefix + "post_attention_layernorm.weight", (width,)
        for name, shape in [("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))]:
            yield f"{prefix}mlp.{name}_proj.weight", shape
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (config["vocab_size"], width)


def gpt2_shapes(config):
    width = config["n_embd"]
    yield "transformer.wte.weight", (config["vocab_size"], width)
    yield "transformer.wpe.weight", (config["n_positions"], width)
    for i in range(config["n_layer"]):
        prefix = f"transformer.h.{i}."
        for name, out, inside in [("attn.c_attn", 3 * width, width), ("attn.c_proj", width, width),
                                  ("mlp.c_fc", 4 * width, width), ("mlp.c_proj", width, 4 * width)]:
            yield f"{prefix}{name}.weight", (inside, out)
            yield f"{prefix}{name}.bias", (out,)
        for name in ("ln_1", "ln_2"):
            yield f"{prefix}{name}.weight", (width,)
            yield f"{prefix}{name}.bias", (width,)
    yield "transformer.ln_f.weight", (width,)
    yield "transformer.ln_f.bias", (width,)


def shapes_of(config):
    return list((gpt2_shapes if config["model_type"] == "gpt2" else llama_shapes)(config))


def parameters_of(size):
    return sum(torch.Size(shape).numel() for _, shape in shapes_of(SIZES[size]))


def random_tensor(name, shape, dtype, sparse):
    if len(shape) == 1:
        return torch.full(shape, 0.0 if name.endswith("bias") else 1.0, dtype=dtype)
    tensor = torch.randn(shape) * 0.02
    is_linear = ".layers." in name or ".h." in name
    if sparse and is_linear:  # magnitude 2:4 along the dimension that the product reduces over
        along = 0 if ".h." in name else 1
        groups = tensor.movedim(along, -1).contiguous().view(-1, 4)
        groups.scatter_(1, groups.abs().topk(2, dim=1, largest=False).indices, 0.0)
        rows = tensor.movedim(along, -1).shape
        tensor = groups.view(rows).movedim(-1, along).contiguous()
    return tensor.to(dtype)


def write_model(folder, size, dtype=torch.float32, sparse=False, shard_bytes=500_000_000, seed=1):
    """Writes SIZES[size] into `folder`, which must not exist. Returns the number of parameters."""
    config = SIZES[size]
    folder = pathlib.Path(folder)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": str(dtype).removeprefix("torch.")}))
    torch.manual_seed(seed)
    shapes = shapes_of(config)
    element = torch.empty(0, dtype=dtype).element_size()
    shards, filled = [[]], 0
    for name, shape in shapes:
        size_in_bytes = element * torch.Size(shape).numel()
        if shards[-1] and filled + size_in_bytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append((name, shape))
        filled += size_in_bytes
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({name: random_tensor(name, shape, dtype, sparse) for name, shape in shard}, folder / file,
                  metadata={"format": "pt"})
        weight_map.update({name: file for name, _ in shard})
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": element * sum(torch.Size(s).numel() for _, s in shapes)}, "weight_map": weight_map}))
    return parameters_of(size)
