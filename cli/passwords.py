"""Reads a password from standard input. Other users can see the command line, so it is never an argument."""

from __future__ import annotations

import sys
from getpass import getpass

import typer

from infrastructure.keys.passwords import MAX_BYTES


def read_password() -> str:
    """Return the first line of standard input; at a terminal, prompt twice without echo."""
    if sys.stdin.isatty():
        password = getpass("Password: ")
        if getpass("Again: ") != password:
            raise typer.BadParameter("The two passwords are not the same.")
        return password
    line = sys.stdin.buffer.readline(MAX_BYTES + 3)
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise typer.BadParameter("The password on standard input is not UTF-8.") from None
