"""prune: folders that other software loads, the same bytes after every interruption, and what was done is said."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from conftest import PROGRAM
from models_test import peer_perplexity, random_model, write_ids

FAMILIES = ["gpt2", "llama31", "biases", "mistral", "qwen2", "qwen3", "pythia", "opt"]
TRANSPOSED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")


@pytest.fixture(scope="module")
def ids(tmp_path_factory):
    """Tokens with some structure: a random walk."""
    steps = numpy.random.default_rng(3).integers(-3, 4, 6000)
    return write_ids(tmp_path_factory.mktemp("ids") / "ids.bin", numpy.cumsum(steps) % 97)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(name, **changes):
        key = (name, *sorted(changes.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("model") / name
            random_model(name, **changes).save_pretrained(made[key])
        return made[key]

    return folder


def weights_of(folder):
    """Linear weights as [out, in]."""
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.t() if TRANSPOSED.search(name) and tensor.dim() == 2 else tensor
            for name, tensor in tensors.items()}


def masks_of(folder, shapes):
    masks = {}
    for name, packed in load_file(folder / "masks.safetensors").items():
        weight = name.removesuffix(".mask")
        shape = shapes[weight].shape
        bits = numpy.unpackbits(packed.numpy())[:shape.numel()]
        masks[weight] = torch.from_numpy(bits).view(shape).bool()
    return masks


def same_bytes(left, right):
    names = sorted(path.name for path in left.iterdir())
    assert names == sorted(path.name for path in right.iterdir())
    return [name for name in names if (left / name).read_bytes() != (right / name).read_bytes()]


def prune(twofour, model, ids, out, *options, **how):
    return twofour("prune", "--model", model, "--out", out, "--calibration", ids, "--samples", 12, "--context", 32,
                   "--json", *options, **how)


@pytest.mark.parametrize("family", FAMILIES)
def test_pruned_folders_load_elsewhere_with_the_same_values(twofour, tmp_path, folders, ids, family):
    model = folders(family)
    done = json.loads(prune(twofour, model, ids, tmp_path / "out", "--evaluate", ids).stdout)
    dense, sparse = weights_of(model), weights_of(tmp_path / "out")
    masks = masks_of(tmp_path / "out", dense)
    for layer in done["layers"]:
        name = layer["name"]
        kept = masks[name].view(-1, 4).sum(1)
        assert layer["zeros"] == (~masks[name]).sum() and (kept == 2).all()
        assert (sparse[name][~masks[name]] == 0).all() and 0 < layer["error"] < 1
    pruned = {layer["name"] for layer in done["layers"]}
    assert pruned == set(masks)
    for name in set(dense) - pruned:
        assert torch.equal(dense[name], sparse[name]), name
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    expected = peer_perplexity(peer, numpy.fromfile(ids, numpy.uint16).astype(int), 64, 64)[0]
    assert done["perplexity_after"] == pytest.approx(expected, rel=1e-4)
    assert done["perplexity_before"] != done["perplexity_after"]


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "ria"])
@pytest.mark.parametrize("pattern", ["1:4", "4:8", "2:8", "3:4", "0.6"])
def test_every_method_keeps_every_pattern(twofour, tmp_path, folders, ids, method, pattern):
    options = ["--sparsity", pattern] if "." in pattern else ["--pattern", pattern]
    model = folders("llama2", intermediate_size=96)
    done = json.loads(prune(twofour, model, ids, tmp_path / "out", "--method", method, *options).stdout)
    assert done["totals"]["layers"] == 14
    masks = masks_of(tmp_path / "out", weights_of(model))
    for layer in done["layers"]:
        mask = masks[layer["name"]]
        assert layer["pattern"] == pattern
        if "." in pattern:
            assert layer["zeros"] / mask.numel() == pytest.approx(float(pattern), abs=0.02)
        else:
            kept, group = map(int, pattern.split(":"))
            assert (mask.view(-1, group).sum(1) == kept).all()


def test_mask_only_leaves_every_weight(twofour, tmp_path, folders, ids):
    model = folders("llama31")
    prune(twofour, model, ids, tmp_path / "masks", "--mask-only")
    prune(twofour, model, ids, tmp_path / "zeros", "--no-update-weights")
    assert (tmp_path / "masks/model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert (tmp_path / "masks/masks.safetensors").read_bytes() == (tmp_path / "zeros/masks.safetensors").read_bytes()
    dense, zeros = weights_of(model), weights_of(tmp_path / "zeros")
    for name, mask in masks_of(tmp_path / "zeros", dense).items():
        assert torch.equal(zeros[name], dense[name] * mask)


def test_inputs_of_a_block_come_from_the_pruned_blocks_before_it_unless_asked(twofour, tmp_path, folders, ids):
    def run(name, *options):
        return json.loads(prune(twofour, folders("llama2"), ids, tmp_path / name, "--method", "wanda", *options).stdout)

    sequential, dense, first = run("a"), run("b", "--calibrate", "dense"), run("c", "--blocks", "0")
    for left, right in zip(sequential["layers"][:7], dense["layers"][:7]):
        assert left == right
    assert sequential["layers"][7:] != dense["layers"][7:]
    assert first["layers"] == sequential["layers"][:7]
    assert {entry["reason"] for entry in first["skipped"]} >= {"outside --blocks"}


ADDITIONS = {
    "published": ["--published"],
    "swaps": ["--swaps"],
    "admm": ["--reweight", "admm"],
    "exact": ["--reweight", "exact", "--method", "wanda"],
    "updated wanda": ["--method", "wanda", "--update-weights"],
    "reconstruct": ["--reconstruct", "2"],
    "permute": ["--permute"],
    "all": ["--permute", "--swaps", "--reweight", "admm", "--reconstruct", "1"],
}


@pytest.mark.parametrize("options", ADDITIONS.values(), ids=ADDITIONS)
def test_killed_runs_go_on_to_the_same_bytes(twofour, tmp_path, folders, ids, options):
    model = folders("llama2", num_hidden_layers=4)
    prune(twofour, model, ids, tmp_path / "whole", *options)
    command = [PROGRAM, "prune", "--model", model, "--out", tmp_path / "out", "--calibration", ids, "--samples", "12",
               "--context", "32", *options]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "out.unfinished/progress/block-1.json").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    refused = prune(twofour, model, ids, tmp_path / "out", *options, fails=2)
    assert "--resume" in refused.stderr
    prune(twofour, model, ids, tmp_path / "out", *options, "--resume")
    assert same_bytes(tmp_path / "whole", tmp_path / "out") == []
    assert not (tmp_path / "out.unfinished").exists()


def test_an_interrupted_run_keeps_its_choice_of_products(tmp_path, folders, ids):
    environment = {**os.environ, "TWOFOUR_TUNE": "on", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = subprocess.Popen([*map(str, [PROGRAM, "prune", "--model", folders("llama2", num_hidden_layers=4), "--out",
                                           tmp_path / "out", "--calibration", ids, "--samples", 64])],
                               stdout=subprocess.DEVNULL, env=environment)
    while process.poll() is None and not (tmp_path / "out.unfinished/progress/block-1.json").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert json.loads((tmp_path / "out.unfinished/state.json").read_text())["products"]


def test_a_small_memory_gives_the_same_bytes(twofour, tmp_path, folders, ids):
    for name, options in (("a", []), ("b", ["--memory", "64K"])):
        prune(twofour, folders("llama2"), ids, tmp_path / name, "--reconstruct", "1", *options)
    assert same_bytes(tmp_path / "a", tmp_path / "b") == []


def test_the_thread_count_changes_no_mask(twofour, tmp_path, folders, ids):
    for threads in (1, 2, 3):
        prune(twofour, folders("llama2"), ids, tmp_path / str(threads), "--threads", threads)
    masks = [(tmp_path / str(threads) / "masks.safetensors").read_bytes() for threads in (1, 2, 3)]
    assert masks[0] == masks[1] == masks[2]


def test_resuming_with_other_settings_names_the_difference(twofour, tmp_path, folders, ids):
    model, out = folders("llama2"), tmp_path / "out"
    process = subprocess.Popen([*map(str, [PROGRAM, "prune", "--model", model, "--out", out, "--calibration", ids,
                                           "--samples", 12, "--context", 32])], stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "out.unfinished/progress/block-0.json").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    refused = prune(twofour, model, ids, out, "--damping", 0.02, "--resume", fails=2)
    assert "its damping is 0.01, but now it is 0.02" in refused.stderr
    other = write_ids(tmp_path / "other.bin", numpy.arange(6000) % 97)
    assert "its calibration is" in prune(twofour, model, other, out, "--resume", fails=2).stderr
    assert "its seed is 0, but now it is 4" in prune(twofour, model, ids, out, "--seed", 4, "--resume", fails=2).stderr
    changed = tmp_path / "changed"
    shutil.copytree(model, changed)
    tensors = load_file(changed / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, changed / "model.safetensors", metadata={"format": "pt"})
    assert "its model is" in prune(twofour, changed, ids, out, "--resume", fails=2).stderr
    prune(twofour, model, ids, out, "--resume")
    assert "exists: the run is finished" in prune(twofour, model, ids, out, "--resume", fails=2).stderr


def test_every_layer_is_accounted_for(twofour, tmp_path, folders, ids):
    rules = tmp_path / "rules.toml"
    rules.write_text('"layers[.]0[.].*down" = "dense"\n"down_proj" = "1:4"\n"self_attn" = "0.25"\n')
    model = folders("llama2")
    done = json.loads(prune(twofour, model, ids, tmp_path / "out", "--patterns", rules, "--exclude", "k_proj",
                            "--report", tmp_path / "report.html").stdout)
    record = json.loads((tmp_path / "out/prune.json").read_text())
    assert record["layers"] == done["layers"] and record["skipped"] == done["skipped"]
    named = [entry["name"] for entry in done["layers"] + done["skipped"]]
    two_dimensional = [name for name, tensor in weights_of(model).items() if tensor.dim() == 2]
    assert sorted(named) == sorted(two_dimensional)
    patterns = {entry["name"]: entry["pattern"] for entry in done["layers"]}
    reasons = {entry["name"]: entry["reason"] for entry in done["skipped"]}
    assert reasons["model.layers.0.mlp.down_proj.weight"] == "a rule keeps it dense"
    assert reasons["model.layers.1.self_attn.k_proj.weight"] == "matches --exclude"
    assert patterns["model.layers.1.mlp.down_proj.weight"] == "1:4"
    assert patterns["model.layers.1.self_attn.q_proj.weight"] == "0.25"
    rules.write_text('"q_proj" = "2:4"\n"k_proj" = "0"\n')
    assert f'"{rules}", line 2: ' in prune(twofour, model, ids, tmp_path / "b", "--patterns", rules, fails=2).stderr
    page = (tmp_path / "report.html").read_text()
    xml.etree.ElementTree.fromstring(page.split("\n", 1)[1])
    assert "svg" in page and all(name in page for name in named)


def test_the_record_is_enough_to_make_the_result_again(twofour, tmp_path, folders, ids):
    for name in ("a", "b"):
        prune(twofour, folders("gpt2"), ids, tmp_path / name, "--swaps")
    assert same_bytes(tmp_path / "a", tmp_path / "b") == []
    record = json.loads((tmp_path / "a/prune.json").read_text())
    assert record["settings"]["samples"] == 12 and record["settings"]["swaps"] is True
    assert len(record["model"]) == 32 and len(record["calibration"]) == 32 and record["twofour"]


def test_pruned_models_run_and_convert(twofour, tmp_path, corpus):
    train = ["--layers", 2, "--heads", 2, "--width", 32, "--context", 32, "--steps", 20, "--batch", 4]
    twofour("train", "--data", corpus / "data", "--out", tmp_path / "run", "--model", "llama-60m", *train)
    twofour("prune", "--model", tmp_path / "run", "--out", tmp_path / "out", "--calibration", corpus / "text.txt",
            "--samples", 8, "--method", "wanda")
    text = twofour("generate", "--model", tmp_path / "out", "--prompt", "the cat", "--max-tokens", 8).stdout
    assert text.strip()
    twofour("eval", "perplexity", "--model", tmp_path / "out", "--data", corpus / "data/val.bin")
    twofour("convert", tmp_path / "out", tmp_path / "packed", "--to", "compressed-tensors")
    config = json.loads((tmp_path / "packed/config.json").read_text())
    assert config["quantization_config"]["sparsity_config"]["format"] == "sparse-24-bitmask"


BAD = {
    "short text": (["--samples", 10000], 1, "tokens"),
    "no match": (["--include", "nothing"], 2, 'matches no layer'),
    "kept above group": (["--pattern", "5:4"], 2, "5:4"),
    "nothing kept": (["--pattern", "0:4"], 2, "0:4"),
    "everything kept": (["--pattern", "4:4"], 2, "4:4"),
    "two patterns": (["--pattern", "2:4", "--sparsity", "0.5"], 2, "exclude each other"),
    "blocks": (["--blocks", "1-7"], 2, "blocks 0 to 1"),
    "long context": (["--context", 65], 2, "beyond the model's 64"),
    "mask only with reconstruction": (["--mask-only", "--reconstruct", 1], 2, "--mask-only"),
    "mask only with weights": (["--mask-only", "--reweight", "admm"], 2, "--mask-only"),
    "nothing to resume": (["--resume"], 2, "no interrupted run"),
    "a rate of nothing": (["--reconstruct-lr", 0.1], 2, "only with --reconstruct"),
    "swaps without groups": (["--sparsity", 0.5, "--swaps"], 2, "only with N:M patterns"),
    "deep expression": (["--include", "(" * 20000 + "a" + ")" * 20000], 2, "regular expression"),
    "no zeros": (["--sparsity", 0], 2, 'must be a number, above 0, below 1, but is "0"'),
    "other bytes": (["--include", os.fsdecode(b"q_proj|\xff")], 2, "regular expression"),
}


@pytest.mark.parametrize("options, status, message", BAD.values(), ids=BAD)
def test_bad_options_are_refused_and_leave_nothing(twofour, tmp_path, folders, ids, options, status, message):
    how = [item for item in options]
    command = ["prune", "--model", folders("llama2"), "--out", tmp_path / "out", "--calibration", ids]
    if "--samples" not in how:
        command += ["--samples", 4]
    if "--context" not in how:
        command += ["--context", 32]
    failed = twofour(*command, *how, fails=status)
    assert message in failed.stderr
    assert list(tmp_path.iterdir()) == []


def damaged(folder, tmp_path, change):
    shutil.copytree(folder, tmp_path / "damaged")
    tensors = load_file(tmp_path / "damaged/model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "damaged/model.safetensors", metadata={"format": "pt"})
    return tmp_path / "damaged"


@pytest.mark.parametrize("options", [[], ["--permute"]], ids=["", "permute"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_name_their_layer(twofour, tmp_path, folders, ids, value, options):
    name = "model.layers.1.mlp.up_proj.weight"
    model = damaged(folders("llama2"), tmp_path, lambda tensors: tensors[name].view(-1)[5].fill_(value))
    failed = prune(twofour, model, ids, tmp_path / "out", *options, fails=1)
    assert name in failed.stderr
    prune(twofour, model, ids, tmp_path / "out", "--exclude", "layers.1", "--resume", fails=2)


def test_activations_that_are_not_finite_name_their_layer(twofour, tmp_path, folders, ids):
    norm = "model.layers.1.input_layernorm.weight"
    model = damaged(folders("llama2"), tmp_path, lambda tensors: tensors[norm].fill_(float("inf")))
    assert norm in prune(twofour, model, ids, tmp_path / "out", fails=1).stderr
    shutil.rmtree(tmp_path / "damaged")
    up = "model.layers.0.mlp.up_proj.weight"
    model = damaged(folders("llama2"), tmp_path, lambda tensors: tensors[up].mul_(1e38))
    failed = prune(twofour, model, ids, tmp_path / "overflow", fails=1)
    assert "model.layers.0.mlp.down_proj.weight" in failed.stderr


def test_what_is_there_is_not_overwritten(twofour, tmp_path, folders, ids):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    assert "exists" in prune(twofour, folders("llama2"), ids, tmp_path / "out", fails=2).stderr
    assert (tmp_path / "out/precious").read_text() == "x"


def test_what_is_written_has_places_of_its_own(twofour, tmp_path, folders, ids):
    for options in (["--report", tmp_path / "out"], ["--save-samples", tmp_path / "a/../out"],
                    ["--report", tmp_path / "x", "--save-samples", tmp_path / "x"]):
        assert "are both" in prune(twofour, folders("llama2"), ids, tmp_path / "out", *options, fails=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_no_command_writes_into_the_folder_of_its_model(twofour, tmp_path, folders, ids, corpus):
    model = tmp_path / "model"
    shutil.copytree(folders("llama2"), model)
    (tmp_path / "link").symlink_to(model)
    train = ["train", "--data", corpus / "data", "--steps", 1]
    for command, name in (
            (["prune", "--model", model, "--method", "magnitude", "--out", model / "a"], "--out"),
            (["prune", "--model", tmp_path / "link", "--method", "magnitude", "--out", model / "a/b"], "--out"),
            (["prune", "--model", model, "--method", "magnitude", "--out", tmp_path / "link/a"], "--out"),
            (["prune", "--model", ".", "--method", "magnitude", "--out", "a"], "--out"),
            (["convert", model, model / "a", "--to", "hf"], "OUT"),
            (["convert", model, model / "a/", "--to", "compressed-tensors"], "OUT"),
            ([*train, "--init", model, "--out", model / "a"], "--out"),
            ([*train, "--model", "gpt2-124m", "--distill", model, "--out", model / "a"], "--out")):
        error = twofour(*command, fails=2, cwd=model).stderr
        assert f"{name} \"" in error and "lies inside the model's own folder" in error, error
    assert same_bytes(model, folders("llama2")) == []
    # The names are alike, but the folders are not.
    twofour("prune", "--model", model, "--method", "magnitude", "--out", tmp_path / "model-24")
    twofour("prune", "--model", model, "--method", "magnitude", "--out", model / "../b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_after_the_block_and_resuming_gives_the_same_bytes(twofour, tmp_path, folders, ids, number):
    model = folders("llama2", num_hidden_layers=8)
    prune(twofour, model, ids, tmp_path / "whole", "--reconstruct", 1)
    command = [*map(str, ["prune", "--model", model, "--calibration", ids, "--samples", 12, "--context", 32,
                          "--reconstruct", 1, "--out", tmp_path / "out"])]
    process = subprocess.Popen([PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "out.unfinished/progress/block-1.json").exists():
        time.sleep(0.001)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    first, second = errors.splitlines()
    assert first == "twofour: stopping after this block; once more to stop at once"
    block = re.fullmatch(r"twofour: stopped on request after block (\d): continue with --resume", second)[1]
    assert process.returncode == 1 and output == ""
    assert len(list((tmp_path / "out.unfinished/progress").glob("*.json"))) == int(block)
    twofour(*command, "--resume")
    assert same_bytes(tmp_path / "whole", tmp_path / "out") == []


def test_a_second_signal_ends_at_once_and_says_what_is_left(tmp_path, folders, ids):
    process = subprocess.Popen([*map(str, [PROGRAM, "prune", "--model", folders("llama2"), "--calibration", ids,
                                           "--samples", 64, "--context", 64, "--reconstruct", 1000, "--out",
                                           tmp_path / "out"])], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "out.unfinished/state.json").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    assert "stopping after this block" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=60)[1]
    assert errors == "twofour: stopped at once, before a block was finished\n"
    assert process.returncode == -signal.SIGTERM


def test_text_needs_a_tokenizer_and_other_ids_are_refused(twofour, tmp_path, folders):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat\n" * 100)
    failed = prune(twofour, folders("llama2"), text, tmp_path / "out", fails=1)
    assert "tokenizer" in failed.stderr
    large = write_ids(tmp_path / "large.bin", numpy.arange(6000) % 98)
    failed = prune(twofour, folders("llama2"), large, tmp_path / "out", fails=1)
    assert "97" in failed.stderr and "large.bin" in failed.stderr


def test_inputs_and_other_files_are_not_overwritten(twofour, tmp_path, folders, ids):
    model = tmp_path / "model"
    shutil.copytree(folders("llama2"), model)
    for option in ("--save-samples", "--report"):
        for file in (model / "model.safetensors", ids, tmp_path):
            assert f"{option} \"{file}\" exists" in prune(twofour, model, ids, tmp_path / "out", option, file,
                                                           fails=2).stderr
        prune(twofour, model, ids, tmp_path / "out", option, tmp_path / "nowhere/file", fails=2)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# Kills the program at its n-th call that changes a file.
KILL = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
static void count(void) {
  static int done;
  const char* at = getenv("KILL_AT");
  if (at && ++done == atoi(at)) kill(getpid(), SIGKILL);
}
#define NEXT(name, result, parameters, arguments) \
  result name parameters { \
    static result (*next) parameters; \
    if (!next) next = (result (*) parameters)dlsym(RTLD_NEXT, #name); \
    count(); \
    return next arguments; \
  }
NEXT(fsync, int, (int fd), (fd))
NEXT(rename, int, (const char* from, const char* to), (from, to))
NEXT(renameat2, int, (int a, const char* from, int b, const char* to, unsigned f), (a, from, b, to, f))
NEXT(ftruncate, int, (int fd, off_t size), (fd, size))
NEXT(ftruncate64, int, (int fd, off_t size), (fd, size))
NEXT(mkdir, int, (const char* path, mode_t mode), (path, mode))
NEXT(unlink, int, (const char* path), (path))
NEXT(remove, int, (const char* path), (path))
"""


