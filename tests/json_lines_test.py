"""Every command reads JSON lines as Python's json does: the same text, or both refuse."""

import json
import random

import pytest

TEXTS = ["the cat", "", "a\nb\t\"c\\", "caf\u00e9 \u4e2d\U0001f600", "\x00\x7f\u2028", "half \ud83d", "\udc00\ud83d"]
SCALARS = ["0", "-0", "1.5", "-2E+7", "1e999", "9" * 400, "NaN", "Infinity", "-Infinity", "true", "null", '"x"', '""']
ODD = ["01", "1.", "-", "+1", ".5", "1e", "-NaN", "nan", "tru", "'x'", "", '"\t"', '"\\x"', '"\\u12"', '"open', "[1,]", "{,}",
       "{1:2}", '{"a" 1}', '{"a":}', "[1 2]", "\ufeff1", "\x00", "//c\n1"]


def quoted(text, draw):
    """A JSON string of the text, its characters escaped in all possible ways."""
    out = []
    for c in text:
        ways = [json.dumps(c)[1:-1]]
        if c >= " " and c not in '"\\' and not "\ud800" <= c <= "\udfff":
            ways.append(c)
        if c < "\U00010000":
            ways.append(f"\\u{ord(c):04X}")
        out.append(draw.choice(ways))
    return '"' + "".join(out) + '"'


def value(draw, depth=0):
    kind = draw.random()
    if depth > 3 or kind < 0.5:
        return draw.choice(SCALARS) if draw.random() < 0.97 else draw.choice(ODD)
    if kind < 0.6:
        return quoted(draw.choice(TEXTS), draw)
    space = draw.choice(["", " ", "\t", " \r"])
    if kind < 0.8:
        return "[" + space + ",".join(value(draw, depth + 1) + space for _ in range(draw.randrange(4))) + "]"
    return "{" + space + ",".join(quoted(draw.choice(["text", "a", "\ud800", ""]), draw) + space + ":" + value(draw, depth + 1)
                                  for _ in range(draw.randrange(4))) + "}"


def line(draw):
    fields = [quoted(draw.choice(["id", "\udfff", "t\u00e9xt"]), draw) + ":" + value(draw) for _ in range(draw.randrange(3))]
    for _ in range(draw.choice([1, 1, 1, 2])):
        text = quoted(draw.choice(TEXTS), draw) if draw.random() < 0.9 else value(draw)
        fields.append(quoted("text", draw) + draw.choice([":", " : "]) + text)
    draw.shuffle(fields)
    out = draw.choice(["", " "]) + "{" + ", ".join(fields) + "}" + draw.choice(["", "", " ", "\r", "x"])
    if draw.random() < 0.1:  # a byte lost or doubled
        at = draw.randrange(len(out))
        out = out[:at] + draw.choice(["", out[at] * 2]) + out[at + 1:]
    return out.replace("\n", " ")


def text_by_python(line):
    """The text for a tokenizer, None if Python's json or the step to UTF-8 refuses."""
    try:
        record = json.loads(line)
        text = record["text"] if isinstance(record, dict) else None
        text.encode()
        return text
    except (ValueError, KeyError, AttributeError):
        return None


def decoded(twofour, corpus, path):
    """The texts of `tokenizer encode --jsonl` and whether a line was refused."""
    command = ["tokenizer", "encode", "--jsonl", "--tokenizer", corpus / "tokenizer", path]
    done = twofour(*command, fails=None if path.name == "good.jsonl" else 1)
    ids = "".join(f'{json.loads(each)["ids"]}\n' for each in done.stdout.split("\n")[:-1])
    back = twofour("tokenizer", "decode", "--jsonl", "--tokenizer", corpus / "tokenizer",
                   input="".join(f'{{"ids":{each}}}\n' for each in ids.split("\n")[:-1]))
    return [json.loads(each)["text"] for each in back.stdout.split("\n")[:-1]], done.stderr


def test_random_lines_give_pythons_texts_or_are_refused_by_both(twofour, corpus, tmp_path):
    draw = random.Random(16)
    lines = [line(draw) for _ in range(4000)]
    texts = [text_by_python(each) for each in lines]
    good = [i for i, text in enumerate(texts) if text is not None]
    assert len(good) > 1500 and len(lines) - len(good) > 500
    path = tmp_path / "good.jsonl"
    path.write_text("".join(lines[i] + "\n" for i in good), newline="")
    assert decoded(twofour, corpus, path)[0] == [texts[i] for i in good]
    # One process a refused line is slow, so only a sample of them.
    refused = [i for i, text in enumerate(texts) if text is None and lines[i].strip(" \t\r")]
    for i in draw.sample(refused, 15):
        path = tmp_path / "bad.jsonl"
        path.write_text('{"text": "first"}\n' + lines[i] + "\n", newline="")
        back, error = decoded(twofour, corpus, path)
        assert back == ["first"] and "line 2 " in error, lines[i]
    assert "line 2 " in twofour("data", path, "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "d",
                                "--val-fraction", 0, fails=1).stderr


@pytest.mark.parametrize("case, documents", [("bigint.jsonl", 41), ("nan.jsonl", 41), ("twokeys.jsonl", 3)])
def test_both_commands_read_alike_what_python_reads(twofour, shared, tmp_path, case, documents):
    folder = shared / "cases" / "fail-16"
    tokenizer = ["--tokenizer", folder / "tok"]
    encoded = [json.loads(each)["ids"] for each in
               twofour("tokenizer", "encode", "--jsonl", *tokenizer, folder / case).stdout.split("\n")[:-1]]
    made = json.loads(twofour("data", folder / case, *tokenizer, "--out", tmp_path / "d", "--val-fraction", 0,
                              "--json").stdout)
    assert made["train_documents"] == len(encoded) == documents
    assert made["train_tokens"] == sum(len(ids) + 1 for ids in encoded)


def test_half_a_surrogate_pair_is_refused_by_name(twofour, shared, tmp_path):
    folder = shared / "cases" / "fail-16"
    tokenizer = ["--tokenizer", folder / "tok"]
    for error in (twofour("tokenizer", "encode", "--jsonl", *tokenizer, folder / "surrogate.jsonl", fails=1),
                  twofour("data", folder / "surrogate.jsonl", *tokenizer, "--out", tmp_path / "d", fails=1)):
        assert "line 41 has half of a surrogate pair" in error.stderr
