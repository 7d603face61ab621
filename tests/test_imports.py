"""The house's order: imports point down only, and what is heavy waits until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "acagent_nb"
FLOORS = (  # from the ground up; rooms of one floor may not use each other
    ("errors",),
    ("prose", "words", "terminal", "whole", "modes"),
    ("row",),
    ("rows",),
    ("liveness",),
    ("explained",),
    ("options", "addresses"),
    ("presets",),
    ("names",),
    ("messages", "models", "meant"),
    ("spending",),
    ("replies", "params", "images", "keys", "keyed"),
    ("shapes", "differing"),
    ("tools", "packing"),
    ("wire", "builtin", "modelfile", "recordings"),
    ("refusals", "log", "pruning"),
    ("library",),
    ("delivery",),
    ("facts",),
    ("alarm",),
    ("wording", "sdk"),
    ("denials",),
    ("sse",),
    ("ollama", "cloud"),
    ("rounds", "embedding"),
    ("hosts", "pieces", "loops", "framing"),
    ("asking", "disk", "tables"),
    ("making",),
    ("inquiries", "tape"),
    ("answers",),
    ("driving", "plain"),
    ("upload",),
    ("blocking", "awaiting"),
    ("talking",),
    ("client", "asynchronous"),
    ("pump", "doctor"),
    ("maths", "colours", "origins"),
    ("render", "growing"),
    ("page", "coming"),
    ("columns",),
    ("display",),
    ("widgets", "pulls"),
    ("session", "machine"),
    ("filling",),
    ("naming", "chats", "keeping", "screens", "flags"),
    ("consent", "parsing", "reviewing"),
    ("cell", "chatting"),
    ("server_lines", "session_lines"),
    ("lines",),
    ("offering",),
    ("completion",),
    ("magics",),
    ("runnable",),
    ("commands", "status", "answers_command"),
    ("cli", "__main__"),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FREE = {"__init__", "cli"}  # the doors: what they load when first asked may lie anywhere
FOR_THE_SERVER = {"errors", "options", "names", "messages", "builtin"}
HEAVY = ("httpx", "openai", "ipywidgets", "pandas", "asyncio", "msgspec", "markdown_it", "papermill", "nbconvert")
HEAVY += ("jinja2",)  # for prompts with a value in them


def _imports(file: Path) -> set[str]:
    """The rooms that a file imports, also inside of functions; not those for the type checker only."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    here = ("acagent_nb", *file.relative_to(HOUSE).parts[:-1])
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) + 1 - node.level], *filter(None, [node.module])]) if node.level else ""
            base = base or (node.module or "")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("acagent_nb.") and name.count(".")}


def _room(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


FILES = sorted(HOUSE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_imports_point_down(file: Path) -> None:
    room = _room(file)
    if room in FREE:
        return
    used = {name for name in _imports(file) - {room} if (HOUSE / name).exists() or (HOUSE / f"{name}.py").exists()}
    if room == "server":
        assert used <= FOR_THE_SERVER
    elif room != "__main__":
        assert {name for name in used if LEVEL.get(name, 99) >= LEVEL[room]} == set()


def test_every_room_has_its_floor() -> None:
    assert {_room(file) for file in FILES} == {*LEVEL, "__init__", "server"}


def _loaded(code: str) -> set[str]:
    """The modules that are loaded after this code, in a fresh Python."""
    code += "\nimport sys; print(*sys.modules, file=sys.__stdout__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = _loaded("import acagent_nb; dir(acagent_nb)")
    assert loaded.isdisjoint(HEAVY)
    assert not any(name.startswith("acagent_nb.") for name in loaded)


def test_loading_the_magics_loads_nothing_heavy_and_opens_no_socket() -> None:
    shell = "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
    before = _loaded(shell)
    watch = (
        "import sys\nsockets = []\n"
        "sys.addaudithook(lambda event, _: sockets.append(event) if event.startswith('socket.') else None)\n"
        "shell.run_line_magic('load_ext', 'acagent_nb')\nassert not sockets, sockets\n"
    )
    assert "acagent_nb.magics" in (loaded := _loaded(shell + watch))
    assert (loaded - before).isdisjoint(HEAVY)
