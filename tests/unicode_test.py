"""Every code point gives the results of Hugging Face tokenizers in every component that classifies characters, whatever
Unicode the installed libraries have. If this fails, correct src/twofour/text/unicode_data.cc."""

import json
import os
import pathlib
import subprocess

import pytest
from tokenizers import Tokenizer

DRIVER = os.environ.get("TWOFOUR_TOKENIZER_DRIVER",
                        str(pathlib.Path(__file__).resolve().parent.parent / "build/tests/tokenizer_driver"))
CODES = [code for code in range(0x110000) if not 0xd800 <= code < 0xe000]
# Unassigned code points of Unicode 18 behave alike, as do those for private use, so some of them suffice.
CODES = [code for code in CODES if code < 0x33480 or 0xe0000 <= code < 0xe0200 or code % 4096 == 7]
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def ids_of(path, texts, **components):
    """Ids of a tokenizer whose pieces are bytes, from the driver and from the library."""
    alphabet = [chr(b) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174 else None for b in range(256)]
    spare = iter(range(256, 512))
    alphabet = [c or chr(next(spare)) for c in alphabet]
    document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                "pre_tokenizer": BYTES, "post_processor": None, "decoder": None,
                "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(alphabet)}, "merges": []}} | components
    path.write_text(json.dumps(document))
    done = subprocess.run([DRIVER], input=json.dumps({"file": str(path), "texts": texts, "special": False, "ids": []}),
                          capture_output=True, text=True, check=True)
    peer = Tokenizer.from_str(json.dumps(document))
    return json.loads(done.stdout)["ids"], [encoding.ids for encoding in peer.encode_batch_fast(texts)]


def assert_equal(path, texts, **components):
    ours, theirs = ids_of(path, texts, **components)
    differ = [text for text, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    assert not differ, f"{len(differ)}: {[ascii(text) for text in differ[:20]]}"


def in_texts(before="", after=""):
    """All code points, a few in each text."""
    return ["".join(before + chr(code) + after for code in CODES[i:i + 64]) for i in range(0, len(CODES), 64)]


CLASSES = [r"\s", r"\w", r"\W", r"[\w]", r"[^\w]", r"\d", r"\h", r"\b", r"\p{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{S}",
           r"\p{Z}", r"\p{C}", r"\p{Cn}", r"\p{Lu}", r"\p{Ll}", r"\p{Lt}", r"\p{Lm}", r"\p{Lo}", r"\p{Mn}", r"\p{Mc}",
           r"\p{Nd}", r"\p{No}", r"\p{Pd}", r"\p{Po}", r"\p{Sm}", r"\p{So}", r"\p{Cf}", r"\p{LC}", r"\p{Alphabetic}",
           r"\p{Alnum}", r"\p{Word}", r"\p{Lower}", r"\p{Upper}", r"\p{Graph}", r"\p{Punct}", r"[[:punct:]]", r"[[:word:]]",
           r"[[:alpha:]]", r"\p{Han}", r"\p{Hiragana}", r"\p{Katakana}", r"\p{Latin}", r"\p{Cyrillic}", r"\p{Arabic}",
           r"\p{Devanagari}", r"\p{Common}", r"\p{Inherited}", r"\p{Hangul}", r"\p{Thai}", r"[\p{L}&&[^\p{Han}]]",
           r"\p{^L}", r"(?i)\p{Lu}", r"(?i)[\p{L}]", r"[^\s\p{L}\p{N}]"]


@pytest.mark.parametrize("rule", CLASSES)
def test_classes_of_regular_expressions(tmp_path, rule):
    replace = {"type": "Replace", "pattern": {"Regex": rule}, "content": "+"}
    # An empty match at the start of a text is refused.
    texts = ["=" + text for text in in_texts()] if rule == r"\b" else in_texts()
    assert_equal(tmp_path / "tokenizer.json", texts, normalizer=replace)


@pytest.mark.parametrize("normalizer", [{"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"},
                                        {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "Nmt"},
                                        {"type": "Strip", "strip_left": True, "strip_right": True}])
@pytest.mark.parametrize("before, after", [("", ""), ("a", "\u0334"), ("\u0345", "\u0307"), ("\u1100", "\u1161")])
def test_normalizers(tmp_path, normalizer, before, after):
    assert_equal(tmp_path / "tokenizer.json", in_texts(before, after), normalizer=normalizer)


@pytest.mark.parametrize("pre_tokenizer", [
    {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Whitespace"},
    {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"}])
def test_pre_tokenizers(tmp_path, pre_tokenizer):
    # A space before each piece shows where it begins.
    marked = {"type": "Sequence", "pretokenizers": [pre_tokenizer, BYTES | {"add_prefix_space": True}]}
    assert_equal(tmp_path / "tokenizer.json", in_texts("ab1", "-c"), pre_tokenizer=marked)


def test_words_around_added_tokens(tmp_path):
    token = {"id": 256, "content": "<x>", "single_word": True, "lstrip": True, "rstrip": False, "normalized": False,
             "special": False}
    texts = [chr(code) + "<x>" for code in CODES if code < 0x20000]
    assert_equal(tmp_path / "tokenizer.json", texts, added_tokens=[token])
