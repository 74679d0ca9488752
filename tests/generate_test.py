"""generate compared with transformers' generate, and its features beyond that."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import PROGRAM
from models_test import IDS, random_model, write_ids


def ids_of(done):
    return json.loads(done.stdout)["ids"]


@pytest.mark.parametrize("name", ["gpt2", "llama31", "qwen2"])
@pytest.mark.parametrize("penalty", [0.7, 1.0, 1.3, 5.0])
def test_greedy_text_with_a_penalty_equals_transformers(twofour, tmp_path, name, penalty):
    model = random_model(name)
    model.save_pretrained(tmp_path / "m")
    prompt = write_ids(tmp_path / "prompt.bin", IDS[:6])
    with torch.no_grad():
        theirs = model.generate(torch.tensor([IDS[:6]]), attention_mask=torch.ones(1, 6), do_sample=False,
                                max_new_tokens=40, repetition_penalty=penalty, eos_token_id=None,
                                pad_token_id=0)[0, 6:].tolist()
    command = ["generate", "--model", tmp_path / "m", "--prompt-ids", prompt, "--temperature", 0, "--max-tokens", 40,
               "--json"]
    (tmp_path / "m" / "generation_config.json").write_text("{}")
    assert ids_of(twofour(*command, "--repetition-penalty", penalty)) == theirs
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps({"repetition_penalty": penalty}))
    applied = twofour(*command)
    assert ids_of(applied) == theirs
    assert ("as generation_config.json says" in applied.stderr) == (penalty != 1)


@pytest.mark.parametrize("kind", [{"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.2}, {"top_k": 8, "top_p": 0.8, "min_p": 0.1}],
                         ids=str)
def test_what_may_be_drawn_is_what_transformers_keeps(twofour, tmp_path, kind):
    from transformers import LogitsProcessorList, MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper
    from transformers import TopPLogitsWarper

    model = random_model("llama2")
    with torch.no_grad():
        model.lm_head.weight.mul_(30)  # so that some tokens are likelier
    model.save_pretrained(tmp_path / "m")
    prompt = write_ids(tmp_path / "prompt.bin", IDS[:6])
    warpers = LogitsProcessorList([TemperatureLogitsWarper(1.5)])
    for name, warper in [("top_k", TopKLogitsWarper), ("top_p", TopPLogitsWarper), ("min_p", MinPLogitsWarper)]:
        if name in kind:
            warpers.append(warper(kind[name]))
    ids = torch.tensor([IDS[:6]])
    with torch.no_grad():
        kept = set(torch.nonzero(torch.isfinite(warpers(ids, model(ids).logits[:, -1]))[0])[:, 0].tolist())
    options = [f"--{name.replace('_', '-')}={value}" for name, value in kind.items()]
    samples = json.loads(twofour("generate", "--model", tmp_path / "m", "--prompt-ids", prompt, "--temperature", 1.5,
                                 "--max-tokens", 1, "--num-samples", 400, "--json", *options).stdout)["samples"]
    drawn = {sample["ids"][0] for sample in samples if sample["ids"]}
    assert drawn <= kept and len(drawn) > min(len(kept), 10) / 2


@pytest.fixture(scope="module")
def padded(corpus, sparse_run, tmp_path_factory):
    """A model with 48 more rows than its tokenizer has ids, all of them likely."""
    folder = tmp_path_factory.mktemp("padded") / "model"
    shutil.copytree(sparse_run / "model", folder)
    config = json.loads((folder / "config.json").read_text())
    rows = config["vocab_size"]
    weights = load_file(folder / "model.safetensors")
    for name, tensor in weights.items():
        if tensor.shape[0] == rows and tensor.dim() == 2:
            weights[name] = torch.cat([tensor, tensor[:48] * 3])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": rows + 48}))
    return folder, rows


@pytest.mark.parametrize("options", [["--temperature", 0], ["--temperature", 1], ["--temperature", 5, "--top-k", 5],
                                     ["--temperature", 2, "--top-p", 0.9]], ids=str)
def test_an_id_behind_the_tokenizers_vocabulary_is_never_drawn(twofour, padded, options):
    folder, rows = padded
    done = json.loads(twofour("generate", "--model", folder, "--prompt", "the cat", "--max-tokens", 20, "--num-samples", 20,
                              "--json", *options).stdout)
    assert all(id < rows for sample in done["samples"] for id in sample["ids"])
    twofour("generate", "--model", folder, "--prompt", "the cat", "--max-tokens", 20, *options)


def test_shared_case_of_a_padded_vocabulary(twofour, shared):
    for seed in range(1, 6):
        made = json.loads(twofour("generate", "--model", shared / "cases" / "fail-17" / "model", "--prompt", "the cat",
                                  "--seed", seed, "--max-tokens", 50, "--json").stdout)
        assert max(made["ids"], default=0) < 400


def test_weights_that_are_no_numbers_are_an_error(twofour, sparse_run, tmp_path):
    shutil.copytree(sparse_run / "model", tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    weights["transformer.ln_f.weight"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    for options in ([], ["--temperature", 0], ["--json"]):
        done = twofour("generate", "--model", tmp_path / "m", "--prompt", "the", *options, fails=1)
        assert "the logit nan" in done.stderr


def test_samples_are_reproducible_and_the_first_is_the_one_alone(twofour, sparse_run):
    command = ["generate", "--model", sparse_run / "model", "--prompt", "the cat", "--max-tokens", 12]
    three = json.loads(twofour(*command, "--num-samples", 3, "--json").stdout)
    one = json.loads(twofour(*command, "--json").stdout)
    assert "samples" not in one and len(three["samples"]) == 3
    for key in ("text", "ids", "tokens", "stop"):
        assert three[key] == one[key] == three["samples"][0][key]
    assert len({sample["text"] for sample in three["samples"]}) == 3
    text = twofour(*command, "--num-samples", 3).stdout
    assert text == "---\n".join("the cat" + sample["text"] + "\n" for sample in three["samples"])


def test_a_full_context_stops_or_shifts(twofour, sparse_run, corpus, tmp_path):
    command = ["generate", "--model", sparse_run / "model", "--temperature", 0, "--max-tokens", 80]
    stopped = twofour(*command, "--prompt", "the cat")
    assert "--context-overflow shift continues" in stopped.stderr
    shifted = json.loads(twofour(*command, "--prompt", "the cat", "--context-overflow", "shift", "--json").stdout)
    assert shifted["stop"] == "max tokens" and shifted["tokens"] == 80
    # A longer prompt than the context: the window is continued.
    ids = [int(i) for i in numpy.fromfile(corpus / "data" / "val.bin", dtype=numpy.uint16)[:50]]
    long = write_ids(tmp_path / "long.bin", ids)
    assert "fills the model's context of 32" in twofour(*command, "--prompt-ids", long, fails=1).stderr
    kept = json.loads(twofour(*command, "--prompt-ids", long, "--context-overflow", "shift", "--keep", 4, "--max-tokens", 5,
                              "--json").stdout)
    window = write_ids(tmp_path / "window.bin", ids[:4] + ids[-14:])
    assert kept["ids"] == ids_of(twofour(*command, "--prompt-ids", window, "--max-tokens", 5, "--json"))
    assert "--keep 32" in twofour(*command, "--prompt", "x", "--keep", 32, fails=2).stderr


def test_an_id_outside_the_vocabulary_is_named_with_its_place(twofour, sparse_run, tmp_path):
    beyond = write_ids(tmp_path / "beyond.bin", [5, 6, 60000])
    message = twofour("generate", "--model", sparse_run / "model", "--prompt-ids", beyond, fails=1).stderr
    assert str(beyond) in message and "60000" in message and "2" in message


def test_every_line_of_the_input_is_a_prompt_by_itself(twofour, sparse_run):
    command = ["generate", "--model", sparse_run / "model", "--max-tokens", 10, "--seed", 4]
    prompts = ["the cat", "a red house"]
    alone = [twofour(*command, "--prompt", prompt).stdout for prompt in prompts]
    assert twofour(*command, "--interactive", input="\n".join(prompts) + "\n\n").stdout == "".join(alone)
    lines = twofour(*command, "--interactive", "--json", input="\n".join(prompts)).stdout.splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == prompts
    assert twofour(*command, "--prompt-file", "-", input="the cat").stdout == alone[0]
    twofour(*command, "--interactive", "--prompt", "x", fails=2)


def read_until(terminal, wanted):
    seen = b""
    while wanted not in seen:
        assert select.select([terminal], [], [], 60)[0], seen
        seen += os.read(terminal, 4096)
    return seen


def test_ctrl_c_ends_a_text_and_ctrl_d_the_program(twofour, sparse_run):
    # The likeliest tokens repeat without the end token, so the text is still growing at Ctrl-C.
    command = ["generate", "--model", sparse_run / "model", "--temperature", "0", "--context-overflow", "shift"]
    assert len(json.loads(twofour(*command, "--prompt", "the cat", "--max-tokens", 5000, "--json").stdout)["ids"]) == 5000
    terminal, other = pty.openpty()
    program = subprocess.Popen([PROGRAM, *command, "-i", "--max-tokens", "1000000000"], stdin=other, stdout=other,
                               stderr=other, start_new_session=True)
    os.close(other)
    try:
        read_until(terminal, b"> ")
        os.write(terminal, b"the cat\n")
        read_until(terminal, b"the cat\r\n")  # the terminal's echo
        read_until(terminal, b"the cat")
        program.send_signal(signal.SIGINT)
        read_until(terminal, b"> ")
        os.write(terminal, b"\x04")
        assert program.wait(timeout=60) == 0
    finally:
        program.kill()
        os.close(terminal)
