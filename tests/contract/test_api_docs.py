"""What the documentation says of the API is so: its examples run and say what is shown, its tables are what the code has."""

import asyncio
import inspect
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
import pytest

from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply, ToolCall
from gateway.api import app, model_routes
from gateway.api.doors import FORWARDED
from gateway.api.messages_errors import messages_error
from gateway.compose import serving
from gateway.domain.failure import FAILURE_RULES, FailureClass
from gateway.domain.model import DEFAULT_QUEUE, DEFAULT_QUEUE_WAIT_S
from gateway.domain.request_fields import REQUEST_FIELDS
from gateway.errors import AddressTaken, GatewayUnreachable, RequestFailed, RolegateError, UpstreamFailed
from gateway.file_errors import ClientKeysUnreadable
from gateway.relay.deadlines import CLOUD, LOCAL, PREFILL_TOKENS_S
from gateway.relay.ollama_wire import native_request
from gateway_process import GatewayProcess

ROOT: Final = Path(__file__).resolve().parents[2]
API: Final = ROOT / "docs" / "api.md"
DOCUMENTED_URL: Final = "http://127.0.0.1:4000"

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_DIRECTIVE: Final = re.compile(r"<!-- while (\S+) (is overloaded|breaks off) -->\n\Z")
_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")
_RUN: Final = ("python", "sh")
_SHOWN: Final = ("json", "text")
NOT_OVER_HTTP: Final = (
    AddressTaken,
    GatewayUnreachable,
    UpstreamFailed,
    RequestFailed,
    ClientKeysUnreadable,
)
"""Errors of commands, and what failed attempts make, which has a table of its own."""

# One block after the other in the same names, as a reader would type them; each ends with what it printed.
_NOTEBOOK: Final = """
import contextlib, io, json, sys, traceback
names = {}
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(json.loads(line), names)
        except BaseException:
            print(traceback.format_exc())
    print(json.dumps(printed.getvalue()), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One block to run, and what is shown below it (``None``: nothing). ``model`` is meanwhile in ``trouble``."""

    line: int
    language: str
    code: str
    shown_as: str
    shown: str | None
    model: str
    trouble: str


def examples(text: str) -> list[Example]:
    found = []
    blocks = list(_FENCE.finditer(text))
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] not in _RUN:
            continue
        follows = after is not None and after[1] in _SHOWN and not text[block.end() : after.start()].strip()
        before = _DIRECTIVE.search(text[: block.start()])
        found.append(
            Example(
                line=text.count("\n", 0, block.start()) + 1,
                language=block[1],
                code=block[2],
                shown_as=after[1] if follows and after is not None else "",
                shown=after[2] if follows and after is not None else None,
                model=before[1] if before else "",
                trouble=before[2] if before else "",
            )
        )
    return found


def spoken(body: Mapping[str, Any]) -> Reply:
    """What the models of the examples say."""
    messages = body.get("messages") or [{"role": "user", "content": body.get("prompt", "")}]
    asked = messages[-1]["content"]
    if messages[-1]["role"] == "tool":
        return Reply(content=("It is sunny in Oslo,", " at 21 degrees."))
    if "weather" in asked and body.get("tools"):
        return Reply(content=(), tool_calls=(ToolCall(name="get_weather", arguments={"city": "Oslo"}),))
    if "colours" in asked:
        return Reply(content=("Red,", " green", " and", " blue."))
    return Reply(content=("Hello.",))


