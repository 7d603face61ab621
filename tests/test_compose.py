"""What docker-compose.yml, environment.yml and the workflow promise, as far as it can be told without docker.

`tests/compose/try` runs the compose file for real.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from acagent_nb import machine
from acagent_nb.server import app

from .compose.stack import CONTAINER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOUSE = Path(__file__).parent.parent
SCHEMAS = {
    "docker-compose.yml": "vendor.compose-spec",
    ".github/workflows/ci.yml": "vendor.github-workflows",
}
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLLAMAS = ("ollama", "ollama-nvidia", "ollama-amd")
CONDA_NAMES = {"docstring-parser": "docstring_parser", "matplotlib": "matplotlib-base"}
# Others have these names there, or they are not there, or not for each system.
BY_PIP = {"math-core", "ollama", "playwright", "uvloop", "xllamacpp"}


def read(name: str) -> Any:
    return YAML(typ="safe").load(HOUSE / name)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = read("docker-compose.yml")["services"]
    return found


def checked(path: Path, schema: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_are_what_their_schemas_allow(name: str, tmp_path: Path) -> None:
    ran = checked(HOUSE / name, SCHEMAS[name])
    assert ran.returncode == 0, ran.stdout
    damaged = tmp_path / "damaged.yml"
    damaged.write_text((HOUSE / name).read_text().replace("services:", "service:").replace("runs-on:", "run-on:"))
    assert checked(damaged, SCHEMAS[name]).returncode == 1, "the check finds nothing"


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="there is no docker-compose")
def test_docker_compose_takes_the_file() -> None:
    environment = {**os.environ, "OLLAMA_PORT": "21434", "JUPYTER_TOKEN": "mine"}
    ran = subprocess.run(
        ["docker-compose", "--profile", "test", "config"], cwd=HOUSE, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    told = YAML(typ="safe").load(ran.stdout)["services"]
    assert "21434" in str(told["ollama"]["ports"])
    assert told["jupyter"]["environment"]["JUPYTER_TOKEN"] == "mine"


def test_doors_are_open_to_this_machine_only(services: dict[str, Any]) -> None:
    doors = [door for service in services.values() for door in service.get("ports", [])]
    assert len(doors) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-(\d+)\}:\1", door) for door in doors), doors
    assert not any("network_mode" in service or "privileged" in service for service in services.values())


@pytest.mark.parametrize("name", OLLAMAS)
def test_ollama_is_the_server_that_the_package_knows(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["container_name"] == machine.CONTAINER == CONTAINER
    kind = "-rocm" if name == "ollama-amd" else ""
    assert service["image"] == f"ollama/ollama:{app.EQUALS}{kind}"  # the version that our own server equals
    assert service["volumes"] == ["ollama:/root/.ollama"]
    assert service["healthcheck"]["test"] == ["CMD", "ollama", "list"]  # the image has no curl
    assert service.get("profiles", []) == ([] if name == "ollama" else [name.removeprefix("ollama-")])


def test_a_gpu_s_ollama_is_found_by_the_same_address(services: dict[str, Any]) -> None:
    for name in OLLAMAS[1:]:
        assert services[name]["networks"]["default"]["aliases"] == ["ollama"]
    nvidia = services["ollama-nvidia"]["deploy"]["resources"]["reservations"]["devices"]
    assert nvidia == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert services["ollama-amd"]["devices"] == ["/dev/kfd", "/dev/dri"]


@pytest.mark.parametrize("name", ["jupyter", "test"])
def test_who_asks_ollama_waits_for_it_and_can_t_write_the_clone(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["environment"]["OLLAMA_HOST"] == "http://ollama:11434"
    assert service["depends_on"] == {"ollama": {"condition": "service_healthy"}}
    mounts = {volume.split(":")[0]: volume.split(":")[-1] for volume in service["volumes"]}
    assert mounts["."] == "ro"
    assert set(mounts) == {".", name} | ({"./notebooks"} if name == "jupyter" else set())


def test_the_extras_that_are_installed_exist(services: dict[str, Any]) -> None:
    for name in ("jupyter", "test"):
        found = re.search(r"-e \.\[([\w,]+)\]", services[name]["environment"]["ACAGENT_NB_INSTALL"])
        assert found
        assert set(found[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_there_is_no_secret_in_the_file_and_no_door_without_a_token(services: dict[str, Any]) -> None:
    assert services["jupyter"]["environment"]["JUPYTER_TOKEN"] == "${JUPYTER_TOKEN:-}"  # empty: Jupyter makes one up
    assert "token" not in str(services["jupyter"]["command"]).lower()
    named = [name for service in services.values() for name in service.get("environment", {}) if "KEY" in name]
    assert named == []


def test_the_script_in_it_is_bash(services: dict[str, Any]) -> None:
    for name in ("jupyter", "test"):
        shell, flags, script, _ = services[name]["entrypoint"]
        assert (shell, flags) == ("bash", "-euc")
        assert not re.search(r"(?<!\$)\$(?!\$)", script), "compose would replace what bash should"
        if bash := shutil.which("bash"):
            subprocess.run([bash, "-n", "-c", script.replace("$$", "$")], check=True)


def test_each_dependency_has_its_line_for_conda() -> None:
    lines = read("environment.yml")["dependencies"]
    conda = {re.split(r"[<>=]", line)[0] for line in lines if isinstance(line, str)}
    needs = [*PROJECT["dependencies"]]
    needs += [line for extra, more in PROJECT["optional-dependencies"].items() if extra != "train" for line in more]
    wanted = {Requirement(line).name.lower() for line in needs} - {"acagent-nb"}
    missing = {CONDA_NAMES.get(name, name) for name in wanted - BY_PIP} - conda
    assert missing == {"tomli"}, "it needs no line: the Python there reads TOML itself"
    beside = {"pip", "python", "tinycss2"}  # of bleach[css]
    assert conda - {CONDA_NAMES.get(name, name) for name in wanted} == beside
    assert lines[-1] == {"pip": ["-e .[dev]"]}


def test_the_workflow_tests_where_the_package_says_it_runs() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    assert set(jobs["test"]["strategy"]["matrix"]["os"]) == {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert "3.10" in jobs["test"]["strategy"]["matrix"]["python"]
    commands = json.dumps(jobs)
    for command in ("ruff check .", "ruff format --check .", "mypy", "pytest", "tests/compose/try --real"):
        assert f'"run": "{command}"' in commands
    script = HOUSE / "tests" / "compose" / "try"
    assert os.name == "nt" or os.access(script, os.X_OK)
