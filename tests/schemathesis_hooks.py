"""What schemathesis is told in code. Its own process loads this, by the variable ``SCHEMATHESIS_HOOKS``."""

from typing import Any, Final

import schemathesis

LEAST: Final = -(1 << 63)
MOST: Final = (1 << 64) - 1


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """``body``, but for what no schema can say."""
    told = meant(body)
    if isinstance(told, dict) and isinstance(told.get("tools"), list):
        return {**told, "tools": apart(told["tools"])}
    return told


def meant(value: Any, *, name: str = "") -> Any:
    """``value`` with whole numbers as the gateway reads them, and OpenAI and Ollama: JSON Schema knows no difference between 16
    and 16.0, and none between what fits into 64 bits and what does not. The arguments of a call are JSON in a text."""
    if isinstance(value, dict):
        return {key: meant(one, name=key) for key, one in value.items()}
    if isinstance(value, list):
        return [meant(one) for one in value]
    if isinstance(value, str) and name == "arguments":
        return "{}"
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        return value
    return max(LEAST, min(int(value), MOST))


def apart(tools: list[Any]) -> list[Any]:
    """``tools``, no two of which have the same name."""
    told: list[Any] = []
    seen: set[str] = set()
    for number, tool in enumerate(tools):
        name = tool.get("name") if isinstance(tool, dict) else None
        repeated = isinstance(name, str) and name in seen
        told.append({**tool, "name": f"{name}{number}"} if repeated else tool)
        if isinstance(name, str):
            seen.add(told[-1]["name"])
    return told
