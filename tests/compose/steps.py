"""The steps of the trial, in order: each one thing that a user does, and what must be seen then."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import quote

from .stack import CONTAINER, Stack, fetched, run, typed

_PROGRAMS = "/environment/venv/bin"  # where docker-compose.yml installs, in the containers


def config(stack: Stack) -> None:
    """`docker compose config` takes the file; newer ones refuse a GPU's Ollama beside the other already here."""
    for profile in ("", "test"):
        stack.words(*(["--profile", profile] if profile else []), "config", "--quiet")
    for profile in ("nvidia", "amd"):
        said = stack.words("--profile", profile, "config", "--quiet", check=False)
        assert not said or "already in use" in said, said
    saw("services", " ".join(sorted(stack.services)))


def up(stack: Stack) -> None:
    """`docker compose up -d`: Ollama and JupyterLab get healthy, and nothing else starts."""
    stack.words("up", "-d")
    saw("ollama", f"healthy after {stack.healthy('ollama'):.0f} s")
    saw("jupyter", f"healthy after {stack.healthy('jupyter'):.0f} s more, which installed the package")
    running = stack.words("ps", "--services", "--filter", "status=running").split()
    saw("running", " ".join(sorted(running)))
    assert sorted(running) == ["jupyter", "ollama"]


def addresses(stack: Stack) -> None:
    """Both addresses answer: http://ollama:11434 inside, localhost on this machine, and from no other."""
    said = fetched(f"{stack.ollama}/api/version")
    saw(stack.ollama, said[1])
    assert said[0] == 200
    inside = in_jupyter(stack, "env", "-u", "OLLAMA_HOST", f"{_PROGRAMS}/acagent-nb", "serve", "--status")
    saw("inside, with no address given", inside)
    assert "http://ollama:11434" in inside
    for container in (CONTAINER, stack.container("jupyter")):
        doors = run("docker", "port", container).strip()
        saw(f"docker port {container[:13]}", doors)
        assert re.findall(r"-> (.*):\d+", doors) == ["127.0.0.1"]


def bash(stack: Stack) -> None:
    """`docker exec -it ollama_server bash`: pull, list, show and run a model in a terminal."""
    model = stack.model
    lines = [
        f"ollama pull {model}",
        "ollama list",
        f"ollama show {model}",
        f"ollama run {model} 'Why is the sky blue?'",
    ]
    shown = typed(["docker", "exec", "-it", CONTAINER, "bash"], lines)
    saw("the terminal", "\n".join(line for line in plain(shown).splitlines() if line.strip()))
    assert model in shown.partition("NAME")[2]
    assert named(model) in models(stack)


def kept(stack: Stack) -> None:
    """A new container has the models of the one before, from the volume."""
    before = stack.container("ollama")
    stack.words("rm", "--stop", "--force", "ollama")
    stack.words("up", "-d", "ollama")
    stack.healthy("ollama")
    saw("containers", f"{before[:12]}, then {stack.container('ollama')[:12]}")
    assert stack.container("ollama") != before
    saw("models", " ".join(models(stack)))
    assert named(stack.model) in models(stack)


def removed(stack: Stack) -> None:
    """`ollama rm` in the container frees the model; the tests below pull it again."""
    run("docker", "exec", CONTAINER, "ollama", "rm", stack.model)
    saw("models", " ".join(models(stack)) or "none")
    assert named(stack.model) not in models(stack)


def logs(stack: Stack) -> None:
    """`docker compose logs -f ollama` shows the log, and goes on."""
    following = stack.started("logs", "-f", "ollama")
    assert following.stdout is not None
    late = threading.Timer(60, following.terminate)
    late.start()
    try:
        line = next((line for line in map(plain, following.stdout) if " | " in line), None)
        assert line, "no line came in a minute"
        saw("first line", line)
        time.sleep(1)
        assert following.poll() is None, "it ended by itself"
    finally:
        late.cancel()
        following.terminate()
        following.communicate()


