"""Tokenizer folders against transformers' AutoTokenizer, which defines their meaning."""

import array
import collections
import io
import json
import os
import random
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import sentencepiece
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()

WORDS = ("the cat sat on a mat and the dog ran to the red house 12 345 don't we'll caf\u00e9 \u4e2d\u6587 na\u00efve "
         "def f(x): return x").split()
PIECES = list("abcdefghij ABC019.,!?'-_<>|/s\n\t  ") + [" the", " cat", "  ", "cafe\u0301", "\u4e2d\u6587", "\u0416",
                                                      "\U0001f600", "\u2581", "\u00e9", "\u2581the", "1234", "\r\n",
                                                      "\u212b", "\ud7ff", "<0x41>", "it's", "\u3000", "\x85"]
NEW_TOKENS = ["<|im_start|>", "<|im_end|>", "<|pad|>", "<|user|>", "[MASK]", "hello", "<|\u00e9|>", "<a b>", "\u2581x"]


def corpus():
    choose = random.Random(3)
    return [" ".join(choice for choice in choose.choices(WORDS, k=10)) + "." for _ in range(300)]


@pytest.fixture(scope="module")
def byte_level():
    """Vocabulary and merges of byte-level BPE, with and without "<|endoftext|>" and of two sizes."""
    made = []
    for special in (["<|endoftext|>"], [], ["<|padding|>", "<|endoftext|>", "<s>"]):
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
            vocab_size=340, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False))
        made.append(json.loads(tokenizer.to_str())["model"])
    return made


@pytest.fixture(scope="module")
def sentencepiece_models():
    made = []
    for options in (
            {"byte_fallback": True},
            {"byte_fallback": True, "remove_extra_whitespaces": False},
            {"byte_fallback": True, "remove_extra_whitespaces": False, "add_dummy_prefix": False},
            {"byte_fallback": False, "remove_extra_whitespaces": False},
            {"byte_fallback": True, "user_defined_symbols": ["cat", "<|x|>", "a b"], "remove_extra_whitespaces": False},
            {"byte_fallback": True, "control_symbols": ["<c>"], "pad_id": 3, "remove_extra_whitespaces": False},
            {"byte_fallback": True, "bos_id": -1, "eos_id": 1, "remove_extra_whitespaces": False},
            {"byte_fallback": True, "unk_id": 2, "bos_id": 0, "eos_id": 1, "unk_piece": "[UNK]",
             "eos_piece": "[END]", "remove_extra_whitespaces": False},
            {"byte_fallback": True, "normalization_rule_name": "nmt_nfkc"},
            {"byte_fallback": True, "split_by_whitespace": False, "split_digits": True},
            {"byte_fallback": True, "model_type": "unigram"},
            {"byte_fallback": True, "allow_whitespace_only_pieces": True, "remove_extra_whitespaces": False}):
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(**{
            "sentence_iterator": iter(corpus()), "model_writer": out, "model_type": "bpe", "hard_vocab_limit": False,
            "normalization_rule_name": "identity", "minloglevel": 2,
            "vocab_size": 360 if options["byte_fallback"] else 110, **options})
        made.append((options, out.getvalue()))
    return made


