"""A running run is a model too: its newest checkpoint, with the weights that RUN/model would have."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

METHODS = ["dense", "half", "ste", "sr-ste", "step", "fst", "s-ste"]


@pytest.fixture
def train(twofour, corpus, small, tmp_path):
    def run(name, *options, data=corpus / "data", **expected):
        twofour("train", "--data", data, "--out", tmp_path / name, *small, "--steps", 40, "--checkpoint-every", 10,
                "--threads", 1, *options, **expected)
        return tmp_path / name

    return run


def newest(run):
    return max((run / "checkpoints").iterdir())


def same_tensors(left, right, file="model.safetensors"):
    left, right = load_file(left / file), load_file(right / file)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def greedy(twofour, model):
    done = twofour("generate", "--model", model, "--prompt", "the cat", "--temperature", 0, "--max-tokens", 8, "--json")
    return json.loads(done.stdout)["ids"], done.stderr


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_is_the_model_that_the_run_would_save(twofour, train, tmp_path, method, dtype):
    # Dense at its end, fst saves plain masters; the second time it does not.
    for dense_end in ([[], ["--dense-end", "0"]] if method == "fst" else [[]]):
        run = train("run" + "".join(dense_end), "--method", method, "--dtype", dtype, *dense_end)
        twofour("convert", newest(run), tmp_path / "out", "--to", "hf", "--force")
        assert same_tensors(tmp_path / "out", run / "model")
        config, saved = (json.loads((at / "config.json").read_text()) for at in (tmp_path / "out", run / "model"))
        assert config == saved
        assert (tmp_path / "out/masks.safetensors").exists() == (run / "model/masks.safetensors").exists()
        if (run / "model/masks.safetensors").exists():
            assert same_tensors(tmp_path / "out", run / "model", "masks.safetensors")
        assert (tmp_path / "out/tokenizer.json").read_bytes() == (run / "model/tokenizer.json").read_bytes()
        # The same text under each name.
        assert greedy(twofour, newest(run))[0] == greedy(twofour, run)[0] == greedy(twofour, run / "model")[0]


def test_a_run_that_is_cut_is_its_newest_checkpoint_and_a_finished_one_its_model(twofour, corpus, train, tmp_path):
    run = train("run", "--method", "s-ste", "--stop-after", 20)
    assert not (run / "model").exists()
    ids, log = greedy(twofour, run)
    assert "step-0000020" in log and "after step 20" in log
    assert (ids, log) == greedy(twofour, newest(run))
    step_10 = run / "checkpoints/step-0000010"
    assert "after step 10" in greedy(twofour, step_10)[1]
    assert "after step 10" in greedy(twofour, str(step_10) + "/")[1]
    here = json.loads(twofour("eval", "perplexity", "--model", run, "--data", corpus / "data/val.bin", "--json").stdout)
    twofour("convert", run, tmp_path / "out", "--to", "hf")
    there = json.loads(twofour("eval", "perplexity", "--model", tmp_path / "out", "--data", corpus / "data/val.bin",
                               "--json").stdout)
    assert here["nll"] == there["nll"]
    info = json.loads(twofour("info", "--model", run, "--json").stdout)
    assert info["step"] == 20
    sparse = [tensor for tensor in info["tensors"] if ".mlp." in tensor["name"] and len(tensor["shape"]) == 2]
    assert len(sparse) == 4 and all(tensor["violations_2_4"] == 0 for tensor in sparse)
    train("run", "--method", "s-ste", "--resume")
    ids, log = greedy(twofour, run)
    assert not log and ids == greedy(twofour, run / "model")[0]
    # A model that is older than the newest checkpoint is not the run's.
    shutil.copytree(run / "checkpoints/step-0000040", run / "checkpoints/step-0000050")
    state = run / "checkpoints/step-0000050/state.json"
    state.write_text(state.read_text().replace('"steps": 40', '"steps": 60').replace('"step": 40', '"step": 50'))
    assert "after step 50" in greedy(twofour, run)[1]


def test_what_is_missing_or_damaged_is_named(twofour, train, tmp_path):
    run = train("run", "--stop-after", 10)
    step = newest(run)
    (run / "checkpoints/step-0000020.partial-999999999-0").mkdir()  # being written
    assert "after step 10" in greedy(twofour, run)[1]
    assert "No such file" in twofour("info", "--model", run / "checkpoints/step-0000099", fails=1).stderr
    shutil.move(run / "tokenizer", tmp_path / "tokenizer")
    quiet = {**os.environ, "TWOFOUR_LOG": "warn"}
    assert "run/tokenizer" in twofour("generate", "--model", run, "--prompt", "x", fails=1, env=quiet).stderr
    twofour("info", "--model", run)
    weights = bytearray((step / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (step / "model.safetensors").write_bytes(weights)
    assert 'model.safetensors" is damaged' in twofour("info", "--model", run, fails=1).stderr
    (step / "state.json").write_text("{}")
    assert 'state.json" is damaged' in twofour("info", "--model", run, fails=1).stderr
    shutil.rmtree(step)
    assert "no checkpoint yet" in twofour("info", "--model", run, fails=1).stderr


def test_folders_around_a_run_point_to_it(twofour, train, tmp_path):
    run = train("run", "--stop-after", 20)
    assert f"take --model {run}\n" in twofour("info", "--model", tmp_path, fails=1).stderr
    assert "take --model " in twofour("info", "--model", run / "checkpoints", fails=1).stderr


def test_the_ids_of_a_models_config_are_its_tokenizers(twofour, corpus, train, tmp_path):
    twofour("tokenizer", "train", corpus / "text.txt", "--vocab-size", 290, "--special-token", "</s>", "--out",
            tmp_path / "tokenizer")
    twofour("data", corpus / "text.txt", "--tokenizer", tmp_path / "tokenizer", "--out", tmp_path / "data",
            "--document-separator", r"\n\n", "--val-fraction", 0.1)
    run = train("run", "--stop-after", 10, data=tmp_path / "data")
    twofour("convert", run, tmp_path / "out", "--to", "hf")
    tokens = json.loads((tmp_path / "tokenizer/tokenizer.json").read_text())["added_tokens"]
    assert json.loads((tmp_path / "out/config.json").read_text())["eos_token_id"] == tokens[0]["id"]
