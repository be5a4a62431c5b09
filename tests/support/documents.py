"""Reads the fenced blocks of a document, and compares what commands print with what the document shows."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

PROMPT = "$ "
LANGUAGES = ("sh", "console", "text", "json", "http", "sql", "python", "env", "postgresql", "nginx", "yaml")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_ANY_LINES = "(?:.*\n)*"
# What differs from run to run, by its shape: `...` in a document stands for any text, an id for any id.
_SHAPES = {
    "any": r"\.\.\.",
    "uuid": r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?",
    "secret": r"\b(?:key|mts|mto|mtr|mtk|whsec|msg)_[\w+/=-]+",
}
_VARIABLE = re.compile("|".join(f"(?P<{name}>{shape})" for name, shape in _SHAPES.items()))


class Block(NamedTuple):
    """One fenced block: the number of its first line in the document, its language and its text."""

    line: int
    language: str
    text: str


class Command(NamedTuple):
    """A command, and the output that the document shows, or None."""

    text: str
    output: str | None


def blocks_of(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text()
    found = [
        Block(text.count("\n", 0, match.start()) + 2, match["language"], dedent(match["text"]))
        for match in _FENCE.finditer(text)
    ]
    assert text.count("```") == 2 * len(found), f"{document} has a fence that is not closed"
    return found


def commands_of(block: Block) -> list[Command]:
    """The commands of a block of `sh` or `console`. Only `console` shows output."""
    if block.language == "sh":
        return [Command(text, None) for text in _complete_commands(block.text.splitlines())]
    parts = re.split(rf"^{re.escape(PROMPT)}", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"line {block.line}: a console block begins with a command after `$ `"
    return [_command_with_output(part) for part in parts[1:]]


def _command_with_output(part: str) -> Command:
    lines = part.splitlines()
    text = next(_complete_commands(lines))
    return Command(text, "\n".join(lines[text.count("\n") + 1 :]))


def _complete_commands(lines: list[str]) -> Iterator[str]:
    """The commands of a script: each one line, or more if quotes, braces or a backslash continue it."""
    pending: list[str] = []
    for line in lines:
        pending.append(line)
        command = "\n".join(pending)
        if _is_complete(command):
            pending = []
            if not line.lstrip().startswith("#") and command.strip():
                yield command
    assert not pending, f"incomplete command: {pending}"


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    if command.endswith("\\"):
        return False
    if (document := re.search(r"<<'?(\w+)'?$", command.split("\n")[0])) and not command.endswith(
        f"\n{document[1]}"
    ):
        return False
    return subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0


def is_shown(expected: str, printed: str) -> bool:
    """Whether a program printed what the document shows. A line `...` stands for any number of lines."""
    pattern = "".join(_pattern_of(line) for line in expected.splitlines())
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n" if printed.strip() else "") is not None


def _pattern_of(line: str) -> str:
    if line.strip() == "...":
        return _ANY_LINES
    pattern, end = "", 0
    for match in _VARIABLE.finditer(line):
        pattern += re.escape(line[end : match.start()]) + _shape_of(match)
        end = match.end()
    return pattern + re.escape(line[end:].rstrip()) + r"[ \t]*\n"


def _shape_of(match: re.Match[str]) -> str:
    """A pattern for everything that may be printed where the document shows this."""
    assert match.lastgroup is not None
    if match.lastgroup == "any":
        return ".*"
    prefix = match[0].partition("_")[0]
    return rf"{prefix}_[\w+/=-]+" if match.lastgroup == "secret" else _SHAPES[match.lastgroup]


def is_contained(shown: object, printed: object) -> bool:
    """Whether printed JSON has everything that a document shows. The text `...` stands for any value."""
    if shown == "...":
        return True
    if isinstance(shown, dict) and isinstance(printed, dict):
        return all(name in printed and is_contained(value, printed[name]) for name, value in shown.items())
    if isinstance(shown, list) and isinstance(printed, list):
        return len(shown) <= len(printed) and all(map(is_contained, shown, printed))
    if isinstance(shown, str) and isinstance(printed, str):
        return is_shown(shown, printed)
    return shown == printed
