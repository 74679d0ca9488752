"""The command line as a whole: streams that cannot be written, hostile numbers in every option, help."""

import os
import pty
import random
import re
import shutil
import subprocess

import pytest

from conftest import PROGRAM, ROOT


def run(arguments, **options):
    return subprocess.run([os.path.abspath(PROGRAM), *map(str, arguments)], timeout=100, **options)


def help_of(*command):
    return run([*command, "--help"], capture_output=True, text=True, check=True).stdout


def commands():
    """The names of all commands, of groups with the group's: ("eval", "perplexity")."""
    def below(group):
        section = re.search(r"^Commands.*?:\n(.*?)(\n\n|\Z)", help_of(*group), re.S | re.M)
        if not section:
            return [group]
        names = re.findall(r"^  ([\w-]+)  ", section[1], re.M)
        assert names
        return [found for name in names for found in below((*group, name))]

    return below(())


def options_of(command):
    """{name: (type, the whole description)} of a command, from its help."""
    entries = re.split(r"^  (?=\S)", help_of(*command), flags=re.M)
    options = {}
    for entry in entries:
        named = re.match(r"(?:-\w, )?(--[\w-]+)(?: ([A-Z][\w.]*))?\s", entry)
        if named:
            options[named[1]] = (named[2], " ".join(entry[named.end():].split()))
    return options


COMMANDS = commands()
NUMBERS = [(command, name, kind, text) for command in COMMANDS for name, (kind, text) in options_of(command).items()
           if kind in ("N", "X")]
# values_test.cc has more of each kind. This test finds options that lack the check.
HOSTILE = ["nan", "-1", "0x1", ""]
HOSTILE_WHOLE = ["1.5", "9223372036854775808000"]


def test_every_number_says_its_range():
    assert len(NUMBERS) > 80
    names = {name for _, name, _, _ in NUMBERS}
    assert {"--threads", "--steps", "--clip", "--temperature", "--vocab-size", "--val-fraction", "--rounds",
            "--stride", "--most-runs"} <= names
    for command, name, _, text in NUMBERS:
        assert re.search(r"\d+ to \d+|or more|above \d", text), (command, name, text)
        assert not re.search(r"\d{25}", text), (command, name, text)


def test_no_option_that_takes_a_number_lacks_the_check():
    for command in COMMANDS:
        for name, (kind, text) in options_of(command).items():
            assert kind in ("N", "X") or not re.search(r"default -?[\d.]+(e[+-]?\d+)?\)", text), (command, name)


def some(values, name):
    """One of the values, another for another option; with TWOFOUR_ALL_VALUES all of them (some thousand starts)."""
    return values if "TWOFOUR_ALL_VALUES" in os.environ else random.Random(name).sample(values, 1)


@pytest.mark.parametrize("command", sorted({command for command, *_ in NUMBERS}), ids=" ".join)
def test_hostile_numbers_are_refused_before_anything_runs(command, tmp_path):
    for _, name, kind, text in [number for number in NUMBERS if number[0] == command]:
        for value in some(HOSTILE + (HOSTILE_WHOLE if kind == "N" else []), name):
            done = run([*command, f"{name}={value}"], capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 2, (name, value, done)
            assert done.stderr.count("\n") == 1 and name in done.stderr and done.stdout == "", (name, value, done)
        bounds = re.search(r"\((?:.*; )?(-?[\d.e+-]+) to ([\d.e+-]+)", text)
        if bounds and kind == "N":
            for value in (int(float(bounds[1])) - 1, int(float(bounds[2])) + 1):
                done = run([*command, name, value], capture_output=True, text=True, cwd=tmp_path)
                assert done.returncode == 2 and name in done.stderr, (name, value, done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("train",), ("tune-decay",)])
