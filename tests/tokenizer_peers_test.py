"""Ids against the libraries of the files: Hugging Face tokenizers, transformers, sentencepiece."""

import io
import json
import random
import subprocess

import pytest
import sentencepiece
from conftest import PROGRAM
from tokenizers import ByteLevelBPETokenizer, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

PLAIN = list("abcdefghijklmnopqrstuvwxyz ABC019.,!?'-_<>|/s\n\t\r   ") + ["the ", " of", "  ", "a" * 60, " " * 20]
STRANGE = ["\u2581", "\u00e9", "e\u0301", "\u4e2d", "\u0416", "\U0001f600", "\u200d", "\ufeff", "\ud7ff",
           "\ue000", "\uffff", "\U0010ffff", "\0", "\x01", "\x7f", "\x80", "\xa0", "\u3000", "\u017f", "'S",
           "\u00bd", "\u0663", "<0x41>"]


def random_texts(count, seed, more=()):
    choose = random.Random(seed)
    alphabet = PLAIN + STRANGE + list(more)
    texts = ["".join(choose.choice(alphabet) for _ in range(choose.randrange(40))) for _ in range(count)]
    return texts + ["", " ", "x" * 100_000, "\n" * 5000, " " * 5000, "ab " * 20_000, "\u4e2d" * 20_000]


def corpora(shared):
    texts = [path.read_bytes().decode() for path in sorted((shared / "data" / "wikitext2").iterdir())]
    return texts + [json.loads(line)["text"] for line in open(shared / "data" / "c4" / "c4_500.jsonl")]


