"""Every code block of README and docs is executed (python, bash) or compiled (cpp)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import PLAIN, ROOT, TESTED, blocks, jni_folders, pages
from tf_signbin.runtime import delegate_path

WITH_CODE = [
    page for page in pages() if any(block.language in ("python", "bash") for block in blocks(page))
]
CPP = [block for page in pages() for block in blocks(page) if block.language == "cpp"]


def relative(page):
    return str(page.relative_to(ROOT))


@pytest.fixture
def environment(tmp_path):
    """`tf-signbin` and `python` of this interpreter come first."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("tf-signbin", "-m tf_signbin"), ("python", "")):
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        path.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TF_SIGNBIN_DELEGATE": str(delegate_path().resolve()),
    }


@pytest.mark.parametrize("page", WITH_CODE, ids=relative)
def test_page(page, tmp_path, environment, monkeypatch):
    """The blocks of a page build on each other, in one folder; Python blocks share their names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_SIGNBIN_DELEGATE", environment["TF_SIGNBIN_DELEGATE"])
    names = {}
    for block in blocks(page):
        if block.language == "python":
            # Tracebacks show the page and its line numbers.
            exec(compile("\n" * block.line + block.code, str(block.page), "exec"), names)
        elif block.language == "bash":
            run_bash(block, tmp_path, environment)


def run_bash(block, folder, environment):
    """Runs the lines; `make` and `pip install` would rebuild the world and are only checked."""
    for line in filter(None, (line.partition("#")[0].strip() for line in joined(block.code))):
        if line.startswith("make "):
            check = ["make", "-n", "-C", str(ROOT), *line.split()[1:]]
            subprocess.run(check, check=True, capture_output=True)
        elif line.startswith("pip install"):
            check_extras(line)
        else:
            result = subprocess.run(
                ["bash", "-e", "-c", line],
                cwd=folder, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"


def joined(code):
    return code.replace("\\\n", " ").splitlines()


def check_extras(line):
    for extra in re.findall(r"tf-signbin\[(\w+)\]", line):
        assert re.search(rf"^{extra} = \[", project(), re.MULTILINE), f"no extra {extra!r}"


def project():
    return (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("block", CPP, ids=lambda block: f"{block.page.name}:{block.line}")
def test_cpp_compiles(block, tmp_path):
    jni = []
    if "<jni.h>" in block.code:
        jni = [f"-I{folder}" for folder in jni_folders()] or pytest.skip("needs a JDK")
    source = tmp_path / "block.cc"
    source.write_text(block.code)
    subprocess.run(
        ["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
         f"-I{ROOT / 'delegate'}", *jni, str(source)],
        check=True,
    )  # fmt: skip


@pytest.mark.parametrize("page", pages(), ids=relative)
def test_every_block_says_what_it_is(page):
    for block in blocks(page):
        assert block.language in TESTED + PLAIN, f"{relative(page)}:{block.line}"


@pytest.mark.parametrize("page", pages(), ids=relative)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{relative(page)} links to {target}"


def test_every_delegate_option_is_documented():
    from tf_signbin.runtime import DelegateError, load_delegate

    with pytest.raises(DelegateError) as info:
        load_delegate(unknown=1)
    known = str(info.value).partition("known options: ")[2].strip().split(", ")
    text = Path(ROOT / "docs/delegate-options.md").read_text()
    assert known
    assert all(f"| `{name}` |" in text for name in known)


def test_every_command_is_documented():
    from tf_signbin.cli import COMMANDS

    text = Path(ROOT / "docs/cli.md").read_text()
    assert all(f"| `{name}` |" in text for name in COMMANDS)