def test_hostile_numbers_in_a_config_name_file_and_key(command, tmp_path):
    config = tmp_path / "c.toml"
    not_configurable = {"--stop-after"}
    for _, name, kind, text in [number for number in NUMBERS if number[0] == command]:
        key = name[2:]
        values = ["nan", "inf", "-1", '"0x1"', '""', "[1, 2]"] + (["1.5", "1e3", "9e99"] if kind == "N" else [])
        for value in [] if name in not_configurable else some(values, name):
            config.write_text(f"\n{key} = {value}\n")
            for given in [[], [name, "0.5" if "below 1" in text else "1"]]:  # the command line wins, but the file is still wrong
                if value.startswith("[") or not given:
                    done = run([*command, *given, "--config", config], capture_output=True, text=True, cwd=tmp_path)
                    assert done.returncode == 2, (key, value, done)
                    assert done.stderr.count("\n") == 1, done
                    assert f'"{key}" in line 2 of the config "{config}"' in done.stderr, done


@pytest.mark.parametrize("content, message", [
    ("steps = 1\nsteps = 2", 'line 2: "steps" is already in line 1'),
    ("steps = [1, 2]", '"steps" in line 1 of the config'),
    ("steps 40", "line 1: '=' is missing"),
    ("method = fst", 'text must be in quotes: "fst"'),
    ("recompute = 3", "must be true or false"),
    ('method = "fstt"', 'did you mean "fst"?'),
    ('dtype = "int8"', "must be float32, bfloat16, float16 or auto"),
])
def test_a_config_that_cannot_be_meant(twofour, tmp_path, content, message):
    config = tmp_path / "c.toml"
    config.write_text(content + "\n")
    error = twofour("train", "--config", config, fails=2).stderr
    assert message in error and "c.toml" in error


def test_a_printed_config_is_toml_and_gives_itself_again(twofour, tmp_path):
    tomllib = pytest.importorskip("tomllib")
    options = ["--data", 'a "b" \\ # é\n', "--lr", "3e-4", "--steps", "070", "--dtype", "bf16", "--recompute",
               "--seed", 2**64 - 1]
    printed = twofour("train", *options, "--print-config").stdout
    read = tomllib.loads(printed)
    assert read["data"] == 'a "b" \\ # é\n' and read["lr"] == 3e-4 and read["steps"] == 70
    assert read["dtype"] == "bfloat16" and read["recompute"] is True
    config = tmp_path / "c.toml"
    config.write_text(printed)
    assert twofour("train", "--config", config, "--print-config").stdout == printed


# Each prints something, or fails if a file is missing.
PRINTING = [["--help"], ["--version"], [], ["tokenizer", "--help"], ["train", "--help"], ["train", "--print-config"],
            ["info"], ["info", "--json"], ["bench", "linear", "--help"]]
FAILING = [(["prune"], 2), (["train"], 2), (["info", "--model", "/nonexistent"], 1),
           (["generate", "--model", "/nonexistent", "--prompt", "x"], 1),
           (["eval", "perplexity", "--model", "/nonexistent", "--data", "x"], 1),
           (["data", "/nonexistent", "--tokenizer", "/nonexistent", "--out", "out"], 1),
           (["tokenizer", "train", "/nonexistent", "--vocab-size", "300", "--out", "out"], 1),
           (["tokenizer", "encode", "--tokenizer", "/nonexistent"], 1),
           (["tokenizer", "decode", "--tokenizer", "/nonexistent"], 1),
           (["convert", "/nonexistent", "out", "--to", "hf"], 1), (["report", "/nonexistent"], 1),
           (["train", "--data", "/nonexistent", "--out", "run"], 1),
           (["tune-decay", "--data", "/nonexistent", "--out", "run"], 1)]


