"""The documents say what is there."""

import configparser
import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from infrastructure.process import metrics
from tests.support.settings import names_read

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})


def test_every_setting_is_documented_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)

    assert sorted(rows) == sorted(names_read())


def test_every_metric_is_documented_as_what_it_is():
    page = (ROOT / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| `(ticketing_\w+)` \| (\w+) \| ([\w`, ]*)\|", page, re.MULTILINE)
    ours = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]

    assert sorted(
        (name.removesuffix("_total"), kind, re.findall(r"\w+", labels)) for name, kind, labels in rows
    ) == (sorted((one._name, one._type, list(one._labelnames)) for one in ours))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_named_in_code_marks_exist(document):
    """Names such as `server/app.py`; paths of an installation (.ticketing, TICKETING_HOME) are ignored."""
    folders = [path.name for path in ROOT.iterdir() if path.is_dir()]
    named = re.findall(
        rf"`((?:{'|'.join(map(re.escape, folders))})/[\w./-]+\.(?:py|sql|md|conf|html))`",
        document.read_text(),
    )

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()

    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if f"({path.name})" not in index] == []


def test_every_dependency_is_pinned_and_has_its_line():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = (setup["options"]["install_requires"], *setup["options.extras_require"].values())
    asked_for = [line for text in lists for line in text.split("\n") if line]
    names = [re.match(r"[\w-]+", line).group() for line in asked_for]
    page = (ROOT / "docs" / "decisions" / "0003-dependencies.md").read_text()

    assert [name for name in names if f"`{name}`" not in page] == []
    assert [line for line in asked_for if "==" not in line] == []