def test_a_kill_at_any_change_of_a_file_can_be_resumed(twofour, tmp_path, folders, ids):
    (tmp_path / "kill.c").write_text(KILL)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "kill.so", tmp_path / "kill.c", "-ldl"], check=True)
    model = folders("llama2")
    prune(twofour, model, ids, tmp_path / "whole", "--method", "wanda")
    command = ["prune", "--model", model, "--out", tmp_path / "out", "--calibration", ids, "--samples", 12,
               "--context", 32, "--method", "wanda"]
    kills = 0
    for at in range(1, 1000, 2):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.rmtree(tmp_path / "out.unfinished", ignore_errors=True)
        killed = subprocess.run([PROGRAM, *map(str, command)], capture_output=True,
                                env={**os.environ, "LD_PRELOAD": str(tmp_path / "kill.so"), "KILL_AT": str(at)})
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        kills += 1
        if (tmp_path / "out").exists():  # complete, but for what the next line removes
            twofour(*command, "--resume", fails=2)
        else:
            resumable = (tmp_path / "out.unfinished/state.json").exists()
            twofour(*command, *(["--resume"] if resumable else []))
        assert same_bytes(tmp_path / "whole", tmp_path / "out") == [], at
    assert kills > 30


def test_a_folder_that_appears_meanwhile_stays(tmp_path, folders, ids):
    process = subprocess.Popen([*map(str, [PROGRAM, "prune", "--model", folders("llama2", num_hidden_layers=4), "--out",
                                           tmp_path / "out", "--calibration", ids, "--samples", 12, "--context", 32])],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "out.unfinished/state.json").exists():
        time.sleep(0.001)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    errors = process.communicate()[1]
    assert process.returncode == 1 and "cannot name the folder" in errors
    assert (tmp_path / "out/precious").read_text() == "x" and (tmp_path / "out.unfinished/prune.json").exists()


