"""Bad input gets one clear line and exit status 1 or 2, and damages nothing."""

import os
import resource
import shutil
import subprocess

import pytest

from conftest import PROGRAM


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("arguments, message", [
    (["trian"], 'unknown command "trian", did you mean "train"?'),
    (["train", "--widht", 3], 'unknown option "--widht", did you mean "--width"?'),
    (["train", "--width", "wide"], "--width"),
    (["train"], "--data is missing"),
    (["train", "--data", "d"], "--out is missing"),
    (["eval", "perplexty"], 'did you mean "perplexity"?'),
    (["generate"], "--model DIR is required: Hugging Face folder"),
    (["convert"], "IN is required: a model folder"),
    (["tokenizer", "train", "x"], "required"),
    (["data", "x", "--tokenizer", "t", "--out", "o", "--format", "parquet"], "parquet"),
])
def test_wrong_usage_names_what_was_meant(twofour, tmp_path, arguments, message):
    assert message in twofour(*arguments, fails=2, cwd=tmp_path).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options, message", [
    (["--width", 30, "--heads", 4], "width 30 is not divisible by the number of heads 4"),
    (["--layers", 0], "--layers must be a whole number, 1 to 10000"),
    (["--context", -1], "--context must be a whole number, 1 to"),
    (["--steps", 0], "--steps must be a whole number, 1 to"),
    (["--method", "s-stee"], "dense, half, ste, sr-ste, step, fst or s-ste"),
    (["--dtype", "int4"], "must be float32, bfloat16, float16 or auto"),
    (["--model", "gpt5"], "must be gpt2-124m, gpt2-350m, gpt2-774m, gpt2-1558m, llama-60m"),
    (["--lr", -1], "--lr must be a number, above 0"),
    (["--width", 30, "--heads", 2, "--method", "s-ste"], "which 4 does not divide"),
    (["--width", 2**24, "--heads", 1, "--vocabulary", 2**24], "out of memory"),
    (["--width", 10**12, "--heads", 1], "--width must be"),
])
def test_impossible_settings(twofour, corpus, small, tmp_path, options, message):
    done = subprocess.run([PROGRAM, *map(str, ["train", "--data", corpus / "data", "--out",
                                               tmp_path / "r", *small, *options])],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_a_path_with_a_newline_stays_one_line(twofour, corpus, small, tmp_path):
    odd = tmp_path / "a\nb\x1b[31m\u2028"
    shown = f"{tmp_path}/a\\x0ab\\x1b[31m\\xe2\\x80\\xa8"
    for command in (["generate", "--model", odd], ["info", "--model", odd], ["prune", "--model", odd, "--out", "o"],
                    ["mask", "show", odd], ["mask", "diff", odd, odd], ["convert", odd, "o", "--to", "hf"],
                    ["data", odd, "--tokenizer", corpus / "tokenizer", "--out", "o"],
                    ["train", "--data", odd, "--out", "r"], ["report", odd], ["tokenizer", "encode", "--tokenizer", odd],
                    ["eval", "perplexity", "--model", odd, "--data", odd]):
        done = subprocess.run([PROGRAM, *map(str, command)], capture_output=True, text=True, cwd=tmp_path, input="")
        assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1 and shown in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []
    # Results and the log too.
    done = twofour("train", "--data", corpus / "data", "--out", odd, *small, "--steps", 2)
    assert f"the model is in {shown}/model" in done.stdout.split("\n")
    done = twofour("convert", odd, odd / "half", "--to", "hf", "--dtype", "bfloat16")
    assert done.stdout.startswith(f"{shown}/half: hf from hf")
    done = twofour("train", "--out", odd, "--resume-from", "step-0", "--steps", 3, fails=1)
    assert shown in done.stderr


@pytest.mark.parametrize("command", [
    ["mask", "apply", "--model", "m", "--masks", "m", "--out", ""], ["convert", "m", "", "--to", "hf"],
    ["convert", "m", "", "--to", "llama2c"], ["data", "m/config.json", "--tokenizer", "m", "--out", ""],
    ["tokenizer", "train", "m/config.json", "--vocab-size", "300", "--out", ""],
    ["prune", "--model", "m", "--method", "magnitude", "--out", ""]], ids=lambda command: " ".join(command))
def test_no_name_is_no_output(twofour, sparse_run, tmp_path, command):
    shutil.copytree(sparse_run / "model", tmp_path / "m")
    before = tree(tmp_path)
    twofour(*command, fails=2, cwd=tmp_path)
    assert tree(tmp_path) == before


def test_training_a_tokenizer_deletes_nothing_else(twofour, corpus, sparse_run, tmp_path):
    train = ["tokenizer", "train", corpus / "text.txt", "--vocab-size", 300, "--out"]
    shutil.copytree(sparse_run / "model", tmp_path / "m")
    (tmp_path / "m/tokenizer.json").rename(tmp_path / "file")
    before = tree(tmp_path)
    assert "which is no file of a tokenizer and would be lost" in twofour(*train, tmp_path / "m", fails=2).stderr
    assert "is a file" in twofour(*train, tmp_path / "file", fails=2).stderr
    assert tree(tmp_path) == before
    for _ in range(2):
        twofour(*train, tmp_path / "tokenizer")
    (tmp_path / "empty").mkdir()
    twofour(*train, tmp_path / "empty")


def test_context_longer_than_the_data(twofour, corpus, small, tmp_path):
    error = twofour("train", "--data", corpus / "data", "--out", tmp_path / "r", *small, "--context",
                    10**6, fails=1).stderr
    assert "needs at least 1000001 tokens" in error


def test_unknown_config_key_names_the_nearest(twofour, corpus, tmp_path):
    config = tmp_path / "c.toml"
    for content, message in [("widht = 3", 'did you mean "width"?'), ("width = wide", 'in quotes: "wide"'), ('width = "wide"', '"width" in line 1'),
                             ("[table]\nwidth = 3", "table.width"), ("width", "'=' is missing")]:
        config.write_text(content + "\n")
        error = twofour("train", "--data", corpus / "data", "--out", tmp_path / "r", "--config", config,
                        fails=2).stderr
        assert message in error and "c.toml" in error
    twofour("train", "--config", tmp_path / "none.toml", fails=1)
    twofour("train", "--config", tmp_path, fails=1)


def make_bad(folder, kind):
    path = folder / f"{kind}.txt"
    if kind == "missing":
        pass
    elif kind == "empty":
        path.write_text("")
    elif kind == "folder":
        path.mkdir()
    elif kind == "not-utf8":
        path.write_bytes(b"good text \xff\xfe")
    return path


@pytest.mark.parametrize("kind, message", [("missing", "No such file"), ("folder", "it is a folder"),
                                           ("not-utf8", "not valid UTF-8 at byte 10"),
                                           ("empty", "no documents")])
def test_bad_text_files(twofour, corpus, tmp_path, kind, message):
    path = make_bad(tmp_path, kind)
    out = tmp_path / "out"
    error = twofour("data", path, "--tokenizer", corpus / "tokenizer", "--out", out, fails=1).stderr
    assert message in error
    assert not out.exists() or list(out.iterdir()) == []
    if kind != "empty":
        assert kind in twofour("tokenizer", "train", path, "--vocab-size", 300, "--out", tmp_path / "t",
                               fails=1).stderr
        twofour("tokenizer", "encode", "--tokenizer", corpus / "tokenizer", path, fails=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(twofour, corpus, tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("x")
    path.chmod(0)
    error = twofour("data", path, "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "o", fails=1)
    assert "Permission denied" in error.stderr


def test_truncated_token_file(twofour, corpus, small, tmp_path):
    shutil.copytree(corpus / "data", tmp_path / "data")
    train = tmp_path / "data" / "train.bin"
    train.write_bytes(train.read_bytes()[:-100])
    error = twofour("train", "--data", tmp_path / "data", "--out", tmp_path / "r", *small, fails=1).stderr
    assert "train.bin" in error and "says" in error
    assert not (tmp_path / "r").exists()


def test_bad_lines_are_named(twofour, corpus, tmp_path):
    tokenizer = ["--tokenizer", corpus / "tokenizer"]
    good = '{"text": "a"}\n'
    for bad in ["{", "[]", '{"text": 1}']:
        error = twofour("tokenizer", "encode", "--jsonl", *tokenizer, input=good + bad, fails=1).stderr
        assert "line 2" in error
    for bad in ["[1", "3", '["a"]', "[-1]", "[1e99]", "[99999999999999999999]"]:
        error = twofour("tokenizer", "decode", *tokenizer, input="[1]\n" + bad, fails=1).stderr
        assert "line 2" in error


def test_ids_beyond_the_vocabulary_stand_for_nothing_as_in_transformers(twofour, corpus):
    def decode(ids):
        return twofour("tokenizer", "decode", "--tokenizer", corpus / "tokenizer", input=ids).stdout

    assert decode("[1, 99999, 2]") == decode("[1, 2]")


def test_damaged_model_folders(twofour, corpus, sparse_run, tmp_path):
    def damaged(change):
        folder = tmp_path / "m"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sparse_run / "model", folder)
        change(folder)
        return twofour("eval", "perplexity", "--model", folder, "--data", corpus / "text.txt", fails=1).stderr

    def cut(name, size):
        def change(folder):
            (folder / name).write_bytes((folder / name).read_bytes()[:size])
        return change

    for size in (0, 4, 8, 100, 5000):
        assert "model.safetensors" in damaged(cut("model.safetensors", size))
    assert "config.json" in damaged(cut("config.json", 50))
    assert "tokenizer.json" in damaged(cut("tokenizer.json", 50))
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert "m" in damaged(lambda folder: (folder / name).unlink())


def test_nan_loss_stops_with_the_last_checkpoint_kept(twofour, corpus, small, tmp_path):
    run = tmp_path / "run"
    error = twofour("train", "--data", corpus / "data", "--out", run, *small, "--lr", 1e30, "--clip", 0,
                    "--warmup", 0, "--steps", 50, "--checkpoint-every", 1, fails=1).stderr
    assert "nan" in error or "inf" in error
    assert "is kept" in error and "try a lower --lr or a longer --warmup with --resume" in error
    assert len(list((run / "checkpoints").iterdir())) >= 1


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_full_disk_while_saving_damages_nothing(twofour, corpus, small, tmp_path):
    run = tmp_path / "run"
    options = ["train", "--data", corpus / "data", "--out", run, *small, "--steps", 4]
    error = twofour(*options, preexec_fn=limit_files, fails=1).stderr
    assert "cannot write" in error
    assert list((run / "checkpoints").iterdir()) == []
    shutil.rmtree(run)
    twofour(*options)
    before = tree(run / "checkpoints")
    out = tmp_path / "data"
    copies = [shutil.copy(corpus / "text.txt", tmp_path / f"{i}.txt") for i in range(3)]
    error = twofour("data", *copies, "--tokenizer", corpus / "tokenizer", "--out", out, "--val-fraction", 0,
                    preexec_fn=limit_files, fails=1).stderr
    assert "cannot write" in error
    assert not out.exists()
    assert tree(run / "checkpoints") == before


def test_a_run_folder_is_never_overwritten(twofour, corpus, small, sparse_run):
    before = tree(sparse_run)
    error = twofour("train", "--data", corpus / "data", "--out", sparse_run, *small, fails=2).stderr
    assert "already holds a run" in error
    assert tree(sparse_run) == before


def test_generate_refuses_prompts_that_do_not_fit(twofour, sparse_run, tmp_path):
    model = ["generate", "--model", sparse_run / "model"]
    assert "context of 32" in twofour(*model, "--prompt", "the cat " * 100, fails=1).stderr
    assert "No such file" in twofour(*model, "--prompt-file", tmp_path / "none", fails=1).stderr
    twofour(*model, "--prompt", "")
    assert "context is full" in twofour(*model, "--prompt", "the", "--max-tokens", 500).stderr
