"""Which fields of a request go where."""

from typing import Final

REQUEST_FIELDS: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""Those of a chat that LiteLLM is handed; everything else is left out, whether a caller or a role says it. LiteLLM takes
addresses, keys, headers, callbacks and made-up answers as arguments of the same call, so what may be named has to be listed; here
and nowhere before."""

WIRE_FIELDS: Final = REQUEST_FIELDS | {
    "best_of",
    "dimensions",
    "echo",
    "encoding_format",
    "include_reasoning",
    "input",
    "min_p",
    "modalities",
    "n",
    "prompt",
    "reasoning",
    "repeat_last_n",
    "repeat_penalty",
    "repetition_penalty",
    "suffix",
}
"""Those that a caller may have sent to a cloud that speaks OpenAI's wire. Services of many models, and other gateways, take more
from whoever holds a key: which model answers in place of the one that is named, with what tools, over which provider."""
