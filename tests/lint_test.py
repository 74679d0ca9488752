"""scripts/lint checks something whatever changed, and fails where it cannot."""

import os
import pathlib
import shutil
import subprocess

import pytest

LINT = pathlib.Path(__file__).resolve().parent.parent / "scripts/lint"
# Writes down what it checks; a source with "bad" in it fails.
CLANG_TIDY = """#!/bin/sh
for file; do :; done
echo "$file" >>"$CHECKED"
! grep -q bad "$file"
"""


class Project:
    """A repository whose clang-tidy and CMake are stand-ins."""

    def __init__(self, folder):
        self.folder, self.checked = folder / "project", folder / "checked"
        (self.folder / "scripts").mkdir(parents=True)
        shutil.copy(LINT, self.folder / "scripts")
        programs = folder / "programs"
        programs.mkdir()
        for name, text in (("clang-tidy-14", CLANG_TIDY), ("cmake", "#!/bin/sh\nmkdir -p build-lint\n")):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "CHECKED": str(self.checked),
                            "HOME": str(folder)}
        self.git("init", "-q")

    def git(self, *arguments):
        return subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=self.folder,
                              env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name, text):
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text)

    def commit(self, name, text):
        self.write(name, text)
        self.git("add", name)
        self.git("commit", "-q", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def lint(self, *arguments):
        self.checked.unlink(missing_ok=True)
        done = subprocess.run(["scripts/lint", *arguments], cwd=self.folder, env=self.environment, capture_output=True,
                              text=True)
        return done, set(self.checked.read_text().split()) if self.checked.exists() else set()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_what_changed_is_checked(project):
    project.commit("src/a.cc", "bad")
    base = project.commit("src/b.cc", "good")
    project.commit("src/c.cc", "good")
    project.write("src/d.cc", "good")
    done, checked = project.lint(base)
    assert (done.returncode, checked) == (0, {"src/c.cc", "src/d.cc"})
    project.write("src/b.cc", "bad")
    done, checked = project.lint(base)
    assert done.returncode != 0 and checked == {"src/b.cc", "src/c.cc", "src/d.cc"}


def test_where_nothing_changed_the_last_changes_are_checked(project):
    for name in "ab":
        project.commit(f"src/{name}.cc", "good")
    base = project.commit("README.md", "words")
    done, checked = project.lint(base)
    assert (done.returncode, checked) == (0, {"src/a.cc", "src/b.cc"})
    assert "no source changed" in done.stdout
    project.commit("src/a.cc", "bad")
    done, checked = project.lint(project.commit("README.md", "more words"))
    assert done.returncode != 0 and "src/a.cc" in checked


def test_all_checks_every_source(project):
    for number in range(22):
        project.commit(f"src/{number}.cc", "good")
    assert len(project.lint()[1]) == 10
    assert len(project.lint("all")[1]) == 22


def test_what_cannot_be_checked_fails(project):
    project.commit("README.md", "words")
    done, checked = project.lint()
    assert done.returncode != 0 and not checked and "no source" in done.stderr
    project.commit("src/a.cc", "good")
    done, checked = project.lint("no-such-commit")
    assert done.returncode != 0 and not checked and "no-such-commit" in done.stderr
