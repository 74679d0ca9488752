"""Learned masks: runs that resume exactly, what they log, what `trim` writes, and bad input."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as xml

import numpy
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from conftest import PROGRAM

SHORT = ["--context", 32, "--batch", 4, "--steps", 16, "--lr", 2e-3, "--checkpoint-every", 5, "--log-every", 1,
         "--validate-every", 8]
CUTS = [4, 5, 6, 10, 12]


@pytest.fixture(scope="module")
def dense(corpus, small, tmp_path_factory):
    """A trained dense GPT-2: the run's model folder."""
    run = tmp_path_factory.mktemp("dense") / "run"
    subprocess.run([PROGRAM, *map(str, ["train", "--data", corpus / "data", "--out", run, *small, "--steps", 150,
                                        "--validate-every", 0])], check=True, capture_output=True)
    return run / "model"


def command(dense, corpus, run, *more):
    return [PROGRAM, *map(str, ["learn", "--model", dense, "--data", corpus / "data", "--out", run, *SHORT, *more])]


def learn(dense, corpus, run, *more):
    done = subprocess.run(command(dense, corpus, run, *more), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def learned(dense, corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("learned") / "run"
    learn(dense, corpus, run, "--prior", "magnitude")
    return run


def events_of(run, kind):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def files_of(run, step=16):
    folders = [run / "checkpoints" / f"step-{step:07}", run / "model"]
    return {path.relative_to(run): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*"))
            if path.is_file()}


def records_of(run):
    return [{key: value for key, value in line.items() if key not in ("time", "tokens_per_second", "seconds")}
            for line in events_of(run, "step")]


def masks_of(path):
    return {name.removesuffix(".mask"): numpy.unpackbits(bits) for name, bits in load_file(path).items()}


def weights_of(folder):
    """Linear weights of the blocks as [out, in]."""
    tensors = load_file(folder / "model.safetensors")
    return {name: value.T for name, value in tensors.items() if ".h." in name and value.ndim == 2}


KINDS = {"none": ["--prior", "none"], "wanda": ["--prior", "wanda", "--prior-samples", 8],
         "hard": ["--prior", "magnitude", "--hard"],
         "weights": ["--prior", "magnitude", "--train-weights"],
         "self": ["--prior", "magnitude", "--distill", "self", "--recompute"],
         "small": ["--prior", "magnitude", "--logits", "bfloat16", "--moments", "8bit", "--accumulate", 2]}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_equals_never_stopped(dense, corpus, tmp_path, kind, dtype, threads):
    options = [*KINDS[kind], "--dtype", dtype, "--threads", threads]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    learn(dense, corpus, whole, *options)
    for stop in [*CUTS, 0]:
        resume = ["--resume"] if (cut / "checkpoints").exists() else []
        learn(dense, corpus, cut, *options, "--stop-after", stop, *resume)
    assert records_of(cut) == records_of(whole) and len(records_of(cut)) == 16
    assert files_of(cut) == files_of(whole)


def test_killed_at_random_moments_equals_never_stopped(dense, corpus, tmp_path):
    options = ["--steps", 300, "--checkpoint-every", 7, "--prior", "sparsegpt", "--prior-samples", 8, "--threads", 1]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    learn(dense, corpus, whole, *options)
    seed = random.randrange(2**32)
    print("seed", seed)
    chance, kills = random.Random(seed), 0
    for _ in range(60):
        resume = ["--resume"] if any(cut.glob("checkpoints/step-*/state.json")) else []
        process = subprocess.Popen(command(dense, corpus, cut, *options, *resume), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=chance.uniform(0.1, 0.9 if kills > 3 else 0.3)
                                            if kills < 8 else 100)
            assert process.returncode == 0, errors
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
    assert kills > 0
    ours, theirs = files_of(cut, 300), files_of(whole, 300)
    assert [name for name in theirs if ours.get(name) != theirs[name]] == []
    assert sorted(path.name for path in (cut / "prior").iterdir()) == ["masks.safetensors", "prune.json"]


def test_sigterm_leaves_a_checkpoint_and_the_same_result(dense, corpus, tmp_path, learned):
    run = tmp_path / "run"
    process = subprocess.Popen(command(dense, corpus, run, "--prior", "magnitude", "--steps", 100000, "--log-every", 1),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(3):
        process.stdout.readline()
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "stopped on request after step" in errors
    assert any(run.glob("checkpoints/step-*/state.json"))


def test_the_result_is_the_dense_model_with_the_likeliest_masks(dense, learned, twofour, tmp_path):
    before, after = weights_of(dense), weights_of(learned / "model")
    masks = masks_of(learned / "model/masks.safetensors")
    logits = load_file(learned / "checkpoints/step-0000016/logits.safetensors")
    candidates = numpy.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]])
    assert set(masks) == set(before) == {name.removesuffix(".logits") for name in logits}
    for name, weight in before.items():
        expected = candidates[logits[f"{name}.logits"].argmax(2)].reshape(weight.shape)
        assert (masks[name].reshape(weight.shape) == expected).all()
        assert (after[name] == weight * expected).all()
    twofour("trim", learned, "--out", tmp_path / "trimmed")
    for file in (learned / "model").iterdir():
        assert (tmp_path / "trimmed" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("ending", ["npz", "safetensors", "t24"])
def test_a_file_of_masks_gives_the_trimmed_model(dense, learned, twofour, tmp_path, ending):
    file = tmp_path / f"masks.{ending}"
    twofour("trim", learned, "--out", file)
    twofour("mask", "apply", "--model", dense, "--masks", file, "--out", tmp_path / "applied")
    assert ((tmp_path / "applied/model.safetensors").read_bytes()
            == (learned / "model/model.safetensors").read_bytes())


def test_a_t24_file_costs_less_than_a_bit_a_weight(learned, twofour, tmp_path):
    twofour("trim", learned, "--out", tmp_path / "masks.t24")
    entries = sum(weight.size for weight in weights_of(learned / "model").values())
    assert 8 * (tmp_path / "masks.t24").stat().st_size < entries


def test_transformers_computes_the_same(learned, corpus, twofour):
    model = AutoModelForCausalLM.from_pretrained(learned / "model", dtype=torch.float32).eval()
    ids = numpy.fromfile(corpus / "data/val.bin", dtype=numpy.uint16).astype(numpy.int64)[:640]
    windows = torch.from_numpy(ids).view(-1, 32)
    with torch.inference_mode():
        nll = torch.nn.functional.cross_entropy(model(windows[:, :-1]).logits.flatten(0, 1), windows[:, 1:].flatten())
    test = corpus / "data/test.bin"
    ids.astype(numpy.uint16).tofile(test)
    ours = json.loads(twofour("eval", "perplexity", "--model", learned / "model", "--data", test, "--context", 32,
                              "--dtype", "float32", "--json").stdout)["perplexity"]
    assert ours == pytest.approx(nll.exp().item(), rel=1e-4)


def test_an_unfinished_run_is_trimmed_with_its_step(dense, corpus, twofour, tmp_path):
    run = tmp_path / "run"
    learn(dense, corpus, run, "--stop-after", 7)
    done = twofour("trim", run, "--out", tmp_path / "masks.npz")
    assert "after step 7 of 16" in done.stderr and "after step 7" in done.stdout
    done = twofour("trim", run / "checkpoints/step-0000005", "--out", tmp_path / "old.npz")
    assert "after step 5 of 16" in done.stderr
    error = twofour("generate", "--model", run, "--prompt", "the", fails=1).stderr
    assert "twofour trim" in error


def test_the_log_shows_the_model_and_each_layer(learned, dense):
    steps, layers = events_of(learned, "step"), set(weights_of(dense))
    fields = {"regularisation", "kappa", "tau", "max_probability", "changed", "changed_from_prior", "logit_mean",
              "logit_deviation", "kept_l2"}
    for line in steps:
        assert fields <= set(line)
        for kind in ("max_probability", "changed", "changed_from_prior", "logit_mean", "logit_deviation", "kept_l2"):
            assert set(line[f"layer_{kind}"]) == layers
    assert [line["kappa"] for line in steps[:2]] == pytest.approx([100, 125])
    assert [line["tau"] for line in steps[:2]] == pytest.approx([4, 4 - 3.95 / 16])
    # 0.832 for the prior's candidate without the deviation of the initial logits, which blurs it.
    assert 0.7 < steps[0]["max_probability"] < 0.9
    weights, masks = weights_of(learned / "model"), masks_of(learned / "model/masks.safetensors")
    norm = sum((weights[name].astype(float) ** 2 * masks[name].reshape(weights[name].shape)).sum() for name in weights)
    assert steps[-1]["kept_l2"] == pytest.approx(norm ** 0.5, rel=1e-5)


def test_the_report_shows_how_masks_move(learned, twofour, tmp_path):
    twofour("report", learned, "--out", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = xml.fromstring(text.split("\n", 1)[1])
    titles = [title.text for title in page.iter("h2")]
    assert any(title.startswith("How a mask of") for title in titles)
    assert any(title.startswith("How certain the masks") for title in titles)
    steps = [caption.text for caption in page.iter("figcaption") if caption.text.startswith("step")]
    assert steps == ["step 0", "step 8", "step 16", "step 0", "step 16"]
    records = events_of(learned, "masks")
    kept = sum(row.count("1") for row in records[-1]["rows"])
    last = [figure for figure in page.iter("figure") if figure.find("figcaption").text == "step 16"][0]
    classes = [rect.get("class") for rect in last.iter("rect")]
    assert classes.count("stays") + classes.count("came") == kept
    assert classes.count("came") == classes.count("went")


@pytest.mark.parametrize("pattern, kept, group", [("1:4", 1, 4), ("4:8", 4, 8), ("1:2", 1, 2), ("1:16", 1, 16)])
def test_any_pattern(dense, corpus, tmp_path, pattern, kept, group):
    learn(dense, corpus, tmp_path / "run", "--pattern", pattern)
    for bits in masks_of(tmp_path / "run/model/masks.safetensors").values():
        assert (bits.reshape(-1, group).sum(1) == kept).all()


def test_learned_masks_are_better_than_their_prior(dense, corpus, twofour, tmp_path):
    def perplexity(model):
        done = twofour("eval", "perplexity", "--model", model, "--data", corpus / "data/val.bin", "--context", 32, "--json")
        return json.loads(done.stdout)["perplexity"]

    learn(dense, corpus, tmp_path / "run", "--prior", "magnitude", "--steps", 200, "--lr", 2e-3)
    twofour("prune", "--model", dense, "--method", "magnitude", "--out", tmp_path / "pruned")
    assert perplexity(tmp_path / "run/model") < 0.98 * perplexity(tmp_path / "pruned")


def test_include_and_exclude_choose_layers(dense, corpus, twofour, tmp_path):
    learn(dense, corpus, tmp_path / "run", "--include", "mlp", "--exclude", "c_proj")
    assert all(name.endswith("mlp.c_fc.weight") for name in masks_of(tmp_path / "run/model/masks.safetensors"))


def test_frozen_weights_stay_and_trained_ones_move(dense, corpus, tmp_path):
    learn(dense, corpus, tmp_path / "run", "--train-weights", "--prior", "magnitude")
    masks = masks_of(tmp_path / "run/model/masks.safetensors")
    before, after = weights_of(dense), weights_of(tmp_path / "run/model")
    for name, weight in before.items():
        mask = masks[name].reshape(weight.shape)
        assert (after[name][mask == 0] == 0).all()
        assert (after[name] != weight * mask).any()


RECIPES = ["maskllm-llama2-7b", "maskllm-llama2-13b", "maskllm-llama3-8b"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_print_the_published_options(twofour, recipe):
    config = twofour("learn", "--recipe", recipe, "--print-config").stdout
    for line in ("kappa = 100", "kappa-end = 500", "tau = 4", "tau-end = 0.05", "prior-strength = 3", "steps = 2000",
                 "accumulate = 256", "context = 4096", "weight-decay = 0.1", "warmup = 0", "logits-lr-factor = 10"):
        assert re.search(rf"^{re.escape(line)}$", config, re.M), (line, config)


def test_a_recipe_shrinks_to_a_budget(twofour, dense, corpus):
    config = twofour("learn", "--recipe", RECIPES[0], "--scale-to-budget", "4M", "--model", dense, "--context", 32,
                     "--print-config").stdout
    assert f"steps = {4000000 // (256 * 32)}" in config


def packed(bits):
    return numpy.packbits(bits.astype(numpy.uint8).reshape(-1))


def prior_file(dense, path, change=None):
    arrays = {}
    for name, weight in weights_of(dense).items():
        order = numpy.abs(weight).reshape(-1, 4).argsort(1)
        bits = (order.argsort(1) >= 2).astype(numpy.uint8)
        if change:
            change(name, bits)
        arrays[f"{name}.mask"] = packed(bits)
    save_file(arrays, path)
    return path


FIRST = "transformer.h.0.attn.c_attn.weight"


def test_a_prior_that_is_not_n_of_m_is_refused_with_its_place(dense, corpus, twofour, tmp_path):
    def empty(name, bits):
        if name == FIRST:
            bits[17] = 0  # a row has 8 groups: row 2, column 4

    file = prior_file(dense, tmp_path / "prior.safetensors", empty)
    error = twofour(*command(dense, corpus, tmp_path / "run", "--prior", file)[1:], fails=2).stderr
    assert FIRST in error and "row 2" in error and "column 4" in error and "keeps 0 of the 4" in error
    assert not (tmp_path / "run").exists()


def test_bad_priors_are_refused_by_name(dense, corpus, twofour, tmp_path):
    def refused(prior, *more, status=2):
        run = tmp_path / "run"
        error = twofour(*command(dense, corpus, run, "--prior", prior, *more)[1:], fails=status).stderr
        assert not run.exists()
        return error

    assert "neither magnitude, wanda" in refused("magnitud")
    good = prior_file(dense, tmp_path / "prior.safetensors")
    assert "is not 1:4" in refused(good, "--pattern", "1:4")
    arrays = load_file(good)
    del arrays[f"{FIRST}.mask"]
    save_file(arrays, tmp_path / "few.safetensors")
    assert f'has no mask of "{FIRST}"' in refused(tmp_path / "few.safetensors")
    save_file({"transformer.h.9.mlp.c_fc.weight.mask": packed(numpy.ones(8))}, tmp_path / "other.safetensors")
    assert "no such weight" in refused(tmp_path / "other.safetensors", status=1)
    (tmp_path / "damaged.t24").write_bytes(b"twofour24" + bytes(20))
    refused(tmp_path / "damaged.t24", status=1)
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04" + bytes(20))
    refused(tmp_path / "damaged.npz", status=1)


BAD = {"pattern": (["--pattern", "4:9"], "4:9"), "dense pattern": (["--pattern", "4:4"], "4:4"),
       "no layer": (["--include", "nothing"], "matches no layer"), "regex": (["--include", "("], "regular expression"),
       "kappa": (["--kappa", 0], "--kappa"), "large kappa": (["--kappa-end", 1e300], "--kappa-end"),
       "tau": (["--tau", 1e-40], "--tau"), "large prior": (["--prior-strength", 1e38], "--prior-strength"),
       "self": (["--distill", "self", "--train-weights"], "frozen weights"),
       "context": (["--context", 4096], "--context")}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_refused_by_name(dense, corpus, twofour, tmp_path, name):
    options, message = BAD[name]
    assert message in twofour(*command(dense, corpus, tmp_path / "run", *options)[1:], fails=2).stderr
    assert not (tmp_path / "run").exists()


def test_the_teacher_needs_the_same_vocabulary(dense, corpus, twofour, small, tmp_path):
    other = tmp_path / "other"
    twofour("train", "--data", corpus / "data", "--out", other, *small, "--vocabulary", 500, "--steps", 1)
    error = twofour(*command(dense, corpus, tmp_path / "run", "--distill", other / "model")[1:], fails=2).stderr
    assert "vocabulary" in error


def test_data_of_another_tokenizer_is_refused(dense, corpus, twofour, tmp_path):
    (tmp_path / "other.txt").write_text("Every zebra quickly jumped over lazy foxes. " * 50)
    twofour("tokenizer", "train", tmp_path / "other.txt", "--vocab-size", 300, "--out", tmp_path / "tokenizer")
    twofour("data", corpus / "text.txt", "--tokenizer", tmp_path / "tokenizer", "--out", tmp_path / "data",
            "--document-separator", r"\n\n")
    error = twofour("learn", "--model", dense, "--data", tmp_path / "data", "--out", tmp_path / "run", "--context", 32,
                    "--steps", 1, fails=2).stderr
    assert "tokenizer" in error


def test_a_loss_that_is_not_a_number_keeps_the_last_checkpoint(dense, corpus, twofour, tmp_path):
    run = tmp_path / "run"
    learn(dense, corpus, run, "--stop-after", 5, "--dtype", "float32")
    broken = tmp_path / "broken"
    shutil.copytree(dense, broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["transformer.ln_f.weight"][:] = numpy.nan
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    error = twofour(*command(broken, corpus, tmp_path / "nan", "--checkpoint-every", 1)[1:], fails=1).stderr
    assert "the loss is nan at step 1" in error
    # A model that changed is not the one whose masks were being learned.
    error = twofour("learn", "--out", run, "--resume", "--model", broken, fails=1).stderr
    assert "model (content hash)" in error
    learn(dense, corpus, run, "--resume")


def test_resume_refuses_another_setting_by_name(dense, corpus, twofour, tmp_path):
    run = tmp_path / "run"
    learn(dense, corpus, run, "--stop-after", 5)
    for option, value in (("--tau", 2), ("--pattern", "1:4"), ("--prior", "magnitude"), ("--weight-reg", 1)):
        error = twofour(*command(dense, corpus, run, "--resume", option, value)[1:], fails=1).stderr
        assert f"{option[2:]} was" in error, error


def test_trim_refuses_other_runs_and_models(dense, learned, sparse_run, corpus, twofour, tmp_path):
    assert "no mask-learning run" in twofour("trim", sparse_run, "--out", tmp_path / "x", fails=1).stderr
    assert "no run with a checkpoint" in twofour("trim", dense, "--out", tmp_path / "x", fails=1).stderr
    assert "weights differ" in twofour("trim", learned, "--model", sparse_run / "model", "--out", tmp_path / "x",
                                       fails=1).stderr
    twofour("trim", learned, "--out", tmp_path / "masks.npz")
    assert "exists" in twofour("trim", learned, "--out", tmp_path / "masks.npz", fails=2).stderr
    assert not (tmp_path / "x").exists()
    before = (dense / "model.safetensors").read_bytes()
    assert "is the dense model" in twofour("trim", learned, "--out", dense, "--force", fails=2).stderr
    assert (dense / "model.safetensors").read_bytes() == before


def test_a_run_replaces_nothing_that_it_did_not_make(dense, corpus, twofour, tmp_path):
    def refused(folder, *more):
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        error = twofour(*command(more[0], corpus, folder, *more[1:])[1:], fails=2).stderr
        assert "exists, and the run would replace it" in error
        assert all(path.read_bytes() == content for path, content in before.items())

    shutil.copytree(dense, tmp_path / "a/model")
    refused(tmp_path / "a", tmp_path / "a/model")
    for options in (["learn", "--model"], ["train", "--init"]):
        for out, message in (("a", "exists, and the run would replace it"), ("a/model", "is the model's own folder")):
            error = twofour(*options, tmp_path / "a/model", "--data", corpus / "data", "--out", tmp_path / out, "--context",
                            32, "--steps", 1, fails=2).stderr
            assert message in error
    assert len(list((tmp_path / "a/model").iterdir())) == len(list(dense.iterdir()))
    twofour("prune", "--model", dense, "--method", "magnitude", "--out", tmp_path / "b/prior")
    refused(tmp_path / "b", dense, "--prior", "magnitude")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/prior").write_text("a file")
    refused(tmp_path / "c", dense, "--prior", "magnitude")


def test_a_prior_goes_on_after_a_kill_at_its_very_start(dense, corpus, tmp_path):
    learn(dense, corpus, tmp_path / "whole", "--prior", "magnitude")
    (tmp_path / "run/prior.pruned.unfinished/progress").mkdir(parents=True)
    learn(dense, corpus, tmp_path / "run", "--prior", "magnitude")
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def test_a_damaged_prior_is_made_again_or_named(dense, corpus, twofour, tmp_path, learned):
    run = tmp_path / "run"

    def again(fails=None):
        for folder in ("checkpoints", "model"):
            shutil.rmtree(run / folder, ignore_errors=True)
        done = twofour(*command(dense, corpus, run, "--prior", "magnitude", "--json")[1:], fails=fails)
        assert fails or files_of(run) == files_of(learned)
        return done.stderr

    again()
    masks = run / "prior/masks.safetensors"
    content = masks.read_bytes()
    masks.unlink()
    again()
    masks.write_bytes(content[:200])
    assert f'to prune anew, remove "{run}/prior"' in again(fails=1)
    masks.write_bytes(content[:-5] + b"\xff" + content[-4:])
    assert "is not 2:4" in again(fails=2)
    (run / "prior/prune.json").write_text("{")
    assert f'to prune anew, remove "{run}/prior"' in again(fails=1)
    shutil.rmtree(run / "prior")
    (run / "prior.pruned.unfinished").mkdir()
    (run / "prior.pruned.unfinished/state.json").write_text('{"identity": {}}')
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    shutil.rmtree(run / "model", ignore_errors=True)
    error = subprocess.run(command(dense, corpus, run, "--prior", "magnitude"), capture_output=True, text=True).stderr
    assert f'to prune anew, remove "{run}/prior.pruned.unfinished"' in error


def test_a_resumed_run_asks_for_a_model_that_moved(dense, corpus, twofour, tmp_path):
    shutil.copytree(dense, tmp_path / "model")
    learn(tmp_path / "model", corpus, tmp_path / "run", "--stop-after", 5)
    (tmp_path / "model").rename(tmp_path / "moved")
    error = twofour("learn", "--out", tmp_path / "run", "--resume", fails=1).stderr
    assert "give its new folder with --model" in error
    twofour("learn", "--out", tmp_path / "run", "--resume", "--model", tmp_path / "moved")


CONFIGS = ["model = []", 'model = ""', "model = [1, 2]", 'model = "nowhere"', "model = [", "[model]"]


@pytest.mark.parametrize("config", CONFIGS)
def test_trim_asks_for_a_model_that_the_config_does_not_name(learned, twofour, tmp_path, config):
    run = tmp_path / "run"
    shutil.copytree(learned, run)
    (run / "config.toml").write_text(config + "\n")
    done = subprocess.run([PROGRAM, "trim", run, "--out", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode in (1, 2) and "with --model" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [{"method": 3}, {"pattern": 3}, {"pattern": "4:8"}, {"model (content hash)": 7}, []])
def test_trim_names_what_is_wrong_in_a_state(learned, twofour, tmp_path, damage):
    run = tmp_path / "run"
    shutil.copytree(learned, run)
    path = run / "checkpoints/step-0000016/state.json"
    state = json.loads(path.read_text())
    if damage:
        state["options"].update(damage)
    else:
        state["options"] = damage
    path.write_text(json.dumps(state))
    error = subprocess.run([PROGRAM, "trim", run, "--out", tmp_path / "out"], capture_output=True, text=True).stderr
    assert "exception" not in error and error.count("\n") == 1


def test_a_file_of_masks_that_is_not_there_is_no_model(dense, corpus, twofour):
    error = twofour("eval", "perplexity", "--model", dense, "--data", corpus / "data/val.bin", "--masks", "nowhere.t24",
                    fails=1).stderr
    assert 'cannot read "nowhere.t24"' in error and "hf download" not in error
