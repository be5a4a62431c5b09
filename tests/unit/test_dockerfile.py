"""The Dockerfile copies what exists, and its process cannot become root."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n", " ", DOCKERFILE).splitlines()
    if line and not line.startswith("#")
]
FINAL = INSTRUCTIONS[max(index for index, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]


def arguments(name, instructions=FINAL):
    return [text for found, text in instructions if found == name]


def test_the_image_runs_as_a_user_with_a_number():
    """Kubernetes can check only numbers against runAsNonRoot."""
    (user,) = arguments("USER")
    uid, gid = user.split(":")
    (creation,) = [text for text in arguments("RUN") if "useradd" in text]

    assert f"--gid {gid} " in creation.partition("useradd")[0]
    assert f"--uid {uid} --gid {gid} " in creation
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000


def test_nothing_runs_after_the_user_is_set():
    names = [name for name, _ in FINAL]

    assert "RUN" not in names[names.index("USER") :]


def test_every_stage_has_a_version_of_its_image():
    images = [text.split()[0] for text in arguments("FROM", INSTRUCTIONS)]

    assert len(set(images)) == 1  # the environment is copied from one to the other
    assert re.fullmatch(r"python:3\.\d+-slim", images[0])


def test_the_final_stage_copies_only_what_the_build_has_installed():
    (copy,) = arguments("COPY")
    stages = re.findall(r" AS (\w+)$", DOCKERFILE, re.MULTILINE)
    source, target = re.fullmatch(r"--from=(\w+) (\S+) \S+", copy).groups()

    assert source in stages
    assert f"python -m venv {target}\n" in DOCKERFILE


def test_the_context_of_the_build_has_only_existing_files_and_no_secrets():
    included = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]

    assert IGNORED[1] == "*"
    assert [name for name in included if not (ROOT / name).exists()] == []
    assert not {".env", ".git", ".ticketing", "tests"} & set(included)


def test_the_context_of_the_build_has_what_the_build_reads():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    read = {"setup.cfg", "pyproject.toml", *re.findall(r"-c (\S+)", DOCKERFILE)}
    read |= set(
        re.findall(r"^long_description = file: (\S+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    )

    assert pyproject["build-system"]["build-backend"] == "setuptools.build_meta"
    assert read <= {line.removeprefix("!") for line in IGNORED}


def test_signals_reach_the_process():
    """With a shell in between, SIGTERM would not."""
    (entrypoint,) = arguments("ENTRYPOINT")

    assert entrypoint.startswith('["')
    assert arguments("CMD")[0].startswith('["')
