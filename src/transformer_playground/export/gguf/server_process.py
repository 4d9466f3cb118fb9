"""A child process that serves one GGUF file by the package xllamacpp until its input ends."""

import importlib
import os
import sys
from typing import Any

KEY_VARIABLE = "LLAMA_API_KEY"
"""Environment variable with the key that requests must have, as llama-server reads it."""


def start(path: str, *, context: int, port: int, threads: int, key: str) -> Any:
    """A server on the loopback interface, which runs as long as the returned object lives."""
    # The names of its compiled part are not known to type checkers.
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = context
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.api_keys = [key]
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # In float32, without kernels that reorder sums.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.warmup = params.fit_params = False
    # Otherwise a shortened prompt lacks what has left the window.
    params.swa_full = True
    params.verbosity = 1
    return xllamacpp.Server(params)


def main() -> None:
    """Serve a file: path, tokens of context, loopback port and threads are the arguments."""
    path, context, port, threads = sys.argv[1:]
    key = os.environ[KEY_VARIABLE]
    server = start(path, context=int(context), port=int(port), threads=int(threads), key=key)
    # The process that started this one may be killed.
    sys.stdin.read()
    del server
    os._exit(0)


if __name__ == "__main__":
    main()