class Folder:
    """A random folder, kept as data so that a failing one can be shrunk: `files` maps a name to its content, JSON or
    bytes."""

    def __init__(self, seed, byte_level, sentencepiece_models):
        self.random = random.Random(seed)
        self.files = {}
        self.texts = []
        kind = self.random.choice(["pair", "pair", "byte-level json", "byte-level json", "model", "model", "model",
                                   "space json"])
        self.config = {}
        if kind == "pair":
            self.pair(self.random.choice(byte_level))
        elif kind == "byte-level json":
            self.byte_level_json(self.random.choice(byte_level))
        elif kind == "space json":
            self.space_json(sentencepiece_models[0][1])
        else:
            self.model(self.random.choice(sentencepiece_models)[1])
        self.decorate()
        self.write_texts()

    def maybe(self, chance=0.3):
        return self.random.random() < chance

    def pair(self, model):
        self.vocabulary = dict(model["vocab"])
        if self.maybe(0.2):  # padded, or with a hole
            self.vocabulary["<pad0>"] = len(self.vocabulary) + self.random.choice([0, 0, 3])
        self.files["vocab.json"] = self.vocabulary
        end = self.random.choice(["\n", "\n", "\r\n"])
        lines = ["#version: 0.2"] * self.random.randrange(2) + [" ".join(merge) for merge in model["merges"]]
        self.files["merges.txt"] = (end.join(lines) + end).encode()
        self.name_class(["GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast", "GPTNeoXTokenizer",
                         "GPTNeoXTokenizerFast", "PreTrainedTokenizerFast", None], ["gpt2", "qwen2", "gpt_neox", "llama"])

    def byte_level_json(self, model):
        tokenizer = tokenizers.Tokenizer(models.BPE(
            vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], ignore_merges=self.maybe()))
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=self.maybe(), use_regex=True)
        rule = tokenizers.Regex(r"\p{N}{1,3}|[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
        tokenizer.pre_tokenizer = self.random.choice([byte_level, pre_tokenizers.Sequence(
            [pre_tokenizers.Split(rule, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])])
        tokenizer.decoder = decoders.ByteLevel()
        if self.maybe():
            tokenizer.normalizer = normalizers.NFC()
        self.finish_json(tokenizer)
        self.name_class(["GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizerFast", "PreTrainedTokenizerFast",
                         "TokenizersBackend", "PreTrainedTokenizer", "SomeTokenizer", "LlamaTokenizer", "BertTokenizer", None],
                        ["gpt2", "qwen2", "gpt_neox", "llama", "mistral", "something", "phi3", "gemma"])

    def space_json(self, model):
        proto = sentencepiece.SentencePieceProcessor(model_proto=model)
        vocabulary = {proto.id_to_piece(i): i for i in range(proto.get_piece_size())}
        merges = transformers.tokenization_utils_base.generate_merges(vocabulary)
        tokenizer = tokenizers.Tokenizer(models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
        if self.maybe(0.5):
            tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        else:
            scheme = self.random.choice(["first", "always", "never"])
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        tokenizer.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)])
        tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
        self.finish_json(tokenizer)
        self.name_class(["LlamaTokenizer", "LlamaTokenizerFast", "LlamaTokenizer", "PreTrainedTokenizerFast",
                         "LLaMATokenizer", "CodeLlamaTokenizer", None], ["llama", "mistral", "code_llama"])

    def finish_json(self, tokenizer):
        if self.maybe():
            tokenizer.add_special_tokens([self.added_token() for _ in range(2)])
        if self.maybe():
            tokenizer.add_tokens([self.added_token()])
        self.vocabulary = tokenizer.get_vocab()
        if self.maybe():
            token = self.random.choice(sorted(tokenizer.get_added_tokens_decoder().items()) or [(0, "!")])
            tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
                single=f"<x> $A{self.random.choice(['', ' <x>'])}", special_tokens=[("<x>", token[0])])
        json_file = json.loads(tokenizer.to_str())
        if self.maybe(0.1):
            del json_file["model"]["type"]
        if self.maybe(0.3):
            json_file["model"]["merges"] = [" ".join(merge) for merge in json_file["model"]["merges"]
                                            if not any(" " in part for part in merge)]
        self.files["tokenizer.json"] = json_file

    def model(self, content):
        self.files["tokenizer.model"] = content
        proto = sentencepiece.SentencePieceProcessor(model_proto=content)
        self.vocabulary = {proto.id_to_piece(i): i for i in range(proto.get_piece_size())}
        self.name_class(["LlamaTokenizer", "LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast",
                         "LLaMATokenizer", "CodeLlamaTokenizer", "GPT2Tokenizer", None],
                        ["llama", "mistral", "code_llama", "gpt2"])

    def name_class(self, names, types):
        name = self.random.choice(names)
        if name:
            self.config["tokenizer_class"] = name
        if self.maybe(0.5):
            self.files["config.json"] = {"model_type": self.random.choice(types)}
            if name and self.maybe(0.2):
                self.files["config.json"]["tokenizer_class"] = self.config.pop("tokenizer_class")

    def added_token(self, **flags):
        draw = {flag: True for flag in ("lstrip", "rstrip", "single_word") if self.maybe(0.1)}
        return tokenizers.AddedToken(self.random.choice(NEW_TOKENS), normalized=self.maybe(), **{**draw, **flags})

    def flagged(self, content=None, special=None):
        token = {"content": content or self.random.choice(NEW_TOKENS), "lstrip": self.maybe(0.1), "normalized": self.maybe(),
                 "rstrip": self.maybe(0.1), "single_word": self.maybe(0.1)}
        if special is not False:
            token["special"] = self.maybe(0.7)
        return token

    def some_token(self):
        known = [token for token in self.vocabulary if token.startswith("<")]
        return self.random.choice(NEW_TOKENS + 3 * known)

    def special_tokens(self, form):
        tokens = {}
        for role in ("bos_token", "eos_token", "unk_token", "pad_token"):
            if self.maybe(0.4):
                tokens[role] = form(self.some_token()) if self.maybe(0.9) else None
        return tokens

    def decorate(self):
        config, size = self.config, len(self.vocabulary)
        for flag, chance in (("add_prefix_space", 0.3), ("add_bos_token", 0.3), ("add_eos_token", 0.3), ("legacy", 0.5)):
            if self.maybe(chance):
                config[flag] = self.maybe(0.5)
        if self.maybe(0.1):
            config["legacy"] = None
        config.update(self.special_tokens(
            self.random.choice([str, str, lambda t: {"__type": "AddedToken", **self.flagged(t)}])))
        if self.maybe():
            decoder = {str(size + i): self.flagged() for i in range(self.random.randrange(3))}
            for token in self.random.sample(sorted(self.vocabulary), 2):
                decoder[str(self.vocabulary[token])] = self.flagged(token)
            config["added_tokens_decoder"] = decoder
        if self.maybe(0.2):
            config[self.random.choice(["additional_special_tokens", "extra_special_tokens"])] = [
                self.some_token() for _ in range(self.random.randrange(3))]
        if self.maybe(0.1):
            config["image_token"] = self.some_token()
        if self.maybe(0.1):
            config.update(clean_up_tokenization_spaces=True, model_max_length=10**30, chat_template="{{ x }}")
        if self.maybe():
            form = self.random.choice([str, lambda t: self.flagged(t, special=False)])
            self.files["special_tokens_map.json"] = {k: v for k, v in self.special_tokens(form).items() if v}
        if self.maybe():
            names = self.random.sample(NEW_TOKENS, 2)
            self.files["added_tokens.json"] = {name: size + i for i, name in enumerate(names)}
        if config:
            self.files["tokenizer_config.json"] = config

    def write_texts(self):
        alphabet = PIECES + NEW_TOKENS + [token for token in self.vocabulary if token.startswith("<")][:6]
        for _ in range(12):
            self.texts.append("".join(self.random.choice(alphabet) for _ in range(self.random.randrange(16))))
        self.texts += ["", " ", "the cat sat on a mat", " the cat", "a</s>b<s> c<unk>"]

    def write(self, path):
        path.mkdir(parents=True)
        for name, content in self.files.items():
            if isinstance(content, bytes):
                (path / name).write_bytes(content)
            else:
                (path / name).write_text(json.dumps(content))
        return path


