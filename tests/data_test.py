"""Real-world text and token files are recognised, or refused by name."""

import gzip
import json
import os
import shutil
import signal
import struct
import subprocess

import numpy
import pytest
from safetensors.numpy import load_file, save_file

from conftest import PROGRAM

DOCUMENTS = [f"the cat sat on mat number {i}" for i in range(40)]
LINES = "".join(json.dumps({"url": "x", "text": text}) + "\n" for text in DOCUMENTS).encode()


@pytest.fixture
def data(twofour, corpus, tmp_path):
    """Runs `data` without a val.bin; returns its summary and the content of train.bin."""

    def run(*arguments, **options):
        done = twofour("data", *arguments, "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "out",
                       "--val-fraction", 0, "--json", **options)
        return json.loads(done.stdout), (tmp_path / "out" / "train.bin").read_bytes(), done.stderr

    return run


@pytest.mark.parametrize("name", ["c4.json", "c4.jsonl", "c4.ndjson", "c4.json.gz", "c4.txt", "c4", "c4.jsonl.zst"])
@pytest.mark.parametrize("kind", ["lines", "array", "gzip"])
def test_json_is_json_whatever_its_name(data, tmp_path, name, kind):
    content = {"lines": LINES, "gzip": gzip.compress(LINES),
               "array": b"[" + LINES.replace(b"\n", b",\n").rstrip(b",\n") + b"]"}[kind]
    (tmp_path / name).write_bytes(content)
    summary, _, log = data(tmp_path / name)
    assert summary["train_documents"] == 40
    implied = kind != "array" and name in ("c4.jsonl", "c4.ndjson", "c4.jsonl.zst")
    assert ("read as JSON" in log) != implied


def test_cases_of_c4_and_of_long_windows(twofour, shared, tmp_path):
    for case, name in [("fail-15", name) for name in ("c4.00000.json", "c4.00000.json.gz", "c4.00000.json.zst", "c4.ndjson")
                       ] + [("fail-13", f"long{log}.jsonl.zst") for log in (27, 28, 31)]:
        folder = shared / "cases" / case
        summary = json.loads(twofour("data", folder / name, "--tokenizer", folder / "tok", "--out", tmp_path / "d",
                                     "--val-fraction", 0, "--json").stdout)
        assert (summary["train_tokens"], summary["train_documents"]) == (1018, 40), name


def test_the_standard_input_beside_files(data, tmp_path):
    (tmp_path / "one.txt").write_text("one")
    (tmp_path / "three.jsonl").write_text('{"content": "three"}')
    summary, ids, _ = data(tmp_path / "one.txt", "-", tmp_path / "three.jsonl", "--text-field", "content",
                           input='{"content": "two"}\n')
    assert summary["train_documents"] == 3
    (tmp_path / "all.txt").write_text("one<|endoftext|>two<|endoftext|>three")
    assert data(tmp_path / "all.txt")[1] == ids


def test_a_decision_is_said_once_for_many_files(data, tmp_path):
    names = [tmp_path / f"{i}.json" for i in range(2000)]
    for name in names:
        name.write_text('{"text": "the cat"}\n')
    summary, _, log = data(*names)
    assert summary["train_documents"] == 2000
    assert log.count("read as JSON lines") == 1 and log.count("\n") == 1


def test_a_file_that_is_given_twice_is_read_twice_with_a_warning(data, tmp_path):
    (tmp_path / "a.txt").write_text("the cat")
    os.symlink(tmp_path / "a.txt", tmp_path / "b.txt")
    summary, _, log = data(tmp_path / "a.txt", tmp_path / "b.txt")
    assert summary["train_documents"] == 2 and "b.txt\" is given twice" in log


