"""Every command of `ticketing` has a help page."""

import pytest
import typer
from typer.testing import CliRunner

from cli.main import app


def commands_of(group, *path):
    """Yield the paths of this group, its commands, and all groups below it."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands_of(command, *path, name)


@pytest.mark.parametrize("command", list(commands_of(typer.main.get_command(app))), ids=" ".join)
def test_a_command_prints_its_help(command):
    done = CliRunner().invoke(app, [*command, "--help"], prog_name="ticketing")

    assert done.exit_code == 0
    assert f"Usage: {' '.join(('ticketing', *command))} " in done.stdout
    assert " --help " in done.stdout
