"""A kernel of this very Python, whatever kernels are installed under the same names."""

from __future__ import annotations

import os
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default


def kernel_manager(environment: dict[str, str]) -> type[AsyncKernelManager]:
    """A manager class for nbclient and papermill (`kernel_manager_class`).

    Parameters
    ----------
    environment
        Variables that the kernel gets on top of this process's own.
    """

    class ThisPython(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _no_installed_kernels(self) -> KernelSpecManager:
            # With no folder to search, "python3" is ipykernel's own: `sys.executable -m ipykernel_launcher`.
            return KernelSpecManager(parent=self, kernel_dirs=[])

        async def start_kernel(self, **how: Any) -> None:  # type: ignore[override]  # jupyter_client's own override too
            await super().start_kernel(**{"env": os.environ | environment, **how})

    return ThisPython
