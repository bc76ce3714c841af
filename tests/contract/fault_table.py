"""The rows of the fault matrix: what happens upstream, and what comes of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from contract import fault_endings as ends
from contract.fault_cells import NATIVE, SHORT, SHORT_GAP, SSE, Row
from contract.fault_framing import FRAMING, split
from contract.fault_wire import PIECES, TEXT, TOLD, Wire
from fakes import faults
from fakes.faults import Fault
from gateway.domain.model import Lane
from gateway.domain.role import Deadlines

LOAD: Final = "/api/generate"
"""Where Ollama is asked to load a model."""
ACCENTS: Final = "naïve 漢字 🦉 "


def status(code: int, body: str = "", **headers: str) -> Callable[[Wire], Fault]:
    return lambda _: faults.status(code, body, **headers)


def words(code: int, native: str, openai: str = "", **headers: str) -> Callable[[Wire], Fault]:
    """A refusal in each wire's own shape; ``native`` and ``openai`` are JSON."""
    return lambda wire: faults.status(code, native if wire.native or not openai else openai, **headers)


def after_content(kind: Callable[..., Fault]) -> Callable[[Wire], Fault]:
    """``kind`` once two pieces of text have come (and, on the OpenAI wire, the role before them)."""
    return lambda wire: kind(after_chunks=2 if wire.native else 3)


NO_ANSWER: Final = (
    Row(name="connection refused", door="refuses", ending=ends.TRANSPORT),
    Row(name="a name without an address", door="nowhere", ending=ends.TRANSPORT),
    Row(name="no TLS where it is asked for", door="tls", ending=ends.TRANSPORT),
    Row(name="connection not taken up", door="drops", deadlines=SHORT, ending=ends.TIMEOUT),
    Row(name="reset before any byte", fault=lambda _: faults.reset(), ending=ends.TRANSPORT),
    Row(name="closed before any byte", fault=lambda _: faults.cut(), ending=ends.TRANSPORT),
    Row(
        name="another protocol",
        fault=lambda _: faults.raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        ending=ends.TRANSPORT,
        unlike={Lane.LITELLM: ends.ODD},
    ),
    Row(name="accepts and never answers", fault=lambda _: faults.hang(), deadlines=SHORT, ending=ends.TIMEOUT),
    Row(
        name="headers, then silence",
        fault=lambda _: faults.stall(after_chunks=0),
        deadlines=SHORT,
        ending=ends.FIRST_TOKEN,
    ),
    Row(
        name="signs of life without content",
        fault=lambda wire: wire.raw(wire.opened(), refrain=wire.silence(), gap_s=0.02),
        deadlines=SHORT,
        ending=ends.FIRST_TOKEN,
    ),
    Row(name="slow headers and chunks", fault=lambda _: faults.slow(0.1), ending=ends.ANSWERED),
)

