"""Encoding with twofour against Hugging Face tokenizers: the same text, tokenizer and threads.

Both in turns, the minimum of several. Documents of a few kilobytes, as data preparation has them. The
program's time holds its start and reading the tokenizer; the peer's only encode_batch. Prints the ratio of
the times, above 1 where twofour is faster, and writes JSON.
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", help="UTF-8 text; default the demo's, repeated to 20 MB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default=str(ROOT / "build/bench/tokenizer.json"))
    args = parser.parse_args()
    source = pathlib.Path(args.text) if args.text else ROOT / "demo/kjv.txt"
    if not source.exists():
        raise SystemExit(f"bench: no {source}: give a text, or run make demo first")
    text = source.read_text(encoding="utf-8")
    text = text * max(1, 20_000_000 // len(text))
    documents, start = [], 0
    while start < len(text):
        end = text.find("\n", start + 4000)
        end = len(text) if end < 0 else end + 1
        documents.append(text[start:end])
        start = end
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        program = str(ROOT / "build/twofour")
        (scratch / "sample.txt").write_text(text[:5_000_000])
        subprocess.run([program, "tokenizer", "train", scratch / "sample.txt", "--vocab-size", "4096",
                        "--out", scratch / "t"], check=True, capture_output=True)
        with open(scratch / "d.jsonl", "w") as file:
            for document in documents:
                file.write(json.dumps({"text": document}) + "\n")
        for threads in (1, 2):
            os.environ["RAYON_NUM_THREADS"] = str(threads)
            peer_code = (
                "import json,sys,time\nfrom tokenizers import Tokenizer\n"
                "t=Tokenizer.from_file(sys.argv[1]);d=[json.loads(l)['text'] for l in open(sys.argv[2])]\n"
                "a=time.perf_counter();n=sum(len(e.ids) for e in t.encode_batch_fast(d));"
                "print(json.dumps([time.perf_counter()-a,n]))")
            ours, theirs = [], []
            for _ in range(args.rounds):
                done = subprocess.run([sys.executable, "-c", peer_code,
                                       scratch / "t/tokenizer.json", scratch / "d.jsonl"],
                                      check=True, capture_output=True, text=True)
                theirs.append(json.loads(done.stdout)[0])
                start_time = time.perf_counter()
                subprocess.run([program, "data", scratch / "d.jsonl", "--tokenizer", scratch / "t", "--out",
                                scratch / "out", "--val-fraction", "0", "--threads", str(threads)],
                               check=True, capture_output=True)
                ours.append(time.perf_counter() - start_time)
            ratio = min(theirs) / min(ours)
            results[f"{threads} threads"] = {"twofour_seconds": min(ours), "tokenizers_seconds": min(theirs),
                                             "ratio": ratio, "bytes": len(text.encode())}
            print(f"{threads} threads: {ratio:.2f}x tokenizers ({len(text) / 1e6 / min(ours):.0f} MB/s, "
                  f"start, reading and writing included)", flush=True)
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
