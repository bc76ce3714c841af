"""What schemathesis is told in code. Its own process loads this, by the variable ``SCHEMATHESIS_HOOKS``."""

from typing import Any, Final

import schemathesis

LEAST: Final = -(1 << 63)
MOST: Final = (1 << 64) - 1


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """``body``, but for what no schema can say."""
    told = whole(body)
    if isinstance(told, dict) and isinstance(told.get("tools"), list):
        return {**told, "tools": apart(told["tools"])}
    return told


def whole(value: Any) -> Any:
    """``value`` with whole numbers as the gateway reads them, and OpenAI and Ollama: JSON Schema knows no difference between 16
    and 16.0, and none between what fits into 64 bits and what does not."""
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return value if isinstance(value, bool) else max(LEAST, min(int(value), MOST))
    return value


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
