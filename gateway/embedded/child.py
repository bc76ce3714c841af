"""The child process that runs llama.cpp: one model, one OpenAI-wire server on loopback, gone when its parent goes.

Started by its path, so it imports nothing of this package: only the standard library and xllamacpp. The conversation:

- stdin, first line: the job as JSON: ``path``, ``name``, ``key``, ``context_tokens`` (per slot), ``parallel`` (slots),
  ``threads``, ``gpu_layers``. The key travels here and not among the arguments, which every user of the machine
  can read.
- stdout, one line: ``{"url": …}`` once the server answers, or ``{"error": …}``.
- stdin, later: the line ``drain`` makes it leave once no request has been running for a second, or after ten minutes; end of
  file makes it leave at once.
- stderr: llama.cpp's own words.

The end of the parent closes stdin, however it came about. Loading a model holds the interpreter, so on Linux the kernel is
asked as well to kill this process together with its parent.
"""

import ctypes
import http.client
import importlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn, TextIO
from urllib.parse import urlsplit

PR_SET_PDEATHSIG = 1
DRAIN_POLL_S = 0.5
DRAIN_QUIET_POLLS = 3
DRAIN_LIMIT_S = 600.0
SLOTS_TIMEOUT_S = 10
ERROR_CHARACTERS = 1000
LAST_WORDS_S = 0.2


def main() -> NoReturn:
    die_with_parent()
    answers = take_stdout()
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)
    job = json.loads(line)
    try:
        server = serve(job)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is who must hear of it
        # llama.cpp's own words are written by a thread of its own, and nobody can ask whether it is done.
        time.sleep(LAST_WORDS_S)
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]}), file=answers, flush=True)
        os._exit(1)
    print(json.dumps({"url": server.listening_address}), file=answers, flush=True)
    for command in sys.stdin.buffer:
        if command.strip() == b"drain":
            threading.Thread(target=leave_when_idle, args=(server.listening_address, job["key"]), daemon=True).start()
    # A regular exit would wait for the server's threads, which are in the middle of requests.
    os._exit(0)


def die_with_parent() -> None:
    """Ask the kernel to kill this process with its parent.

    The kernel means the thread that started this process. That is the thread that runs the parent's event loop, without
    which nobody could use this child any more.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def take_stdout() -> TextIO:
    """The real stdout, for answers only; whatever else is printed there goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def serve(job: dict[str, Any]) -> Any:
    """Load the model and start the server. Returns once it answers; raises what xllamacpp raises."""
    # llama.cpp's threads wait for each other by spinning. As soon as anything else wants a processor, that makes an answer
    # up to thirty times slower; sleeping instead costs a small model half its speed on an idle machine, a large one little.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = job["path"]
    params.model_alias = {job["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [job["key"]]
    params.n_parallel = job["parallel"]
    params.n_ctx = job["context_tokens"] * job["parallel"]
    params.n_gpu_layers = job["gpu_layers"]
    params.cpuparams.n_threads = job["threads"]
    params.use_jinja = True
    params.ui = False
    params.endpoint_slots = True
    # What was planned is what is loaded: no shrinking to fit, no prompt cache of gigabytes beside it.
    params.fit_params = False
    params.cache_ram_mib = 0
    params.verbosity = 1
    return xllamacpp.Server(params)


def leave_when_idle(url: str, key: str) -> NoReturn:
    """Exit once several looks in a row found no request running, the server no longer answers, or the limit is over."""
    quiet = 0
    deadline = time.monotonic() + DRAIN_LIMIT_S
    while quiet < DRAIN_QUIET_POLLS and time.monotonic() < deadline:
        time.sleep(DRAIN_POLL_S)
        try:
            quiet = 0 if busy(url, key) else quiet + 1
        except (OSError, http.client.HTTPException, ValueError):
            break
    os._exit(0)


def busy(url: str, key: str) -> bool:
    """Whether any slot of the server works on a request. Raises when the server does not answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SLOTS_TIMEOUT_S)
    try:
        connection.request("GET", "/slots", headers={"Authorization": f"Bearer {key}"})
        slots = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return any(slot.get("is_processing") for slot in slots)


if __name__ == "__main__":
    main()
