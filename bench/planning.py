"""Selection: 50 roles over 1,000 models, every role with requirements and weights of its own."""

import random
from collections.abc import Iterator

from bench.measure import Result, timed
from gateway.domain.capabilities import ABILITIES, Fact, ModelCapabilities, Origin
from gateway.domain.memory import Architecture
from gateway.domain.model import Lane, Model, ModelRef, Provider, ProviderKind
from gateway.domain.ports import Discovery, ProviderState
from gateway.domain.resources import GB, Resources
from gateway.domain.role import Policy, Requirements, Role
from gateway.domain.selection import select

ROLES, MODELS = 50, 1_000


def results() -> Iterator[Result]:
    draw = random.Random(1)
    provider = Provider(name="ollama", kind=ProviderKind.OLLAMA, lane=Lane.OLLAMA, on_this_host=True)
    discovery = Discovery(
        providers=(ProviderState(provider=provider, up=True),),
        models=tuple(_model(f"m{number}:7b", draw=draw) for number in range(MODELS)),
    )
    roles = {f"role{number}": _role(number, draw=draw) for number in range(ROLES)}
    machine = Resources(memory_total_bytes=16 * GB, memory_available_bytes=16 * GB)

    def plan() -> str:
        selection = select(roles=roles, discovery=discovery, resources=machine, policy=Policy())
        return selection.plan.digest

    yield timed(plan, name="plan", what=f"{ROLES} roles x {MODELS:,} models, digest included", budget_ms=100)
    selection = select(roles=roles, discovery=discovery, resources=machine, policy=Policy())
    yield timed(lambda: selection.trace("role0"), name="trace", what=f"one role's trace over {MODELS:,} models")


def _model(name: str, *, draw: random.Random) -> Model:
    scores = {
        ability: Fact(value=draw.uniform(0.5, 0.98), origin=Origin.CATALOG, confidence=0.7, tier="B")
        for ability in ABILITIES
    }
    tools = Fact(value=draw.random() < 0.7, origin=Origin.REPORTED)
    context = Fact(value=draw.choice([8_192, 32_768, 131_072]), origin=Origin.REPORTED)
    layers = draw.choice([24, 32, 48])
    return Model(
        ref=ModelRef(provider="ollama", name=name),
        lane=Lane.OLLAMA,
        cloud=False,
        chats=True,
        embeds=False,
        capabilities=ModelCapabilities(
            context_length=context,
            supports_tools=tools,
            reasoning_strength=scores["reasoning_strength"],
            coding_strength=scores["coding_strength"],
            creativity=scores["creativity"],
            multilingual_score=scores["multilingual_score"],
            tool_calling=scores["tool_calling"],
        ),
        architecture=Architecture(
            name="llama",
            weights_bytes=round(draw.uniform(0.5, 12) * GB),
            kv_widths=((1024, 1024),) * layers,
            windows=(None,) * layers,
            trained_context_tokens=context.value,
        ),
    )


def _role(number: int, *, draw: random.Random) -> Role:
    return Role(
        name=f"role{number}",
        preferred=(f"m{number}:7b", f"m{number + 1}:7b", "absent:7b"),
        requirements=Requirements(
            scores={draw.choice(ABILITIES): draw.uniform(0.5, 0.9)},
            context_min_tokens=draw.choice([None, 8_000, 30_000]),
        ),
        weights={draw.choice(ABILITIES): 0.7, "speed": draw.random()},
    )