# LlamaTokenizer of transformers 5 replaces this normalizer by one that differs for parts that begin with a space. Here
# it stays, as in transformers 4, tokenizers and sentencepiece.
def keeps_its_normalizer(files):
    normalizer = (files.get("tokenizer.json", {}).get("normalizer") or {}).get("normalizers", [{}])
    config = files.get("tokenizer_config.json", {})
    return normalizer[0].get("type") == "Prepend" and config.get("legacy") is True and config.get(
        "add_prefix_space") is not False


def load_peer(files, path):
    """AutoTokenizer's tokenizer, or None if it refuses the folder."""
    try:
        peer = AutoTokenizer.from_pretrained(path)
        if type(peer).__name__ == "LlamaTokenizer" and keeps_its_normalizer(files):
            copied = path.with_name(path.name + "-as-it-is")
            shutil.copytree(path, copied)
            config = {**files["tokenizer_config.json"], "tokenizer_class": "PreTrainedTokenizerFast"}
            for role, token in (("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")):
                config.setdefault(role, token)
            (copied / "tokenizer_config.json").write_text(json.dumps(config))
            (copied / "config.json").unlink(missing_ok=True)
            peer = AutoTokenizer.from_pretrained(copied)
        return peer
    except Exception:  # pylint: disable=broad-except  (whatever it raises)
        return None


def run(twofour, *arguments, lines):
    done = twofour("tokenizer", *arguments, input="".join(json.dumps(line) + "\n" for line in lines), check=False)
    if done.returncode == 0:
        return [json.loads(line) for line in done.stdout.split("\n") if line], None
    errors = [line for line in done.stderr.splitlines() if line and "warning: " not in line]
    assert done.returncode == 1 and len(errors) == 1 and errors[0].startswith("twofour: "), done.stderr
    return None, errors[0]