class Notebook:
    """Runs the Python blocks of one document, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def opened(cls, environment: Mapping[str, str]) -> AsyncIterator[Self]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _NOTEBOOK,
            env=dict(environment), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def run(self, code: str) -> str:
        told, heard = self._process.stdin, self._process.stdout
        assert told is not None
        assert heard is not None
        told.write(json.dumps(code).encode() + b"\n")
        await told.drain()
        printed: str = json.loads(await heard.readline())
        return printed


class Shell:
    """Runs the commands of the examples: curl (or what does the same, where there is none) and rolegate."""

    def __init__(self, *, gateway: GatewayProcess, folder: Path, environment: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._folder = folder
        self._environment = environment

    async def run(self, code: str) -> str:
        outputs = []
        for command in code.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(command)
            outputs.append(await {"curl": self._curl, "rolegate": self._rolegate}[program](arguments))
        return "\n".join(outputs)

    async def _curl(self, arguments: Sequence[str]) -> str:
        curl = shutil.which("curl")
        if curl is not None:
            return await self._output(curl, "-sS", "--max-time", "30", *arguments)
        return await _fetched(arguments)

    async def _rolegate(self, arguments: Sequence[str]) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{self._gateway.url}/admin/v1/requests?limit=1")  # answers when all requests are written
        return await self._output(
            sys.executable, "-m", "gateway", *arguments, "--config-dir", str(self._folder / "config")
        )

    async def _output(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(self._environment), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, complaints = await process.communicate()
        return output.decode() if process.returncode == 0 else f"{output.decode()}{complaints.decode()}"


async def _fetched(arguments: Sequence[str]) -> str:
    """The same with httpx, for the few options that the examples use."""
    method, url, body = "", "", None
    headers: dict[str, str] = {}
    given = iter(arguments)
    for one in given:
        if one == "-X":
            method = next(given)
        elif one == "-H":
            name, _, value = next(given).partition(":")
            headers[name] = value.strip()
        elif one == "-d":
            body = next(given)
        elif one != "-N":
            url = one
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.request(method or ("GET" if body is None else "POST"), url, headers=headers, content=body)
        return answer.text


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "gemma3:4b", "nomic-embed-text:latest"]) as ollama:
        ollama.say("", spoken)
        yield ollama


@pytest.fixture
async def gateway(fake: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GatewayProcess]:
    for name in set(os.environ) - set(_KEPT_VARIABLES):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    config = {
        "role_mappings": {
            "planner": {"preferred": ["llama3.1:8b", "gemma3:4b"], "discover": False},
            "embedder": {"preferred": ["nomic-embed-text"], "task": "embedding", "discover": False},
        },
        "local_providers": {"ollama": {"kind": "ollama", "url": fake.url, "memory_gb": 64}},
    }
    async with GatewayProcess(tmp_path, config) as started:
        yield started


@pytest.mark.parametrize("name", ["docs/api.md", "docs/guide.md", "README.md"])
async def test_every_example_runs_and_says_what_is_shown(
    name: str, fake: FakeOllama, gateway: GatewayProcess, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ROLEGATE_STATE_DIR": str(gateway.state_folder),
        "ROLEGATE_PORT": str(gateway.port),
    }
    shell = Shell(gateway=gateway, folder=tmp_path, environment=environment)
    wrong = []
    async with Notebook.opened(environment) as notebook:
        for example in examples((ROOT / name).read_text(encoding="utf-8")):
            code = example.code.replace(DOCUMENTED_URL, gateway.url)
            if example.trouble:
                overloaded = faults.status(503, '{"error": "server busy, please try again"}')
                fault = overloaded if example.trouble == "is overloaded" else faults.eof(after_chunks=2)
                fake.fail(fault, route="/api/chat", model=example.model)
            said = await (notebook if example.language == "python" else shell).run(code)
            fake.heal()
            difference = unlike(example, said=said.replace(gateway.url, DOCUMENTED_URL))
            if difference:
                wrong.append(f"{name}:{example.line}: {difference}")
    assert not wrong, "\n\n".join(wrong)


def unlike(example: Example, *, said: str) -> str:
    """What is wrong with what an example said; empty if nothing is."""
    if "Traceback (most recent call last)" in said:
        return said
    if example.shown is None:
        return ""
    if example.shown_as == "text":
        pattern = ".*?".join(re.escape(" ".join(part.split())) for part in _at_dots(example.shown))
        return "" if re.fullmatch(pattern, " ".join(said.split()), flags=re.DOTALL) else f"said {said}"
    shown, told = list(documents(example.shown)), list(documents(said))
    if len(shown) != len(told):
        return f"{len(shown)} objects are shown, but it said {said}"
    return next((found for one, other in zip(shown, told, strict=True) if (found := lacking(one, other))), "")


def _at_dots(shown: str) -> list[str]:
    """The text around each ``…``; one that stands for a whole word takes the space beside it."""
    return re.split("…", shown)


def documents(text: str) -> Iterator[Any]:
    """The JSON values in ``text``, one after the other."""
    decoder, place = json.JSONDecoder(), 0
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        value, place = decoder.raw_decode(text, place)
        yield value


def lacking(shown: Any, told: Any, *, where: str = "the answer") -> str:
    """The first thing that is shown and was not said: objects may say more than is shown, all else is equal."""
    if shown == "…":
        return ""
    if isinstance(shown, dict) and isinstance(told, dict):
        for key, value in shown.items():
            if key not in told:
                return f"{where} has no {key}: {told}"
            if found := lacking(value, told[key], where=f"{where}.{key}"):
                return found
        return ""
    if isinstance(shown, list) and isinstance(told, list) and len(shown) == len(told):
        pairs = enumerate(zip(shown, told, strict=True))
        return next((found for at, (a, b) in pairs if (found := lacking(a, b, where=f"{where}[{at}]"))), "")
    return "" if shown == told and type(shown) is type(told) else f"{where} is {told!r}, not {shown!r}"


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, cell by cell."""
    text = API.read_text(encoding="utf-8")
    start = text.index(f"\n{heading}\n")
    rows = re.search(r"^\|.*?\n\|[-|]+\n((?:\|.*\n)+)", text[start:], flags=re.MULTILINE)
    assert rows is not None
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in rows[1].splitlines()]