@pytest.fixture
def encode(twofour):
    def run(tokenizer, texts, *flags):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        done = twofour("tokenizer", "encode", "--jsonl", *flags, "--tokenizer", tokenizer, input=lines)
        return [json.loads(line)["ids"] for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def saved(twofour, tmp_path):
    """The folder that a tokenizer is saved to."""

    def run(tokenizer):
        (tmp_path / "some.txt").write_text("some text\nof two lines\n")
        twofour("data", tmp_path / "some.txt", "--tokenizer", tokenizer, "--out", tmp_path / "data",
                "--val-fraction", 0)
        return tmp_path / "data" / "tokenizer"

    return run


def assert_equal(texts, ours, theirs):
    assert len(ours) == len(texts)
    for text, a, b in zip(texts, ours, theirs):
        assert a == b, repr(text[:300])


@pytest.mark.parametrize("name, special", [("gpt2", ["<|endoftext|>"]), ("llama2", ["<s>", "</s>", "<unk>"]),
                                           ("llama3", ["<|begin_of_text|>", "<|eot_id|>", "<|"])])
def test_ids_equal_tokenizers_on_corpora_and_random_strings(encode, shared, name, special):
    folder = shared / "data" / "tokenizers" / name
    if name == "gpt2":
        peer = ByteLevelBPETokenizer(str(folder / "encoder.json"), str(folder / "vocab.bpe"))
    else:
        peer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = corpora(shared) + random_texts(5000, 1, special)
    theirs = [e.ids for e in peer.encode_batch(texts, add_special_tokens=False)]
    assert_equal(texts, encode(folder, texts), theirs)


@pytest.mark.parametrize("name", ["tokenizers/llama2/tokenizer.model", "models/babyllama-tok105/tok105.model"])
def test_ids_equal_sentencepiece_on_corpora_and_random_strings(encode, shared, name):
    peer = sentencepiece.SentencePieceProcessor(str(shared / "data" / name))
    # sentencepiece never finds control pieces in a text; we find them, as Hugging Face does.
    texts = [text for text in corpora(shared) + random_texts(5000, 2)
             if not any(token in text for token in ("<unk>", "<s>", "</s>"))]
    assert_equal(texts, encode(shared / "data" / name, texts), peer.encode(texts))


def test_qwen2s_rule_and_nfc_equal_tokenizers(encode, shared, tmp_path):
    """LLaMA-3's vocabulary with Qwen2's components, since its own is not available."""
    file = json.loads((shared / "data" / "tokenizers" / "llama3" / "tokenizer.json").read_text())
    rule = file["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    rule["Regex"] = rule["Regex"].replace(r"\p{N}{1,3}", r"\p{N}")
    file["normalizer"] = {"type": "NFC"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    peer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    marks = ["\u0301", "\u0327", "\u0323", "\u0345", "\u1100", "\u1161", "\u11a8", "\u212b", "\u0958", "\ufb2a",
             "\u05b0", "\u064b", "\u3099", "\u30ab", "\u0f71", "\u0f72", "e", "o", "\U0001d15e", "12"]
    texts = corpora(shared)[2:] + random_texts(5000, 8, marks * 3 + ["<|eot_id|>"])
    assert_equal(texts, encode(tmp_path, texts), [e.ids for e in peer.encode_batch(texts, add_special_tokens=False)])


def train_sentencepiece(path, **options):
    choose = random.Random(3)
    words = "the cat sat on a mat and the dog ran to the red house caf\u00e9 \u4e2d\u6587".split()
    lines = [" ".join(choose.choice(words) for _ in range(10)) + "." for _ in range(300)]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, model_type="bpe", hard_vocab_limit=False,
        normalization_rule_name="identity", minloglevel=2, **options)
    path.write_bytes(out.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("collapse", [False, True])
def test_a_trained_sentencepiece_model_and_what_it_is_saved_as(encode, saved, tmp_path, fallback, prefix,
                                                               collapse):
    path = tmp_path / "tokenizer.model"
    peer = train_sentencepiece(path, byte_fallback=fallback, vocab_size=400 if fallback else 120,
                               add_dummy_prefix=prefix, remove_extra_whitespaces=collapse)
    texts = [text for text in random_texts(3000, 4)
             if not any(token in text for token in ("<unk>", "<s>", "</s>"))]
    ours = encode(path, texts)
    assert_equal(texts, ours, peer.encode(texts))
    folder = saved(path)
    assert_equal(texts, encode(folder, texts), ours)
    texts += ["a</s>the cat", "<s> a", "</s>", "the cat<unk>  sat"]
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert_equal(texts, encode(path, texts), [e.ids for e in raw.encode_batch(texts)])
    assert AutoTokenizer.from_pretrained(folder)(texts).input_ids == encode(path, texts, "--special")
    transformers = AutoTokenizer.from_pretrained(folder)
    for text in ("the cat", " the  mat ", "sat</s> on", ""):
        ids = transformers(text).input_ids
        assert transformers.eos_token == "</s>" and transformers.bos_token == "<s>"
        assert raw.decode(ids) == transformers.decode(ids, skip_special_tokens=True)


def test_user_defined_symbols_equal_sentencepiece(encode, tmp_path):
    for prefix in (False, True):
        peer = train_sentencepiece(tmp_path / "tokenizer.model", byte_fallback=True, vocab_size=400,
                                   add_dummy_prefix=prefix, remove_extra_whitespaces=False,
                                   user_defined_symbols=["cat", "at s", "\n\n", "<|x|>"])
        texts = [text for text in random_texts(3000, 5, ["cat", "at s", "<|x|>", "\n\n", "\u2581s"])
                 if not any(token in text for token in ("<unk>", "<s>", "</s>"))]
        assert_equal(texts, encode(tmp_path / "tokenizer.model", texts), peer.encode(texts))


def test_other_sentencepiece_models_are_refused_by_name(twofour, tmp_path):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["the cat sat on the mat"] * 9), model_writer=out,
                                             vocab_size=25, hard_vocab_limit=False, minloglevel=2)
    path = tmp_path / "t.model"
    path.write_bytes(out.getvalue())
    error = twofour("tokenizer", "encode", "--tokenizer", path, input="x", fails=1).stderr
    assert "t.model" in error and "Unigram" in error


@pytest.mark.parametrize("name", ["tokenizers/llama2", "tokenizers/llama3"])
def test_ids_around_a_text_equal_transformers(encode, shared, name):
    peer = AutoTokenizer.from_pretrained(shared / "data" / name)
    texts = ["Hello world", "", "two\nlines</s>"]
    assert encode(shared / "data" / name, texts, "--special") == peer(texts).input_ids


@pytest.mark.parametrize("name", ["tokenizers/llama2/tokenizer.model", "tokenizers/llama2/tokenizer.llama2c.bin",
                                  "models/stories260K/tok512.bin", "models/babyllama-tok105/tok105.bin",
                                  "models/babyllama-tok105/tok105.model", "tokenizers/llama3", "tokenizers/gpt2"])
def test_saved_folders_load_in_transformers_with_equal_ids(encode, saved, shared, name):
    folder = saved(shared / "data" / name)
    kind = "gpt2" if "gpt2" in name else "llama"
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    peer = AutoTokenizer.from_pretrained(folder)
    texts = random_texts(2000, 6, ["<s>", "</s>"] if "gpt2" not in name else [])
    assert_equal(texts, encode(shared / "data" / name, texts, "--special"), peer(texts).input_ids)


def test_decoding_equals_tokenizers(twofour, encode, shared):
    for name in ("llama2", "llama3"):
        folder = shared / "data" / "tokenizers" / name
        peer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = encode(folder, random_texts(500, 7, ["<s>", "</s>", "<|eot_id|>"]))
        for skip in (False, True):
            lines = "".join(json.dumps({"ids": i}) + "\n" for i in ids)
            done = twofour("tokenizer", "decode", "--jsonl", *(["--skip-special"] if skip else []), "--tokenizer",
                           folder, input=lines)
            ours = [json.loads(line)["text"] for line in done.stdout.splitlines()]
            assert ours == peer.decode_batch(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("rule", ["gpt2", "llama3"])
@pytest.mark.parametrize("individual", [True, False])
def test_digits_as_in_smollm_equal_tokenizers(encode, shared, tmp_path, individual, rule):
    json_file = json.loads((shared / "data" / "tokenizers" / "llama3" / "tokenizer.json").read_text())
    split = json_file["pre_tokenizer"]["pretokenizers"][0]
    json_file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": individual}, *([split] if rule == "llama3" else []),
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": rule == "gpt2"}]}
    json_file["model"]["ignore_merges"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(json_file))
    peer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    numbers = ["12", " 7", "  345", "\u0664", "\u00b2", "\u2167", "\u3007", "don't 5's", "\n\n9", "1\n2", "4\r\n"]
    texts = random_texts(2000, 11, numbers * 3)
    # Long enough to be cut for several threads.
    texts += ["12\n34 a\n5  6\n\u06649 don't 5's\n" * 30_000, "".join(texts) * 4]
    assert_equal(texts, encode(tmp_path, texts), [peer.encode(text, add_special_tokens=False).ids for text in texts])


@pytest.mark.parametrize("special", [["<|endoftext|>"], ["<|endoftext|>", "|"], ["a", "<|a|>", "a"], ["the", " the", "\u00e9"],
                                     ["\u0120", "\u0120the"], ["<|endoftext|>", "\u0120t"]])
def test_training_equals_tokenizers(twofour, encode, tmp_path, special):
    """Special tokens that are also pieces: of a byte, of a word, of both in other characters."""
    text = "the cat|sat on the mat, a caf\u00e9 \u4e2d\u6587 <|a|> in the hat <|end\n" * 3 + "that is that"
    (tmp_path / "text.txt").write_text(text)
    flags = [flag for token in special for flag in ("--special-token", token)]
    twofour("tokenizer", "train", tmp_path / "text.txt", "--vocab-size", 300, "--out", tmp_path / "tok", *flags)
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    peer.decoder = decoders.ByteLevel()
    peer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    ours = json.loads((tmp_path / "tok" / "tokenizer.json").read_text())
    theirs = json.loads(peer.to_str())
    assert ours["model"]["vocab"] == theirs["model"]["vocab"]
    assert ours["model"]["merges"] == theirs["model"]["merges"]
    assert ours["added_tokens"] == theirs["added_tokens"]
    texts = [text, "a|b", "<|a|><|endoftext|>", "caf\u00e9", " \u0120the the", *random_texts(200, 12, special)[:200]]
    assert_equal(texts, encode(tmp_path / "tok", texts), [peer.encode(text).ids for text in texts])


@pytest.mark.parametrize("arguments, message", [(["--special-token", ""], "is empty"), (["--vocab-size", "256"], "too small"),
                                                (["empty.txt"], "no text")])
def test_training_that_cannot_succeed_writes_nothing(twofour, tmp_path, arguments, message):
    (tmp_path / "text.txt").write_text("" if "empty.txt" in arguments else "some text")
    arguments = [a for a in arguments if a != "empty.txt"]
    size = [] if "--vocab-size" in arguments else ["--vocab-size", 300]
    status = 1 if message == "no text" else 2
    error = twofour("tokenizer", "train", tmp_path / "text.txt", "--out", tmp_path / "tok", *size, *arguments,
                    fails=status).stderr
    assert message in error and not (tmp_path / "tok").exists()


def test_a_vocabulary_smaller_than_asked_is_said(twofour, tmp_path):
    (tmp_path / "text.txt").write_text("some text")
    error = twofour("tokenizer", "train", tmp_path / "text.txt", "--vocab-size", 20000, "--out", tmp_path / "tok").stderr
    assert "warning: the vocabulary has 264 pieces, not 20000: every word of the text is a piece already" in error


def test_messages_of_encode_and_decode_name_what_failed(twofour, shared, tmp_path):
    tokenizer = shared / "data" / "tokenizers" / "gpt2"
    for line, reason in (("[1, x]", "line 1 is not a JSON array of token ids"), ("[-5]", "line 1: token id -5 is negative")):
        error = twofour("tokenizer", "decode", "--tokenizer", tokenizer, input=line + "\n", fails=1).stderr
        assert error.count("cannot decode") == 1 and reason in error, error
    with open("/dev/full", "w") as full:
        for command, text in (("encode", "some text"), ("decode", "[1]")):
            done = subprocess.run([PROGRAM, "tokenizer", command, "--tokenizer", tokenizer], input=text, text=True,
                                  stdout=full, stderr=subprocess.PIPE, check=False)
            assert done.returncode == 1 and "cannot write" in done.stderr and "encode" not in done.stderr


@pytest.fixture
def gpt2_folder(shared, tmp_path):
    """A folder with GPT-2's files as transformers names them, and `files` (name -> content) beside them."""

    def make(files):
        folder = tmp_path / "gpt2"
        folder.mkdir()
        gpt2 = shared / "data" / "tokenizers" / "gpt2"
        (folder / "vocab.json").write_bytes((gpt2 / "encoder.json").read_bytes())
        (folder / "merges.txt").write_bytes((gpt2 / "vocab.bpe").read_bytes())
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        return folder

    return make


@pytest.mark.parametrize("name, content", [("tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"}),
                                           ("special_tokens_map.json", {"eos_token": "<|endoftext|>"}),
                                           ("added_tokens.json", {"<|endoftext|>": 50256})])
def test_a_hugging_face_folder_of_gpt2s_files_knows_its_special_token(encode, saved, gpt2_folder, name, content):
    folder = gpt2_folder({name: content})
    texts = ["<|endoftext|>x", "a<|endoftext|>", "no token", ""]
    ours = encode(folder, texts)
    assert_equal(texts, encode(saved(folder), texts), ours)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    peer = AutoTokenizer.from_pretrained(folder)
    assert_equal(texts, ours, [peer(text).input_ids for text in texts])


def test_bare_files_of_gpt2_hold_no_special_token(encode, gpt2_folder):
    folder = gpt2_folder({})
    assert 50256 not in encode(folder, ["a<|endoftext|>b"])[0]


@pytest.mark.parametrize("config", [{"add_bos_token": True}, {"add_eos_token": True}, {"add_bos_token": False},
                                    {"add_bos_token": True, "add_eos_token": True}])
def test_flags_beside_gpt2s_files_equal_transformers(encode, gpt2_folder, config):
    folder = gpt2_folder({"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", **config}})
    texts = ["some text", "", "<|endoftext|>x"]
    assert_equal(texts, encode(folder, texts, "--special"), AutoTokenizer.from_pretrained(folder)(texts).input_ids)
