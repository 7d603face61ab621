"""A kernel of this very Python, whatever kernels are installed under the same names, and how it is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

T = TypeVar("T")

OURS = "python3"  # the name under which notebooks ask for it
_STARTS = 3
_DIED = "died before replying"  # jupyter_client's words


def started(start: Callable[[], T]) -> T:
    """Start a kernel, and again if it died: its ports are chosen before it has them, and may be taken by then."""
    for _ in range(_STARTS - 1):
        try:
            return start()
        except RuntimeError as error:
            if _DIED not in str(error):
                raise
    return start()


def kernel_manager(environment: dict[str, str], *, installed: bool = False) -> type[AsyncKernelManager]:
    """A manager class for nbclient and papermill (`kernel_manager_class`).

    Parameters
    ----------
    environment
        Variables that the kernel gets on top of this process's own.
    installed
        Whether the kernels that are installed count, instead of this Python.
    """

    class WithVariables(AsyncKernelManager):
        async def start_kernel(self, **how: Any) -> None:  # type: ignore[override]  # jupyter_client's own override too
            await super().start_kernel(**{"env": os.environ | environment, **how})

    class ThisPython(WithVariables):
        @default("kernel_spec_manager")
        def _no_installed_kernels(self) -> KernelSpecManager:
            # With no folder to search, "python3" is ipykernel's own: `sys.executable -m ipykernel_launcher`.
            return KernelSpecManager(parent=self, kernel_dirs=[])

    return WithVariables if installed else ThisPython