def closed(descriptor):
    return lambda: os.close(descriptor)


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_result_that_cannot_be_written_is_a_failure(arguments):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = run(arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "twofour: cannot write to the standard output: No space left on device\n"
    done = run(arguments, stderr=subprocess.PIPE, text=True, preexec_fn=closed(1))
    assert done.returncode == 1 and "cannot write to the standard output" in done.stderr


@pytest.mark.parametrize("arguments, status", FAILING, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_message_that_cannot_be_written_changes_no_status(arguments, status, tmp_path):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "cwd": tmp_path}
    with open("/dev/full", "w", encoding="ascii") as full:
        assert run(arguments, stderr=full, **options).returncode == status
    assert run(arguments, preexec_fn=closed(2), **options).returncode == status
    assert run(arguments, preexec_fn=lambda: os.closerange(0, 3), cwd=tmp_path).returncode == status


def test_results_of_real_work_on_streams_that_cannot_be_written(corpus, sparse_run, tmp_path):
    model = ["--model", sparse_run / "model"]
    commands = [["generate", *model, "--prompt", "the", "--max-tokens", 5],
                ["generate", *model, "--prompt", "the", "--max-tokens", 5, "--json"],
                ["eval", "perplexity", *model, "--data", corpus / "data" / "val.bin"],
                ["eval", "perplexity", *model, "--data", corpus / "data" / "val.bin", "--json"],
                ["info", *model], ["info", *model, "--json"],
                ["report", sparse_run], ["report", sparse_run, "--json"],
                ["tokenizer", "encode", "--tokenizer", corpus / "tokenizer", corpus / "text.txt"],
                ["convert", sparse_run / "model", tmp_path / "out", "--to", "hf", "--force"],
                ["data", corpus / "text.txt", "--tokenizer", corpus / "tokenizer", "--out", tmp_path / "data",
                 "--document-separator", r"\n\n", "--val-fraction", 0.1]]
    for command in commands:
        with open("/dev/full", "w", encoding="ascii") as full:
            done = run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1, (command, done)
        assert done.stderr.count("\n") == 1 and "standard output" in done.stderr, (command, done)
        # No file of the program took the place of a closed stream.
        done = run(command, preexec_fn=lambda: os.closerange(0, 3))
        assert done.returncode == 1, (command, done)
        with open("/dev/full", "w", encoding="ascii") as full:
            assert run(command, stdout=subprocess.DEVNULL, stderr=full).returncode == 0, command


def test_a_log_that_cannot_be_written_stops_no_run(corpus, small, tmp_path):
    options = ["train", "--data", corpus / "data", *small, "--steps", 3, "--method", "s-ste"]
    with open("/dev/full", "w", encoding="ascii") as full:
        assert run([*options, "--out", tmp_path / "a"], stdout=subprocess.DEVNULL, stderr=full).returncode == 0
    assert run([*options, "--out", tmp_path / "b"], stdout=subprocess.DEVNULL,
               preexec_fn=lambda: (os.close(0), os.close(2))).returncode == 0
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / "model" / name).read_bytes() == (tmp_path / "b" / "model" / name).read_bytes()


@pytest.mark.parametrize("arguments, message", [
    (["sparsify", "--help"], 'unknown command "sparsify"'),
    (["trian", "--help"], 'unknown command "trian", did you mean "train"?'),
    (["--help", "trian"], 'did you mean "train"?'),
    (["tokenizer", "trian", "--help"], 'did you mean "train"?'),
    (["train", "--widht", "3", "--print-config"], 'did you mean "--width"?'),
])
def test_help_of_what_does_not_exist_is_an_error(twofour, arguments, message):
    done = twofour(*arguments, fails=2)
    assert message in done.stderr and done.stdout == ""


def test_the_program_alone_prints_what_it_can_do(twofour):
    alone = twofour().stdout
    assert alone == twofour("--help").stdout
    for group in ("tokenizer", "eval", "bench"):
        assert twofour(group).stdout == twofour(group, "--help").stdout
    for line in alone.splitlines():
        assert len(line) <= 100, line


def examples():
    return [help_of(*command).split("Example:\n  ")[1].strip() for command in COMMANDS]


def test_every_command_has_an_example_that_parses(tmp_path):
    assert len(examples()) == len(COMMANDS)
    for line in examples():
        if line.startswith("twofour bench"):
            continue
        (tmp_path / "twofour").unlink(missing_ok=True)
        os.symlink(os.path.abspath(PROGRAM), tmp_path / "twofour")
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=100,
                              env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert done.returncode in (0, 1), (line, done.stderr)


