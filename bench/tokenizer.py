"""Compares encoding with Hugging Face tokenizers on the same texts, tokenizers and threads.

Uses GPT-2's, LLaMA-2's and LLaMA-3's tokenizer of ../shared, or without it one trained on the text. Each encodes
documents of a few kilobytes, as in data preparation, and one long text. Both run in turns; the minimum counts. Our time
covers the whole program: start, reading the tokenizer, input and output. The peer's is only encode_batch_fast. Prints
the ratio of the times, above 1 where twofour is faster, and writes JSON.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = str(ROOT / "build/twofour")
SHARED = pathlib.Path(os.environ.get("TWOFOUR_SHARED", ROOT / ".." / "shared"))
PEER = """
import json, sys, time
from tokenizers import ByteLevelBPETokenizer, Tokenizer
folder = sys.argv[1]
try:
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
except Exception:
    tokenizer = ByteLevelBPETokenizer(folder + "/encoder.json", folder + "/vocab.bpe")._tokenizer
texts = [json.loads(line)["text"] for line in open(sys.argv[2])]
start = time.perf_counter()
ids = sum(len(e.ids) for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
print(json.dumps([time.perf_counter() - start, ids]))
"""


def in_documents(text):
    start = 0
    while start < len(text):
        end = text.find("\n", start + 4000)
        end = len(text) if end < 0 else end + 1
        yield text[start:end]
        start = end


def tokenizers(text, scratch):
    folder = SHARED / "data" / "tokenizers"
    if folder.is_dir():
        return {name: folder / name for name in ("gpt2", "llama2", "llama3")}
    (scratch / "sample.txt").write_text(text[:5_000_000])
    subprocess.run([PROGRAM, "tokenizer", "train", scratch / "sample.txt", "--vocab-size", "4096",
                    "--out", scratch / "trained"], check=True, capture_output=True)
    return {"trained": scratch / "trained"}


def measure(folder, lines, threads, rounds):
    """The best seconds of both, and the number of ids, which must be equal."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    ours, theirs = [], []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", PEER, folder, lines], check=True, capture_output=True,
                              text=True)
        seconds, ids = json.loads(done.stdout)
        theirs.append(seconds)
        start = time.perf_counter()
        done = subprocess.run([PROGRAM, "tokenizer", "encode", "--jsonl", lines, "--tokenizer", folder,
                               "--threads", str(threads)], check=True, capture_output=True)
        ours.append(time.perf_counter() - start)
        if done.stdout.count(b",") + done.stdout.count(b"\n") - done.stdout.count(b"[]") != ids:
            raise SystemExit(f"bench: other ids than tokenizers' with {folder}")
    return min(ours), min(theirs), ids


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", help="UTF-8 text; default WikiText-2 or the demo's")
    parser.add_argument("--megabytes", type=float, default=20, help="the text is repeated or cut to this size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", default=str(ROOT / "build/bench/tokenizer.json"))
    args = parser.parse_args()
    candidates = [SHARED / "data/wikitext2/wiki.train.tokens", ROOT / "demo/kjv.txt"]
    candidates = [pathlib.Path(args.text)] if args.text else candidates
    source = next((path for path in candidates if path.exists()), None)
    if not source:
        raise SystemExit(f"bench: no {candidates[-1]}: give a text, or run make demo first")
    text = source.read_text(encoding="utf-8")
    size = int(args.megabytes * 1e6)
    text = (text * (size // len(text) + 1))[:size]
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        shapes = {"documents": list(in_documents(text)), "one text": [text]}
        for name, folder in tokenizers(text, scratch).items():
            for shape, texts in shapes.items():
                lines = scratch / "texts.jsonl"
                lines.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
                for threads in args.threads:
                    ours, theirs, ids = measure(folder, lines, threads, args.rounds)
                    results.append({"tokenizer": name, "texts": shape, "threads": threads, "ids": ids,
                                    "bytes": len(text.encode()), "twofour_seconds": ours,
                                    "tokenizers_seconds": theirs, "ratio": theirs / ours})
                    print(f"{name}, {shape}, {threads} threads: {theirs / ours:.2f}x tokenizers "
                          f"({len(text) / 1e6 / ours:.0f} MB/s, start, reading and writing included)", flush=True)
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
