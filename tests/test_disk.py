"""`%llm disk` and `%llm logs`, through the line commands; programs such as docker are small ones put first on PATH.

What the stand-ins print are the words of the real ones: docker's client 28, and Ollama's log.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadOption, Client, LLMError, disk, hosts, machine
from tests.refresh import fresh_user
from tests.replay import Answer, replaying
from tests.serving import Server, serving

DF = """\
TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
Images          3         1         4.71GB    1.243GB (26%)
Containers      1         1         2.1MB     0B (0%)
Local Volumes   2         1         9.652GB   0B (0%)
Build Cache     0         0         0B        0B
"""
LOG = """\
time=2026-11-22T10:41:30.090Z level=INFO source=routes.go:1332 msg="server config" env="map[OLLAMA_HOST:http://0.0.0.0:11434 HTTPS_PROXY:http://anna:hunter2@proxy:3128 OLLAMA_API_KEY:s3cr3tkey]"
time=2026-11-22T10:41:31.090Z level=DEBUG source=routes.go:1500 msg="chat request" images=0 prompt="<|im_start|>user\\nMy \\"very own\\" words<|im_end|>\\n"
[GIN] 2026/11/22 - 10:41:31 | 200 |  1.234567s |       127.0.0.1 | POST     "/api/chat"
"""  # noqa: E501  # a log's lines are as long as they are
DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
DENIED = "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock"

Program = Callable[..., None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a program on a PATH that has no others but the shell's: what it prints for which first word."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, *, status: int = 0, seconds: float = 0, **printed: str) -> None:
        cases = []
        for word, text in printed.items():
            (folder / f"{name}.{word}").write_text(text)
            cases.append(f'{word}) {shutil.which("cat", path="/usr/bin:/bin")} "{folder}/{name}.{word}";;')
        sleep = f"{shutil.which('sleep', path='/usr/bin:/bin')} {seconds}"
        record = f'echo "$@" >> "{folder}/{name}.asked"'
        script = folder / name
        script.write_text(f'#!/bin/sh\n{record}\n{sleep}\ncase "$1" in\n{chr(10).join(cases)}\nesac\nexit {status}\n')
        script.chmod(0o755)

    return put


@pytest.fixture(scope="module")
def mine() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An Ollama on this machine of which nothing but its answers is known."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    with replaying(tags=Answer(('{"models":[{"name":"m:latest","size":3000000000}]}',))) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server.url


def asked(tmp_path: Path, name: str = "docker") -> list[str]:
    return (tmp_path / "bin" / f"{name}.asked").read_text().splitlines()


def refused(function: Callable[[], object]) -> tuple[str, str]:
    """The two lines that it fails with."""
    with pytest.raises(LLMError) as caught:
        function()
    return caught.value.message, caught.value.hint


# Where models lie


def test_the_folder_of_a_server_that_was_told_one(mine: Server) -> None:
    with Client(mine.url) as client:
        client.copy("local_tiny", "local_second")
        models = client.models()
        folder = disk.folder(mine.url, models)
        assert folder is not None
        assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == ["blobs", "manifests"]
        used = disk.usage(folder)
        assert used.models == sum(path.stat().st_size for path in (folder / "blobs").iterdir())
        assert used.models < 1.1 * models[0].size  # two names, one set of blobs
        assert sum(each.size for each in models) == 2 * models[0].size
        assert 0 < used.free <= used.size
        client.delete("local_second")


def test_a_folder_is_known_by_its_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("--models", str(tmp_path)) as server:  # a server's flag that comes last counts
        listed = server.client.get("/api/tags").text
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    with replaying(tags=Answer((listed,))) as there, Client(there.url) as client:
        models = client.models()
        assert disk.folder(there.url, models) == tmp_path
        assert disk.folder("http://example.org:11434", models) is None
        assert disk.folder(there.url, [*models, models[0].__class__("other:latest")]) is None
        assert disk.folder(there.url, [models[0].__class__(models[0].name, digest="0" * 64)]) is None
        assert disk.folder(there.url, []) is None


def test_a_folder_is_known_by_what_grows_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / ("sha256-53c5780fe2ec" + "0" * 52 + "-partial")).touch()
    assert disk.receiving("http://127.0.0.1:1", "pulling 53c5780fe2ec") == tmp_path
    assert disk.receiving("http://127.0.0.1:1", "pulling 53c5780fe2ed") is None
    assert disk.receiving("http://127.0.0.1:1", "pulling manifest") is None
    assert disk.receiving("http://example.org:1", "pulling 53c5780fe2ec") is None


def test_stopped_pulls_count_by_what_has_come(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    with (tmp_path / "blobs" / ("sha256-" + "0" * 64 + "-partial")).open("wb") as file:
        file.truncate(1 << 30)  # as long as the whole blob, and full of holes
        file.write(b"x" * 100_000)
    (tmp_path / "blobs" / ("sha256-" + "1" * 64)).write_bytes(b"x" * 1000)
    used = disk.usage(tmp_path)
    assert used.models == 1000
    assert 100_000 <= used.unfinished < 1_000_000


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert disk.usage(tmp_path / "a" / "b").models == 0
    assert disk.free(tmp_path / "a" / "b") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


# %llm disk


def test_disk(
    shell: InteractiveShell,
    mine: Server,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    program("docker", system=DF)
    monkeypatch.setenv("OLLAMA_HOST", mine.url)
    assert shell.run_line_magic("llm", "disk") is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("models      2.")
    assert lines[0].endswith(" MB in 1 model; what they share counts once")
    assert lines[1].startswith("free        ")
    assert lines[2].startswith("folder      /")
    assert lines[4] == "docker system df"
    assert [line.strip() for line in lines[5:]] == [line.strip() for line in DF.splitlines()]
    assert asked(tmp_path) == ["system df"]


def test_disk_of_a_server_whose_folder_is_not_seen(
    shell: InteractiveShell, ollama: str, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("llm", "disk")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "models      3.0 GB in 1 model, as the server counts"
    assert lines[1] == "free        not known: the server's models lie in a folder that can't be seen from here"
    assert lines[4:] == ["  There is no docker here.", "  Type it where the server runs: docker system df"]


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (DOWN, "Docker is installed, but its daemon does not answer.", "systemctl start docker"),
        (DENIED, "Docker does not let this user in: permission denied.", "usermod -aG docker"),
        ("unknown command: docker system\x1b[2J", "`docker system df` failed: unknown command: docker system", "Type"),
        ("", "`docker system df` failed: it said nothing", "Type"),
    ],
)
def test_docker_that_fails(program: Program, said: str, message: str, hint: str) -> None:
    program("docker", status=1, system=said)
    told = refused(lambda: machine.run("docker", "system", "df"))
    assert told[0].startswith(message)
    assert hint in told[1]
    assert "\x1b" not in told[0]


def test_docker_that_hangs(program: Program) -> None:
    program("docker", seconds=5, system=DF)
    told = refused(lambda: machine.run("docker", "system", "df", seconds=0.2))
    assert told[0] == "`docker system df` did not end in 0.2 seconds."


def test_docker_that_may_not_be_run(program: Program, tmp_path: Path) -> None:
    program("docker", system=DF)
    (tmp_path / "bin" / "docker").chmod(0o644)
    assert refused(lambda: machine.run("docker", "system", "df"))[0] in (
        "This user may not run docker.",
        "There is no docker here.",  # what Python says depends on what else is on PATH
    )


# %llm logs


def test_the_log_of_the_embedded_server_has_no_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "xyzzy-plugh-words"
    with fresh_user(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if hosts.present():
            pytest.skip("an Ollama answers on this machine")
        with Client(headers={"Authorization": f"Bearer {secret}"}) as client:
            client.chat("local_tiny", f"What is {secret}?", num_predict=4)
            with pytest.raises(LLMError):
                client.chat("local_tiny", secret, num_predict=4, images=[b"\x89PNG\r\n\x1a\n" + secret.encode()])
        log = hosts.state_file().with_suffix(".log")
        assert secret not in log.read_text()
        shell.run_line_magic("llm", "logs")
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("listening on http://127.0.0.1:")
        assert lines[-1] == f"({log})"
        hosts.stop()
        shell.run_line_magic("llm", "logs 1")  # its last words can be read when it has ended
        assert capsys.readouterr().out.splitlines()[-1] == f"({log})"


def test_the_log_of_a_container(
    shell: InteractiveShell, ollama: str, program: Program, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    program("docker", ps="web\tnginx:1.27\t\nollama_server\tollama/ollama:0.32.15\t\n", logs=LOG + "\x1b]0;title\x07\n")
    shell.run_line_magic("llm", "logs 200")
    said = capsys.readouterr().out
    assert asked(tmp_path)[-1] == "logs --tail 200 ollama_server"
    assert '"/api/chat"' in said
    assert "HTTPS_PROXY:http://(not shown)@proxy:3128" in said
    for secret in ("hunter2", "s3cr3tkey", "very own", "\x1b", "\x07"):
        assert secret not in said
    assert said.splitlines()[-1] == "(docker logs --tail 200 ollama_server)"


def test_a_container_of_another_name_is_known_by_its_image(ollama: str, program: Program, tmp_path: Path) -> None:
    program("docker", ps="web\tnginx:1.27\t\nmine\tollama/ollama:0.32.15-rocm\t\n", logs=LOG)
    assert "(docker logs --tail 40 mine)" in machine.logs_text()


@pytest.mark.parametrize(
    "image",
    ["ollama/ollama", "ollama/ollama@sha256:ab78618e90a3", "localhost:5000/ollama/ollama:0.32.15", "lab/ollama/ollama"],
)
def test_an_image_is_ollama_s_from_any_registry(ollama: str, program: Program, image: str) -> None:
    program("docker", ps=f"web\tmyollama/ollama:1\t\nmine\t{image}\t\n", logs=LOG)
    assert "(docker logs --tail 40 mine)" in machine.logs_text()


def test_of_two_containers_the_log_is_of_the_one_behind_the_address(ollama: str, program: Program) -> None:
    doors = f"0.0.0.0:{urlsplit(ollama).port}->11434/tcp, :::{urlsplit(ollama).port}->11434/tcp"
    second = f"second\tollama/ollama:0.24.0\t{doors}"
    program("docker", ps=f"ollama_server\tollama/ollama:0.32.15\t127.0.0.1:1->11434/tcp\n{second}\n", logs=LOG)
    assert "(docker logs --tail 40 second)" in machine.logs_text()


def test_the_log_of_the_embedded_engine_in_a_container(
    mine: Server, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", mine.url)
    doors = f"127.0.0.1:{urlsplit(mine.url).port}->11434/tcp"
    program("docker", ps=f"ollama_server\tollama/ollama:0.32.15\t{doors}\n", logs="listening on http://0.0.0.0:11434\n")
    said = "listening on http://0.0.0.0:11434\n(docker logs --tail 40 ollama_server)"
    assert machine.logs_text() == said


def test_the_log_of_linux_s_service(ollama: str, program: Program, tmp_path: Path) -> None:
    program("journalctl", **{"-u": LOG})
    assert machine.logs_text(7).splitlines()[-1] == "(journalctl -u ollama -n 7)"
    assert asked(tmp_path, "journalctl") == ["-u ollama -n 7 --no-pager -o short-iso"]


def test_the_log_of_the_desktop_app(ollama: str, program: Program, tmp_path: Path) -> None:
    log = tmp_path / "home" / ".ollama" / "logs" / "server.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    lines = machine.logs_text(3).splitlines()
    assert lines == ["line 99997", "line 99998", "line 99999", f"({log})"]


def test_an_ollama_without_a_log_to_be_found(ollama: str, program: Program) -> None:
    told = refused(machine.logs_text)
    assert told[0] == "No log of an Ollama was found on this machine. There is no docker here."
    assert "docker logs --tail 40 NAME" in told[1]
    program("docker", status=1, ps=DENIED)
    assert "permission denied" in refused(machine.logs_text)[0]


def test_logs_of_a_server_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "https://anna:hunter2@ollama.invalid/x")
    told = refused(machine.logs_text)
    assert told[0] == "The server at https://ollama.invalid:443/x is not on this machine, nor is its log."
    assert "docker logs --tail 40 ollama_server" in told[1]


def test_logs_of_an_embedded_server_that_was_started_by_hand(mine: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", mine.url)
    assert "acagent-nb serve" in refused(machine.logs_text)[1]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("logs -f", "docker compose logs -f ollama"),
        ("logs 5 --follow", "docker compose logs -f ollama"),
        ("logs 0", "%llm logs 200"),
        ("logs many", "%llm logs 200"),
        ("logs 5 6", "%llm logs 200"),
        ("disk usage", "%llm disk"),
    ],
)
def test_lines_that_can_t_be_meant(shell: InteractiveShell, line: str, hint: str) -> None:
    with pytest.raises(BadOption) as caught:
        shell.run_line_magic("llm", line)
    assert hint in caught.value.hint


def test_what_docker_prints_can_t_steer_a_terminal(
    shell: InteractiveShell, ollama: str, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    program("docker", system=json.dumps({"x": 1}) + "\x1b[2J\x07")
    shell.run_line_magic("llm", "disk")
    said = capsys.readouterr().out
    assert '{"x": 1}' in said
    assert "\x1b" not in said