def test_the_errors_after_reconstruction_are_those_of_the_result(twofour, tmp_path, folders, ids):
    model = folders("llama2")
    before = json.loads(prune(twofour, model, ids, tmp_path / "a").stdout)
    after = json.loads(prune(twofour, model, ids, tmp_path / "b", "--reconstruct", 2).stdout)
    assert before["layers"][0]["error"] != after["layers"][0]["error"]
    record = json.loads((tmp_path / "b/prune.json").read_text())
    assert all(block["error_after"] <= block["error_before"] for block in record["reconstruction"])


def test_a_full_disk_is_one_line_and_loses_no_finished_block(twofour, tmp_path, folders, ids):
    model = folders("llama2")
    limit = (model / "model.safetensors").stat().st_size // 2
    command = f"ulimit -f {limit // 512}; exec \"$@\""
    done = subprocess.run(["bash", "-c", command, "bash", PROGRAM, *map(str, [
        "prune", "--model", model, "--out", tmp_path / "out", "--calibration", ids, "--samples", 12, "--context", 32,
    ])], capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "out" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_unpruned_methods_need_no_calibration(twofour, tmp_path, folders):
    done = json.loads(twofour("prune", "--model", folders("gpt2"), "--out", tmp_path / "out", "--method", "magnitude",
                              "--json").stdout)
    assert all(layer["error"] is None for layer in done["layers"])
    weight = weights_of(folders("gpt2"))["transformer.h.0.mlp.c_fc.weight"]
    mask = masks_of(tmp_path / "out", {"transformer.h.0.mlp.c_fc.weight": weight,
                                       **weights_of(folders("gpt2"))})["transformer.h.0.mlp.c_fc.weight"]
    kept = torch.where(mask, weight.abs(), 0.0).view(-1, 4).sum(1)
    assert torch.equal(kept, weight.abs().reshape(-1, 4).topk(2, dim=1).values.sum(1))
    failed = twofour("prune", "--model", folders("gpt2"), "--out", tmp_path / "b", "--method", "wanda", fails=2)
    assert "--calibration" in failed.stderr