def test_a_call_that_fails_leaves_no_folder(twofour, corpus, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    for text in (tmp_path / "empty.txt", tmp_path / "none.txt"):
        twofour("data", text, "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "out", fails=1)
        assert not (tmp_path / "out").exists()


def test_a_killed_call_leaves_nothing_that_is_taken_for_data(data, corpus, tmp_path):
    (tmp_path / "a.txt").write_text("the cat")
    before = data(tmp_path / "a.txt")[1]
    process = subprocess.Popen([PROGRAM, "data", "-", "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "out"],
                               stdin=subprocess.PIPE)
    process.stdin.write(b"the dog " * 4_000_000)
    process.stdin.flush()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "out" / "train.bin").read_bytes() == before
    assert data(tmp_path / "a.txt")[1] == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["tokenizer", "train.bin", "train.json"]


def test_a_second_call_does_not_write_into_the_same_folder(twofour, data, corpus, tmp_path):
    (tmp_path / "a.txt").write_text("the cat")
    before = data(tmp_path / "a.txt")[1]
    first = subprocess.Popen([PROGRAM, "data", "-", "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "out",
                              "--val-fraction", "0"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while not (tmp_path / "out" / "lock").exists():
        assert first.poll() is None
    error = twofour("data", tmp_path / "a.txt", "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "out", fails=1)
    assert "is in use by" in error.stderr
    assert (tmp_path / "out" / "train.bin").read_bytes() == before
    first.communicate(b"the dog")
    assert first.returncode == 0 and (tmp_path / "out" / "train.bin").read_bytes() != before


def test_eval_reads_documents_as_data_does(twofour, corpus, sparse_run, data, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(LINES)
    data(tmp_path / "x.jsonl")

    def perplexity(path, **options):
        done = twofour("eval", "perplexity", "--model", sparse_run / "model", "--data", path, "--json", **options)
        return json.loads(done.stdout)

    of_tokens = perplexity(tmp_path / "out" / "train.bin")
    assert of_tokens["adjusted_perplexity"] is None
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(LINES))
    for path, options in [(tmp_path / "x.jsonl", {}), (tmp_path / "x.json.gz", {}), ("-", {"input": LINES.decode()})]:
        of_lines = perplexity(path, **options)
        assert (of_lines["nll"], of_lines["tokens"]) == (of_tokens["nll"], of_tokens["tokens"])
        assert of_lines["adjusted_perplexity"] is not None
    (tmp_path / "x.txt").write_text("the cat")
    assert "holds no text" in twofour("eval", "perplexity", "--model", sparse_run / "model", "--data", "-", input="",
                                      fails=1).stderr
    assert perplexity("-", input="the cat\n\nthe dog\n")["tokens"] < of_tokens["tokens"]


def test_a_loss_that_is_no_number_is_an_error_that_names_the_weight(twofour, corpus, sparse_run, tmp_path):
    shutil.copytree(sparse_run / "model", tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    name = next(name for name in weights if name.endswith("h.1.ln_2.weight"))
    weights[name] = numpy.full_like(weights[name], numpy.nan)
    save_file(weights, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    error = twofour("eval", "perplexity", "--model", tmp_path / "m", "--data", corpus / "text.txt", "--json", fails=1).stderr
    assert "the loss of token 1 (in the window from 0 to 31) is nan" in error and "h.1.ln_2.weight" in error


def test_an_id_beyond_the_vocabulary_ends_a_run_before_it_starts(twofour, corpus, small, sparse_run, tmp_path):
    shutil.copytree(corpus / "data", tmp_path / "d")
    vocabulary = json.loads((tmp_path / "d" / "train.json").read_text())["vocabulary_size"]
    for name in ("train", "val"):
        ids = numpy.fromfile(tmp_path / "d" / f"{name}.bin", dtype=numpy.uint16)
        good = ids.copy()
        ids[1000] = 50257
        ids.tofile(tmp_path / "d" / f"{name}.bin")
        message = f'{name}.bin": token 1000 (byte 2000) is the id 50257, but the vocabulary has {vocabulary}'
        assert message in twofour("train", "--data", tmp_path / "d", "--out", tmp_path / "r", *small, fails=1).stderr
        assert not (tmp_path / "r").exists()
        assert message in twofour("eval", "perplexity", "--model", sparse_run / "model", "--data",
                                  tmp_path / "d" / f"{name}.bin", fails=1).stderr
        good.tofile(tmp_path / "d" / f"{name}.bin")


def test_a_bin_that_was_changed_beside_its_json_is_noticed(twofour, corpus, small, tmp_path):
    shutil.copytree(corpus / "data", tmp_path / "d")
    bin = tmp_path / "d" / "train.bin"
    ids = numpy.fromfile(bin, dtype=numpy.uint16)
    run = ["train", "--data", tmp_path / "d", "--out", tmp_path / "r", *small, "--steps", 4]
    twofour(*run, "--stop-after", 2)
    ids[:2] = ids[1::-1]
    ids.tofile(bin)
    for command in (run, ["train", "--out", tmp_path / "r", "--resume"]):
        assert 'train.bin": it was changed after "train.json" was written' in twofour(*command, fails=1).stderr


def test_an_llmc_file_is_read_by_its_header(twofour, corpus, sparse_run, tmp_path):
    ids = numpy.fromfile(corpus / "data" / "val.bin", dtype=numpy.uint16)
    header = struct.pack("<3i", 20240520, 1, len(ids)).ljust(1024, b"\0")
    (tmp_path / "val.bin").write_bytes(header + ids.tobytes())
    results = [json.loads(twofour("eval", "perplexity", "--model", sparse_run / "model", "--data", path, "--json").stdout)
               for path in (tmp_path / "val.bin", corpus / "data" / "val.bin")]
    assert results[0]["nll"] == results[1]["nll"]
    twofour("convert", tmp_path / "val.bin", tmp_path / "flat.bin", "--to", "nanogpt")
    assert (tmp_path / "flat.bin").read_bytes() == ids.tobytes()


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_is_no_file_is_refused_at_once(twofour, corpus, sparse_run, tmp_path, name, kind):
    shutil.copytree(sparse_run / "model", tmp_path / "m")
    (tmp_path / "m" / name).unlink()
    os.symlink("/dev/zero", tmp_path / "m" / name) if kind == "device" else os.mkfifo(tmp_path / "m" / name)
    error = twofour("eval", "perplexity", "--model", tmp_path / "m", "--data", corpus / "text.txt", fails=1, timeout=30).stderr
    assert name in error and "not a regular file" in error


def test_a_text_may_come_from_a_pipe(sparse_run, corpus):
    command = f'"{PROGRAM}" generate --model "{sparse_run / "model"}" --prompt-file <(echo the cat) --max-tokens 3'
    assert subprocess.run(["bash", "-c", command], capture_output=True).returncode == 0


def test_ids_are_not_taken_as_text(sparse_run, corpus):
    with open(corpus / "data/val.bin", "rb") as ids:
        done = subprocess.run([PROGRAM, "eval", "perplexity", "--model", sparse_run / "model", "--data", "-"], stdin=ids,
                              capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "cannot read" in done.stderr, done.stderr
