"""Which models a notebook is sure to ask, found without running it.

%%llm local_a,local_b             ─► these, and whatever else a line of `%llm` asks, loads or pulls
client.chat("local_c", ...)       ─► this: it is the model of a call that asks one
model = "local_d"                 ─► only if it is used so: client.chat(model, ...)
print("local_e"), f"local_{size}" ─► nothing
client.create("local_f", ...)     ─► never: the notebook makes it itself

When in doubt, nothing is named: the cell that asks a missing model pulls it.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

from .. import meant, names
from ..errors import LLMError
from ..params import Params
from ..parsing import one_line, parse
from .executed import INJECTED, tagged

_PYTHON = {"time", "timeit", "capture", "prun", "memit"}  # magics whose cell is Python
_SKIPPED = ("raises-exception", "skip-execution")  # what such cells name may be missing on purpose, or is not asked
_MADE = {"create": (0, "model"), "copy": (1, "destination")}  # where the name of what is made stands
_ASKED = {"chat", "stream", "generate", "embed", "load", "pull"}  # calls whose first argument is a model
_ELSEWHERE = {"host", "base_url", "params", None}  # arguments of a client with servers or roles of its own
_IN_A_SHELL = re.compile(r"\bacagent-nb\s+(?:create\s+|cp\s+\S+\s+)([^\s-]\S*)")
_ASKS_BACK = re.compile(r"^(\s*%llm\s+ask\b.*?)\?+[ \t]*$", re.MULTILINE)  # which IPython reads as a question to itself


class Named(NamedTuple):
    """What a notebook asks.

    Attributes
    ----------
    local
        Models of the Ollama server, as it knows them; true if the notebook can't do without this one, false
        if it stands in code that may not come to it.
    cloud
        All others.
    """

    local: dict[str, bool]
    cloud: list[names.Target]


def models(notebook: Any, params: Params) -> Named:
    """The models that a notebook names.

    Parameters
    ----------
    notebook
        An nbformat node with its parameters in it, as papermill injects them.
    params
        What its kernel will find in `params.toml`.
    """
    found = _Names(params)
    trees = [(cell, tree) for cell in notebook.cells if (tree := _tree(cell)) is not None]
    replaced = {name for cell, tree in trees if tagged(cell, INJECTED) for name in _assigned(tree)}
    for cell, tree in trees:
        if not tagged(cell, *_SKIPPED):
            found.without = replaced if tagged(cell, "parameters") else set()
            found.visit(tree)
    found.ask()
    made = {names.parse(each).key for each in found.made() if names.is_name(each)}
    local: dict[str, bool] = {}
    for name, certain in found.local:
        if names.parse(name).key not in made:
            local[name] = certain or local.get(name, False)
    return Named(local, list(dict.fromkeys(found.cloud)))


def parameters(notebook: Any) -> list[str]:
    """The parameters of a notebook: what its first cell tagged `parameters` sets."""
    cell = next((cell for cell in notebook.cells if tagged(cell, "parameters")), None)
    tree = None if cell is None else _tree(cell)
    return [] if tree is None else _assigned(tree)


class _Names(ast.NodeVisitor):
    """Collects names from the trees of all cells."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._values: dict[str, set[str]] = {}  # texts that a variable is ever bound to
        self._clients: dict[str, list[ast.Call]] = {}  # the calls that have made it a client
        self._asked: list[tuple[ast.expr, ast.expr]] = []  # who is asked, and the model
        self._made: list[ast.expr | str] = []
        self._caught = False
        self.local: list[tuple[str, bool]] = []
        self.cloud: list[names.Target] = []
        self.without: set[str] = set()

    def made(self) -> Iterator[str]:
        """The names of models that the notebook makes."""
        for each in self._made:
            for text in [each] if isinstance(each, str) else self._texts(each):
                yield text.removeprefix(names.LOCAL)

    def ask(self) -> None:
        """Name what the calls in the code ask, now that all variables are known."""
        for client, model in self._asked:
            made = [client] if _is_client(client) else self._clients.get(getattr(client, "id", ""), [])
            if any(each.args or _ELSEWHERE & {keyword.arg for keyword in each.keywords} for each in made):
                continue
            for text in self._texts(model):
                if made or text.startswith(names.LOCAL) or text in self._params.roles:
                    self._name(text, certain=False)

    def _texts(self, expression: ast.expr) -> set[str]:
        """What a text, or a variable that is bound to texts, can be."""
        if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
            return {expression.value}
        return self._values.get(expression.id, set()) if isinstance(expression, ast.Name) else set()

    def visit_Assign(self, node: ast.Assign) -> None:
        targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
        if targets & self.without:
            return
        for target in targets:
            if isinstance(node.value, ast.Constant):
                self._values.setdefault(target, set()).update(self._texts(node.value))
            if _is_client(node.value):
                self._clients.setdefault(target, []).append(node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit_Assign(ast.Assign([node.target], node.value))

    def visit_withitem(self, node: ast.withitem) -> None:
        if node.optional_vars is not None:
            self.visit_Assign(ast.Assign([node.optional_vars], node.context_expr))
        else:
            self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        before, self._caught = self._caught, True  # what it asks may be missing on purpose
        self.generic_visit(node)
        self._caught = before

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if called == "run_line_magic" and texts[:1] == ["llm"]:
            return self._line("".join(texts[1:]))
        if called == "run_cell_magic":
            return self._cell(*texts)
        if called in ("system", "getoutput"):
            self._made += _IN_A_SHELL.findall("".join(texts))
        if called in _MADE:
            place, keyword = _MADE[called]
            self._made += [each.value for each in node.keywords if each.arg == keyword] + node.args[place : place + 1]
        given = {each.arg: each.value for each in node.keywords}
        model = node.args[0] if node.args else given.get("model")
        pulls = not (isinstance(pull := given.get("pull"), ast.Constant) and pull.value is False)
        if isinstance(node.func, ast.Attribute) and called in _ASKED and model and pulls and not self._caught:
            self._asked.append((node.func.value, model))
        self.generic_visit(node)
        return None

    def _line(self, line: str) -> None:
        """What `%llm use`, `chat`, `load`, `pull` and `ask` name."""
        word, _, rest = line.partition(" ")
        try:
            if word == "ask":
                asked, _ = one_line(rest)
                return self._all(asked.models if asked.pull else ())
            words = shlex.split(rest)[:1]
        except (LLMError, ValueError):  # the cell will say what is wrong with it
            return None
        if word in ("load", "pull"):
            words = [meant.named(each, self._params.roles) for each in words]
        return self._all(words if word in ("use", "chat", "load", "pull") else ())

    def _cell(self, magic: str = "", line: str = "", body: str = "") -> None:
        if magic == "llm":
            try:
                asked = parse(line)
            except LLMError:
                return None
            named = asked.models or ((self._params.model,) if self._params.model else ())
            return self._all(named if asked.pull and not asked.help else ())
        if magic in ("bash", "sh", "script"):
            self._made += _IN_A_SHELL.findall(body)
        elif magic in _PYTHON and (tree := _parsed(body)) is not None:
            self.visit(tree)
        return None

    def _all(self, texts: Any) -> None:
        """Names that the notebook can't do without."""
        for text in texts:
            self._name(text, certain=True)

    def _name(self, text: str, *, certain: bool) -> None:
        try:
            target = self._params.target(text)
        except LLMError:
            return
        if target.provider == "ollama":
            self.local.append((target.model, certain))
        elif not target.model.isupper():  # else it is a role that the notebook's code gives
            self.cloud.append(target)


def _tree(cell: Any) -> ast.AST | None:
    return _parsed(cell.source) if cell.cell_type == "code" else None


def _parsed(source: str) -> ast.AST | None:
    """A cell's Python, its magics made into calls; `None` for what is none."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        python = TransformerManager().transform_cell(_ASKS_BACK.sub(r"\1", source))  # type: ignore[no-untyped-call]  # as IPython is
        tree: ast.AST = compile(python, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return tree


def _assigned(tree: ast.AST) -> list[str]:
    """The variables that a cell of parameters sets, in order."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [target for node in nodes for target in getattr(node, "targets", None) or [node.target]]  # type: ignore[union-attr]  # one of the two
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_client(node: ast.expr) -> TypeGuard[ast.Call]:
    """Whether it makes a client of ours."""
    if not isinstance(node, ast.Call):
        return False
    return getattr(node.func, "attr", getattr(node.func, "id", "")) in ("Client", "AsyncClient")
