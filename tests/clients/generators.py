"""How each client is generated, compiled and run. Each has a folder of its own with the document in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.clients.reporting import OPERATIONS
from tests.clients.tools import HERE, Failed, Tools, run

STEPS = ("generate", "compile", *OPERATIONS)
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # they run too briefly for the other compiler
ONLY_CODE = "apis,models,supportingFiles,apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"

Environment = Mapping[str, str]
Commands = Callable[[Tools, Path], list[list[str | Path]]]


class Generator(NamedTuple):
    """A generator, the commands that make and use its client, and the files that are copied to its folder."""

    name: str
    copies: tuple[str, ...]
    generate: Commands
    compile: Commands
    use: Commands


class Result(NamedTuple):
    """The steps that succeeded, and the reasons of the others."""

    generator: str
    succeeded: frozenset[str]
    failures: dict[str, str]


def openapi_generator(language: str, **properties: str) -> Commands:
    options = ",".join(f"{name}={value}" for name, value in properties.items())
    more = ["--additional-properties", options] if options else []

    def commands(tools: Tools, folder: Path) -> list[list[str | Path]]:
        generate = ["generate", "-i", "openapi.json", "-g", language, "-o", "generated"]
        return [[*JAVA, "-jar", tools.generator_jar, *generate, "--global-property", ONLY_CODE, *more]]

    return commands


def _java_sources(folder: Path) -> list[str | Path]:
    return ["Use.java", *sorted(folder.glob("generated/src/main/**/*.java"))]


def _class_path(tools: Tools) -> str:
    return f"classes:{tools.java_libraries}/*"


def _type_check_python(tools: Tools, folder: Path) -> list[list[str | Path]]:
    return [["python", "-m", "compileall", "-q", "client"]]


GENERATORS = (
    Generator(
        "openapi-generator java",
        ("openapi_generator_java/Use.java",),
        openapi_generator("java", useSingleRequestParameter="true"),
        lambda tools, folder: [
            [
                "javac",
                "-nowarn",
                "-proc:none",
                "-d",
                "classes",
                "-cp",
                _class_path(tools),
                *_java_sources(folder),
            ]
        ],
        lambda tools, folder: [[*JAVA, "-cp", _class_path(tools), "Use"]],
    ),
    Generator(
        "oapi-codegen",
        (
            "reporting.go",
            *(f"oapi_codegen/{name}" for name in ("go.mod", "go.sum", "main.go", "oapi-codegen.yaml")),
        ),
        lambda tools, folder: [
            ["mkdir", "client"],
            ["go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", "openapi.json"],
        ],
        lambda tools, folder: [["go", "build", "-o", "use", "."]],
        lambda tools, folder: [["./use"]],
    ),
    Generator(
        "openapi-generator go",
        ("reporting.go", *(f"openapi_generator_go/{name}" for name in ("go.mod", "go.sum", "main.go"))),
        openapi_generator("go", packageName="client", withGoMod="false"),
        lambda tools, folder: [["mv", "generated", "client"], ["go", "build", "-o", "use", "."]],
        lambda tools, folder: [["./use"]],
    ),
    Generator(
        "openapi-generator python",
        ("use_openapi_generator_python.py", "reporting.py"),
        openapi_generator("python", packageName="client"),
        lambda tools, folder: [["mv", "generated/client", "client"], *_type_check_python(tools, folder)],
        lambda tools, folder: [["python", "use_openapi_generator_python.py"]],
    ),
    Generator(
        "openapi-python-client",
        ("use_openapi_python_client.py", "reporting.py"),
        lambda tools, folder: [
            [
                *("openapi-python-client", "generate", "--path", "openapi.json"),
                *("--meta", "none", "--output-path", "client", "--fail-on-warning"),
            ]
        ],
        _type_check_python,
        lambda tools, folder: [["python", "use_openapi_python_client.py"]],
    ),
    Generator(
        "openapi-typescript, openapi-fetch",
        tuple(f"openapi_fetch/{name}" for name in ("package.json", "tsconfig.json", "use.ts")),
        lambda tools, folder: [
            ["ln", "-s", tools.node_modules, "node_modules"],
            ["openapi-typescript", "openapi.json", "-o", "client.d.ts"],
        ],
        lambda tools, folder: [["tsc", "-p", "tsconfig.json"]],
        lambda tools, folder: [["node", "use.ts"]],
    ),
)


def check(
    generator: Generator, tools: Tools, document: bytes, folder: Path, environment: Environment
) -> Result:
    """Generate the client, compile it and use it. Without one of these steps, the following ones fail too."""
    folder.mkdir()
    (folder / "openapi.json").write_bytes(document)
    for name in generator.copies:
        shutil.copy(HERE / name, folder)
    succeeded, failures = set(), {}
    for step, commands in (
        ("generate", generator.generate),
        ("compile", generator.compile),
        ("", generator.use),
    ):
        try:
            output = "".join(run(command, folder, environment) for command in commands(tools, folder))
        except Failed as failure:
            failures[step or "use"] = str(failure)
            break
        if step:
            succeeded.add(step)
        else:
            _read_report(output, succeeded, failures)
    return Result(generator.name, frozenset(succeeded), failures)


def _read_report(output: str, succeeded: set[str], failures: dict[str, str]) -> None:
    for line in output.splitlines():
        result, _, rest = line.partition(": ")
        if result == "ok":
            succeeded.add(rest)
        elif result == "failed":
            operation, _, reason = rest.partition(": ")
            failures[operation] = reason
