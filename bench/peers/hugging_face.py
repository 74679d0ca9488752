"""The peer of `bench/perplexity.py` and `bench/generate.py`: transformers on the same folder. Prints one JSON
object. Reading the model is not timed."""

import argparse
import json
import time

import numpy
import torch
from transformers import AutoModelForCausalLM


def perplexity(model, ids, context, batch):
    """Windows without overlap, `batch` at a time."""
    start, nll, count = time.perf_counter(), 0.0, 0
    full = len(ids) // context * context
    windows = list(ids[:full].view(-1, context).split(batch))
    if len(ids) - full > 1:
        windows.append(ids[full:][None])
    for window in windows:
        logits = model(window[:, :-1], use_cache=False).logits.float()
        nll += torch.nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten(), reduction="sum").item()
        count += window[:, 1:].numel()
    return {"seconds": time.perf_counter() - start, "nll": nll, "tokens": count}


def generate(model, ids, tokens):
    prompt = ids[None]
    attention = torch.ones_like(prompt)
    start = time.perf_counter()
    model.generate(prompt, attention_mask=attention, max_new_tokens=1, do_sample=False)
    first = time.perf_counter() - start
    start = time.perf_counter()
    out = model.generate(prompt, attention_mask=attention, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
    seconds = time.perf_counter() - start - first
    return {"tokens_per_second": (tokens - 1) / seconds, "prompt_seconds": first, "ids": out[0, len(ids):].tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["perplexity", "generate"])
    parser.add_argument("model")
    parser.add_argument("ids", help="uint16 file")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--context", type=int)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).eval()
    ids = torch.from_numpy(numpy.fromfile(args.ids, dtype=numpy.uint16).astype(numpy.int64))
    with torch.inference_mode():
        if args.task == "perplexity":
            result = perplexity(model, ids, args.context, args.batch)
        else:
            result = generate(model, ids, args.tokens)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
