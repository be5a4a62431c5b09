"""Commands in documents that no test can run: the reason for each, and what is checked instead."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable, Sequence
from functools import cache
from itertools import dropwhile
from pathlib import Path
from typing import Any, NamedTuple

import typer
import yaml

from cli.main import app
from infrastructure.settings import variable_names

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "ticketing"
Words = Sequence[str]


def problem_of_make(words: Words) -> str | None:
    """What is wrong with `make TARGET VARIABLE=value`: a target that the Makefile does not have."""
    targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    unknown = [target for target in targets if target not in known]
    return f"the Makefile has no target {unknown[0]}" if unknown else None


def problem_of_ticketing(words: Words) -> str | None:
    """What is wrong with `ticketing SUBCOMMAND --option`: a name that the command line does not have."""
    command = _command_line()
    rest = list(words[1:])
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    if hasattr(command, "commands") and rest and not rest[0].startswith(("-", "[")):
        return f"there is no subcommand {' '.join(words)}"
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    options = [word.partition("=")[0] for word in rest if word.startswith("--")]
    unknown = [option for option in options if option not in known | {"--help"}]
    return f"{' '.join(words)} has no option {unknown[0]}" if unknown else None


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def problem_of_compose(words: Words) -> str | None:
    """What is wrong with `docker compose VERB SERVICE [ticketing ...]`: a service that does not exist."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    rest = list(dropwhile(lambda word: word.startswith("-"), words[3:]))
    if rest and rest[0] not in services:
        return f"docker-compose.yml has no service {rest[0]}"
    if words[2] == "run":  # the entry point of the image is `ticketing`
        return problem_of_ticketing(["ticketing", *rest[1:]])
    return problem_of_ticketing(rest[1:]) if rest[1:2] == ["ticketing"] else None


def problem_of_module(words: Words) -> str | None:
    """What is wrong with `python -m MODULE`: a module that does not exist."""
    module = words[2]
    return None if importlib.util.find_spec(module) else f"there is no module {module}"


def problem_of_secret(words: Words) -> str | None:
    """What is wrong with `kubectl create secret generic NAME --from-literal=VARIABLE=...`."""
    variables = re.findall(r"--from-literal=(\w+)=", " ".join(words))
    unknown = [name for name in variables if name not in variable_names()]
    if unknown:
        return f"there is no setting {unknown[0]}"
    return (
        None if words[4] in (CHART / "values.yaml").read_text() else f"the chart reads no Secret {words[4]}"
    )


def problem_of_exec(words: Words) -> str | None:
    """What is wrong with `kubectl exec POD -- ticketing ...`."""
    return problem_of_ticketing(words[words.index("--") + 1 :])


def problem_of_selector(words: Words) -> str | None:
    """What is wrong with `kubectl scale deployment --selector LABEL=...`: no pod has the label."""
    label = words[words.index("--selector") + 1].partition("=")[0]
    labels = re.findall(r"^ *([\w./-]+):", (CHART / "templates" / "_helpers.tpl").read_text(), re.MULTILINE)
    return None if label in labels else f"no pod has the label {label}"


def problem_of_helm(words: Words) -> str | None:
    """What is wrong with `helm install NAME CHART`: there is no such chart."""
    return None if (ROOT / words[3] / "Chart.yaml").exists() else f"there is no chart {words[3]}"


def problem_of_build(words: Words) -> str | None:
    """What is wrong with `docker build ... .`: the folder has no Dockerfile."""
    return None if (ROOT / words[-1] / "Dockerfile").exists() else f"{words[-1]} has no Dockerfile"


def problem_of_log(words: Words) -> str | None:
    """What is wrong with `tail $TICKETING_HOME/logs/PROCESS.log`: there is no such process."""
    return problem_of_ticketing(["ticketing", Path(words[-1]).stem])


class NotRun(NamedTuple):
    """A command that no test runs: how it begins, why, and what finds a mistake in it."""

    beginning: str
    reason: str
    problem: Callable[[Words], str | None]


NOT_RUN = (
    NotRun("make test", "runs this test", problem_of_make),
    NotRun("make lint", "is run by .ci/run", problem_of_make),
    NotRun("make format", "changes the files", problem_of_make),
    NotRun("make clients", "is run by .ci/run", problem_of_make),
    NotRun("make bench", "takes minutes", problem_of_make),
    NotRun("docker compose", "needs Docker", problem_of_compose),
    NotRun("docker build", "needs Docker", problem_of_build),
    NotRun("kubectl create secret", "needs Kubernetes", problem_of_secret),
    NotRun("kubectl exec", "needs Kubernetes", problem_of_exec),
    NotRun("kubectl scale", "needs Kubernetes", problem_of_selector),
    NotRun("helm", "needs Kubernetes", problem_of_helm),
    NotRun("make chaos", "takes up to 45 minutes", problem_of_make),
    NotRun("make deploy-check", "is run by .ci/run", problem_of_make),
    NotRun("tail -n 20 $TICKETING_HOME/logs/relay.log", "needs Kafka", problem_of_log),
)


def find_not_run(command: str) -> NotRun | None:
    """The entry of NOT_RUN for a command, or None if the command must run."""
    text = re.sub(r"^(?:\w+=\S* )+", "", command)
    return next((entry for entry in NOT_RUN if f"{text} ".startswith(f"{entry.beginning} ")), None)


def problem_of(command: str) -> str | None:
    """What is wrong with a command of NOT_RUN, or None."""
    entry = find_not_run(command)
    assert entry is not None, command
    first, *others = re.split(r" && ", command)
    problems = [entry.problem(_words(first)), *map(_problem_of_next, others)]
    return next((problem for problem in problems if problem), None)


def _problem_of_next(command: str) -> str | None:
    """What is wrong with a command after `&&`."""
    words = _words(command)
    if words[1:2] == ["-m"]:
        return problem_of_module(words)
    assert words[:2] == ["docker", "push"], f"no test knows how to check {command}"
    return None


def _words(command: str) -> Words:
    return shlex.split(re.sub(r"^(?:\w+=\S* )+", "", command), comments=True)
