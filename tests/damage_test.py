"""Every kind of damage to every file of a model gives one line that names the file and the place, and exit status 1.
Nothing is written, and memory stays small. `pytest tests/damage_test.py -v` lists the kinds."""

import io
import json
import os
import resource
import shutil
import struct
import subprocess
import warnings
import zipfile

import numpy
import pytest

from conftest import PROGRAM

ADDRESS_SPACE = 4 << 30
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 10, "max_position_embeddings": 8,
          "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
          "num_key_value_heads": 1, "head_dim": 4, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
          "tie_word_embeddings": False}
LAYER = "model.layers.0."
Q, DOWN, NORM = LAYER + "self_attn.q_proj.weight", LAYER + "mlp.down_proj.weight", "model.norm.weight"
SHAPES = {"lm_head.weight": [10, 8], "model.embed_tokens.weight": [10, 8], LAYER + "input_layernorm.weight": [8],
          DOWN: [8, 12], LAYER + "mlp.gate_proj.weight": [12, 8], LAYER + "mlp.up_proj.weight": [12, 8],
          LAYER + "post_attention_layernorm.weight": [8], LAYER + "self_attn.k_proj.weight": [4, 8],
          LAYER + "self_attn.o_proj.weight": [8, 8], Q: [8, 8], LAYER + "self_attn.v_proj.weight": [4, 8], NORM: [8]}
SINGLE, INDEX, CONFIG_FILE = "model.safetensors", "model.safetensors.index.json", "config.json"


def values(name):
    """2:4 along the rows."""
    array = numpy.arange(1, 1 + numpy.prod(SHAPES[name]), dtype=numpy.float32).reshape(SHAPES[name]) + len(name)
    if len(SHAPES[name]) == 2:
        array[:, 1::4] = array[:, 3::4] = 0
    return array


class File:
    """A safetensors file as its parts: change them, then write."""

    def __init__(self, path):
        content = path.read_bytes()
        size = struct.unpack("<Q", content[:8])[0]
        self.path, self.header, self.data = path, json.loads(content[8:8 + size]), content[8 + size:]

    def write(self, header=None):
        text = (json.dumps(self.header) if header is None else header).encode("utf-8", "surrogateescape")
        self.path.write_bytes(struct.pack("<Q", len(text)) + text + self.data)


def write_tensors(path, arrays):
    header, data = {}, b""
    names = {"float32": "F32", "uint8": "U8", "int64": "I64", "int32": "I32"}
    for name, array in arrays.items():
        header[name] = {"dtype": names[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """The same model in every format."""
    folder = tmp_path_factory.mktemp("sound")
    hf = folder / "hf"
    hf.mkdir()
    (hf / CONFIG_FILE).write_text(json.dumps(CONFIG))
    write_tensors(hf / SINGLE, {name: values(name) for name in SHAPES})
    numpy.savez(folder / "masks.npz", **{name + ".mask": numpy.packbits(values(name) != 0)
                                         for name in SHAPES if name.endswith("_proj.weight")})

    def convert(*arguments):
        subprocess.run([PROGRAM, "convert", *map(str, arguments)], check=True, capture_output=True)

    convert(hf, folder / "shards", "--to", "hf", "--max-shard-size", "1KB")
    convert(hf, folder / "compressed", "--to", "compressed-tensors")
    convert(hf, folder / "model.bin", "--to", "llama2c")
    convert(folder / "masks.npz", folder / "masks.safetensors", "--to", "masks", "--model", hf)
    convert(folder / "masks.npz", folder / "masks.t24", "--to", "t24", "--model", hf)
    numpy.arange(20, dtype=numpy.uint16).tofile(folder / "nanogpt.bin")
    convert(folder / "nanogpt.bin", folder / "tokens.bin", "--to", "twofour")
    return folder


def cut(name, size):
    return lambda at: (at / name).write_bytes((at / name).read_bytes()[:size])


def append(name, content):
    return lambda at: (at / name).write_bytes((at / name).read_bytes() + content)


def replace(name, content):
    return lambda at: (at / name).write_bytes(content)


def overwrite(name, offset, content):
    def damage(at):
        old = (at / name).read_bytes()
        begin = offset % len(old)
        (at / name).write_bytes(old[:begin] + content + old[begin + len(content):])
    return damage


def entry(tensor, **changes):
    def damage(at):
        file = File(at / SINGLE)
        file.header[tensor].update(changes)
        file.write()
    return damage


def header(change):
    def damage(at):
        file = File(at / SINGLE)
        file.write(change(file))
    return damage


def rename(old, new):
    return header(lambda file: json.dumps({new if name == old else name: value for name, value in file.header.items()}))


def overlap(file):
    file.header[Q]["data_offsets"] = [offset - 4 for offset in file.header[Q]["data_offsets"]]


def hole(file):
    for name in (Q, NORM):
        file.header[name]["data_offsets"] = [offset + 4 for offset in file.header[name]["data_offsets"]]
    file.data += bytes(4)


def config(**changes):
    def damage(at):
        json_file = at / CONFIG_FILE
        fields = json.loads(json_file.read_text()) | changes
        json_file.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))
    return damage


