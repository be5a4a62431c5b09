"""Writes docs/reference/commands.md from the parser of the command line: `python -m cli.reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cli.main import app

PAGE = Path("docs") / "reference" / "commands.md"
PREFACE = """# Commands

For operators: every subcommand of `ticketing` with its arguments and options, as `--help` shows them. This
page is written by `python -m cli.reference`; change the texts in `cli`.

Exit codes: 0 success; 1 refused, or a check failed; 2 wrong usage, invalid setting or file, no database, no
Kafka. The program reads the [settings](settings.md) from environment variables. `ticketing --version` prints
its version.
"""
_GENERAL = {"--help", "--version"}


def render() -> str:
    """The page, as Markdown."""
    root = typer.main.get_command(app)
    return "\n".join([PREFACE, *(_section(command, name) for name, command in _commands(root, "ticketing"))])


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command below this one that can be run, with its words, in the order of `--help`."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None or command.invoke_without_command:
        yield name, command
    for word, subcommand in (subcommands or {}).items():
        yield from _commands(subcommand, f"{name} {word}")


def _section(command: Any, name: str) -> str:
    """Heading, usage, help and options of one command."""
    context = command.make_context(name, [], resilient_parsing=True)
    pieces = command.collect_usage_pieces(context)
    usage = " ".join([name, *(pieces[:1] if hasattr(command, "commands") else pieces)])
    paragraphs = [f"## {name}", f"`{usage}`", *_paragraphs(command.help)]
    if rows := [_row(one, context) for one in command.params if not _GENERAL & set(one.opts)]:
        paragraphs.append("\n".join(["| option or argument | meaning |", "|---|---|", *rows]))
    return "\n\n".join(paragraphs) + "\n"


def _paragraphs(help_text: str | None) -> list[str]:
    """The paragraphs of a help text, each on one line."""
    blocks = inspect.cleandoc(help_text or "").split("\n\n")
    return [" ".join(block.split()) for block in blocks if block.strip()]


def _row(parameter: Any, context: Any) -> str:
    """One row of the table: how `--help` shows the parameter."""
    written, meaning = (text.replace("|", "\\|") for text in parameter.get_help_record(context))
    return f"| `{written}` | {' '.join(meaning.split())} |"


if __name__ == "__main__":
    PAGE.write_text(render())
