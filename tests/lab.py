"""JupyterLab in a real browser, on loopback only, with folders of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@contextmanager
def jupyterlab(folder: Path, *, dark: bool = False, **environment: str) -> Iterator[str]:
    """A JupyterLab server that shows the notebooks in `folder`; yields its address.

    Its only kernel is this Python, and what it keeps lies beside `folder`, none of it the user's.
    """
    own = folder.with_name(f"{folder.name}-jupyter")
    kernel = own / "path" / "kernels" / "python3" / "kernel.json"
    _write(kernel, argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], display_name="Python")
    settings = own / "settings" / "@jupyterlab" / "apputils-extension"
    _write(settings / "notification.jupyterlab-settings", fetchNews="false", checkForUpdates=False)
    _write(settings / "themes.jupyterlab-settings", theme="JupyterLab Dark" if dark else "JupyterLab Light")
    places = {
        "JUPYTER_CONFIG_DIR": own / "config",
        "JUPYTER_DATA_DIR": own / "data",
        "JUPYTER_RUNTIME_DIR": own / "runtime",
        "JUPYTER_PATH": own / "path",
        "JUPYTERLAB_SETTINGS_DIR": own / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": own / "workspaces",
        "IPYTHONDIR": own / "ipython",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--ServerApp.log_level=WARN"]
    variables = os.environ | {name: str(place) for name, place in places.items()} | environment
    with (own / "log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
        try:
            yield _address(own / "runtime", process, own / "log")
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def page(url: str, **how: Any) -> Iterator[Any]:
    """A browser's page that can reach this machine only; `how` as for playwright's `new_page`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        try:
            page = browser.new_page(**how)
            page.route(lambda address: not address.startswith((url, "data:", "blob:")), lambda route: route.abort())
            yield page
        finally:
            browser.close()


def open_notebook(page: Any, url: str, name: str) -> None:
    """Show one notebook, without the rest of JupyterLab around it, its kernel ready."""
    page.goto(f"{url}doc/tree/{name}?reset")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=90_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)


def run_cell(page: Any, number: int, seconds: float = 60) -> Any:
    """Run a cell with the keyboard and wait for its end; gives its output area."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    prompt = cell.locator(".jp-InputPrompt")
    cell.locator(".jp-InputArea-editor").click()
    deadline = time.monotonic() + seconds
    pressed = 0.0
    while not (said := prompt.inner_text().strip("[]: ")).isdigit():
        assert time.monotonic() < deadline, f"cell {number} did not end: its prompt is {said!r}"
        if not said and time.monotonic() > pressed + 3:  # a key press can be lost while JupyterLab is waking up
            page.keyboard.press("Control+Enter")
            pressed = time.monotonic()
        page.wait_for_timeout(100)
    page.wait_for_timeout(200)
    return cell.locator(".jp-Cell-outputWrapper")


def _write(path: Path, **content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _address(runtime: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server listens; it tells so in a file."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        for told in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):  # half written
                return str(json.loads(told.read_text())["url"])
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
