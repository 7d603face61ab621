"""The child process: one model in llama.cpp's own server, for as long as the parent holds our stdin.

A bad model file can abort the process, so the engine never runs in the server itself. The first
line of stdin is a JSON object of settings, the first of stdout says where the child listens; the
end of stdin, which comes however the parent dies, ends the child.

Run as `python -m acagent_nb.server.child`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import threading
from typing import Any


def main() -> None:
    """Read the settings, load the model, say where it answers, and end with the parent."""
    os.environ["GGML_NO_BACKTRACE"] = "1"  # an abort must not start a debugger
    settings = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the engine prints is a message, not an answer
    threading.Thread(target=_end_with_parent, args=(settings["socket"],), daemon=True).start()

    import xllamacpp  # type: ignore[import-untyped]  # it ships none

    params = _params(xllamacpp, settings)
    key = ""
    if not settings["socket"]:
        key = secrets.token_urlsafe(24)
        params.api_keys = [key]
    server = xllamacpp.Server(params)
    port = 0 if settings["socket"] else int(server.listening_address.rsplit(":", 1)[1])
    kinds = {device["type"].name for device in xllamacpp.get_device_info()}
    gpu = bool(kinds & {"GGML_BACKEND_DEVICE_TYPE_GPU", "GGML_BACKEND_DEVICE_TYPE_IGPU"})
    print(json.dumps({"port": port, "key": key, "gpu": gpu}), file=out, flush=True)
    threading.Event().wait()


def _end_with_parent(socket: str) -> None:
    """Wait for the end of stdin, then go at once: there is nothing to save."""
    while os.read(0, 4096):
        pass
    if socket:
        shutil.rmtree(os.path.dirname(socket), ignore_errors=True)
    os._exit(0)


def _params(engine: Any, settings: dict[str, Any]) -> Any:
    """llama.cpp's parameters; all that is not set here is per request."""
    params = engine.CommonParams()
    params.hostnames = [settings["socket"] or "127.0.0.1"]
    params.port = 0
    params.model.path = settings["weights"]
    params.model_alias = {settings["alias"]}  # what /v1 calls it; else that is the file's path
    if settings["projector"]:
        params.mmproj.path = settings["projector"]
    if settings["adapters"]:
        params.lora_adapters = [engine.CommonAdapterLoraInfo(path) for path in settings["adapters"]]
    if settings["template"]:
        params.chat_template = settings["template"]

    params.n_parallel = settings["slots"]
    batch = max(settings["num_batch"], settings["longest"])
    params.n_ctx = (batch if settings["beside"] else settings["num_ctx"]) * settings["slots"]
    params.n_threads_http = settings["slots"] + 16  # a waiting request holds a thread; counting tokens needs one too
    params.n_batch = params.n_ubatch = batch
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["num_thread"]
    params.n_gpu_layers = settings["num_gpu"]
    if settings["main_gpu"] is not None:
        params.split_mode = engine.llama_split_mode.LLAMA_SPLIT_MODE_NONE
        params.main_gpu = settings["main_gpu"]
    mode = engine.llama_load_mode
    params.load_mode = {
        (None, False): mode.LLAMA_LOAD_MODE_AUTO,
        (True, False): mode.LLAMA_LOAD_MODE_MMAP,
        (False, False): mode.LLAMA_LOAD_MODE_NONE,
        (False, True): mode.LLAMA_LOAD_MODE_MLOCK,
    }.get((settings["use_mmap"], settings["use_mlock"]), mode.LLAMA_LOAD_MODE_MMAP_MLOCK)
    if settings["numa"]:
        params.numa = engine.ggml_numa_strategy.GGML_NUMA_STRATEGY_DISTRIBUTE
    params.ctx_shift = settings["shift"]

    params.embedding = True  # answers go on working, and /api/embed needs no child of its own
    if settings["pool"]:
        params.pooling_type = engine.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN

    params.cache_ram_mib = 0  # the slots' own caches are enough, and memory stays flat
    params.fit_params = False  # the context asked for is the one to get
    params.warmup = False
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = 1  # errors only: prompts and answers are never logged
    return params


if __name__ == "__main__":
    main()
