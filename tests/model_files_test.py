"""Real-world files of weights: those that transformers loads are loaded with the same result, others are refused in one
line that says what to do."""

import json
import math
import shutil
import struct

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models_test import peer_perplexity, random_model, write_ids

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
IDS = [int(i) for i in numpy.random.default_rng(3).integers(0, 97, 120)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folders = {}
    for name in ("gpt2", "llama2", "llama32_tied"):
        folders[name] = tmp_path_factory.mktemp(name) / "m"
        random_model(name).save_pretrained(folders[name])
    return folders


def edit(folder, change):
    """`change` gets the tensors by name, in a dict that it alters."""
    weights = load_file(folder / SINGLE)
    change(weights)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / SINGLE, {"format": "pt"})


def rename(old, new):
    def change(weights):
        for name in [name for name in weights if name.startswith(old)]:
            weights[new + name[len(old):]] = weights.pop(name)
    return lambda folder: edit(folder, change)


def add(**tensors):
    return lambda folder: edit(folder, lambda weights: weights.update(
        {name.replace("__", "."): tensor for name, tensor in tensors.items()}))


def header(change_header=lambda content: None, pad=("", "")):
    def change(folder):
        data = (folder / SINGLE).read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        content = json.loads(data[8:8 + size])
        change_header(content)
        text = (pad[0] + json.dumps(content) + pad[1]).encode()
        (folder / SINGLE).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
    return change


def shards(change=lambda first, second, places: None, metadata=None):
    """Two shards and their index, which `change` alters before they are written."""
    def split(folder):
        weights = load_file(folder / SINGLE)
        names = sorted(weights)
        halves = [{name: weights[name] for name in names[i::2]} for i in range(2)]
        files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
        places = {name: files[i] for i in range(2) for name in halves[i]}
        change(*halves, places)
        for half, file in zip(halves, files):
            save_file(half, folder / file, {"format": "pt"})
        (folder / INDEX).write_text(json.dumps({"metadata": metadata or {"total_size": 1}, "weight_map": places}))
        (folder / SINGLE).unlink()
    return split


def beside(name, content):
    return lambda folder: (folder / name).write_text(json.dumps(content))


def drop(*names):
    return lambda folder: edit(folder, lambda weights: [weights.pop(name) for name in names])