REFUSALS: Final = (
    Row(
        name="429, come back in 15 minutes",
        fault=status(429, '{"error":{"message":"slow down"}}', retry_after="900"),
        ending=replace(ends.RATE_LIMIT, alone=1, retry_after=True),
    ),
    Row(
        name="429, come back at once, then well",
        fault=status(429, '{"error":{"message":"slow down"}}', retry_after="1"),
        times=1,
        ending=replace(ends.RATE_LIMIT, alone=1, heals="alone"),
    ),
    Row(name="429 that does not say when", fault=status(429, '{"error":"slow down"}'), ending=ends.RATE_LIMIT),
    Row(name="402", fault=status(402, '{"error":{"message":"no credit"}}'), ending=ends.RATE_LIMIT),
    Row(name="500", fault=status(500, '{"error":"boom"}'), ending=ends.UPSTREAM_ERROR),
    Row(
        name="500, then well",
        fault=status(500, '{"error":"boom"}'),
        times=1,
        ending=replace(ends.UPSTREAM_ERROR, alone=1, beside=1, heals="both"),
    ),
    Row(name="502 with a page", fault=status(502, "<html><h1>Bad Gateway</h1></html>"), ending=ends.UPSTREAM_ERROR),
    Row(name="504", fault=status(504, ""), ending=ends.UPSTREAM_ERROR),
    Row(
        name="503 busy",
        fault=words(503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}'),
        ending=ends.OVERLOADED,
    ),
    Row(
        name="529",
        fault=status(529, '{"error":{"type":"overloaded_error","message":"Overloaded"}}'),
        ending=ends.OVERLOADED,
    ),
    Row(
        name="500, the model cannot be loaded",
        fault=words(
            500,
            '{"error":"llama-server process has terminated: exit status 1: failed to allocate buffer"}',
            '{"error":{"code":500,"message":"error loading model: unable to allocate CUDA0 buffer"}}',
        ),
        ending=ends.LOAD_FAILED,
    ),
    Row(
        name="404 model not found",
        fault=words(
            404,
            '{"error":"model \'x\' not found"}',
            '{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}',
        ),
        ending=ends.GONE,
    ),
    Row(
        name="401",
        fault=words(
            401,
            '{"error":"unauthorized","signin_url":"https://ollama.com/connect"}',
            '{"error":{"message":"Incorrect API key provided: sk-made-up-0123456789","code":"invalid_api_key"}}',
        ),
        ending=ends.AUTH,
    ),
    Row(name="403", fault=status(403, '{"error":"not for you"}'), ending=ends.AUTH),
    Row(
        name="400 context length",
        fault=words(
            400,
            r'{"error":"{\"error\":{\"code\":400,\"message\":\"request (5000 tokens) exceeds the available context size'
            r' (4096 tokens), try increasing it\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":5000}}"}',
            '{"error":{"message":"This model\'s maximum context length is 4096 tokens. However, your messages resulted in'
            ' 5000 tokens.","code":"context_length_exceeded","type":"invalid_request_error"}}',
        ),
        ending=ends.CONTEXT_LENGTH,
    ),
    Row(
        name="400 context length in Anthropic's words",
        fault=status(400, '{"error":{"message":"prompt is too long: 5000 tokens > 4096 maximum"}}'),
        lanes=SSE,
        ending=ends.CONTEXT_LENGTH,
    ),
    Row(
        name="400 context length, the other no larger",
        fault=status(400, '{"error":{"message":"the prompt is too long: it exceeds the context length"}}'),
        roomy=False,
        ending=replace(ends.CONTEXT_LENGTH, moves_on=False),
    ),
    Row(
        name="400 content policy",
        fault=status(400, '{"error":{"message":"blocked by our content policy","code":"content_policy_violation"}}'),
        ending=ends.CONTENT_POLICY,
    ),
    Row(name="400", fault=status(400, '{"error":{"message":"temperature: too hot"}}'), ending=ends.BAD_REQUEST),
    Row(name="422", fault=status(422, '{"error":{"message":"messages: too few"}}'), ending=ends.BAD_REQUEST),
    Row(
        name="400 does not support tools",
        fault=words(
            400,
            '{"error":"registry.ollama.ai/library/x:latest does not support tools"}',
            '{"error":{"message":"this model does not support tools"}}',
        ),
        ending=ends.CAPABILITY,
    ),
    Row(
        name="400 does not support thinking",
        fault=words(
            400, '{"error":"\\"x\\" does not support thinking"}', '{"error":{"message":"x does not support thinking"}}'
        ),
        ending=ends.CAPABILITY,
    ),
    Row(
        name="500 image input is not supported",
        fault=words(
            500,
            r'{"error":"{\"error\":{\"code\":500,\"message\":\"image input is not supported - hint: if this is'
            r' unexpected, you may need to provide the mmproj\",\"type\":\"server_error\"}}"}',
            '{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need'
            ' to provide the mmproj","type":"server_error"}}',
        ),
        ending=ends.CAPABILITY,
    ),
    Row(name="501", fault=status(501, '{"error":"This server does not do that"}'), ending=ends.CAPABILITY),
    Row(
        name="302",
        fault=status(302, "", location="elsewhere"),
        ending=ends.UPSTREAM_ERROR,
    ),
    Row(
        name="502 in Ollama's shape on /v1",
        fault=status(502, '{"error":"error contacting ollama.com"}'),
        lanes=SSE,
        ending=ends.UPSTREAM_ERROR,
    ),
)

LOADING: Final = (
    Row(
        name="the load fails",
        route=LOAD,
        lanes=NATIVE,
        fault=status(500, '{"error":"llama-server process has terminated: exit status 1"}'),
        ending=ends.LOAD_FAILED,
    ),
    Row(
        name="the load meets a full queue",
        route=LOAD,
        lanes=NATIVE,
        fault=status(503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}'),
        ending=ends.OVERLOADED,
    ),
    Row(
        name="the load never ends",
        route=LOAD,
        lanes=NATIVE,
        fault=lambda _: faults.hang(),
        deadlines=Deadlines(connect_s=10, load_s=1, first_token_s=30, gap_s=30, total_s=60),
        ending=ends.TIMEOUT,
    ),
    Row(name="the load is reset", route=LOAD, lanes=NATIVE, fault=lambda _: faults.reset(), ending=ends.TRANSPORT),
)

BREAKS: Final = (
    Row(name="reset after the headers", fault=lambda _: faults.reset(after_chunks=0), ending=ends.TRUNCATED),
    Row(name="cut after the headers", fault=lambda _: faults.cut(after_chunks=0), ending=ends.TRUNCATED),
    Row(name="cut before content", fault=lambda wire: wire.raw(wire.opened()), ending=ends.TRUNCATED),
    Row(name="empty 200", fault=lambda wire: wire.raw(length=0), ending=ends.TRUNCATED),
    Row(name="reset after content", fault=after_content(faults.reset), ending=ends.CUT),
    Row(name="cut after content", fault=after_content(faults.cut), ending=ends.CUT),
    Row(name="ends without a finish", fault=after_content(faults.eof), ending=ends.CUT),
    Row(
        name="cut in the middle of a chunk",
        fault=lambda wire: wire.raw(wire.opened() + wire.said(*PIECES[:2]) + wire.said(PIECES[2])[:-9]),
        ending=ends.CUT,
    ),
    Row(name="silence after content", fault=after_content(faults.stall), deadlines=SHORT_GAP, ending=ends.STALL),
    Row(
        name="signs of life after content, and no more of it",
        fault=lambda wire: wire.raw(wire.opened(), wire.said(*PIECES[:2]), refrain=b": keep-alive\n\n", gap_s=0.02),
        lanes=SSE,
        deadlines=SHORT_GAP,
        ending=ends.STALL,
    ),
    Row(
        name="an answer that never ends",
        fault=lambda wire: wire.raw(wire.opened(), refrain=wire.said("la "), gap_s=0.05),
        deadlines=Deadlines(connect_s=2, load_s=10, first_token_s=10, gap_s=10, total_s=4),
        ending=ends.ENDLESS,
    ),
)

