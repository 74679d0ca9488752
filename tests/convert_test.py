"""convert: every pair of formats there and back, bit for bit, and other libraries read its files."""

import json
import os
import shutil
import subprocess

import numpy
import pytest
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import PROGRAM
from models_test import MODELS, random_model

IDS = torch.tensor([[1, 5, 90, 3, 44, 2, 7, 7, 60, 31]])


def prune(model):
    """Makes the linear layers of a LLaMA 2:4: the two largest of each group stay."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("_proj.weight"):
                groups = weight.view(-1, 4)
                groups.scatter_(1, groups.abs().topk(2, dim=1, largest=False).indices, 0.0)
    return model


@pytest.fixture
def llama(tmp_path):
    """A folder that llama2.c's format can hold."""
    folder = tmp_path / "llama"
    random_model("llama2", rms_norm_eps=1e-5).save_pretrained(folder)
    return folder


@pytest.fixture
def llama24(tmp_path):
    folder = tmp_path / "llama24"
    prune(random_model("llama2", rms_norm_eps=1e-5)).save_pretrained(folder)
    return folder


def logits(folder):
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder).eval()(IDS).logits


def same_file(left, right):
    return left.read_bytes() == right.read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_folders_are_copied_to_the_bit_and_load_the_same(twofour, tmp_path, name):
    random_model(name).save_pretrained(tmp_path / "a")
    twofour("convert", tmp_path / "a", tmp_path / "b", "--to", "hf")
    for file in ("model.safetensors", "generation_config.json"):
        assert same_file(tmp_path / "a" / file, tmp_path / "b" / file)
    assert json.loads((tmp_path / "a/config.json").read_text()) == json.loads((tmp_path / "b/config.json").read_text())
    twofour("convert", tmp_path / "a", tmp_path / "shards", "--to", "hf", "--max-shard-size", "60KB")
    index = json.loads((tmp_path / "shards/model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert torch.equal(logits(tmp_path / "shards"), logits(tmp_path / "a"))
    twofour("convert", tmp_path / "shards", tmp_path / "one", "--to", "hf")
    assert same_file(tmp_path / "one/model.safetensors", tmp_path / "a/model.safetensors")


@pytest.mark.parametrize("size", ["10KB", "35KB", "60KB", "1MB"])
def test_shards_are_split_as_transformers_splits_them(twofour, tmp_path, llama, size):
    twofour("convert", llama, tmp_path / "shards", "--to", "hf", "--max-shard-size", size)
    weights = dict(sorted(load_file(llama / "model.safetensors").items()))
    theirs = split_torch_state_dict_into_shards(weights, max_shard_size=size)
    if not theirs.is_sharded:
        assert (tmp_path / "shards/model.safetensors").exists()
        return
    index = json.loads((tmp_path / "shards/model.safetensors.index.json").read_text())
    assert index["weight_map"] == theirs.tensor_to_filename
    assert index["metadata"]["total_size"] == theirs.metadata["total_size"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtypes_are_rounded_as_torch_rounds_and_widened_exactly(twofour, tmp_path, llama, dtype):
    twofour("convert", llama, tmp_path / "narrow", "--to", "hf", "--dtype", dtype)
    wide, narrow = load_file(llama / "model.safetensors"), load_file(tmp_path / "narrow/model.safetensors")
    assert wide.keys() == narrow.keys()
    for name, tensor in wide.items():
        assert torch.equal(narrow[name], tensor.to(getattr(torch, dtype)))
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "narrow", dtype="auto").dtype == getattr(torch, dtype)
    twofour("convert", tmp_path / "narrow", tmp_path / "wide", "--to", "hf", "--dtype", "float32")
    for name, tensor in load_file(tmp_path / "wide/model.safetensors").items():
        assert torch.equal(tensor, narrow[name].float())


@pytest.mark.parametrize("dtype, value, advice", [("float16", 7e4, "float16: use bfloat16 or float32"),
                                                 ("bfloat16", 3.4e38, "bfloat16: use float32"),
                                                 ("float32", 1e39, "float32: leave out --dtype")])
def test_values_beyond_the_range_of_a_dtype_are_refused(twofour, tmp_path, llama, dtype, value, advice):
    weights = load_file(llama / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].double()
    weights["model.norm.weight"][3] = -value
    save_file(weights, llama / "model.safetensors", {"format": "pt"})
    error = twofour("convert", llama, tmp_path / "narrow", "--to", "hf", "--dtype", dtype, fails=1).stderr
    assert '"model.norm.weight" holds values beyond the range of ' + advice in error
    assert [file.name for file in tmp_path.iterdir()] == ["llama"]
    weights["model.norm.weight"][3] = -torch.inf
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"].to(torch.float8_e5m2)
    weights["model.embed_tokens.weight"].view(torch.uint8)[0, 0] = 0x7c  # infinite
    save_file(weights, llama / "model.safetensors", {"format": "pt"})
    twofour("convert", llama, tmp_path / "narrow", "--to", "hf", "--dtype", dtype)
    assert load_file(tmp_path / "narrow/model.safetensors")["model.norm.weight"][3] == -torch.inf


@pytest.mark.parametrize("tied", [True, False])
def test_llama2c_there_and_back(twofour, tmp_path, tied):
    random_model("llama2", rms_norm_eps=1e-5, tie_word_embeddings=tied).save_pretrained(tmp_path / "a")
    twofour("convert", tmp_path / "a", tmp_path / "a.bin", "--to", "llama2c")
    twofour("convert", tmp_path / "a.bin", tmp_path / "b", "--to", "hf")
    assert same_file(tmp_path / "a/model.safetensors", tmp_path / "b/model.safetensors")
    assert torch.equal(logits(tmp_path / "a"), logits(tmp_path / "b"))
    twofour("convert", tmp_path / "b", tmp_path / "b.bin", "--to", "llama2c")
    assert same_file(tmp_path / "a.bin", tmp_path / "b.bin")


@pytest.mark.parametrize("changes, message", [
    (dict(rms_norm_eps=1e-6), "rms_norm_eps is 1e-06: it means 1e-05"),
    (dict(rope_parameters=dict(rope_type="default", rope_theta=5e5)), "rope_theta is 500000: it means 10000"),
    (dict(rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=1e4)), "rotary angles are scaled"),
    (dict(head_dim=24), "4 heads of 24 are not the width 64"),
    (dict(attention_bias=True), "bias"),
])
def test_what_llama2c_cannot_say_is_refused(twofour, tmp_path, changes, message):
    random_model("llama2", **{"rms_norm_eps": 1e-5, **changes}).save_pretrained(tmp_path / "a")
    assert message in twofour("convert", tmp_path / "a", tmp_path / "a.bin", "--to", "llama2c", fails=1).stderr
    assert not (tmp_path / "a.bin").exists()


def test_a_refused_model_or_tokenizer_leaves_neither_file(twofour, tmp_path, shared, llama):
    tokenizers = {name: shared / "data/tokenizers" / name for name in ("gpt2", "llama2")}
    random_model("llama2", rms_norm_eps=1e-6, vocab_size=32000).save_pretrained(tmp_path / "a")
    random_model("llama2", rms_norm_eps=1e-5, vocab_size=50257).save_pretrained(tmp_path / "b")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/tokenizer.bin").write_text("mine")
    for model, tokenizer, message in (("a", "llama2", "rms_norm_eps"), ("b", "gpt2", "byte-level")):
        error = twofour("convert", tmp_path / model, tmp_path / "out/x.bin", "--to", "llama2c", "--tokenizer",
                        tokenizers[tokenizer], "--force", fails=1).stderr
        assert message in error
        assert [file.name for file in (tmp_path / "out").iterdir()] == ["tokenizer.bin"]
        assert (tmp_path / "out/tokenizer.bin").read_text() == "mine"


def decompressed(tensors, module):
    """sparse-24-bitmask as its own library reads it."""
    shape = tensors[module + ".shape"]
    assert shape.dtype == torch.int64 and shape.shape == (2, 1)
    rows, columns = (int(size) for size in shape)
    bits = numpy.unpackbits(tensors[module + ".bitmask"].numpy(), axis=-1, count=columns, bitorder="little")
    dense = torch.zeros(rows, columns, dtype=tensors[module + ".compressed"].dtype)
    dense[torch.from_numpy(bits.astype(bool))] = tensors[module + ".compressed"].flatten()
    assert (bits.reshape(-1, 4).sum(1) == 2).all()
    return dense


@pytest.mark.parametrize("dtype", [[], ["--dtype", "bfloat16"]])
def test_compressed_tensors_there_and_back(twofour, tmp_path, llama24, dtype):
    twofour("convert", llama24, tmp_path / "a", "--to", "hf", *dtype)
    twofour("convert", tmp_path / "a", tmp_path / "c", "--to", "compressed-tensors", "--max-shard-size", "50KB")
    config = json.loads((tmp_path / "c/config.json").read_text())["quantization_config"]
    assert config["quant_method"] == "compressed-tensors"
    assert config["sparsity_config"]["format"] == "sparse-24-bitmask"
    assert config["sparsity_config"]["ignore"] == ["lm_head"]
    compressed = {}
    for shard in (tmp_path / "c").glob("*.safetensors"):
        compressed |= load_file(shard)
    dense = load_file(tmp_path / "a/model.safetensors")
    for name, tensor in dense.items():
        module = name.removesuffix(".weight")
        if name.endswith("_proj.weight"):
            assert name not in compressed
            assert torch.equal(decompressed(compressed, module), tensor)
        else:
            assert torch.equal(compressed[name], tensor)
    twofour("convert", tmp_path / "c", tmp_path / "b", "--to", "hf")
    assert same_file(tmp_path / "a/model.safetensors", tmp_path / "b/model.safetensors")
    assert "quantization_config" not in json.loads((tmp_path / "b/config.json").read_text())
    twofour("convert", tmp_path / "b", tmp_path / "d", "--to", "compressed-tensors", "--max-shard-size", "50KB")
    for file in (tmp_path / "c").iterdir():
        assert same_file(file, tmp_path / "d" / file.name)


def test_what_cannot_be_compressed_is_refused(twofour, tmp_path, llama):
    assert "2:4 along its rows" in twofour("convert", llama, tmp_path / "c", "--to", "compressed-tensors", fails=1).stderr
    random_model("gpt2").save_pretrained(tmp_path / "g")
    assert "transposed" in twofour("convert", tmp_path / "g", tmp_path / "c", "--to", "compressed-tensors", fails=1).stderr
    assert not (tmp_path / "c").exists()


def test_masks_pass_through_every_format(twofour, tmp_path, sparse_run):
    model = sparse_run / "model"
    twofour("convert", model, tmp_path / "a.npz", "--to", "npz")
    with numpy.load(tmp_path / "a.npz") as arrays, safe_open(model / "masks.safetensors", "np") as file:
        assert sorted(arrays.files) == sorted(file.keys())
        for name in arrays.files:
            assert arrays[name].dtype == numpy.uint8
            assert numpy.array_equal(arrays[name], file.get_tensor(name))
    twofour("convert", tmp_path / "a.npz", tmp_path / "b.safetensors", "--to", "masks", "--model", model)
    assert same_file(tmp_path / "b.safetensors", model / "masks.safetensors")
    twofour("convert", tmp_path / "b.safetensors", tmp_path / "b.npz", "--to", "npz", "--model", model)
    assert same_file(tmp_path / "a.npz", tmp_path / "b.npz")
    twofour("convert", model, tmp_path / "copy", "--to", "hf")
    for file in model.iterdir():
        assert same_file(file, tmp_path / "copy" / file.name)


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_masks_that_numpy_wrote_are_read(twofour, tmp_path, llama24, save):
    """Like MaskLLM's files: one array `<parameter name>.mask`, packed over the whole matrix."""
    masks = {name + ".mask": numpy.packbits(weight.numpy() != 0)
             for name, weight in load_file(llama24 / "model.safetensors").items() if name.endswith("_proj.weight")}
    save(tmp_path / "a.npz", **masks)
    twofour("convert", tmp_path / "a.npz", tmp_path / "masks.safetensors", "--to", "masks", "--model", llama24)
    with safe_open(tmp_path / "masks.safetensors", "np") as file:
        assert sorted(file.keys()) == sorted(masks)
        for name, mask in masks.items():
            assert numpy.array_equal(file.get_tensor(name), mask)


def test_a_kept_zero_stays_kept(twofour, tmp_path, llama24):
    """The mask, not the values, decides what a bitmask keeps."""
    weights = load_file(llama24 / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    mask = numpy.zeros(weights[name].shape, dtype=numpy.uint8)
    mask[:, 2::4] = mask[:, 3::4] = 1
    weights[name] = torch.zeros_like(weights[name])
    save_file(weights, llama24 / "model.safetensors", {"format": "pt"})
    numpy.savez(tmp_path / "m.npz", **{name + ".mask": numpy.packbits(mask)})
    twofour("convert", tmp_path / "m.npz", llama24 / "masks.safetensors", "--to", "masks", "--model", llama24)
    twofour("convert", llama24, tmp_path / "c", "--to", "compressed-tensors")
    bitmask = load_file(tmp_path / "c/model.safetensors")["model.layers.0.mlp.up_proj.bitmask"]
    assert (bitmask == 0b11001100).all()
    twofour("convert", tmp_path / "c", tmp_path / "b", "--to", "hf")
    twofour("convert", tmp_path / "b", tmp_path / "b.npz", "--to", "npz")
    assert numpy.array_equal(numpy.load(tmp_path / "b.npz")[name + ".mask"], numpy.packbits(mask))


def test_token_files_there_and_back(twofour, tmp_path, corpus):
    ours = corpus / "data/train.bin"
    twofour("convert", ours, tmp_path / "n.bin", "--to", "nanogpt")
    assert same_file(ours, tmp_path / "n.bin") and not (tmp_path / "n.json").exists()
    twofour("convert", tmp_path / "n.bin", tmp_path / "back.bin", "--to", "twofour", "--tokenizer", corpus / "tokenizer")
    assert same_file(ours, tmp_path / "back.bin")
    assert same_file(ours.with_suffix(".json"), tmp_path / "back.json")
    twofour("convert", tmp_path / "n.bin", tmp_path / "plain.bin", "--to", "twofour")
    plain = json.loads((tmp_path / "plain.json").read_text())
    ids = numpy.fromfile(ours, dtype=numpy.uint16)
    assert plain["vocabulary_size"] == ids.max() + 1 and plain["tokens"] == len(ids)


@pytest.mark.parametrize("to", ["nanogpt", "twofour"])
@pytest.mark.parametrize("out", ["t.json", "t", "t.npz"])
def test_token_files_end_in_bin(twofour, tmp_path, to, out):
    numpy.array([1, 2, 3], dtype=numpy.uint16).tofile(tmp_path / "n.bin")
    error = twofour("convert", "n.bin", out, "--to", to, fails=2, cwd=tmp_path).stderr
    assert f"--to {to} writes a file: let OUT end in .bin" in error
    assert [file.name for file in tmp_path.iterdir()] == ["n.bin"]


def test_ids_that_do_not_fit_are_refused(twofour, tmp_path, corpus):
    numpy.array([1, 2, 60000], dtype=numpy.uint16).tofile(tmp_path / "n.bin")
    error = twofour("convert", tmp_path / "n.bin", tmp_path / "t.bin", "--to", "twofour", "--tokenizer",
                    corpus / "tokenizer", fails=1).stderr
    assert "the id 60000, but the vocabulary has" in error
    numpy.array([1, 70000], dtype=numpy.uint32).tofile(tmp_path / "w.bin")
    (tmp_path / "w.json").write_text(json.dumps({"version": 1, "tokens": 2, "dtype": "uint32", "documents": 1,
                                                 "vocabulary_size": 70001, "tokenizer_hash": "", "content_hash": ""}))
    assert "70001 does not fit" in twofour("convert", tmp_path / "w.bin", tmp_path / "n2.bin", "--to", "nanogpt",
                                           fails=1).stderr
    assert not (tmp_path / "t.bin").exists() and not (tmp_path / "n2.bin").exists()


@pytest.mark.parametrize("model, tokenizer", [("stories260K/stories260K.bin", "stories260K/tok512.bin"),
                                              ("babyllama-tok105/model5000.bin", "babyllama-tok105/tok105.bin"),
                                              ("babyllama-tok105/model5000.bin", "babyllama-tok105/tok105.model")])
def test_real_llama2c_models(twofour, tmp_path, shared, model, tokenizer):
    source = shared / "data/models" / model
    twofour("convert", source, tmp_path / "hf", "--to", "hf", "--tokenizer", shared / "data/models" / tokenizer)
    twofour("convert", tmp_path / "hf", tmp_path / "again.bin", "--to", "llama2c", "--tokenizer",
            shared / "data/models" / tokenizer)
    assert same_file(source, tmp_path / "again.bin")
    written = tmp_path / "tokenizer.bin"
    assert same_file((shared / "data/models" / tokenizer).with_suffix(".bin"), written)
    written.write_text("mine")
    assert "tokenizer.bin" in twofour("convert", tmp_path / "hf", tmp_path / "b.bin", "--to", "llama2c", "--tokenizer",
                                      tmp_path / "hf", fails=2).stderr
    assert written.read_text() == "mine" and not (tmp_path / "b.bin").exists()
    judge = AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    ids = AutoTokenizer.from_pretrained(tmp_path / "hf")("Once upon a time", return_tensors="pt").input_ids
    expected = judge.generate(ids, max_new_tokens=30, do_sample=False)[0, ids.shape[1]:].tolist()
    done = json.loads(twofour("generate", "--model", tmp_path / "hf", "--prompt", "Once upon a time", "--max-tokens", 30,
                              "--temperature", 0, "--json").stdout)
    assert done["text"] == AutoTokenizer.from_pretrained(tmp_path / "hf").decode(expected, skip_special_tokens=True)


def test_golden_folders_are_copied_to_the_bit(twofour, tmp_path, shared):
    for name in ("gpt2", "llama", "llama31", "llama_tied_mha", "qwen2"):
        twofour("convert", shared / "golden" / name, tmp_path / name, "--to", "hf")
        assert same_file(shared / "golden" / name / "model.safetensors", tmp_path / name / "model.safetensors")


def test_nothing_is_replaced_without_force(twofour, tmp_path, llama):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious.txt").write_text("mine")
    assert "exists" in twofour("convert", llama, tmp_path / "out", "--to", "hf", fails=2).stderr
    assert "precious.txt" in twofour("convert", llama, tmp_path / "out", "--to", "hf", "--force", fails=2).stderr
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["precious.txt"]
    (tmp_path / "a.bin").write_text("mine")
    assert "exists" in twofour("convert", llama, tmp_path / "a.bin", "--to", "llama2c", fails=2).stderr
    twofour("convert", llama, tmp_path / "a.bin", "--to", "llama2c", "--force")
    assert (tmp_path / "a.bin").stat().st_size > 1000
    twofour("convert", llama, tmp_path / "b", "--to", "hf")
    twofour("convert", tmp_path / "a.bin", tmp_path / "b", "--to", "hf", "--force")
    assert not (tmp_path / "b/generation_config.json").exists()
    summary = json.loads(twofour("convert", llama, tmp_path / "b", "--to", "hf", "--force", "--json").stdout)
    assert (summary["from"], summary["to"], summary["files"]) == ("hf", "hf", 3)


@pytest.mark.parametrize("to", ["twofour", "nanogpt"])
def test_the_json_beside_a_token_file_is_not_replaced_without_force(twofour, tmp_path, to):
    numpy.arange(10, dtype=numpy.uint16).tofile(tmp_path / "a.bin")
    (tmp_path / "b.json").write_text("mine")
    assert "b.json" in twofour("convert", tmp_path / "a.bin", tmp_path / "b.bin", "--to", to, fails=2).stderr
    assert (tmp_path / "b.json").read_text() == "mine" and not (tmp_path / "b.bin").exists()
    twofour("convert", tmp_path / "a.bin", tmp_path / "b.bin", "--to", to, "--force")


def test_force_replaces_the_files_that_came_along_before(twofour, tmp_path, llama):
    for name in ("LICENSE", "notes.txt"):
        (llama / name).write_text("of the model")
    for force in ([], ["--force"]):
        twofour("convert", llama, tmp_path / "copy", "--to", "hf", *force)
        assert (tmp_path / "copy/LICENSE").read_text() == (tmp_path / "copy/notes.txt").read_text() == "of the model"
    twofour("convert", llama, llama, "--to", "hf", "--force")
    assert (llama / "notes.txt").read_text() == "of the model"
    (tmp_path / "copy/notes.txt").write_text("changed since")
    assert "notes.txt" in twofour("convert", llama, tmp_path / "copy", "--to", "hf", "--force", fails=2).stderr
    assert (tmp_path / "copy/notes.txt").read_text() == "changed since"


@pytest.mark.parametrize("out, name", [(out, name) for out in ("copy", "llama")
                                       for name in ("notes.txt", "README.md", "onnx/model.onnx", "optimizer.safetensors")
                                       if (out, name) != ("llama", "notes.txt")])  # that one is copied
def test_force_deletes_no_file_that_is_not_of_a_model(twofour, tmp_path, llama, name, out):
    twofour("convert", llama, tmp_path / "copy", "--to", "hf")
    (tmp_path / out / name).parent.mkdir(exist_ok=True)
    (tmp_path / out / name).write_text("important")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / out).rglob("*")}
    error = twofour("convert", llama, out, "--to", "hf", "--force", fails=2, cwd=tmp_path).stderr
    assert f'"{out}" holds "{name.split("/")[0]}", which --force would delete although it is no model file' in error
    assert "remove it or choose another OUT" in error
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / out).rglob("*")} == before


