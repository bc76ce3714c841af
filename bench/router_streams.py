"""``python -m bench.router_streams UPSTREAM_PORT``: LiteLLM's Router in a process of its own, streaming.

Each line on stdin, ``MODEL STREAMS``, is answered with a line of JSON: the processor time that so many streams took together,
in seconds, and the chunks with content that they brought.
"""

import asyncio
import json
import sys
import time
from typing import Any

from bench.gateways import stock_models
from bench.programs import STREAM_MS


async def _stream(router: Any, *, model: str, after_s: float) -> int:
    await asyncio.sleep(after_s)
    messages = [{"role": "user", "content": "Say something about the sea."}]
    chunks = 0
    async for chunk in await router.acompletion(model=model, messages=messages, stream=True):
        chunks += bool(chunk.choices and chunk.choices[0].delta.content)
    return chunks


async def _serve(port: int) -> None:
    from litellm import Router

    router = Router(model_list=stock_models(port), num_retries=0)
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        model, streams = line.split()
        started_s = time.process_time()
        spread_s = STREAM_MS / 1000 / int(streams)
        counts = await asyncio.gather(
            *(_stream(router, model=model, after_s=number * spread_s) for number in range(int(streams)))
        )
        print(json.dumps({"cpu_s": time.process_time() - started_s, "chunks": sum(counts)}), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