def index(change):
    def damage(at):
        content = json.loads((at / INDEX).read_text())
        (at / INDEX).write_text(json.dumps(change(content) or content))
    return damage


def weight(name, file):
    return index(lambda content: content["weight_map"].update({name: file}))


def duplicate_in_shards(at):
    content = json.loads((at / INDEX).read_text())
    files = sorted(set(content["weight_map"].values()))
    shutil.copy(at / files[0], at / files[1])
    (at / INDEX).write_text(json.dumps(content))


def link_shards(at):
    first, second = sorted(file.name for file in at.glob("model-*"))[:2]
    link(first, second)(at)
    link(second, first)(at)


def link(name, target):
    def damage(at):
        (at / name).unlink()
        (at / name).symlink_to(target)
    return damage


def as_folder(name):
    def damage(at):
        (at / name).unlink()
        (at / name).mkdir()
    return damage


def parts(change):
    """Of the compressed folder."""
    def damage(at):
        file = File(at / SINGLE)
        arrays = {}
        types = {"F32": numpy.float32, "U8": numpy.uint8, "I64": numpy.int64}
        for name, part in file.header.items():
            if name != "__metadata__":
                first, last = part["data_offsets"]
                data = numpy.frombuffer(file.data[first:last], types[part["dtype"]])
                arrays[name] = data.reshape(part["shape"]).copy()
        change(arrays)
        write_tensors(file.path, arrays)
    return damage


def compression(**changes):
    def damage(at):
        fields = json.loads((at / CONFIG_FILE).read_text())
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = fields["quantization_config"]
            for parent in parents:
                place = place[parent]
            place[last] = value
        (at / CONFIG_FILE).write_text(json.dumps(fields))
    return damage


def masks(change):
    def damage(at):
        file = File(at / "masks.safetensors")
        file.write(change(file))
    return damage


def set_last_byte(file):
    begin, end = file.header[Q + ".mask"]["data_offsets"]
    file.header[Q + ".mask"].update(data_offsets=[begin, end - 1], shape=[end - begin - 1])
    name = max(file.header, key=lambda name: file.header[name].get("data_offsets", [0])[0])
    file.header[name]["data_offsets"][0] -= 1
    file.header[name]["shape"] = [file.header[name]["shape"][0] + 1]


def npz(name=Q + ".mask.npy", dictionary=None, data=bytes(8), method=zipfile.ZIP_STORED, twice=False, patch=None):
    """An archive of one array with the given .npy dictionary; `patch` changes its bytes."""
    text = (dictionary or "{'descr': '|u1', 'fortran_order': False, 'shape': (8,), }").encode()

    def damage(at):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", method) as archive, warnings.catch_warnings(action="ignore"):
            for _ in range(2 if twice else 1):
                archive.writestr(name, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data)
        damaged = content.getvalue()
        (at / "masks.npz").write_bytes(patch(damaged) if patch else damaged)
    return damage