def disk(stack: Stack) -> None:
    """`docker system df`, and `%llm disk` with it, in a notebook on this machine."""
    told = run("docker", "system", "df")
    saw("docker system df", told)
    said = magic(stack, "disk")
    saw("%llm disk", said)
    assert re.search(r"Local Volumes +\d+", said)
    assert "the server's models lie in a folder that can't be seen from here" in said or "folder  " in said


def magics(stack: Stack) -> None:
    """`%llm logs` and `%llm doctor` on this machine and in the container tell what is so there."""
    said = magic(stack, "logs 5")
    saw("%llm logs", said)
    assert said.splitlines()[-1] == f"(docker logs --tail 5 {CONTAINER})"
    said = magic(stack, "doctor")
    saw("%llm doctor", said)
    assert f"{stack.ollama}" in said
    assert "lives" in said
    told = {"doctor": "http://ollama:11434", "logs": "not on this machine", "disk": "no docker here"}
    for line, word in told.items():
        source = f"%load_ext acagent_nb\n%llm {line}"
        said = in_jupyter(stack, f"{_PROGRAMS}/ipython", "--quick", "-c", source, check=False)
        saw(f"%llm {line} in the container", plain(said))
        assert word in said


def token(stack: Stack) -> None:
    """JupyterLab lets in who has the token, made up or given, and nobody else; what is saved is the clone's owner's."""
    found = re.search(r"token=(\w+)", stack.words("logs", "--no-color", "jupyter"))
    assert found, "the log tells no token"
    saw("made up", f"{len(found[1])} characters in the log")
    let_in(stack, found[1])
    stack.environment["JUPYTER_TOKEN"] = mine = "a word of mine, with % and ü"
    stack.words("up", "-d", "jupyter")
    saw("given", f"healthy again after {stack.healthy('jupyter'):.0f} s, without installing anew")
    let_in(stack, mine)
    assert fetched(f"{stack.jupyter}/api/contents?token={found[1]}")[0] == 403
    notebook = {"type": "notebook", "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}}
    status, _ = fetched(f"{stack.jupyter}/api/contents/saved.ipynb?token={quote(mine)}", "PUT", notebook)
    assert status == 201
    owner, saved = stack.clone.stat(), (stack.clone / "notebooks" / "saved.ipynb").stat()
    saw("saved.ipynb belongs to", f"{saved.st_uid}:{saved.st_gid}, the clone to {owner.st_uid}:{owner.st_gid}")
    assert (saved.st_uid, saved.st_gid) == (owner.st_uid, owner.st_gid)


def test(stack: Stack) -> None:
    """`docker compose run --rm test`: pulls the model, the live tests and the notebooks pass."""
    before = stack.listed()
    said = stack.words("run", "--rm", "test", seconds=3600)
    saw("the end of it", "\n".join(plain(said).splitlines()[-60:]))
    assert re.search(r"=+ \d+ passed", said)
    notebooks = sorted(path.name for path in (stack.clone / "notebooks").glob("[0-9]*.ipynb"))
    assert re.findall(r"^(\w+\.ipynb) .* ok$", plain(said), re.MULTILINE) == notebooks, "not all were run"
    assert f"{len(notebooks)} notebooks, " in said.rpartition("acagent-nb check")[2], "not all were checked"
    assert stack.listed() == before, "it left something in the clone"
    assert named(stack.model) in models(stack)


def gpus(stack: Stack) -> None:
    """A GPU's Ollama is asked for by name, and never runs beside another; without a GPU docker says why it can't."""
    said = stack.words("up", "-d", "--no-deps", "ollama-nvidia", check=False)
    saw("beside ollama", with_word(said, "already in use"))
    stack.words("rm", "--stop", "--force", "ollama")
    for profile, word in (("nvidia", "could not select device driver"), ("amd", "/dev/kfd")):
        if profile == "amd" and stack.image("ollama-amd") not in run("docker", "images", "--format", IMAGE):
            run("docker", "tag", stack.image("ollama"), stack.image("ollama-amd"))
        said = stack.words("up", "-d", "--no-deps", f"ollama-{profile}", check=False)
        state = run("docker", "inspect", "--format", "{{.Name}} {{.State.Status}}", CONTAINER)
        saw(profile, state if state.endswith("running\n") else with_word(said, word))
        assert not stack.container("ollama")
        stack.words("rm", "--stop", "--force", f"ollama-{profile}")


def untouched(stack: Stack) -> None:
    """The clone is as it was but for the notebook that was saved in JupyterLab; nothing in it is another user's."""
    new = stack.listed() - stack.before
    saw("new", " ".join(sorted(map(str, new))))
    assert stack.before <= stack.listed()
    assert all(path.parts[0] == "notebooks" for path in new)
    owners = {(stack.clone / path).stat().st_uid for path in stack.listed()}
    saw("owners", " ".join(map(str, owners)))
    assert owners == {stack.clone.stat().st_uid}


def down(stack: Stack) -> None:
    """`docker compose down -v` takes all away, the models too."""
    stack.down()
    left = [run("docker", kind, "ls", "-q", *flag, "--filter", "name=acagent-nb-try") for kind, flag in LEFT]
    saw("left", "".join(left) or "nothing")
    assert not "".join(left)


IMAGE = "{{.Repository}}:{{.Tag}}"
LEFT = (("container", ["-a"]), ("volume", []), ("network", []))
STEPS: tuple[Callable[[Stack], None], ...] = (
    config,
    up,
    addresses,
    bash,
    kept,
    removed,
    logs,
    disk,
    magics,
    token,
    test,
    gpus,
    untouched,
    down,
)


def saw(name: str, what: str) -> None:
    """Print what a step saw."""
    lines = what.strip().splitlines()
    print(f"   {name}: {lines[0]}" if len(lines) == 1 else "\n      ".join([f"   {name}:", *lines]), flush=True)


def with_word(said: str, word: str) -> str:
    """The first line that holds a word, which one must."""
    line = next((line for line in plain(said).splitlines() if word in line), None)
    assert line, said
    return line


def models(stack: Stack) -> list[str]:
    """What the server has, as it lists it on this machine's address."""
    return [each["name"] for each in json.loads(fetched(f"{stack.ollama}/api/tags")[1])["models"]]


def named(model: str) -> str:
    """A model's name as a server lists it."""
    return model if ":" in model else f"{model}:latest"


def magic(stack: Stack, line: str) -> str:
    """What `%llm LINE` prints on this machine, for a user who has set nothing but the address."""
    source = f"%load_ext acagent_nb\n%llm {line}"
    environment = {**os.environ, "OLLAMA_HOST": stack.ollama, "IPYTHONDIR": str(stack.clone.parent / "ipython")}
    return plain(run(sys.executable, "-m", "IPython", "--quick", "-c", source, environment=environment))


def in_jupyter(stack: Stack, *command: str, check: bool = True) -> str:
    """What a program prints in the container of JupyterLab, run by the clone's owner."""
    owner = stack.clone.stat()
    user = f"{owner.st_uid}:{owner.st_gid}"
    return run("docker", "exec", "--user", user, stack.container("jupyter"), *command, check=check)


def let_in(stack: Stack, word: str) -> None:
    """Check that JupyterLab lists the notebooks for this token only."""
    address = f"{stack.jupyter}/api/contents"
    refused = [fetched(f"{address}{end}")[0] for end in ("", "?token=wrong")]
    let = fetched(f"{address}?token={quote(word)}")
    saw("without, with a wrong one, with it", f"{refused[0]}, {refused[1]}, {let[0]}")
    assert [*refused, let[0]] == [403, 403, 200]
    assert "01_first_cell.ipynb" in let[1]


def plain(shown: str) -> str:
    """What a terminal shows, without the codes that steer it, and of each line what was drawn last."""
    lines = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[()].|[=>])", "", shown).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rsplit("\r", 1)[-1] for line in lines)
