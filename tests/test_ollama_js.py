"""ollama-js, from npm, does all that it offers; the steps are in `ollama_js.mjs`.

The package lies where NODE_PATH says: `npm install --prefix FOLDER ollama`, then NODE_PATH=FOLDER/node_modules.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest


def test_ollama_js(server: str, api: httpx.Client) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here: it runs ollama-js")
    found = subprocess.run([node, "-p", "require.resolve('ollama')"], capture_output=True, cwd="/", check=False)
    if found.returncode:
        pytest.skip("no ollama-js here: npm install --prefix FOLDER ollama, then NODE_PATH=FOLDER/node_modules")
    own = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    command = [node, "--test", "--test-reporter=tap", str(Path(__file__).with_name("ollama_js.mjs"))]
    ran = subprocess.run(command, capture_output=True, text=True, env=own | {"OLLAMA_HOST": server}, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\n# fail 0\n" in ran.stdout
