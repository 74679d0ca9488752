"""Random tokenizer.json files against the library that defines them: equal ids and text, or a named refusal.

TWOFOUR_TOKENIZERS=N draws N tokenizers instead of 60, TWOFOUR_SEED=S another series. Each depends only on its seed,
which a failure prints. `python tests/tokenizer_differential_test.py SEED` writes that one to a folder.
"""

import collections
import json
import os
import pathlib
import random
import subprocess
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

DRIVER = os.environ.get("TWOFOUR_TOKENIZER_DRIVER",
                        str(pathlib.Path(__file__).resolve().parent.parent / "build/tests/tokenizer_driver"))
SPACE = "\u2581"
RULES = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    # o200k, as GPT-4o's relatives have it
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    # with an intersection of classes, as Kimi-K2 has it
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    # DeepSeek-V3's three
    r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+",
    # EXAONE's and others with groups
    r"(?:\p{L}|\p{M}|\p{N})+", r"[^\n]+|\n", r"\s+", r"\w+|[^\w\s]+", r"\b", r"(?<=\d)(?=\D)", r"[[:punct:]]", "", "a*",
    r"\d", r"[\w']+", r"\W", "^", "$", r"\p{Lu}\p{Ll}*", r"(?i)the|\p{Lu}", r"[\p{P}&&[^']]", r"\h+", r"[^\S\r\n]+",
    r"[\r\n]", " ?[\u0900-\u097f]+", r"\p{^L}+", r"\P{L}", r"[^[:alpha:]]", r".", r"\p{Thai}+|\p{Cyrillic}+"]
WORDS = ["the", " the", "cat", "The", "CAT", "don't", "it's", "I'LL", "'S", "12", "3456", " 7", "caf\u00e9", "cafe\u0301",
         "\u4e2d\u6587", "\u65e5\u672c\u8a9e\u306e", "\u30ab\u30bf\u30ab\u30ca", "\u041f\u0440\u0438\u0432\u0435\u0442",
         "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u0e44\u0e17\u0e22",
         "\ud55c\uad6d", "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\ufb01x", "\u00bd", "\u2460", "\u0130I",
         "\u00df", "\u017f", "\u1e9b\u0323", "\u212b", "\u0958", "x" * 30, "=" * 12, "!?", "...", "a_b", "f(x)", "</s>",
         "<s>", "<|x|>", "<0x41>", "[A B]", "<unk>", SPACE, SPACE + "a", "\u0120a", "##ing", "ing</w>"]
SPACES = [" ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2003", "\u0085", "\u200b", "    ", "\u180e",
          "\u2028"]
STRANGE = ["\0", "\x01", "\x1c", "\x7f", "\u0300", "\u0345", "\u0334", "\u0f71\u0f72", "\ufeff", "\ufffd", "\ue000",
           "\U0010ffff", "\u200d", "\u00ad", "\u1100\u1161", "\u0487", "\u2fff", "\U0001fae8", "\u0ece", "\U00011f02"]


def text_of(choose, tokens):
    """All scripts, controls, runs, and added tokens in the middle of words."""
    parts = []
    for _ in range(choose.randrange(12)):
        kind = choose.randrange(10)
        if kind < 4:
            parts.append(choose.choice(WORDS))
        elif kind < 7:
            parts.append(choose.choice(SPACES))
        elif kind == 7 and tokens:
            parts.append(choose.choice(tokens))
        elif kind == 8:
            parts.append(choose.choice(STRANGE))
        else:
            code = choose.choice([choose.randrange(0x20, 0x7f), choose.randrange(0x20, 0x3000),
                                  choose.randrange(0x20, 0xd800), choose.randrange(0x10000, 0x20000)])
            parts.append(chr(code))
    return "".join(parts)


def optional(choose, value, chance=0.5):
    return value if choose.random() < chance else None


def pattern_of(choose):
    if choose.random() < 0.3:
        return choose.choice([" ", "a", "the", SPACE, "\n", ".", "  ", "e\u0301", "["])
    return Regex(choose.choice(RULES))


def normalizer_of(choose):
    n = normalizers
    return choose.choice([
        n.NFC, n.NFD, n.NFKC, n.NFKD, n.Lowercase, n.StripAccents, n.Nmt, n.ByteLevel,
        lambda: n.Strip(choose.random() < 0.5, choose.random() < 0.5),
        lambda: n.Prepend(choose.choice([SPACE, " ", "a", ">>"])),
        lambda: n.Replace(choose.choice([" ", "a", "\n", ".", "''", SPACE]), choose.choice(["", SPACE, " ", "b", "\u00e9"])),
        lambda: n.Replace(Regex(choose.choice([r"\s+", " {2,}", r"\p{P}", r"[^\p{L}\s]", "a+", r"\A +", r" +\z", "(?i)the"])),
                          choose.choice(["", SPACE, " ", "x"])),
        lambda: n.BertNormalizer(lowercase=choose.random() < 0.5)])()


