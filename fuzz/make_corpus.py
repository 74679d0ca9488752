#!/usr/bin/env python3
"""Makes the inputs that fuzzing starts from: make_corpus.py HOW FOLDER.

HOW names a function of this file that gives the inputs as bytes.
"""

import itertools
import json
import pathlib
import struct
import sys


def with_text(content, text):
    """A file and a text for it, as fuzz::split takes them apart."""
    return content + text + bytes([len(text)])


def byte_characters():
    """GPT-2's printable character of each byte."""
    spare = itertools.count(256)
    return [chr(b) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174 else chr(next(spare)) for b in range(256)]


TEXTS = ["the cat  sat</s> on it's 12 \n\n caf\u00e9 \u4e2d\U0001f600".encode(), b"<s>aaaa aa", b""]
SPACE = "\u2581"


def added(content, identity, **flags):
    return {"id": identity, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True} | flags


def byte_level_json():
    vocabulary = {c: i for i, c in enumerate(byte_characters())}
    merges = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("a", "a")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    split = {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"},
             "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"version": "1.0", "added_tokens": [added("</s>", len(vocabulary)),
                                               added("<s>", len(vocabulary) + 1, normalized=True)],
            "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
            "post_processor": {"type": "Sequence", "processors": [level, template("<s>", 261)]},
            "decoder": level,
            "model": {"type": "BPE", "ignore_merges": True, "vocab": vocabulary,
                      "merges": [" ".join(pair) for pair in merges]}}


def template(token, identity):
    sequence = [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": sequence, "pair": [],
            "special_tokens": {token: {"id": token, "ids": [identity], "tokens": [token]}}}


def character_json(front, byte_fallback):
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256) if byte_fallback]
    pieces += [SPACE, "t", "h", "e", "a", "\u00e9", SPACE + "t", "he", SPACE + "the", "aa", SPACE * 2]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    front = {"prepend": {"normalizer": {"type": "Sequence", "normalizers": [
                 {"type": "Prepend", "prepend": SPACE}, replace]}, "pre_tokenizer": None},
             "replace": {"normalizer": replace, "pre_tokenizer": None},
             "metaspace": {"normalizer": None, "pre_tokenizer": {
                 "type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": True}}}[front]
    decoders = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    return front | {
        "added_tokens": [added("<unk>", 0), added("<s>", 1, normalized=True), added("</s>", 2)],
        "post_processor": template("<s>", 1), "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": byte_fallback,
                  "vocab": {piece: i for i, piece in enumerate(pieces)},
                  "merges": [[SPACE, "t"], ["h", "e"], [SPACE + "t", "he"], ["a", "a"], [SPACE, SPACE]]}}


def pipeline_json():
    """Components in an order without a specific encoder."""
    file = character_json("metaspace", True)
    split = {"type": "Split", "pattern": {"Regex": r"[\p{L}&&[^a]]+|\s+"}, "behavior": "MergedWithNext", "invert": True}
    return file | {
        "added_tokens": [added("<unk>", 0, lstrip=True), added("<s>", 1, rstrip=True, normalized=True),
                         added("the", 2, single_word=True, special=False)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": False},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SPACE}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Contiguous"}, split,
            file["pre_tokenizer"], {"type": "FixedLength", "length": 3}]},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "ByteFallback"}, {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first"},
            {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 1}]}}


def tokenizer_json():
    files = [pipeline_json(), byte_level_json(), byte_level_json() | {"normalizer": {"type": "NFC"}}] + [character_json(front, fallback)
                                   for front in ("prepend", "replace", "metaspace") for fallback in (True, False)]
    for file, text in itertools.product(files, TEXTS):
        yield with_text(json.dumps(file, ensure_ascii=False).encode(), text)


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """One field of a protocol buffer: an int, a float or bytes."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    return varint(number << 3 | 2) + varint(len(value)) + value


def piece(text, score, kind=1):
    return field(1, field(1, text.encode()) + field(2, score) + field(3, kind))


def tokenizer_model():
    words = [SPACE, "t", "h", "e", "a", "\u00e9", SPACE + "t", "he", SPACE + "the", "aa", "aaa", SPACE * 2]
    for fallback, prefix, collapse in itertools.product((0, 1), repeat=3):
        model = piece("<unk>", 0.0, 2) + piece("<s>", 0.0, 3) + piece("</s>", 0.0, 3)
        model += b"".join(piece(f"<0x{b:02X}>", 0.0, 6) for b in range(256) if fallback)
        model += b"".join(piece(word, float(-i)) for i, word in enumerate(words))
        if not prefix:
            model += piece("sat", 0.0, 4)
        model += field(2, field(3, 2) + field(35, fallback) + field(43, -1))
        model += field(3, field(1, b"identity") + field(3, prefix) + field(4, collapse) + field(5, 1))
        yield from (with_text(model, text) for text in TEXTS)


def tokenizer_llama2c():
    start = ["<unk>", "\n<s>\n", "\n</s>\n"]
    words = [" ", "t", "h", "e", "a", "\u00e9", " t", "he", " the", "aa", "  "]
    for pieces in (start + words, start + [f"<0x{b:02X}>" for b in range(256)] + words):
        content = struct.pack("<i", max(len(piece.encode()) for piece in pieces))
        for i, text in enumerate(pieces):
            content += struct.pack("<fi", -i, len(text.encode())) + text.encode()
        yield from (with_text(content, text) for text in TEXTS)


def json_text():
    yield from (b'{"text": "a"}', b' {"n": [NaN, -Infinity, 1e999, 123456789012345678901234567890], "text": "b"}\r',
                rb'{"text": "a", "t\u0065xt": "\ud83d\ude00\ud83d\n\\"}', b'{"a": {"b": [{}, [], "", null, true]}, "text": 1}', b"[01]")


def documents():
    import gzip

    lines = b'{"text": "a"}\n{"text": "b"}\n'
    for text in (b"one\n<|endoftext|>\ntwo\n", lines, b'[{"text": "a"},\n{"text": "b"}]', b'{\n"text": "a"\n}'):
        yield from (text, gzip.compress(text), gzip.compress(text[:9]) + gzip.compress(text[9:]) + bytes(8) + b"x")
        # zstd frames of one raw block (RFC 8878): with the content's size, with a window, a skippable one before.
        block = struct.pack("<I", len(text) << 3 | 1)[:3] + text
        yield from (b"\x28\xb5\x2f\xfd\x20" + bytes([len(text)]) + block, b"\x28\xb5\x2f\xfd\0\x58" + block,
                    b"\x50\x2a\x4d\x18\1\0\0\0x\x28\xb5\x2f\xfd\0\0" + block)
    yield from (b"\xef\xbb\xbfx", b"\xff\xfea\0", b"BZh91AY&SY", b"PK\3\4")


def tokenizer_text():
    yield from TEXTS
    yield from (b"\xff", b" \xe2\x96\x81 ", b"a" * 100, b"line one\nline two\n")


def safetensors_file(tensors, metadata=None):
    """tensors: name -> (dtype, shape, data)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors():
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
             "F8_E4M3": 1, "F8_E5M2": 1}
    yield safetensors_file({})
    yield safetensors_file({"w": ("F32", [2, 2], bytes(16))}, {"format": "pt"})
    yield safetensors_file({"empty": ("F16", [0, 3], b""), "scalar": ("I64", [], bytes(8))})
    yield safetensors_file({dtype: (dtype, [3], b"\1" * (3 * size)) for dtype, size in sizes.items()})