@pytest.mark.parametrize("files", [{"config.json": '{"port": 80}'}, {"config.json": "{"}, {"config.json": "[]"},
                                   {"tokenizer.json": "{}"}])
def test_force_replaces_only_folders_that_hold_a_model(twofour, tmp_path, llama, files):
    (tmp_path / "other").mkdir()
    for name, text in files.items():
        (tmp_path / "other" / name).write_text(text)
    assert "holds no model" in twofour("convert", llama, tmp_path / "other", "--to", "hf", "--force", fails=2).stderr
    assert {file.name: file.read_text() for file in (tmp_path / "other").iterdir()} == files


@pytest.mark.parametrize("out", ["out", "out/", "./out"])
def test_what_a_killed_convert_left_is_removed_by_the_next(twofour, tmp_path, llama, out):
    (tmp_path / "out.partial-999999999-0").mkdir()
    (tmp_path / "out.partial-999999999-0/model.safetensors").write_text("half")
    (tmp_path / "mine.partial-999999999-0.txt").write_text("mine")
    twofour("convert", llama, out, "--to", "hf", cwd=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["llama", "mine.partial-999999999-0.txt", "out"]


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named_as_given(tmp_path, llama):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed").chmod(0o555)
    # Root may write there too, unless it drops that power.
    without_power = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run([*without_power, PROGRAM, "convert", llama, "closed/x", "--to", "hf"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == 'twofour: cannot write the folder "closed/x": Permission denied\n'


@pytest.mark.parametrize("source, arguments, status, message", [
    ("llama", ["o", "--to", "gguf"], 2, "gguf"),
    ("llama", ["o", "--to", "nanogpt"], 1, "is hf, which cannot become nanogpt"),
    ("llama", ["o.npz", "--to", "npz"], 1, "holds no masks"),
    ("llama", ["o", "--to", "npz"], 2, "let OUT end in .npz"),
    ("llama", ["o.npz", "--to", "t24"], 2, "let OUT end in .t24"),
    ("llama", ["o.bin", "--to", "llama2c", "--dtype", "float16"], 2, "--dtype is for"),
    ("llama", ["o", "--to", "hf", "--max-shard-size", "5"], 2, "must be a size such as 5GB"),
    ("llama", ["o", "--to", "hf", "--max-shard-size", "0GB"], 2, "must be a size such as 5GB"),
    ("llama", ["o.bin", "--to", "llama2c", "--max-shard-size", "1GB"], 2, "--max-shard-size is for"),
    ("llama", ["o.npz", "--to", "npz", "--max-shard-size", "1GB"], 2, "--max-shard-size is for"),
    ("llama", ["o", "--to", "hf", "--model", "m"], 2, "--model is for files of masks"),
    ("none", ["o", "--to", "hf"], 1, "No such file"),
    ("llama/config.json", ["o", "--to", "hf"], 1, "as a llama2.c model"),
])
def test_wrong_usage_is_one_line(twofour, tmp_path, llama, source, arguments, status, message):
    before = sorted(tmp_path.iterdir())
    assert message in twofour("convert", source, *arguments, fails=status, cwd=tmp_path).stderr
    assert sorted(tmp_path.iterdir()) == before