def pre_tokenizer_of(choose):
    p = pre_tokenizers
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]

    def split():
        behavior = choose.choice(behaviors)
        return p.Split(pattern_of(choose), behavior, invert=choose.random() < 0.3)

    return choose.choice([
        split, split, split, split,
        lambda: p.ByteLevel(add_prefix_space=choose.random() < 0.4, use_regex=choose.random() < 0.6),
        lambda: p.ByteLevel(add_prefix_space=choose.random() < 0.4, use_regex=choose.random() < 0.6),
        lambda: p.Digits(choose.random() < 0.5), lambda: p.Punctuation(choose.choice(behaviors)), p.Whitespace,
        p.WhitespaceSplit, p.BertPreTokenizer, lambda: p.CharDelimiterSplit(choose.choice([" ", "a", "\n"])),
        lambda: p.Metaspace(choose.choice([SPACE, SPACE, "_"]), choose.choice(["always", "first", "never"]),
                            choose.random() < 0.6),
        lambda: p.FixedLength(choose.randrange(1, 6)), p.UnicodeScripts])()


def decoder_of(choose):
    d = decoders
    return choose.choice([
        d.ByteLevel, d.ByteLevel, d.ByteFallback, d.Fuse,
        lambda: d.Metaspace(choose.choice([SPACE, "_"]), choose.choice(["always", "first", "never"])),
        lambda: d.Replace(choose.choice([SPACE, "a", " "]), choose.choice([" ", "", "x"])),
        lambda: d.Replace(Regex(r"\s+"), choose.choice([" ", ""])),
        lambda: d.Strip(choose.choice([" ", "a"]), choose.randrange(3), 0), lambda: d.Strip(" ", 0, choose.randrange(2)),
        lambda: d.BPEDecoder(choose.choice(["</w>", "g"])), lambda: d.WordPiece("##", choose.random() < 0.5),
        lambda: d.CTC("a", "|", choose.random() < 0.5)])()


def sequence(choose, draw, wrap, counts):
    count = choose.choice(counts)
    if count == 0:
        return None
    parts = [draw(choose) for _ in range(count)]
    return parts[0] if count == 1 and choose.random() < 0.5 else wrap(parts)


# The shapes of published models.
def known_front(choose):
    n, p = normalizers, pre_tokenizers
    byte_level = p.ByteLevel(add_prefix_space=choose.random() < 0.2, use_regex=True)
    no_rule = p.ByteLevel(add_prefix_space=choose.random() < 0.2, use_regex=False)
    kind = choose.randrange(7)
    if kind == 0:
        return None, byte_level
    if kind == 1:
        return optional(choose, n.NFC()), p.Sequence([p.Split(Regex(choose.choice(RULES[:5])), "isolated"), no_rule])
    if kind == 2:
        return None, p.Sequence([p.Digits(choose.random() < 0.5), byte_level])
    if kind == 3:
        return n.Sequence([n.Prepend(SPACE), n.Replace(" ", SPACE)]), None
    if kind == 4:
        return None, p.Metaspace(SPACE, choose.choice(["always", "first", "never"]), choose.random() < 0.5)
    if kind == 5:
        splits = [p.Split(Regex(rule), "isolated") for rule in RULES[5:8]]
        return n.Sequence([]), p.Sequence(splits + [no_rule])
    return n.Replace(" ", SPACE), p.Split(" ", "merged_with_previous")