def difference(folder, path, twofour):
    """The difference between AutoTokenizer and the program: (kind, detail), ("refused", reason) or None."""
    peer = load_peer(folder.files, path)
    if peer is None:
        return None
    texts = [{"text": text} for text in folder.texts]
    ours, reason = run(twofour, "encode", "--jsonl", "--tokenizer", path, lines=texts)
    if ours is None:
        return "refused", reason
    special, _ = run(twofour, "encode", "--jsonl", "--special", "--tokenizer", path, lines=texts)
    for text, plain, around in zip(folder.texts, ours, special):
        if "<FILL_ME>" in text:
            continue
        want = peer(text, add_special_tokens=False).input_ids
        if plain["ids"] != want:
            return "ids", f"{text!r}: {plain['ids']} instead of {want}"
        want = peer(text).input_ids
        if around["ids"] != want:
            return "ids with special tokens", f"{text!r}: {around['ids']} instead of {want}"
    for flags, skip in (([], False), (["--skip-special"], True)):
        decoded, _ = run(twofour, "decode", "--jsonl", *flags, "--tokenizer", path, lines=special)
        for around, text in zip(special, decoded):
            want = peer.decode(around["ids"], skip_special_tokens=skip)
            if text["text"] != want:
                return f"decode, skip {skip}", f"{around['ids']}: {text['text']!r} instead of {want!r}"
    return None


@pytest.fixture
def program():
    import subprocess
    from conftest import PROGRAM

    def call(*arguments, input=None, check=True):
        return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              input=input, check=check)

    return call


def test_llama2s_file_keeps_its_normalizer(program, shared, tmp_path):
    """With `legacy` true, which agrees with the file; otherwise the class of transformers 5 decides."""
    source = shared / "data" / "tokenizers" / "llama2"
    texts = [" the", "  the", "the</s> a", "the</s>a", "\u2581the", "", " "]
    lines = [{"text": text} for text in texts]
    config = json.loads((source / "tokenizer_config.json").read_text())
    for legacy in (True, False):
        folder = tmp_path / str(legacy)
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "legacy": legacy}))
        ours, _ = run(program, "encode", "--jsonl", "--tokenizer", folder, lines=lines)
        raw = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        as_file = [raw.encode(text, add_special_tokens=False).ids for text in texts]
        as_class = AutoTokenizer.from_pretrained(folder)(texts, add_special_tokens=False).input_ids
        assert as_file != as_class
        assert [line["ids"] for line in ours] == (as_file if legacy else as_class)


def test_the_end_token_of_documents_is_the_folders(program, sentencepiece_models, tmp_path):
    """Also one that the vocabulary lacks: it gets an id, and a warning says so."""
    folder = tmp_path / "tok"
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(sentencepiece_models[1][1])
    (tmp_path / "text.jsonl").write_text('{"text": "the cat"}\n{"text": "sat"}\n')
    for config, listed in (({"eos_token": "<|im_end|>"}, False), ({"eos_token": "<|im_end|>"}, True), ({}, False)):
        config = {"tokenizer_class": "LlamaTokenizer", **config}
        if listed:
            config["added_tokens_decoder"] = {"360": {"content": "<|im_end|>", "special": True}}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        done = program("data", tmp_path / "text.jsonl", "--tokenizer", folder, "--out", tmp_path / "data",
                       "--val-fraction", "0")
        ids = array.array("H", (tmp_path / "data" / "train.bin").read_bytes())
        end = AutoTokenizer.from_pretrained(folder).eos_token_id
        assert ids[-1] == end and list(ids).count(end) == 2
        warned = f'lacks the eos_token "<|im_end|>": it gets the id {end}, as in transformers' in done.stderr
        assert warned == (len(config) == 2), done.stderr
        assert (tmp_path / "data" / "tokenizer" / "tokenizer.model").exists()


def compare(seeds, byte_level, sentencepiece_models, tmp_path, program):
    refused = collections.Counter()
    compared = 0
    for seed in seeds:
        folder = Folder(seed, byte_level, sentencepiece_models)
        path = folder.write(tmp_path / str(seed))
        found = difference(folder, path, program)
        if found and found[0] != "refused":
            pytest.fail(f"seed {seed} in {path}: {found[0]}: {found[1]}")
        compared += not found
        if found:
            refused[found[1].split(": ", 2)[-1]] += 1
        shutil.rmtree(path)
    print(f"{compared} folders compared; refused:", *refused.most_common(), sep="\n  ")
    assert compared > len(seeds) // 2, refused


def test_random_folders_mean_what_they_mean_to_transformers(byte_level, sentencepiece_models, tmp_path, program):
    compare(range(30), byte_level, sentencepiece_models, tmp_path, program)


@pytest.mark.skipif("TWOFOUR_FOLDERS" not in os.environ, reason="slow: TWOFOUR_FOLDERS=N compares N folders")
def test_many_random_folders(byte_level, sentencepiece_models, tmp_path, program):
    first = int(os.environ.get("TWOFOUR_SEED", random.randrange(10**6)))
    print(f"seeds from {first} (TWOFOUR_SEED)")
    seeds = range(first, first + int(os.environ["TWOFOUR_FOLDERS"]))
    compare(seeds, byte_level, sentencepiece_models, tmp_path, program)
