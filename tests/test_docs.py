"""The documents agree with the code and the files of the repository."""

import configparser
import re
import shlex
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from api.http.openapi import describe
from cli import reference
from infrastructure.process import metrics
from infrastructure.process.loops import Loops
from infrastructure.settings import BadSettings, load_settings, variable_names
from server.app import ROUTES
from tests.support.commands_not_run import problem_of_make, problem_of_ticketing
from tests.support.documents import LANGUAGES, blocks_of
from webhook_dispatcher.attempt_counts import AttemptCounts

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"})
GUIDES = [
    path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs") and path.parent.name != "decisions"
]


def test_the_documented_settings_are_those_that_exist():
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)

    assert sorted(rows) == sorted(variable_names())


def rows_of_settings():
    """By name, the documented default and the meaning."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    return {
        name: cells for name, *cells in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", page, re.MULTILINE)
    }


def test_the_documented_defaults_of_settings_are_those_of_the_program():
    documented = {
        name: default.strip("`")
        for name, (default, _) in rows_of_settings().items()
        if re.fullmatch(r"`[^`]+`", default)
        and not re.search(r"[A-Z]{4}", default)  # the name of another setting
    }

    assert len(documented) >= 10
    assert [name for name in documented if load_settings({name: documented[name]}) != load_settings({})] == []


@pytest.mark.parametrize("name", sorted(variable_names()))
def test_the_documented_limits_of_a_setting_are_those_of_the_program(name):
    limits = re.search(r"from (\d+) to (\d+)", refusal_of(name, "-1"))

    assert limits is None or f"{limits[1]} to {limits[2]}" in rows_of_settings()[name][1]


def refusal_of(name, value):
    """The message with which the program refuses the value of a setting, or an empty text."""
    try:
        load_settings({name: value})
    except BadSettings as refusal:
        return str(refusal)
    return ""


def test_the_page_of_commands_is_what_the_parser_gives():
    assert (ROOT / reference.PAGE).read_text() == reference.render(), "run `python -m cli.reference`"


def test_every_metric_is_documented_with_its_type_and_labels():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(ticketing_\w+)` \| (\w+) \| ([\w`, ]*)\|", page, re.MULTILINE)
    of_api = {
        metric._name: (metric._type, list(metric._labelnames))
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }
    documented = sorted(
        (name.removesuffix("_total"), kind, re.findall(r"\w+", labels)) for name, kind, labels in rows
    )

    assert documented == sorted(
        (name, kind, labels) for name, (kind, labels) in (of_api | metrics_of_followers()).items()
    )


def metrics_of_followers():
    """By name, the type and the labels of each metric."""
    loops = Loops()
    loops.count_process()
    AttemptCounts(loops.registry)
    loop = loops.add("loop")
    loop.count_batch(1, 0.1)
    loop.count_error(ValueError())
    return {
        metric.name: (metric.type, [name for name in metric.samples[0].labels if name != "le"])
        for metric in loops.registry.collect()
        if metric.name.startswith("ticketing_")
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_existing_files(document):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_document_is_reached_by_links_from_the_readme():
    reached, pending = set(), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
            pending += [(page.parent / target).resolve() for target in targets]

    assert [path for path in DOCUMENTS if path.resolve() not in reached | {ROOT / "README.md"}] == []


def test_documents_named_by_other_files_exist():
    """Checks names such as docs/runbook.md in the program, in tests and in files for deployment."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in ("build", "docs")]
    files = [path for folder in folders if folder.name[0] != "." for path in folder.rglob("*.*")]
    missing = [
        f"{path}: {name}"
        for path in files
        if path.suffix in (".py", ".sql", ".yml", ".yaml", ".json", ".conf", ".html", ".tpl")
        for name in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.md", path.read_text())
        if not (ROOT / name).exists()
    ]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_named_in_backquotes_exist(document):
    """Checks names such as `server/app.py`. Ignores paths of an installation (.ticketing, TICKETING_HOME)."""
    folders = [path.name for path in ROOT.iterdir() if path.is_dir()]
    named = re.findall(
        rf"`((?:{'|'.join(map(re.escape, folders))})/[\w./-]+\.(?:py|sql|md|conf|html))`",
        document.read_text(),
    )

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_has_a_language_that_the_test_of_documents_knows(document):
    """CONTRIBUTING.md lists the languages."""
    unknown = [
        (block.line, block.language) for block in blocks_of(document) if block.language not in LANGUAGES
    ]

    assert unknown == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_within_sentences_exist(document):
    """Checks `ticketing SUBCOMMAND --option` and `make TARGET`; blocks are run by test_documents.py."""
    commands = [re.sub(r"^(?:\w+=\S* )+|^\.venv/bin/", "", text) for text in texts_in_backquotes(document)]
    words = [shlex.split(text) for text in commands if re.match(r"(?:ticketing|make) ", text)]
    problems = [(problem_of_make if each[0] == "make" else problem_of_ticketing)(each) for each in words]

    assert [problem for problem in problems if problem] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_requests_within_sentences_exist(document):
    """Checks `GET /v1/...` with its parameters against the OpenAPI document."""
    requests = [text.split() for text in texts_in_backquotes(document)]
    sent = [one for one in requests if len(one) == 2 and one[0] in ("GET", "POST", "PUT", "PATCH", "DELETE")]

    assert [(method, path) for method, path in sent if not is_described(method, path)] == []


def texts_in_backquotes(document):
    """The texts in backquotes of a document, without its fenced blocks."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text)]


@cache
def described_paths():
    return describe(ROUTES, "https://api.example.com")["paths"]


def is_described(method, address):
    """Whether the OpenAPI document has that operation with all these parameters. Ids may have any name."""
    parts = urlsplit(address)
    for path, operations in described_paths().items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))
        if re.fullmatch(pattern, parts.path) and (operation := operations.get(method.lower())):
            known = {parameter.get("name") for parameter in operation.get("parameters", ())}
            return parse_qs(parts.query, keep_blank_values=True).keys() <= known
    return not parts.path.startswith("/v1/")


def test_the_diagram_of_the_architecture_names_every_service():
    diagram = (ROOT / "docs" / "explanation" / "architecture.svg").read_text().lower()
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].keys() - {"migrate"}

    assert [name for name in services if not re.search(rf">{name}[<\w]", diagram)] == []


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_names_its_readers_first(document):
    first = document.read_text().split("\n\n")[1]

    assert re.match(
        r"For (?:everybody|(?:[\w' -]+)?(?:developers|operators|auditors|people|admins))\b", first
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_decisions_and_sections_name_what_they_lead_to(document):
    text = document.read_text()
    decisions = re.findall(r"\[[Dd]ecision\s+(\d+)\]\([^)]*?/?(\d{4})-[^)]*\)", text)
    sections = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]*)\)", text)

    assert [number for number, page in decisions if int(number) != int(page)] == []
    assert [f"{path}#{name}" for path, name in sections if name not in anchors_of(document, path)] == []


def anchors_of(document, path):
    """The anchors of the headings of a document, as GitHub makes them."""
    target = document.parent / path if path else document
    headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()

    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if f"({path.name})" not in index] == []


def test_every_dependency_is_pinned_and_explained():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = (setup["options"]["install_requires"], *setup["options.extras_require"].values())
    requirements = [line for text in lists for line in text.split("\n") if line]
    names = [re.match(r"[\w-]+", line).group() for line in requirements]
    page = (ROOT / "docs" / "decisions" / "0003-dependencies.md").read_text()

    assert [name for name in names if f"`{name}`" not in page] == []
    assert [line for line in requirements if "==" not in line] == []