def in_both_headers(offset_local, offset_directory, content):
    def patch(archive):
        directory = archive.rindex(b"PK\x01\x02")
        for begin in (offset_local, directory + offset_directory):
            archive = archive[:begin] + content + archive[begin + len(content):]
        return archive
    return patch


def words(**changes):
    places = ["dim", "hidden", "layers", "heads", "kv_heads", "vocabulary", "context"]

    def damage(at):
        content = bytearray((at / "model.bin").read_bytes())
        for name, value in changes.items():
            struct.pack_into("<i", content, 4 * places.index(name), value)
        (at / "model.bin").write_bytes(content)
    return damage


def token_json(**changes):
    def damage(at):
        fields = json.loads((at / "tokens.json").read_text()) | changes
        (at / "tokens.json").write_text(json.dumps(fields))
    return damage


deep = b"[" * 200_000
HUGE = 2**62
MODEL = {
    "empty": (replace(SINGLE, b""), "at least 8"),
    "cut in the header's length": (cut(SINGLE, 5), "at least 8"),
    "cut in the header": (cut(SINGLE, 20), "header should be"),
    "cut before the data": (lambda at: cut(SINGLE, -len(File(at / SINGLE).data))(at), "ends at byte"),
    "cut in the data": (cut(SINGLE, -1), "ends at byte"),
    "bytes behind the data": (append(SINGLE, b"x"), "1 bytes follow the last tensor"),
    "huge header length": (overwrite(SINGLE, 0, struct.pack("<Q", 2**63 - 1)), "header should be 9223372036854775807"),
    "header length 0": (overwrite(SINGLE, 0, bytes(8)), "header is no valid JSON"),
    "header length one less": (lambda at: overwrite(SINGLE, 0, struct.pack("<Q", struct.unpack(
        "<Q", (at / SINGLE).read_bytes()[:8])[0] - 1))(at), "no valid JSON"),
    "header is no JSON": (header(lambda file: "tensors: all of them"), "no valid JSON"),
    "header is a list": (header(lambda file: "[1]"), "not a JSON object"),
    "header nested deeply": (header(lambda file: '{"a":' + deep.decode()), "nested too deeply"),
    "header is no UTF-8": (header(lambda file: '{"\udcff": 1}'), "no valid JSON"),
    "bit flip in a name": (rename(NORM, "model.lorm.weight"), f'missing tensors: "{NORM}"; unexpected tensors: '
                           '"model.lorm.weight"'),
    "bit flip in a brace": (header(lambda file: json.dumps(file.header).replace("{", "[", 1)), "no valid JSON"),
    "unknown dtype": (entry(Q, dtype="F33"), f'"{Q}" has the unknown dtype F33'),
    "integers as a weight": (entry(Q, dtype="I32"), f'"{Q}" is int 8x8'),
    "dtype of another size": (entry(Q, dtype="F16"), f'"{Q}" takes 256 bytes, but its dtype and shape need 128'),
    "negative shape": (entry(Q, shape=[-8, -8]), f'"{Q}" has a shape that is no list of sizes'),
    "huge shape": (entry(Q, shape=[HUGE, HUGE]), f'"{Q}" has a shape too large'),
    "huge shape of nothing": (entry(Q, shape=[0, HUGE, HUGE]), f'"{Q}" has a shape too large'),
    "shape with a fraction": (entry(Q, shape=[8.5, 8]), f'"{Q}" has a shape that is no list of sizes'),
    "number without end": (header(lambda file: json.dumps(file.header).replace("[8, 8]", "[1e999]", 1)), "too large"),
    "shape that is none": (entry(Q, shape="8x8"), f'"{Q}" lacks a dtype, a shape'),
    "thousands of dimensions": (entry(Q, shape=[1] * 5000), f'"{Q}" has more than 64 dimensions'),
    "transposed shape": (entry(DOWN, shape=[12, 8]), f'"{DOWN}" is float32 12x8, config.json asks for floats 8x12'),
    "offsets that overlap": (header(overlap), f'"{Q}" begins at data byte'),
    "offsets with a hole": (header(hole), "bytes belong to no tensor"),
    "offsets reversed": (entry(Q, data_offsets=[256, 0]), f'"{Q}" ends before it begins'),
    "offsets beyond the file": (entry(NORM, data_offsets=[10**15, 10**15 + 32]), f'"{NORM}" ends at byte'),
    "offsets beyond 64 bits": (entry(Q, data_offsets=[2**70, 2**70 + 256]), f'"{Q}" has data_offsets that are no'),
    "negative offsets": (entry(Q, data_offsets=[-256, 0]), f'"{Q}" has data_offsets that are no positions'),
    "a tensor listed twice": (header(lambda file: json.dumps(file.header)[:-1] + f', "{NORM}": 1}}'),
                              f'names "{NORM}" twice'),
    "a tensor too few": (lambda at: write_tensors(at / SINGLE, {n: values(n) for n in SHAPES if n != Q}),
                         f'missing tensors: "{Q}"'),
    "no tensor": (lambda at: write_tensors(at / SINGLE, {}), "missing tensors"),
    "metadata that is no text": (header(lambda file: '{"__metadata__": {"format": 1}, ' + json.dumps(file.header)[1:]),
                                 "metadata"),
    "missing": (lambda at: (at / SINGLE).unlink(), "holds no model.safetensors"),
    "a folder": (as_folder(SINGLE), "it is a folder"),
    "a link to nothing": (link(SINGLE, "nowhere"), "No such file"),
    "a link to itself": (link(SINGLE, SINGLE), "symbolic links"),
}
SHARDS = {
    "index cut": (cut(INDEX, 30), "no valid JSON"),
    "index is a list": (replace(INDEX, b"[]"), "not a JSON object"),
    "index nested deeply": (replace(INDEX, b'{"weight_map":' + deep), "nested too deeply"),
    "no weight_map": (index(lambda content: {"metadata": {}}), '"weight_map" is missing'),
    "weight_map is a list": (index(lambda content: {"weight_map": [1]}), '"weight_map" is missing or no object'),
    "weight_map is empty": (index(lambda content: {"weight_map": {}}), "weight_map is empty"),
    "path escapes with ../": (weight(Q, "../hf/model.safetensors"), f'"{Q}" lies in'),
    "absolute path": (weight(Q, "/etc/passwd.safetensors"), f'"{Q}" lies in'),
    "path into a folder": (weight(Q, "a/b.safetensors"), f'"{Q}" lies in'),
    "path with a zero byte": (weight(Q, "model\0.safetensors"), f'"{Q}" lies in'),
    "path is ..": (weight(Q, ".."), f'"{Q}" lies in'),
    "path is a number": (weight(Q, 3), f'"{Q}" lies in 3'),
    "index names itself": (weight(Q, INDEX), f'"{Q}" lies in'),
    "index names config.json": (weight(Q, CONFIG_FILE), f'"{Q}" lies in'),
    "index names a missing shard": (weight(Q, "model-00009-of-00009.safetensors"), "No such file"),
    "index names a tensor twice": (lambda at: (at / INDEX).write_text((at / INDEX).read_text().replace(
        '"weight_map": {', f'"weight_map": {{"{Q}": "x.safetensors",')), f'names "{Q}" twice'),
    "two shards hold a tensor": (duplicate_in_shards, "too"),
    "a shard is cut": (lambda at: cut(sorted(at.glob("model-*"))[0].name, -1)(at), "ends at byte"),
    "shards that link to each other": (link_shards, "symbolic links"),
}
CONFIGS = {
    "empty": (replace(CONFIG_FILE, b""), "no valid JSON"),
    "cut": (cut(CONFIG_FILE, 40), "no valid JSON"),
    "a list": (replace(CONFIG_FILE, b"[]"), "not a JSON object"),
    "nested deeply": (replace(CONFIG_FILE, deep), "nested too deeply"),
    "no text": (replace(CONFIG_FILE, b'{"model_type": "\xff\xfe"}'), "no valid JSON"),
    "a field twice": (lambda at: (at / CONFIG_FILE).write_text('{"a": 1, "a": 2}'), 'names "a" twice'),
    "unknown model_type": (config(model_type="mamba"), 'model_type "mamba"'),
    "model_type is a number": (config(model_type=3), "model_type"),
    "no model_type": (config(model_type=...), "model_type"),
    "no hidden_size": (config(hidden_size=...), "config.json asks for floats 10x4096"),
    "negative size": (config(hidden_size=-8), "hidden_size is -8"),
    "size 0": (config(num_attention_heads=0), "num_attention_heads is 0"),
    "size is text": (config(vocab_size="10"), "vocab_size is missing or no whole number"),
    "size is a fraction": (config(vocab_size=10.5), "vocab_size is missing or no whole number"),
    "size beyond 64 bits": (config(vocab_size=10**30), "vocab_size"),
    "huge vocabulary": (config(vocab_size=2**31), "model.embed_tokens.weight"),
    "huge matrices": (config(vocab_size=2**31, hidden_size=2**31), "hidden_size"),
    "huge heads": (config(num_attention_heads=2**31, num_key_value_heads=2**31, head_dim=2**31), "hidden_size"),
    "billions of layers": (config(num_hidden_layers=2**31), "num_hidden_layers is 2147483648"),
    "a layer more": (config(num_hidden_layers=2), "missing tensors"),
    "heads that do not divide": (config(num_attention_heads=3, num_key_value_heads=2), "num_attention_heads"),
    "unknown activation": (config(hidden_act="relu"), "hidden_act"),
    "unknown rotary scaling": (config(rope_scaling={"rope_type": "magic", "factor": 2.0}), "magic"),
    "unknown field": (config(mystery_scale=1), "mystery_scale"),
    "tied, but it is not": (config(tie_word_embeddings=True), "lm_head.weight"),
    "another quantisation": (config(quantization_config={"quant_method": "gptq"}), "quant_method"),
    "missing": (lambda at: (at / CONFIG_FILE).unlink(), "holds no config.json"),
}
UP = LAYER + "mlp.up_proj"
COMPRESSED = {
    "bitmask missing": (parts(lambda a: a.pop(UP + ".bitmask")), f'"{UP}.weight" is compressed, but its "bitmask"'),
    "shape missing": (parts(lambda a: a.pop(UP + ".shape")), f'"{UP}.weight" is compressed, but its "shape"'),
    "values missing": (parts(lambda a: a.pop(UP + ".compressed")), f'"{UP}.weight" is compressed, but its "compressed"'),
    "three of four kept": (parts(lambda a: a[UP + ".bitmask"].__setitem__((2, 0), 0b01010111)),
                           "row 2, column 0 of its bitmask keeps 3 of four"),
    "bits behind a row": (parts(lambda a: a[LAYER + "mlp.down_proj.bitmask"].__setitem__((0, 1), 0b10000101)),
                          "row 0 of its bitmask has bits behind its end"),
    "shape of another size": (parts(lambda a: a[UP + ".shape"].__setitem__((0, 0), 13)), f'"{UP}.weight": its compressed'),
    "huge shape": (parts(lambda a: a[UP + ".shape"].fill(2**62)), f'"{UP}.weight": its shape'),
    "negative shape": (parts(lambda a: a[UP + ".shape"].fill(-8)), f'"{UP}.weight": its shape'),
    "uncompressed as well": (parts(lambda a: a.update({UP + ".weight": values(UP + ".weight")})), "uncompressed too"),
    "bitmask of another type": (parts(lambda a: a.update({UP + ".bitmask": a[UP + ".bitmask"].astype("int64")})),
                                "its bitmask is Long"),
    "unknown format": (compression(sparsity_config__format="sparse-8-bitmask"), "sparsity_config.format"),
    "unknown structure": (compression(sparsity_config__sparsity_structure="4:8"), "sparsity_config.sparsity_structure"),
    "quantised too": (compression(config_groups={"group_0": {}}), "quantization_config.config_groups"),
    "config is a list": (config(quantization_config=[]), "quantization_config is no object"),
}
MASKS = {
    "cut": (cut("masks.safetensors", -1), "ends at byte"),
    "of another size": (masks(set_last_byte), "need"),
    "of no weight": (masks(lambda file: json.dumps(file.header).replace("q_proj", "x_proj")), "no such weight"),
    "name without .mask": (masks(lambda file: json.dumps(file.header).replace(".mask", ".gone")), "is no mask"),
    "of another type": (masks(lambda file: json.dumps(file.header).replace('"U8"', '"I8"')), "is Char"),
    "for another shape": (masks(lambda file: json.dumps(file.header).replace("[8, 12]", "[12, 8]")), "is for [12, 8]"),
}
NPZ = {
    "empty": (replace("masks.npz", b""), "no sound zip archive"),
    "no zip": (replace("masks.npz", b"PK, but then something else entirely"), "no sound zip archive"),
    "cut in the directory": (cut("masks.npz", -30), "no sound zip archive"),
    "cut in an array": (cut("masks.npz", 60), "no sound zip archive"),
    "byte flipped in an array": (npz(patch=lambda content: content.replace(bytes(8), b"\x01" + bytes(7), 1)), "damaged"),
    "no array": (npz(name="README"), '"README" is no .npy array'),
    "an array twice": (npz(twice=True), "already exists"),
    "path escapes with ../": (npz(name="../../x.mask.npy"), "no such weight"),
    "pickled objects": (npz(dictionary="{'descr': '|O', 'fortran_order': False, 'shape': (8,), }"), "dtype '|O'"),
    "big-endian": (npz(dictionary="{'descr': '>i8', 'fortran_order': False, 'shape': (1,), }"), "dtype '>i8'"),
    "code for a dictionary": (npz(dictionary="__import__('os').system('touch x')    "), "without '{'"),
    "no shape": (npz(dictionary="{'descr': '|u1', 'fortran_order': False, }        "), "once each"),
    "huge shape": (npz(dictionary="{'descr': '|u1', 'fortran_order': False, 'shape': (1 << 40,), }"), "no tuple of sizes"),
    "shape of a petabyte": (npz(dictionary="{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000,), }"),
                            "shape need"),
    "shape beyond 64 bits": (npz(dictionary="{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296)}"),
                             "too large"),
    "claims 4 GB stored": (npz(patch=in_both_headers(22, 24, b"\xf0\xff\xff\xff")), "claims 4294967280 bytes"),
    "claims 4 GB deflated": (npz(method=zipfile.ZIP_DEFLATED, patch=in_both_headers(22, 24, b"\xf0\xff\xff\xff")),
                             "claims 4294967280 bytes"),
    "a real bomb": (npz(method=zipfile.ZIP_DEFLATED, data=bytes(200_000_000),
                        dictionary="{'descr': '|u1', 'fortran_order': False, 'shape': (200000000,), }"), "need 8 bytes"),
    "encrypted": (npz(patch=in_both_headers(6, 8, b"\x01\x00")), "encrypt"),
    "compressed by bzip2": (npz(method=zipfile.ZIP_BZIP2), "another way than deflate"),
    "mask of another size": (npz(data=bytes(7), dictionary="{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }"),
                             "need 8 bytes"),
}
T24 = {
    "empty": (replace("masks.t24", b""), "it is no .t24"),
    "another format": (replace("masks.t24", b"PNG" + bytes(100)), "it is no .t24"),
    "cut in the head": (cut("masks.t24", 31), "it is no .t24"),
    "cut in the header": (cut("masks.t24", 100), "it has 100 bytes, its header asks for"),
    "cut in the digits": (cut("masks.t24", -20), "its header asks for"),
    "bytes behind the masks": (append("masks.t24", b"x"), "its header asks for"),
    "a later version": (overwrite("masks.t24", 8, b"\2"), "version 2 of .t24"),
    "huge number of masks": (overwrite("masks.t24", 12, b"\xff" * 4), "its header is damaged"),
    "huge header": (overwrite("masks.t24", 16, b"\xf0" + b"\xff" * 7), "should be 18446744073709551600 bytes long"),
    "huge matrix": (overwrite("masks.t24", 32, b"\xff" * 7), "its header is damaged"),
    "bit flip in a name": (overwrite("masks.t24", 60, b"x"), "its header is damaged"),
    "bit flip in digits": (overwrite("masks.t24", -20, b"\xff"), "is damaged: the checksum at byte"),
    "bit flip in a checksum": (overwrite("masks.t24", -1, b"\0"), "is damaged: the checksum at byte"),
}
LLAMA2C = {
    "empty": (replace("model.bin", b""), "its header alone 28"),
    "cut in the header": (cut("model.bin", 27), "its header alone 28"),
    "cut in the data": (cut("model.bin", -1), "its header asks for"),
    "bytes behind the data": (append("model.bin", b"x"), "its header asks for"),
    "dim 0": (words(dim=0), "dim is 0"),
    "negative layers": (words(layers=-1), "n_layers is -1"),
    "heads that do not divide": (words(heads=3), "no even multiple of n_heads 3"),
    "more key heads than heads": (words(kv_heads=4), "no multiple of n_kv_heads 4"),
    "smallest vocabulary": (words(vocabulary=-2**31), "vocab_size is 2147483648"),
    "huge sizes": (words(dim=2**30, hidden=2**31 - 1, layers=2**31 - 1, vocabulary=2**31 - 1), "more than any file has"),
    "billions of layers": (words(layers=2**31 - 1), "its header asks for"),
    "8-bit version": (lambda at: replace("model.bin", b"24ka\x02\0\0\0" + (at / "model.bin").read_bytes())(at),
                      "version 2"),
}
TOKENS = {
    "empty": (replace("tokens.bin", b""), "empty"),
    "half a token": (append("tokens.bin", b"x"), "41 bytes"),
    "fewer than said": (cut("tokens.bin", -2), "says 20 tokens"),
    "ids beyond the vocabulary": (token_json(vocabulary_size=5), "token 5 (byte 10) is the id 5, but the vocabulary has 5"),
    "endless documents": (token_json(documents=2**62), "documents of 20 tokens"),
    "no JSON beside": (replace("tokens.json", b"{"), "tokens.json"),
}
# Damaged file -> (input, target format, options), the file that messages name, the kinds.
FILES = {
    "safetensors": (["hf", "out", "--to", "hf"], "hf", MODEL),
    "shards": (["shards", "out", "--to", "hf"], "shards", SHARDS),
    "config.json": (["hf", "out", "--to", "hf"], "hf", CONFIGS),
    "compressed": (["compressed", "out", "--to", "hf"], "compressed", COMPRESSED),
    "masks": (["masks.safetensors", "out.npz", "--to", "npz", "--model", "hf"], "masks.safetensors", MASKS),
    "t24": (["masks.t24", "out.npz", "--to", "npz", "--model", "hf"], "masks.t24", T24),
    "npz": (["masks.npz", "out.safetensors", "--to", "masks", "--model", "hf"], "masks.npz", NPZ),
    "llama2c": (["model.bin", "out", "--to", "hf"], "model.bin", LLAMA2C),
    "tokens": (["tokens.bin", "out.bin", "--to", "nanogpt"], "tokens", TOKENS),
}
KINDS = [(file, kind) for file, (_, _, kinds) in FILES.items() for kind in kinds]


def tree(folder):
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else
            path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def copy(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "all")
    return tmp_path / "all"


def little_memory():
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


@pytest.mark.parametrize("file, kind", KINDS, ids=[f"{file}: {kind}" for file, kind in KINDS])
def test_damage(twofour, copy, file, kind):
    arguments, place, kinds = FILES[file]
    damage, message = kinds[kind]
    damage(copy / arguments[0] if (copy / arguments[0]).is_dir() else copy)
    before = tree(copy)
    error = twofour("convert", *arguments, fails=1, cwd=copy, timeout=60, preexec_fn=little_memory).stderr
    assert message in error and place in error, error
    assert len(error.encode()) < 700, error
    assert tree(copy) == before


@pytest.mark.parametrize("file", FILES)
def test_what_is_sound_is_converted_in_as_little_memory(twofour, copy, file):
    twofour("convert", *FILES[file][0], cwd=copy, timeout=60, preexec_fn=little_memory)


def test_there_are_more_than_forty_kinds():
    assert len(KINDS) > 40 and len(set(KINDS)) == len(KINDS)
