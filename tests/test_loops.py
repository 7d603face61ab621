"""`nest()`: what it uses, says and can't do; each in a Python of its own, as it can't be undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from acagent_nb.errors import MissingExtra

from .kernels import running_kernel

INSIDE = """
import asyncio, sys
async def three():
    await asyncio.sleep(0)
    return 3
async def main():
    from acagent_nb.loops import nest
    {code}
asyncio.run(main())
"""
HIDE = "import sys; sys.modules[{name!r}] = None\n"  # Python's own way to say: there is no such module


def _ran(code: str, *hidden: str) -> subprocess.CompletedProcess[str]:
    hide = "".join(HIDE.format(name=name) for name in hidden)
    return subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, timeout=60)


def test_nest_asyncio2_comes_first() -> None:
    ran = _ran(INSIDE.format(code="nest(); nest(); print(asyncio.run(three()))"))
    assert ran.stdout.count("by nest_asyncio2 ") == 2, ran.stderr
    assert ran.stdout.endswith("\n3\n")
    assert "can't be undone" in ran.stdout
    assert "lost" not in ran.stdout


def test_the_old_one_is_the_fallback_and_says_what_it_loses() -> None:
    ran = _ran(INSIDE.format(code="nest(); print(asyncio.run(three()))"), "nest_asyncio2")
    assert "by nest_asyncio " in ran.stdout, ran.stderr
    assert "pip install nest-asyncio2" in ran.stdout
    assert ran.stdout.endswith("\n3\n")


def test_the_old_one_stays_where_it_was_at_work() -> None:
    code = INSIDE.format(code="import nest_asyncio; nest_asyncio.apply(); nest(); print(asyncio.run(three()))")
    ran = _ran(code)
    assert "by nest_asyncio " in ran.stdout, ran.stderr
    assert ran.stdout.endswith("\n3\n")


def test_without_either_it_says_what_to_install() -> None:
    ran = _ran(INSIDE.format(code="nest()"), "nest_asyncio2", "nest_asyncio")
    assert ran.returncode == 1
    assert MissingExtra.__name__ in ran.stderr
    assert "pip install nest-asyncio2" in ran.stderr


def test_without_a_loop_nothing_is_changed() -> None:
    ran = _ran(
        "import asyncio, acagent_nb.loops\nrun = asyncio.run\nacagent_nb.loops.nest()\nprint(asyncio.run is run)"
    )
    assert "nothing was changed" in ran.stdout, ran.stderr
    assert ran.stdout.endswith("\nTrue\n")


def test_another_kind_of_loop_is_refused() -> None:
    foreign = "class Foreign(asyncio.AbstractEventLoop): pass\n"
    code = f"import asyncio\nfrom acagent_nb.loops import nest\n{foreign}asyncio._set_running_loop(Foreign())\nnest()"
    ran = _ran(code)
    assert ran.returncode == 1
    assert "can't be nested" in ran.stderr
    assert "Await instead" in ran.stderr


def test_what_it_says_is_true_in_a_kernel(tmp_path: Path) -> None:
    with running_kernel(IPYTHONDIR=str(tmp_path)) as kernel:
        three = "import asyncio\nasync def three():\n    await asyncio.sleep(0.01)\n    return 3\n"
        before = kernel.run(three + "work = three()\ntry:\n    asyncio.run(work)\nfinally:\n    work.close()")
        assert before.error["ename"] == "RuntimeError"
        nested = kernel.run("from acagent_nb.loops import nest\nnest()")
        assert nested.status == "ok"
        assert "asyncio.run works in this kernel now" in nested.printed
        assert kernel.value("asyncio.run(three())") == "3"
        assert kernel.value("[asyncio.run(three()) for _ in range(3)]") == "[3, 3, 3]"
        failing = "work = three()\nanyio.run(lambda: work)"
        assert kernel.run("import anyio\n" + failing).error["ename"] == "RuntimeError"
        assert kernel.value("work.close() or await three()") == "3"
