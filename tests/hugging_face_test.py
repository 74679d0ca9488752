"""The libraries of its users load the files that the program writes."""

import json
import math

import numpy
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, GPT2LMHeadModel


def token_file(path):
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.uint16).astype(numpy.int64))


def test_transformers_finds_the_same_perplexity(twofour, corpus, sparse_run):
    model = GPT2LMHeadModel.from_pretrained(sparse_run / "model").double().eval()
    ids = token_file(corpus / "data" / "val.bin")
    nll, count = 0.0, 0
    for begin in range(0, len(ids), 32):
        window = ids[begin:begin + 32]
        if len(window) < 2:
            break
        with torch.no_grad():
            logits = model(window[None]).logits[0]
        nll += torch.nn.functional.cross_entropy(logits[:-1], window[1:], reduction="sum").item()
        count += len(window) - 1
    ours = json.loads(twofour("eval", "perplexity", "--model", sparse_run / "model", "--data",
                              corpus / "data" / "val.bin", "--json").stdout)
    assert ours["tokens"] == count
    assert ours["nll"] == pytest.approx(nll, rel=1e-4)
    assert ours["perplexity"] == pytest.approx(math.exp(nll / count), rel=1e-4)


def test_transformers_continues_greedily_as_generate_does(twofour, sparse_run):
    tokenizer = AutoTokenizer.from_pretrained(sparse_run / "model")
    model = GPT2LMHeadModel.from_pretrained(sparse_run / "model")
    ids = tokenizer("the cat sat", return_tensors="pt").input_ids
    expected = model.generate(ids, max_new_tokens=16, do_sample=False)[0, ids.shape[1]:]
    ours = json.loads(twofour("generate", "--model", sparse_run / "model", "--prompt", "the cat sat",
                              "--max-tokens", 16, "--temperature", 0, "--json").stdout)
    assert ours["text"] == tokenizer.decode(expected, skip_special_tokens=True)


def test_saved_model_is_2_4_sparse_and_its_masks_say_where(sparse_run):
    weights = load_file(sparse_run / "model" / "model.safetensors")
    with safe_open(sparse_run / "model" / "masks.safetensors", "np") as file:
        masks = {name: file.get_tensor(name) for name in file.keys()}
        shapes = file.metadata()
    assert len(masks) == 4
    for name, packed in masks.items():
        weight = weights[name.removesuffix(".mask")].T.numpy()
        assert json.loads(shapes[name]) == list(weight.shape)
        mask = numpy.unpackbits(packed)[:weight.size].reshape(weight.shape)
        assert (mask.reshape(-1, 4).sum(1) == 2).all()
        assert (weight[mask == 0] == 0).all()
        assert ((weight.reshape(-1, 4) == 0).sum(1) >= 2).all()


def test_tensorboard_reads_the_curves(sparse_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(sparse_run))
    events.Reload()
    log = [json.loads(line) for line in (sparse_run / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in log if entry["event"] == "step"]
    for tag, key in [("loss/train", "loss"), ("sparsity/flip_rate", "flip_rate"),
                     ("gradient_norm", "grad_norm")]:
        points = events.Scalars(tag)
        assert [point.step for point in points] == [entry["step"] for entry in steps]
        assert [point.value for point in points] == pytest.approx([e[key] for e in steps], rel=1e-6)
    assert [p.step for p in events.Scalars("loss/validation")] == [10, 20, 30]


def test_half_trains_half_the_feed_forward_width(twofour, corpus, small, tmp_path):
    twofour("train", "--data", corpus / "data", "--out", tmp_path / "r", *small, "--method", "half",
            "--steps", 2)
    assert GPT2LMHeadModel.from_pretrained(tmp_path / "r" / "model").config.n_inner == 64


def test_tokenizer_training_equals_hugging_face(corpus):
    text = (corpus / "text.txt").read_text()
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    peer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    theirs = json.loads(peer.to_str())["model"]
    ours = json.loads((corpus / "tokenizer" / "tokenizer.json").read_text())["model"]
    assert ours["merges"] == theirs["merges"]
    assert ours["vocab"] == theirs["vocab"]


def test_saved_tokenizer_loads_in_tokenizers_and_transformers(twofour, corpus, tmp_path):
    text = "the cat <|endoftext|> sat\n\n  caf\u00e9 \U0001f600 123's"
    path = tmp_path / "t.txt"
    path.write_text(text)
    ours = json.loads(twofour("tokenizer", "encode", "--tokenizer", corpus / "tokenizer", path).stdout)
    assert Tokenizer.from_file(str(corpus / "tokenizer" / "tokenizer.json")).encode(text).ids == ours
    assert AutoTokenizer.from_pretrained(corpus / "tokenizer")(text).input_ids == ours


def test_decode_is_the_way_back(twofour, corpus, tmp_path):
    text = "the dog\r\n\ttab \u00e9\u4e2d\U0001f600  end \n"
    path = tmp_path / "t.txt"
    path.write_bytes(text.encode())
    ids = twofour("tokenizer", "encode", "--tokenizer", corpus / "tokenizer", path).stdout
    decoded = twofour("tokenizer", "decode", "--tokenizer", corpus / "tokenizer", input=ids).stdout
    assert decoded == text.replace("\r\n", "\n") or decoded == text
    lines = "".join(json.dumps({"text": t}) + "\n" for t in ["a", "", "b c", text])
    coded = twofour("tokenizer", "encode", "--jsonl", "--tokenizer", corpus / "tokenizer", input=lines).stdout
    back = twofour("tokenizer", "decode", "--jsonl", "--tokenizer", corpus / "tokenizer", input=coded).stdout
    assert [json.loads(line)["text"] for line in back.splitlines()] == ["a", "", "b c", text]


def test_token_files_read_with_numpy(twofour, corpus, tmp_path):
    info = json.loads((corpus / "data" / "train.json").read_text())
    ids = token_file(corpus / "data" / "train.bin")
    assert len(ids) == info["tokens"]
    assert int((ids == 0).sum()) == info["documents"]
    twofour("data", corpus / "text.txt", "--tokenizer", corpus / "tokenizer", "--out", tmp_path,
            "--document-separator", r"\n\n", "--val-fraction", 0.1, "--format", "nanogpt")
    assert (token_file(tmp_path / "train.bin") == ids).all()
    assert not (tmp_path / "train.json").exists()
