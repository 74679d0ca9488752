"""The files that comments and documentation name, and the places that links lead to, exist."""

import ast
import io
import pathlib
import re
import tokenize

from conftest import ROOT

CITED = re.compile(r"(?<![\w/.*<>{}…-])[\w./-]*\w\.(?:cc|cuh?|h|md|py)\b(?!\()")
PLACEHOLDER = re.compile(r"(?:[a-z]|NAME)(?:_\w+)?\.\w+")
OUTSIDE = {"torch/torch.h", "ATen/autocast_mode.h",  # PyTorch
           "export.py", "data_common.py"}  # llama2.c, llm.c
FOLDERS = ["src", "bench", "tests", "scripts", "fuzz", "cmake", "docs"]
CODE = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|(?P<comment>//[^\n]*|/\*.*?\*/)', re.S)


def python_comments(text):
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found = [token.string for token in tokens if token.type == tokenize.COMMENT]
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return found + [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, holders)]


def prose(name, text):
    """The prose of a file: all of a page, the comments of a source."""
    if name.endswith(".md"):
        return [text]
    if name.endswith((".cc", ".h", ".cu", ".cuh")):
        return [match["comment"] for match in CODE.finditer(text) if match["comment"]]
    if name.endswith(".py"):
        return python_comments(text)
    return re.findall(r"(?:^|\s)#.*", text)


def missing_files(name, text, files):
    """Names cited in a file's prose that are the end of no path in `files`."""
    cited = {match.lstrip("./") for part in prose(name, text) for match in CITED.findall(part)}
    return sorted(path for path in cited - OUTSIDE
                  if not PLACEHOLDER.fullmatch(path) and not any(f"/{file}".endswith(f"/{path}") for file in files))


def anchors(text):
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page):
    found = []
    for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`\n]*`", "", page.read_text())):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if "://" not in target and not (file.exists() and (not anchor or anchor in anchors(file.read_text()))):
            found.append(target)
    return found


def test_every_file_that_prose_names_exists():
    paths = [*ROOT.glob("*.md"), ROOT / "CMakeLists.txt", ROOT / "Makefile",
             *(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*"))]
    files = [str(path.relative_to(ROOT)) for path in paths if path.is_file() and "__pycache__" not in path.parts]
    assert len(files) >= 300
    texts = {name: content.decode() for name in files if b"\0" not in (content := (ROOT / name).read_bytes())}
    missing = {name: found for name, text in texts.items() if (found := missing_files(name, text, files))}
    assert missing == {}


def test_every_link_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(pages) >= 10
    assert {page.name: found for page in pages if (found := broken_links(page))} == {}


def test_wrong_names_are_found(tmp_path):
    files = ["src/twofour/base/here.h"]
    for name, text in {"a.cc": 'f("gone.h");  // see base/gone.h, base/here.h, x_loops.h\n',
                       "a.h": "/* ../base/gone.h */\n", "a.py": '"""base/gone.h"""\n', "a.sh": "ls b.h  # base/gone.h\n",
                       "a.md": "`base/gone.h` and `here.h`\n"}.items():
        assert missing_files(name, text, files) == ["base/gone.h"], name
    page = tmp_path / "page.md"
    page.write_text("# A title\n[](page.md#a-title) [](#a-title) [](gone.md) [](page.md#gone) [](https://a.b/c.md)\n")
    assert broken_links(page) == ["gone.md", "page.md#gone"]
