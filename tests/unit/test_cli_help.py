"""Every command of `ticketing` has a help page."""

import pytest
import typer
from typer.testing import CliRunner

from cli.main import app


def commands_of(group, *path):
    """The path of the group, of every command in it, and of every group below it."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands_of(command, *path, name)


@pytest.mark.parametrize("command", list(commands_of(typer.main.get_command(app))), ids=" ".join)
def test_a_command_explains_itself(command):
    done = CliRunner().invoke(app, [*command, "--help"], prog_name="ticketing")

    assert done.exit_code == 0
    assert f"Usage: {' '.join(('ticketing', *command))} " in done.stdout
    assert " --help " in done.stdout