def byte_characters():
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def model_of(choose, byte_level):
    """Pieces of the texts, some missing, some ids left out, with merges between them."""
    alphabet = byte_characters() if byte_level else sorted(set("".join(WORDS + SPACES) + SPACE + "abcdefghijklmnopqrst"))
    prefix = optional(choose, choose.choice(["##", "\u00a7"]), 0.08)
    suffix = optional(choose, "</w>", 0.08)
    if choose.random() < 0.4:
        alphabet = choose.sample(alphabet, len(alphabet) - choose.randrange(len(alphabet) // 3))
    pieces = list(alphabet)
    if prefix:
        pieces += [prefix + c for c in choose.sample(alphabet, len(alphabet) // 2)]
    if suffix:
        pieces += [c + suffix for c in choose.sample(alphabet, len(alphabet) // 2)]
    specials = choose.sample(["<unk>", "<s>", "</s>", "<|x|>", "[A B]", "the", "<pad>"], choose.randrange(6))
    fallback = [f"<0x{b:02X}>" for b in range(256)] if choose.random() < 0.4 else []
    if choose.random() < 0.3:
        fallback = fallback[:choose.randrange(257)]
    pieces = list(dict.fromkeys(specials + fallback + pieces))
    merges = []
    known = set(pieces)
    # Merges as training finds them: along words.
    for _ in range(choose.randrange(120)):
        word = choose.choice(WORDS + [" the", " cat", "  ", "    "])
        if byte_level:
            word = "".join(p for p, _ in pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(word))
        else:
            word = word.replace(" ", SPACE)
        if len(word) < 2:
            continue
        begin = choose.randrange(len(word) - 1)
        end = choose.randrange(begin + 2, min(len(word), begin + 5) + 1)
        cut = choose.randrange(begin + 1, end)
        left, right = word[begin:cut], word[cut:end]
        if prefix and begin > 0:
            left = prefix + left
        result = left + right
        if prefix:
            right = prefix + right
        if suffix and end == len(word):
            right, result = right + suffix, result + suffix
        if left in known and right in known and (left, right) not in merges:
            merges.append((left, right))
            if result not in known:
                known.add(result)
                pieces.append(result)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    if choose.random() < 0.2:  # holes
        vocabulary = {piece: i + 3 * (i > 40) for piece, i in vocabulary.items()}
    unknown = optional(choose, choose.choice(["<unk>", "</s>", "nothing"]), 0.6)
    names = {"unk_token": unknown, "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix}
    return models.BPE(vocab=vocabulary, merges=merges, fuse_unk=choose.random() < 0.4,
                      byte_fallback=choose.random() < 0.4, ignore_merges=choose.random() < 0.3,
                      **{name: value for name, value in names.items() if value is not None})


def tokenizer_of(seed):
    """A tokenizer and the contents of its added tokens."""
    choose = random.Random(seed)
    if choose.random() < 0.5:
        normalizer, pre_tokenizer = known_front(choose)
    else:
        normalizer = sequence(choose, normalizer_of, normalizers.Sequence, [0, 0, 1, 1, 2, 3])
        pre_tokenizer = sequence(choose, pre_tokenizer_of, pre_tokenizers.Sequence, [0, 1, 1, 2, 3])
    text = "" if pre_tokenizer is None else str(pre_tokenizer)
    byte_level = "ByteLevel" in text or "ByteLevel" in str(normalizer) or choose.random() < 0.05
    tokenizer = Tokenizer(model_of(choose, byte_level))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if choose.random() < 0.4:
        tokenizer.decoder = decoders.ByteLevel() if byte_level else decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        decoder = sequence(choose, decoder_of, decoders.Sequence, [0, 1, 1, 2, 3])
        if decoder is not None:
            tokenizer.decoder = decoder
    contents = choose.sample(["<s>", "</s>", "<unk>", "<|x|>", "[A B]", "the", "The", "cat", "\n", " a", "a ", SPACE + "a",
                              "caf\u00e9", "\u4e2d", "<|", "th", "  ", "<|x|><|y|>", "\u1e9b\u0323"], choose.randrange(8))
    for content in contents:
        flag = lambda chance: choose.random() < chance
        token = AddedToken(content, single_word=flag(0.2), lstrip=flag(0.2), rstrip=flag(0.2), normalized=flag(0.4),
                           special=flag(0.5))
        if choose.random() < 0.5:
            tokenizer.add_special_tokens([token])
        else:
            tokenizer.add_tokens([token])
    kind = choose.randrange(6)
    names = [(c, tokenizer.token_to_id(c)) for c in contents[:2]]
    if kind == 0 and len(names) == 2:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{'[A]'} $A {'[B]'}", special_tokens=[("[A]", names[0][1]), ("[B]", names[1][1])])
    elif kind == 1 and len(names) == 2:
        tokenizer.post_processor = processors.RobertaProcessing(names[0], names[1])
    elif kind == 2 and len(names) == 2:
        tokenizer.post_processor = processors.BertProcessing(names[0], names[1])
    elif kind == 3:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, contents


def document_of(tokenizer, choose):
    """Its file, with features of old or hand-made files."""
    document = json.loads(tokenizer.to_str())
    model = document["model"]
    if choose.random() < 0.2:
        model["merges"] = [" ".join(pair) for pair in model["merges"]]
    if choose.random() < 0.1:
        for token in document["added_tokens"]:
            token["id"] += 7  # which the library ignores
    if choose.random() < 0.1:
        del model["type"]
    return document


REFUSED = {"normalizer BertNormalizer": "BertNormalizer", "pre-tokenizer UnicodeScripts": "UnicodeScripts",
           "Replace of an empty match": "Replace of an empty match at the start",
           "lies in what another one strips": "an added token inside of what another one strips",
           "leaves nothing that tells": "added tokens that a normalizer makes equal",
           "unknown token": "an unknown character without a token for it",
           "gave up": "a rule that Oniguruma gives up"}


def theirs_of(peer, texts, special):
    """Ids, or None if the library raises or panics."""
    out = []
    for text in texts:
        try:
            out.append(peer.encode(text, add_special_tokens=special).ids)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            out.append(None)
    return out


def decoded_of(peer, ids, skip):
    try:
        return peer.decode(ids, skip_special_tokens=skip)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


class Difference(Exception):
    pass


class Driver:
    """The program tokenizer_driver, restarted if it was killed."""

    def __init__(self):
        self.process = None

    def __call__(self, task):
        if self.process is None:
            self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            status, self.process = self.process.wait(), None
            raise Difference(f"the driver ended with {status}")
        return json.loads(line)


def compare(name, values, ours, theirs):
    """Refusals of what the library accepts. If it raises or panics, nothing is compared."""
    refusals = []
    for value, a, b in zip(values, ours, theirs, strict=True):
        if b is None:
            continue
        if isinstance(a, dict):
            refusals.append(a["error"])
        elif a != b:
            raise Difference(f"{name} of {value!r}: {a!r} here, {b!r} there")
    return refusals


def check(driver, seed, folder, count):
    """Compares one tokenizer; the reasons for refusals."""
    tokenizer, contents = tokenizer_of(seed)
    choose = random.Random(seed + 0.5)
    document = document_of(tokenizer, choose)
    folder.mkdir(exist_ok=True)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(document))
    try:
        peer = Tokenizer.from_str(json.dumps(document))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return ["the library refuses it"]
    texts = [text_of(choose, contents + ["<s>", "</s>"]) for _ in range(count)] + [
        "", " ", "x" * 3000, " " * 300, "ab " * 300, "\u4e2d" * 500]
    special = choose.random() < 0.5
    task = {"file": str(path), "texts": texts, "special": special, "ids": []}
    encoded = driver(task)
    if "error" in encoded:  # asked first: an added token that normalizes to nothing fills the library's memory
        return [encoded["error"]]
    ids = theirs_of(peer, texts, special)
    size = max(peer.get_vocab().values(), default=0) + 1
    lists = [i for i in ids if i is not None] + [
        [choose.randrange(size + 3) for _ in range(choose.randrange(10))] for _ in range(20)]
    ours = driver(task | {"texts": [], "ids": lists})
    return (compare("ids", texts, encoded["ids"], ids)
            + compare("text", lists, ours["texts"], [decoded_of(peer, i, False) for i in lists])
            + compare("text without special tokens", lists, ours["skipped"],
                      [decoded_of(peer, i, True) for i in lists]))


def reason_of(refusal):
    return next((reason for mark, reason in REFUSED.items() if mark in refusal), refusal)


def run_series(folder, seeds, count, report=print):
    driver = Driver()
    reasons, failures = collections.Counter(), []
    for seed in seeds:
        try:
            reasons.update({reason_of(refusal) for refusal in check(driver, seed, folder, count)})
        except Difference as difference:
            failures.append(f"seed {seed}: {difference}")
    for reason, times in reasons.most_common():
        report(f"refused {times} of {len(seeds)}: {reason}")
    return failures, reasons


def test_random_tokenizers_equal_the_library(tmp_path):
    count = int(os.environ.get("TWOFOUR_TOKENIZERS", 60))
    first = int(os.environ.get("TWOFOUR_SEED", 1)) * 1_000_000
    failures, reasons = run_series(tmp_path, range(first, first + count), 25)
    assert not failures, "\n".join(failures[:20])
    unknown = [reason for reason in reasons if reason not in REFUSED.values() and reason != "the library refuses it"]
    assert not unknown, unknown


if __name__ == "__main__":
    for seed in map(int, sys.argv[1:]):
        try:
            print(seed, check(Driver(), seed, pathlib.Path(f"tokenizer-{seed}"), 25))
        except Difference as difference:
            print(seed, difference)
