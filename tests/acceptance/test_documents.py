"""Every fenced block of the documents runs against one running system, as a reader would run it.

`make run` starts that system in a copy of the repository, like a fresh clone. CONTRIBUTING.md lists what
is done with a block of each language.
"""

import json
import os
import re
import shlex
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import crossplane
import jsonschema
import psycopg
import pytest
import yaml

from infrastructure.settings import load_settings, variable_names
from tests.support.browser import Browser
from tests.support.commands_not_run import NOT_RUN, find_not_run, problem_of
from tests.support.documents import LANGUAGES, blocks_of, commands_of, is_contained, is_shown
from tests.support.oauth import answer_of, consent
from tests.support.promtool import run_promtool
from tests.support.terminals import Terminal, copy_repository, free_ports
from tests.support.waiting import eventually
from tests.support.webhook_bodies import problems_of
from webhook_dispatcher.signing import sign

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"}
)  # tests/acceptance/test_python_client.py runs the README of the Python client
PAGES = [str(path.relative_to(ROOT)) for path in DOCUMENTS if blocks_of(path)]
PREPARATION = "docs/README.md"
FROM_A_FRESH_CLONE = ("README.md", "docs/tutorial.md", PREPARATION)
START = "WEBHOOK_ALLOW_PRIVATE_ADDRESSES=1 make run"
STARTS_SYSTEM = "make run"
TYPES_CODE = "code=CODE_FROM_THE_ADDRESS"
PROGRAMS = {
    "tools.webhook_receiver": "Waits for posts"
}  # long-running commands, and what they print when they are ready