IN_BAND: Final = (
    Row(
        name="an error before content",
        fault=lambda wire: wire.raw(wire.opened(), wire.frame({"error": {"message": "the engine fell over"}})),
        ending=ends.UPSTREAM_ERROR,
    ),
    Row(
        name="an error after content",
        fault=lambda wire: wire.raw(
            wire.opened() + wire.said(*PIECES[:2]), wire.frame({"error": {"message": "the engine fell over"}})
        ),
        ending=replace(ends.UPSTREAM_ERROR, delivered=TOLD),
    ),
    Row(
        name="an error in Ollama's shape before content",
        fault=lambda wire: wire.raw(wire.opened(), wire.frame({"error": "the engine fell over"})),
        ending=ends.UPSTREAM_ERROR,
    ),
    Row(
        name="an error in Ollama's shape after content",
        fault=lambda wire: wire.raw(
            wire.opened() + wire.said(*PIECES[:2]), wire.frame({"error": "the engine fell over"})
        ),
        ending=replace(ends.UPSTREAM_ERROR, delivered=TOLD),
    ),
    Row(
        name="a context found too small within the stream",
        fault=lambda wire: wire.raw(
            wire.opened(), wire.frame({"error": {"message": "context length exceeded", "code": 400}})
        ),
        ending=ends.CONTEXT_LENGTH,
    ),
    Row(
        name="an unreadable chunk in the middle",
        fault=lambda wire: wire.raw(
            wire.opened() + wire.said(*PIECES[:2]), wire.broken(), wire.said(*PIECES[2:]) + wire.ended()
        ),
        ending=ends.ANSWERED,
        unlike={Lane.LITELLM: ends.CUT},
    ),
    Row(name="no [DONE]", sends_done=False, lanes=SSE, ending=ends.ANSWERED),
    Row(
        name="no end of the last line",
        fault=lambda wire: wire.raw(wire.whole().rstrip(b"\n")),
        ending=ends.ANSWERED,
    ),
    Row(
        name="a page with status 200",
        fault=lambda wire: faults.status(200, "<html>\n<h1>Welcome</h1>\n</html>", content_type="text/html"),
        ending=ends.TRUNCATED,
        unlike={Lane.OPENAI: ends.UPSTREAM_ERROR},
    ),
    Row(
        name="one object instead of a stream",
        fault=lambda wire: faults.status(200, wire.object().decode()),
        ending=ends.ANSWERED,
        unlike={Lane.LITELLM: ends.TRUNCATED},
    ),
    Row(
        name="a line without end",
        fault=lambda wire: wire.raw(wire.opened(), b"data: ", refrain=b"x" * (1 << 20)),
        lanes=(Lane.OLLAMA, Lane.OPENAI),
        ending=ends.ODD,
    ),
    Row(name="all chunks in one read", fault=lambda wire: wire.raw(wire.whole()), ending=ends.ANSWERED),
    Row(
        name="characters split between reads",
        fault=lambda wire: wire.raw(*split(wire.opened() + wire.said(ACCENTS, ACCENTS) + wire.ended()), gap_s=0.002),
        ending=replace(ends.ANSWERED, text=ACCENTS * 2),
    ),
    Row(
        name="an end for a reason unheard of",
        fault=lambda wire: wire.raw(wire.opened() + wire.said(*PIECES) + wire.ended(reason="weary")),
        lanes=NATIVE,
        ending=replace(ends.TRUNCATED, delivered=TEXT),
    ),
    Row(
        name="an end without a reason",
        fault=lambda wire: wire.raw(wire.opened() + wire.said(*PIECES) + wire.ended(reason="")),
        ending=replace(ends.TRUNCATED, delivered=TEXT),
    ),
    Row(
        name="a tool call in the last chunk",
        fault=lambda wire: wire.raw(
            wire.opened() + wire.ended(reason="stop" if wire.native else "tool_calls", more=wire.tool_call())
        ),
        ending=replace(ends.ANSWERED, text="", finish="tool_calls", calls=1),
    ),
    Row(
        name="text after the end",
        fault=lambda wire: wire.raw(wire.whole() + wire.said("and again")),
        ending=ends.ANSWERED,
    ),
)

ROWS: Final = (*NO_ANSWER, *REFUSALS, *LOADING, *BREAKS, *IN_BAND, *FRAMING)