def named(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def family(error: type[RolegateError]) -> Iterator[type[RolegateError]]:
    yield error
    for one in error.__subclasses__():
        yield from family(one)


def on_messages(*, status: int, kind: type[RolegateError] | None = None) -> object:
    """The type of an error with this status on Anthropic's wire."""
    error: RolegateError = RequestFailed("", code="", http_status=status, openai_type="", source="gateway", attempts=())
    if kind is not None:
        error = kind.__new__(kind)
        RolegateError.__init__(error, "")
        error.__dict__.setdefault("param", None)
    content = messages_error(error)["error"]
    assert isinstance(content, dict)
    return content["type"]


def test_the_table_of_errors_is_what_the_gateway_can_say() -> None:
    told = {
        named(code)[0]: (int(status), named(kind)[0], cell)
        for code, status, kind, cell, _ in table("### Errors of the gateway")
    }
    known = {one.code: one for one in family(RolegateError) if not issubclass(one, NOT_OVER_HTTP)}
    assert set(told) == set(known)
    for code, error in known.items():
        status, kind, cell = told[code]
        assert (status, kind) == (error.http_status, error.openai_type), code
        assert not named(cell) or named(cell) == [on_messages(status=status, kind=error)], code


def test_the_table_of_failures_is_what_the_gateway_can_say() -> None:
    rows = table("### Errors after attempts")
    assert [named(row[0])[0] for row in rows] == [one.value for one in FailureClass]
    for failure, code, status, kind, cell, moves_on, _ in rows:
        rule = FAILURE_RULES[FailureClass(named(failure)[0])]
        assert (named(code)[0], int(status), named(kind)[0]) == (rule.code, rule.status, rule.openai_type), failure
        assert not named(cell) or named(cell) == [on_messages(status=rule.status)], failure
        assert moves_on.startswith("yes") == rule.moves_on, failure


async def test_what_is_said_before_any_endpoint_is_as_the_table_has_it(gateway: GatewayProcess) -> None:
    rows = {named(row[0])[0]: (int(row[1]), named(row[2])[0]) for row in table("### Errors of the gateway")}
    async with httpx.AsyncClient(trust_env=False, base_url=gateway.url) as client:
        answers = {
            "host_not_allowed": await client.get("/v1/models", headers={"host": "rolegate.example"}),
            "not_found": await client.get("/v1/nothing"),
            "http_error": await client.get("/v1/chat/completions"),
            "unsupported": await client.post("/v1/images/generations", json={}),
        }
    for code, answer in answers.items():
        error = answer.json()["error"]
        assert (error["code"], answer.status_code, error["type"]) == (code, *rows[code])


def test_every_path_is_named() -> None:
    sources = "".join(inspect.getsource(one) for one in (app, model_routes, serving))
    routed = {
        path.replace(":path", "") for path in re.findall(r'"(/(?:v1|admin/v1|healthz|readyz|metrics)[^"]*)"', sources)
    }
    told = {path for row in table("## Endpoints") for name in named(row[0]) for path in name.split() if "/" in path}
    assert told == {path for path in routed if "{name}" not in path}


def test_every_path_that_is_not_offered_is_named() -> None:
    paragraph = re.search(
        r"^501 `unsupported` is the answer.*?\n\n", API.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert paragraph is not None
    told = {name for name in named(paragraph[0]) if "/" in name}
    assert told == {"/".join(path.split("/")[:3]) for path in app._NOT_OFFERED}


def test_every_header_is_named() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway" / "api").glob("*.py"))
    known = "x-[a-z]+-[a-z-]+|request-id|retry-after|authorization|www-authenticate"
    headers = set(re.findall(rf'(?:"|%b)({known})(?:"|: )', sources))
    headers -= {"x-accel-buffering", *(name.decode() for name in FORWARDED)}
    told = {
        name.partition(":")[0]
        for row in (*table("### Request headers"), *table("### Answer headers"))
        for name in named(row[0])
    }
    assert told == headers


def test_the_deadlines_and_queues_told_are_those_that_hold() -> None:
    told = {named(row[0])[0]: row[1] for row in table("## Settings that matter here")}
    assert told["deadlines.connect_s"] == f"{LOCAL.connect_s:g}; cloud {CLOUD.connect_s:g}"
    assert told["deadlines.load_s"] == f"{LOCAL.load_s:g}"
    first = f"{LOCAL.first_token_s:g}, and a second more for every {PREFILL_TOKENS_S * 4:g} characters of prompt"
    assert told["deadlines.first_token_s"] == f"{first}; cloud {CLOUD.first_token_s:g}"
    assert told["deadlines.gap_s"] == f"{LOCAL.gap_s:g}" == f"{CLOUD.gap_s:g}"
    assert told["deadlines.total_s"] == f"{LOCAL.total_s:g}" == f"{CLOUD.total_s:g}"
    queues = {named(row[0])[0]: row[1] for row in table("In a provider:")}
    assert queues == {
        "max_parallel": "no limit",
        "queue": f"{DEFAULT_QUEUE:,}",
        "queue_wait_s": f"{DEFAULT_QUEUE_WAIT_S:g}",
    }


SAMPLES: Final[Mapping[str, object]] = {
    "tools": [{"type": "function", "function": {"name": "x"}}],
    "stop": ["."],
    "response_format": {"type": "json_object"},
    "reasoning": {"effort": "low"},
    "reasoning_effort": "low",
    "thinking": {"type": "enabled"},
    "logprobs": True,
    "metadata": {"a": "b"},
    "web_search_options": {},
}
ELSEWHERE: Final = {"tool_choice", "parallel_tool_calls", "logit_bias", "suffix"}
"""Parameters of which more than presence decides, each with tests of its own."""


def parameters() -> Iterator[tuple[str, str, str]]:
    """Every parameter of the table with its cells for the ollama and the litellm lane."""
    for names, ollama, _, litellm in table("### What becomes of a parameter"):
        yield from ((name, ollama, litellm) for name in named(names))


@pytest.mark.parametrize(("name", "ollama", "litellm"), list(parameters()))
def test_a_parameter_goes_where_the_table_says(name: str, ollama: str, litellm: str) -> None:
    if name != "suffix":
        assert (name in REQUEST_FIELDS) == (litellm != "left out")
    if name not in ELSEWHERE:
        plain: dict[str, object] = {"messages": [{"role": "user", "content": "hi"}]}
        ask: Callable[[Mapping[str, object]], object] = lambda body: native_request(  # noqa: E731
            body, model="m", context_tokens=8192, thinks=True
        )
        assert (ask({**plain, name: SAMPLES.get(name, 1)}) == ask(plain)) == (ollama == "left out")


def test_no_parameter_that_litellm_gets_is_missing_from_the_table() -> None:
    assert REQUEST_FIELDS - {"messages"} <= {name for name, _, _ in parameters()}