class System:
    """A running system in a fresh clone, and the programs that documents start beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.clone = copy_repository(folder)
        self.ports = free_ports()
        self.home = self.clone / ".ticketing"
        self.programs = []
        self.run = self.terminal("system").start(START, folder / "system.log")

    def terminal(self, name):
        state = self.folder / f"{name.replace('/', '-')}.state"
        return Terminal(
            self.clone,
            self.ports,
            state,
            PORT=self.ports["8000"],
            WORKERS="2",
            METRICS_PORT=self.ports["9100"],
        )

    def reader_of(self, page):
        """A terminal in which the reader of the page has done what the index of the documents asks for."""
        terminal = self.terminal(page)
        for block in blocks_of(ROOT / PREPARATION) if page not in FROM_A_FRESH_CLONE else ():
            result = terminal.run(block.text)
            assert result.code == 0, result.output
        return terminal

    @property
    def variables(self):
        return {
            "API": f"http://127.0.0.1:{self.ports['8000']}",
            "KEY": (self.home / "admin-key").read_text().strip(),
        }

    @property
    def dsn(self):
        return f"postgresql://postgres@/ticketing?host={self.home / 'postgres'}"

    def close(self):
        for program in (*self.programs, self.run):
            program.stop()


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    folder = tmp_path_factory.mktemp("d")
    with closing(System(folder)) as system:
        system.run.wait_for("READY")
        yield system


class Reader:
    """Does what a page says, block after block."""

    def __init__(self, system, page):
        self._system = system
        self._page = page
        self._terminal = system.reader_of(page)
        self._program = system.run
        self._printed = ""
        self._names = dict(system.variables)

    def read(self, block):
        assert block.language in LANGUAGES, f"{self._page}:{block.line}: unknown language {block.language!r}"
        getattr(self, f"_read_{block.language}")(block)

    def _read_sh(self, block):
        for command in commands_of(block):
            self._follow(block, command)

    _read_console = _read_sh

    def _follow(self, block, command):
        place = f"{self._page}:{block.line}: {command.text}"
        if find_not_run(command.text):
            assert problem_of(command.text) is None, place
        elif STARTS_SYSTEM in command.text:
            assert is_shown(command.output or "...", self._system.run.printed), self._system.run.printed
        elif ready := next((text for name, text in PROGRAMS.items() if name in command.text), None):
            self._start(command, ready)
        else:
            result = self._terminal.run(self._with_code(command.text))
            assert result.code == 0, f"{place}\n{result.output}"
            assert command.output is None or is_shown(command.output, result.output), (
                f"{place}\n{result.output}"
            )
            self._printed = result.output

    def _with_code(self, command):
        """Before the reader types the code, a person allows what the printed address asks for."""
        if command != TYPES_CODE:
            return command
        address = urlsplit(self._printed.strip())
        browser = Browser(self._system.variables["API"])
        assert browser.sign_in(*(self._system.home / "admin-password").read_text().split()).status_code == 303
        return f"code={answer_of(consent(browser, f'{address.path}?{address.query}'))['code']}"

    def _start(self, command, ready):
        output = self._system.folder / f"program-{len(self._system.programs)}.log"
        self._program = self._terminal.start(command.text, output)
        self._system.programs.append(self._program)
        self._program.wait_for(ready)
        assert is_shown(command.output or "...", self._program.printed), self._program.printed

    def _read_text(self, block):
        """Lines that the program in the other terminal prints."""
        program = self._program
        eventually(
            lambda: is_shown(f"...\n{block.text}...", program.printed),
            message=lambda: f"{self._page}:{block.line}: not printed:\n{block.text}\nbut\n{program.printed}",
        )

    def _read_json(self, block):
        """Part of what the last command has printed."""
        shown, printed = json.loads(block.text), json.loads(self._printed)
        assert is_contained(shown, printed), f"{self._page}:{block.line}\n{json.dumps(printed, indent=1)}"

    def _read_python(self, block):
        exec(block.text, self._names)

    def _read_http(self, block):
        """A post to a webhook: its headers are those of every post, and its body fits its schema."""
        head, _, body = block.text.partition("\n\n")
        names = {line.partition(":")[0].lower() for line in head.splitlines()[1:]}
        signed = sign([b""], message_id="msg_1", timestamp=0, body=b"")
        assert (names, problems_of(body.encode())) == ({"content-type", *signed}, [])

    def _read_sql(self, block):
        """Runs statements that read, and plans the others."""
        options = "-c default_transaction_read_only=on"
        with psycopg.connect(self._system.dsn, options=options, autocommit=True) as conn:
            for statement in filter(str.strip, block.text.split(";")):
                try:
                    conn.execute(statement)
                except psycopg.errors.ReadOnlySqlTransaction:
                    conn.execute(f"EXPLAIN {statement}")

    def _read_postgresql(self, block):
        """Settings of PostgreSQL, which must exist."""
        names = re.findall(r"^(\w+) *=", block.text, re.MULTILINE)
        with psycopg.connect(self._system.dsn) as conn:
            known = {name for (name,) in conn.execute("SELECT name FROM pg_settings")}
        assert names
        assert set(names) <= known

    def _read_env(self, block):
        """Settings of this system, which must be accepted."""
        values = dict(word.split("=", 1) for word in shlex.split(block.text))
        assert values.keys() <= variable_names()
        load_settings({"DATABASE_URL": "postgresql://db/ticketing", **values})

    def _read_nginx(self, block):
        """Directives that are in the block `http` of nginx."""
        path = self._system.folder / "nginx.conf"
        path.write_text(f"events {{}}\nhttp {{\n{block.text}\n}}")
        assert crossplane.parse(str(path), strict=True)["errors"] == []

    def _read_yaml(self, block):
        document = yaml.safe_load(block.text)
        if "scrape_configs" in document:
            folder = ROOT / "deploy" / "prometheus"
            run_promtool("check", "config", _beside(folder / "alerts.yml", self._system.folder, block.text))
        else:  # values of the Helm chart
            schema = json.loads((ROOT / "deploy" / "helm" / "ticketing" / "values.schema.json").read_text())
            jsonschema.validate(document, schema)


def _beside(rules, folder, text):
    """A file with the configuration in a folder that has the rules."""
    (folder / rules.name).write_text(rules.read_text())
    configuration = folder / "prometheus.yml"
    configuration.write_text(text)
    return configuration


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_document_does_what_the_document_says(system, page):
    reader = Reader(system, page)

    for block in blocks_of(ROOT / page):
        reader.read(block)


def test_every_command_that_is_not_run_is_in_a_document():
    commands = [
        command.text
        for path in DOCUMENTS
        for block in blocks_of(path)
        if block.language in ("sh", "console")
        for command in commands_of(block)
    ]
    used = {find_not_run(command) for command in commands}

    assert [entry.beginning for entry in NOT_RUN if entry not in used] == []


def test_the_documents_start_the_system_of_this_test(system):
    assert START in (ROOT / "docs" / "tutorial.md").read_text()
    assert not os.path.samefile(system.home.parent, ROOT)
