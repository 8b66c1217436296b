"""Finds the code blocks of README and docs."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Languages that a test executes or compiles, and those that nothing can be done with.
TESTED, PLAIN = ("python", "bash", "cpp", "kotlin"), ("text",)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    code: str


def pages() -> list[Path]:
    names = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
    return [ROOT / name for name in names] + sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in _BLOCK.finditer(text)
    ]


def jni_folders() -> list[Path]:
    """The folders of jni.h and of the header that it includes; none without a JDK."""
    compiler = shutil.which("javac")
    if compiler is None:
        return []
    include = Path(compiler).resolve().parents[1] / "include"
    return [include, include / "linux"] if (include / "jni.h").exists() else []