def weight_index():
    for weights in ({"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"},
                    {"a": "1.safetensors", "b": "1.safetensors"}, {"c": "../2.safetensors"}):
        yield json.dumps({"metadata": {"total_size": 36}, "weight_map": weights}).encode()


def npz():
    import io
    import zipfile

    for method, (descr, order, shape, size) in itertools.product(
            (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
            (("|u1", False, "(3,)", 3), ("<f4", True, "(2, 2)", 16), ("<i8", False, "()", 8))):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", method) as file:
            for version, name in ((1, "h.0.weight.mask.npy"), (2, "other.npy")):
                text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
                length = struct.pack("<H" if version == 1 else "<I", len(text))
                file.writestr(name, b"\x93NUMPY" + bytes([version, 0]) + length + text + b"\1" * size)
        yield archive.getvalue()


def t24():
    """Without checksums, which the target sets."""
    for patterns in ([], [(2, 4, 6)], [(1, 4, 4), (1, 2, 2), (4, 8, 70)], [(1, 70, 70)]):
        header, digits = b"", b""
        for i, (kept, group, candidates) in enumerate(patterns):
            rows, columns, name = 3, 17 * group, f"h.{i}.weight".encode()
            fitting = 0
            while candidates**(fitting + 1) <= 2**128:
                fitting += 1
            header += struct.pack("<QQHHI", rows, columns, kept, group, len(name)) + name
            header += bytes(-len(header) % 8)
            for first in range(0, rows * 17, fitting):
                value = 0
                for group_index in range(first, min(first + fitting, rows * 17)):
                    value = value * candidates + group_index % candidates
                digits += value.to_bytes(16, "little")
            digits += bytes(16)
        header += bytes(-len(header) % 16 + 16)
        size = 32 + len(header)
        content = b"T24MASKS" + struct.pack("<IIQQ", 1, len(patterns), size, size + len(digits)) + header + digits
        yield content


def llama2c():
    dim, hidden, heads, kv_heads, vocabulary, context = 4, 3, 2, 1, 3, 2
    layer = 2 * dim + 2 * dim * dim + 2 * dim // heads * kv_heads * dim + 3 * dim * hidden
    for layers, tied in itertools.product((1, 2), (True, False)):
        floats = layers * layer + dim + (1 if tied else 2) * vocabulary * dim
        sizes = [dim, hidden, layers, heads, kv_heads, vocabulary if tied else -vocabulary, context]
        yield struct.pack("<7i", *sizes) + bytes(4 * (floats + context * dim // heads))
        sizes[5] = vocabulary
        yield (struct.pack("<Ii7iB", 0x616B3432, 1, *sizes, tied)).ljust(256, b"\0") + bytes(4 * floats)


def config_json():
    gpt2 = {"model_type": "gpt2", "vocab_size": 10, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2,
            "n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    llama = {"model_type": "llama", "vocab_size": 10, "max_position_embeddings": 8, "hidden_size": 8,
             "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
             "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True,
             "bos_token_id": 1, "eos_token_id": [2, 3]}
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 4}
    compression = {"quant_method": "compressed-tensors", "sparsity_config": {
        "format": "sparse-24-bitmask", "sparsity_structure": "2:4", "targets": ["Linear"], "ignore": ["lm_head"]}}
    for config in (gpt2, llama, llama | {"rope_scaling": scaling}, llama | {"quantization_config": compression},
                   llama | {"rope_parameters": {"rope_theta": 5e5} | scaling}, llama | {"model_type": "qwen2"},
                   llama | {"model_type": "mistral", "sliding_window": 4}):
        yield json.dumps(config).encode()


def sparse24_bitmask():
    yield from (bytes([0x33, 0x03]), bytes([0x5A, 0x09, 0xC6, 0x0C]), bytes([0x33, 0x13]), bytes([0x31, 0x03]))


def main():
    how, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for i, content in enumerate(globals()[how]()):
        (folder / str(i)).write_bytes(content)


if __name__ == "__main__":
    main()
