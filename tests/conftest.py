"""Fixtures of the program's tests."""

import os
import pathlib
import subprocess

import pytest

# Always 2:4 kernels: nothing is measured or written outside the tests' folders.
os.environ.setdefault("TWOFOUR_TUNE", "off")

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Absolute, because some tests change the folder that they are in.
PROGRAM = os.path.abspath(os.environ.get("TWOFOUR", ROOT / "build" / "twofour"))


@pytest.fixture
def twofour():
    """Runs the program; with fails=STATUS expects that exit status and one line on stderr."""

    def run(*arguments, fails=None, timeout=120, **options):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout, **options)
        if fails is None:
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode == fails, (done.returncode, done.stdout, done.stderr)
            errors = [line for line in done.stderr.splitlines() if line]
            assert len(errors) == 1 and errors[0].startswith("twofour: "), done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def shared():
    folder = pathlib.Path(os.environ.get("TWOFOUR_SHARED", ROOT / ".." / "shared"))
    if not folder.is_dir():
        pytest.skip("no ../shared beside the checkout")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A small text, its tokenizer and its token files, as the program makes them."""
    folder = tmp_path_factory.mktemp("corpus")
    words = "the cat sat on a mat and the dog ran to the red house by the sea".split()
    state, lines = 1, []
    for _ in range(1200):
        line = []
        for _ in range(12):
            state = (state * 1103515245 + 12345) % 2**31
            line.append(words[state // 65536 % len(words)])
        lines.append(" ".join(line) + ".")
    text = folder / "text.txt"
    text.write_text("\n\n".join("\n".join(lines[i:i + 6]) for i in range(0, len(lines), 6)) + "\n")
    for command in (["tokenizer", "train", text, "--vocab-size", 400, "--out", folder / "tokenizer"],
                    ["data", text, "--tokenizer", folder / "tokenizer", "--out", folder / "data",
                     "--document-separator", r"\n\n", "--val-fraction", 0.1]):
        subprocess.run([PROGRAM, *map(str, command)], check=True, capture_output=True)
    return folder


SMALL = ["--layers", 2, "--heads", 2, "--width", 32, "--context", 32, "--batch", 4, "--lr", 3e-3,
         "--warmup", 5]


@pytest.fixture(scope="session")
def small():
    """Options of a model that trains in a second."""
    return SMALL


@pytest.fixture(scope="session")
def sparse_run(corpus, tmp_path_factory):
    """A finished S-STE run."""
    run = tmp_path_factory.mktemp("runs") / "s-ste"
    subprocess.run([PROGRAM, *map(str, ["train", "--data", corpus / "data", "--out", run, *SMALL,
                                        "--method", "s-ste", "--steps", 30, "--validate-every", 10])],
                   check=True, capture_output=True)
    return run
