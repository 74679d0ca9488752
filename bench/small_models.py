"""The small models of docs/results: two of ../shared/data/models, and a GPT-2 of about 10 million parameters that is
trained here on TinyStories. Finished parts are reused."""

import json
import pathlib
import subprocess

from processes import PROGRAM, ROOT, run_and_measure

SHARED = ROOT.parent / "shared/data"
STORIES = [SHARED / "tinystories/train_2MiB.txt", SHARED / "tinystories/val.txt"]
# Name -> a llama2.c model and its tokenizer; None: trained here.
MODELS = {"stories260K": ("stories260K/stories260K.bin", "stories260K/tok512.bin"),
          "babyllama-tok105": ("babyllama-tok105/model5000.bin", "babyllama-tok105/tok105.bin"),
          "gpt2-10m": None}
SIZE = ["--layers", 5, "--heads", 6, "--width", 384, "--context", 256]
CONTEXT = 256
FOLDER = ROOT / "build/results/models"


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)


class SmallModel:
    """A model folder, texts as ids in `data`, and held-out ids in `test`."""

    def __init__(self, name, text, test_tokens, steps):
        self.name, self.text, self.steps, self.folder = name, text, steps, FOLDER / name
        self.model, self.data, self.test = self.folder / "model", self.folder / "data", self.folder / "test.bin"
        self.folder.mkdir(parents=True, exist_ok=True)
        files = MODELS[name]
        if files:
            if not (self.model / "config.json").exists():
                model, tokenizer = (SHARED / "models" / file for file in files)
                run(PROGRAM, "convert", model, self.model, "--to", "hf", "--tokenizer", tokenizer)
            self.tokenize(self.model)
        else:
            self.train()
        if not self.test.exists():
            self.test.write_bytes((self.data / "val.bin").read_bytes()[:2 * test_tokens])

    def tokenize(self, tokenizer):
        if not (self.data / "val.json").exists():
            run(PROGRAM, "data", *self.text, "--tokenizer", tokenizer, "--out", self.data, "--document-separator",
                "<|endoftext|>", "--val-fraction", 0.05)

    def train(self):
        if not (self.folder / "tokenizer/tokenizer.json").exists():
            run(PROGRAM, "tokenizer", "train", *self.text, "--vocab-size", 2048, "--out", self.folder / "tokenizer")
        self.tokenize(self.folder / "tokenizer")
        self.model = self.folder / "run/model"
        if not (self.model / "config.json").exists():
            resume = ["--resume"] if any(self.folder.glob("run/checkpoints/step-*/state.json")) else []
            run(PROGRAM, "train", "--data", self.data, "--out", self.folder / "run", "--method", "dense", *SIZE,
                "--steps", self.steps, "--batch", 8, "--lr", 2e-3, "--warmup", self.steps // 10, "--dtype", "bfloat16",
                "--checkpoint-every", 200, "--keep", 1, *resume, stdout=subprocess.DEVNULL)

    def perplexity(self, model, test=None):
        return json.loads(run_and_measure(PROGRAM, "eval", "perplexity", "--model", model, "--data", test or self.test,
                                          "--context", CONTEXT, "--dtype", "float32", "--json")[0])["perplexity"]

    def dense(self):
        kept = self.folder / "dense.json"
        if not kept.exists():
            kept.write_text(json.dumps(self.perplexity(self.model)))
        return json.loads(kept.read_text())

    def parameters(self):
        info = run(PROGRAM, "info", "--model", self.model, "--json", capture_output=True).stdout
        return json.loads(info)["parameters"]


def add_model_options(parser):
    parser.add_argument("--text", nargs="*", type=pathlib.Path, default=STORIES,
                        help="text files, documents parted by <|endoftext|> (default: ../shared's TinyStories)")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500, help="of training gpt2-10m, 2048 tokens each")
    parser.add_argument("--test-tokens", type=int, default=30000)
    parser.add_argument("--print", action="store_true", dest="prints", help="print, and leave the page alone")


def models_of(args):
    """Exits if a text is missing."""
    missing = [str(text) for text in args.text if not text.is_file()]
    if missing:
        raise SystemExit(f"no text at {', '.join(missing)}: give --text FILES")
    for name in args.models:
        yield SmallModel(name, args.text, args.test_tokens, args.steps)
