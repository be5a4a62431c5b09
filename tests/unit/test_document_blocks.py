"""How the tests read documents: blocks, commands, what is shown, and commands that are not run."""

import pytest

from tests.support.commands_not_run import find_not_run, problem_of, problem_of_ticketing
from tests.support.documents import blocks_of, commands_of, is_contained, is_shown

PAGE = """A page
```sh
one
two 'first line
second line' \\
  --option
cat <<END
text
END
# a comment
```
1. In a list:

   ```console
   $ greet
   hello
   $ leave
   ```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_blocks_have_their_language_and_lose_the_indentation_of_lists(page):
    shell, console = blocks_of(page)

    assert (shell.language, shell.line, console.language) == ("sh", 3, "console")
    assert console.text == "$ greet\nhello\n$ leave\n"


def test_commands_continue_over_quotes_backslashes_and_here_documents(page):
    shell, console = blocks_of(page)

    assert [command.text for command in commands_of(shell)] == [
        "one",
        "two 'first line\nsecond line' \\\n  --option",
        "cat <<END\ntext\nEND",
    ]
    assert commands_of(console) == [("greet", "hello"), ("leave", "")]


def test_a_fence_that_is_not_closed_is_refused(page):
    page.write_text(PAGE + "```sh\n")

    with pytest.raises(AssertionError, match="not closed"):
        blocks_of(page)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("", ""),
        ("one\n...\nfour", "one\ntwo\nthree\nfour\n"),
        ("... events", "1507 events"),
        ("at 2026-11-28T17:38:47Z", "at 2030-01-01T00:00:00.5Z"),
        ("id 01a2233c-f56b-761a-b467-92d7b93058aa", "id 123e4567-e89b-12d3-a456-426614174000"),
        ("mts_AAA", "mts_BBB"),
    ],
)
def test_ids_times_keys_and_dots_stand_for_others(shown, printed):
    assert is_shown(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("", "text"), ("one", "one\ntwo"), ("a.c", "abc"), ("mts_AAA", "mto_AAA"), ("3 events", "4 events")],
)
def test_other_differences_are_found(shown, printed):
    assert not is_shown(shown, printed)


def test_json_is_contained_field_by_field():
    printed = {"data": [{"id": "a", "name": "Hill"}, {}], "status": "success"}

    assert is_contained({"data": [{"id": "...", "name": "Hill"}]}, printed)
    assert not is_contained({"data": [{"name": "Dale"}]}, printed)
    assert not is_contained({"data": [{"size": 1}]}, printed)
    assert not is_contained({"data": [{}, {}, {}]}, printed)


@pytest.mark.parametrize(
    "command",
    [
        "make test ARGS='tests/unit -k ticket'",
        "docker compose run --rm migrate key create --name first --role admin",
        "docker compose exec notary ticketing verify --checkpoints FILE",
    ],
)
def test_commands_that_are_not_run_and_name_what_exists_are_accepted(command):
    assert problem_of(command) is None


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (
            "kubectl create secret generic ticketing-database --from-literal=DATABASE=...",
            "there is no setting DATABASE",
        ),
        (
            "kubectl exec deployment/ticketing-api -- ticketing check",
            "there is no subcommand ticketing check",
        ),
        ("kubectl scale deployment --selector app=ticketing --replicas=0", "no pod has the label app"),
        ("helm install ticketing deploy/chart", "there is no chart deploy/chart"),
        ("make bench test-all", "the Makefile has no target test-all"),
        ("make bench && .venv/bin/python -m benchmarks.nothing", "there is no module benchmarks.nothing"),
        ("docker compose up database", "docker-compose.yml has no service database"),
        ("docker compose run migrate key make", "there is no subcommand ticketing key make"),
        ("docker compose exec notary ticketing verify --all", "ticketing verify --all has no option --all"),
    ],
)
def test_commands_that_are_not_run_and_name_what_does_not_exist_are_refused(command, problem):
    assert problem_of(command) == problem


def test_only_listed_commands_are_not_run():
    assert find_not_run("make run") is None
    assert find_not_run("make testing") is None
    assert problem_of_ticketing(["ticketing", "user", "list"]) is not None