# Model, change, what the log names.
TAKEN = {
    "null metadata": ("llama2", header(lambda content: content.update(__metadata__=None)), ""),
    "no metadata": ("llama2", header(lambda content: content.pop("__metadata__")), ""),
    "metadata of another framework": ("llama2", header(lambda c: c.update(__metadata__={"format": "mlx"})), ""),
    "padding": ("llama2", header(pad=(" ", " \n\t  ")), ""),
    "a field more in an entry": ("llama2", header(lambda c: c["model.norm.weight"].update(note=1)), ""),
    "float64": ("llama2", lambda folder: edit(folder, lambda w: w.update({n: t.double() for n, t in w.items()})), ""),
    "an index of other files beside": ("llama2", beside(INDEX, {"weight_map": {"a": "gone.safetensors"}}), ""),
    "shards": ("llama2", shards(), ""),
    "a wrong place": ("llama2", shards(lambda a, b, places: places.update({next(iter(a)): places[next(iter(b))]})),
                      "does not say where to find"),
    "a place of nothing": ("llama2", shards(lambda a, b, places: places.update(x=places[next(iter(b))])), '"x"'),
    "a tensor left out": ("llama2", shards(lambda a, b, places: places.pop("model.norm.weight")),
                          'leaves out "model.norm.weight"'),
    "no prefix": ("gpt2", rename("transformer.", ""), ""),
    "no prefix of a LLaMA": ("llama2", rename("model.", ""), ""),
    "some without a prefix": ("gpt2", rename("transformer.h.0.", "h.0."), ""),
    "causal masks": ("gpt2", add(transformer__h__0__attn__bias=torch.ones(1, 1, 64, 64).bool(),
                                 transformer__h__0__attn__masked_bias=torch.tensor(-1e4)), ""),
    "rotary tables": ("llama2", add(model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(8),
                                    model__rotary_emb__inv_freq=torch.ones(8),
                                    model__layers__0__self_attn__rotary_emb__cos_cached=torch.ones(8)), ""),
    "a head more": ("llama2", add(score__weight=torch.ones(2, 64)), '"score.weight"'),
    "a bias of nobody": ("llama2", add(model__layers__0__self_attn__q_proj__bias=torch.ones(64)), "q_proj.bias"),
    "types that are not computed": ("llama2", add(a=torch.ones(3).to(torch.uint16), b=torch.ones(2).to(torch.complex64),
                                                  c=torch.ones(2).to(torch.float8_e8m0fnu)), '"a", "b", "c"'),
    "empty tensors": ("llama2", add(a=torch.zeros(0, 5), b=torch.zeros(0)), '"a", "b"'),
    "tied and there twice": ("gpt2", lambda folder: edit(
        folder, lambda w: w.update({"lm_head.weight": w["transformer.wte.weight"].clone()})), ""),
    "tied and under the output's name": ("gpt2", rename("transformer.wte.weight", "lm_head.weight"), ""),
    "tied LLaMA under the output's name": ("llama32_tied", rename("model.embed_tokens.weight", "lm_head.weight"), ""),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_transformers_loads_is_loaded(twofour, written, tmp_path, name):
    model, change, warned = TAKEN[name]
    folder = tmp_path / "m"
    shutil.copytree(written[model], folder)
    change(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    done = twofour("eval", "perplexity", "--model", folder, "--data", write_ids(tmp_path / "ids.bin", IDS), "--json")
    assert math.isclose(json.loads(done.stdout)["nll"], peer_perplexity(theirs, IDS, 64, 64)[1], rel_tol=1e-5)
    assert warned in done.stderr and len(done.stderr.splitlines()) == bool(warned), done.stderr
    if warned:
        twofour("info", "--model", folder, "--strict", fails=1)
    else:
        twofour("info", "--model", folder, "--strict")


def twice(first, second, places):
    name = next(iter(first))
    second[name] = first[name] + 1


REFUSED = {
    "metadata of numbers": ("llama2", header(lambda c: c.update(__metadata__={"a": 1})), "metadata holds more than text"),
    "padding of zeros": ("llama2", header(pad=("", "\0")), "no valid JSON"),
    "a tensor in two shards": ("llama2", shards(twice), "holds the tensor"),
    "integers": ("llama2", lambda folder: edit(folder, lambda w: w.update({n: t.int() for n, t in w.items()})),
                 "asks for floats"),
    "tied and different": ("gpt2", add(lm_head__weight=torch.ones(97, 64)), "differs from the token embedding"),
    "no output": ("llama2", drop("lm_head.weight"), 'missing tensors: "lm_head.weight"'),
    "no norm": ("llama2", drop("model.norm.weight"), 'missing tensors: "model.norm.weight"'),
    "torch.compile's names": ("llama2", rename("", "_orig_mod."), 'begin with "_orig_mod."'),
    "DataParallel's names": ("gpt2", rename("", "module."), 'begin with "module."'),
    "peft's names": ("llama2", rename("", "base_model.model."), 'begin with "base_model.model."'),
    "other shapes": ("llama2", lambda folder: edit(folder, lambda w: w.update(
        {"model.norm.weight": w["model.norm.weight"][None]})), '"model.norm.weight" is float32 1x64'),
    "a variant": ("llama2", lambda folder: (folder / SINGLE).rename(folder / "model.fp16.safetensors"), "rename it"),
    "another name": ("llama2", lambda folder: (folder / SINGLE).rename(folder / "weights.safetensors"), "rename it"),
    "shards without an index": ("llama2", lambda folder: (folder / SINGLE).rename(
        folder / "model-00001-of-00002.safetensors"), "no model.safetensors.index.json"),
    "a pickle": ("llama2", lambda folder: (folder / SINGLE).rename(folder / "pytorch_model.bin"), "save_pretrained"),
    "pickled shards": ("llama2", lambda folder: (folder / SINGLE).rename(
        folder / "pytorch_model-00001-of-00002.bin"), "save_pretrained"),
    "no weights": ("llama2", lambda folder: (folder / SINGLE).unlink(), "holds no model.safetensors"),
    "an adapter beside a config": ("llama2", lambda folder: (folder / SINGLE).rename(
        folder / "adapter_model.safetensors"), "merge_and_unload"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_rest_is_refused_with_what_to_do(twofour, written, tmp_path, name):
    model, change, message = REFUSED[name]
    folder = tmp_path / "m"
    shutil.copytree(written[model], folder)
    change(folder)
    assert message in twofour("info", "--model", folder, fails=1).stderr


def folder_of(path, **files):
    path.mkdir()
    for name, content in files.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


def test_what_is_no_model_is_named(twofour, written, tmp_path, monkeypatch):

    def run(path):
        return twofour("info", "--model", path, fails=1).stderr

    monkeypatch.chdir(tmp_path)
    assert "hf download gpt2 --local-dir DIR" in run("gpt2")
    assert "hf download org/name --local-dir DIR" in run("org/name")
    for absent in (tmp_path / "none", "./gpt2", "a/b/c"):
        assert run(absent).strip().endswith("No such file or directory")
    for inner in (SINGLE, "config.json"):
        assert f"take --model {written['llama2']}" in run(written["llama2"] / inner)
    assert "the folder is empty" in run(folder_of(tmp_path / "empty"))
    assert "merge_and_unload" in run(folder_of(tmp_path / "lora", adapter_config__json=b"{}"))
    assert "diffusers" in run(folder_of(tmp_path / "diffusers", model_index__json=b"{}"))
    assert "convert_llama_weights_to_hf.py" in run(folder_of(tmp_path / "meta", params__json=b"{}"))
    assert "GGUF" in run(folder_of(tmp_path / "llamacpp", model__gguf=b"GGUF\3\0\0\0"))
    assert "token files" in run(folder_of(tmp_path / "data", train__bin=b"\0\0"))
    assert "holds no config.json" in run(folder_of(tmp_path / "other", a__txt=b"x"))
    (tmp_path / "outer").mkdir()
    shutil.copytree(written["llama2"], tmp_path / "outer/inner")
    assert '"inner" in it does' in run(tmp_path / "outer")
    shutil.copytree(written["llama2"], tmp_path / "m")
    twofour("convert", tmp_path / "m", tmp_path / "m.bin", "--to", "llama2c", fails=1)  # another epsilon
    random_model("llama2", rms_norm_eps=1e-5).save_pretrained(tmp_path / "m2")
    twofour("convert", tmp_path / "m2", tmp_path / "m.bin", "--to", "llama2c")
    error = run(tmp_path / "m.bin")
    assert f"twofour convert {tmp_path / 'm.bin'} DIR --to hf" in error
    torch.save({"a": torch.ones(2)}, tmp_path / "model.pt")
    (tmp_path / "m.gguf").write_bytes(b"GGUF\3\0\0\0")
    numpy.savez(tmp_path / "a.npz", a=numpy.ones(2))
    (tmp_path / "m.t24").write_bytes(b"T24MASKS" + bytes(24))
    (tmp_path / "tokens.bin").write_bytes(b"\0\0" * 9)
    for file, message in (("model.pt", "pickled by PyTorch"), ("m.gguf", "GGUF"), ("a.npz", "masks or arrays"),
                          ("m.t24", "masks, not a model"), ("tokens.bin", "tokens")):
        assert message in run(tmp_path / file)
    for file, message in (("model.pt", "pickled by PyTorch"), ("m.gguf", "GGUF"), ("a.npz", "masks or arrays"),
                          ("m.t24", "masks, not a model"), (written["llama2"] / SINGLE, "a model is a folder")):
        assert message in twofour("convert", tmp_path / file, tmp_path / "out", "--to", "hf", fails=1).stderr


def test_info_names_types_as_dtype_does_and_counts_what_is_not_finite(twofour, written, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(written["llama2"], folder)

    def spoil(weights):
        for name in weights:
            weights[name] = weights[name].bfloat16()
        weights["model.norm.weight"][3:5] = torch.nan
        weights["lm_head.weight"][1, 2] = -torch.inf

    edit(folder, spoil)
    done = twofour("info", "--model", folder, "--json")
    tensors = {tensor["name"]: tensor for tensor in json.loads(done.stdout)["tensors"]}
    assert {tensor["dtype"] for tensor in tensors.values()} == {"bfloat16"}
    assert {name: tensor["non_finite"] for name, tensor in tensors.items() if tensor["non_finite"]} == {
        "model.norm.weight": 2, "lm_head.weight": 1}
    log = twofour("info", "--model", folder).stderr
    assert '"model.norm.weight" holds 2 values' in log and len(log.splitlines()) == 2
    # Converting keeps the bits and says so.
    done = twofour("convert", folder, tmp_path / "copy", "--to", "hf")
    assert '"lm_head.weight" and 1 more tensors hold' in done.stderr and len(done.stderr.splitlines()) == 1
    kept, copied = load_file(folder / SINGLE), load_file(tmp_path / "copy" / SINGLE)
    assert all(torch.equal(copied[name].view(torch.int16), tensor.view(torch.int16)) for name, tensor in kept.items())