def test_the_readme_lists_the_commands_in_the_same_order():
    listed = [name for command in COMMANDS for name in [command[0]]]
    order = list(dict.fromkeys(listed))
    table = re.findall(r"^\| `([\w-]+)", (ROOT / "README.md").read_text(), re.M)
    assert list(dict.fromkeys(table)) == order


def test_out_of_memory_names_options_that_the_command_has(twofour, corpus, small, tmp_path):
    error = twofour("train", "--data", corpus / "data", "--out", tmp_path / "r", *small, "--width", 2**24, "--heads", 1,
                    "--vocabulary", 2**24, fails=1).stderr
    assert "out of memory: try a smaller --batch, --context or --width" in error


def complete(script, words, folder):
    """Bash's completions of the last of `words`."""
    driver = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _twofour; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", driver, "bash", script, *words], cwd=folder, capture_output=True, text=True,
                          timeout=100, check=True)
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


def test_bash_completes_commands_options_values_and_paths(twofour, tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(twofour("completion", "bash").stdout)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file with spaces.txt").write_text("x")

    def offered(*words):
        return complete(script, ["twofour", *words], tmp_path)

    assert offered("to") == {"tokenizer"}
    assert offered("") >= {command[0] for command in COMMANDS}
    assert offered("tokenizer", "") >= {"train", "encode", "decode"}
    assert offered("bench", "l") == {"linear"}
    assert offered("train", "--weight-d") == {"--weight-decay"}
    assert offered("train", "--method", "s") == {"ste", "sr-ste", "step", "s-ste"} - {"dense"}
    assert offered("train", "--method", "=", "f") == {"fst"}
    assert offered("train", "--steps", "5", "--dt") == {"--dtype"}
    assert offered("train", "--dtype", "b") == {"bfloat16"}
    assert offered("train", "--data", "f") == {"folder"}
    assert offered("data", "file") == {"file with spaces.txt"}
    assert offered("train", "--steps", "") == set()
    for command in COMMANDS:
        assert offered(*command, "--") == set(options_of(command)), command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_of_all_shells_parse(twofour, shell, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell}")
    script = tmp_path / "completion"
    script.write_text(twofour("completion", shell).stdout)
    done = subprocess.run([program, "-n", script], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stderr == ""


def messages_on_a_terminal(arguments, folder):
    terminal, other = pty.openpty()
    done = run(arguments, stdout=subprocess.DEVNULL, stderr=other, cwd=folder)
    os.close(other)
    seen = b""
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # EIO: nobody holds the other end
            break
        if not part:
            break
        seen += part
    os.close(terminal)
    assert done.returncode == 0, seen
    return seen.decode()


def test_what_takes_long_shows_progress_on_a_terminal_only(corpus, small, sparse_run, tmp_path):
    model = ["--model", sparse_run / "model"]
    for arguments, title in [
            (["tokenizer", "train", corpus / "text.txt", "--vocab-size", 280, "--out", "t"], "merging ["),
            (["data", corpus / "text.txt", "--tokenizer", corpus / "tokenizer", "--out", "d",
              "--document-separator", r"\n\n", "--val-fraction", 0.1], "tokenising ["),
            (["train", "--data", corpus / "data", "--out", "r", *small, "--steps", 20], "training ["),
            (["eval", "perplexity", *model, "--data", corpus / "data" / "val.bin"], "evaluating ["),
            (["generate", *model, "--prompt", "the", "--max-tokens", 3], "loading ["),
            (["info", *model], "reading ["),
            (["convert", sparse_run / "model", "c", "--to", "hf"], "converting ["),
            (["bench", "mask", "--megabytes", 1, "--in", 64, "--rounds", 2], "measuring [")]:
        seen = messages_on_a_terminal([*arguments], tmp_path)
        assert title in seen, (arguments, seen)
        assert seen.endswith("\r\x1b[K"), (arguments, seen)  # nothing of the bar stays
        for folder in ("t", "d", "r", "c"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        assert "\r" not in run(arguments, capture_output=True, text=True, cwd=tmp_path, check=True).stderr
        for folder in ("t", "d", "r", "c"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
