"""The request parameters that a role sets: what OpenAI documents is checked, the rest must be JSON that can be sent."""

import json

import pytest

from unit.config.sandbox import Sandbox

INTEGERS = "whole numbers of 64 bits (from -2^63 to 2^63 - 1)"
PENALTY = "a number from -2 to 2"
TOKENS = "a whole number of tokens, at least 1"
EFFORTS = '"none", "minimal", "low", "medium", "high", "max" or "xhigh"'
STOP = "text, or a list of at most 4 texts"
SEED = "a whole number of 64 bits (from -2^63 to 2^63 - 1)"

# Parameters, and what is said of each behind `role_mappings.planner.parameters`.
WRONG: list[tuple[dict[str, object], str]] = [
    ({"temperature": "hot"}, '.temperature: found "hot"; allowed: a number from 0 to 2'),
    ({"temperature": 2.1}, ".temperature: found 2.1; allowed: a number from 0 to 2"),
    ({"temperature": True}, ".temperature: found true; allowed: a number from 0 to 2"),
    ({"top_p": -0.1}, ".top_p: found -0.1; allowed: a number from 0 to 1"),
    ({"presence_penalty": 3}, f".presence_penalty: found 3; allowed: {PENALTY}"),
    ({"frequency_penalty": -3}, f".frequency_penalty: found -3; allowed: {PENALTY}"),
    ({"max_tokens": "x"}, f'.max_tokens: found "x"; allowed: {TOKENS}'),
    ({"max_tokens": 0}, f".max_tokens: found 0; allowed: {TOKENS}"),
    ({"max_tokens": 2**63}, f".max_tokens: found {2**63}; allowed: {INTEGERS}"),
    ({"max_completion_tokens": 1.5}, f".max_completion_tokens: found 1.5; allowed: {TOKENS}"),
    ({"seed": 2**70}, f".seed: found {2**70}; allowed: {SEED}"),
    ({"seed": -(2**63) - 1}, f".seed: found {-(2**63) - 1}; allowed: {SEED}"),
    ({"seed": "1"}, f'.seed: found "1"; allowed: {SEED}'),
    ({"stop": 5}, f".stop: found 5; allowed: {STOP}"),
    ({"stop": ["a", 5]}, f".stop: found a list; allowed: {STOP}"),
    ({"stop": ["a", "b", "c", "d", "e"]}, f".stop: found a list; allowed: {STOP}"),
    ({"n": 2}, ".n: found 2; allowed: 1"),
    ({"logprobs": 1}, ".logprobs: found 1; allowed: true or false"),
    ({"top_logprobs": 21}, ".top_logprobs: found 21; allowed: a whole number from 0 to 20"),
    ({"tools": 5}, ".tools: found 5; allowed: a list of tools, each a mapping"),
    ({"tools": [{}, 5]}, ".tools[1]: found 5; allowed: a mapping"),
    ({"tool_choice": 5}, ".tool_choice: found 5; allowed: text or a mapping"),
    ({"response_format": "json"}, '.response_format: found "json"; allowed: a mapping'),
    ({"reasoning_effort": "hgh"}, f'.reasoning_effort: found "hgh"; allowed: {EFFORTS}; did you mean "high"?'),
    ({"parallel_tool_calls": "yes"}, '.parallel_tool_calls: found "yes"; allowed: true or false'),
    ({"user": 5}, ".user: found 5; allowed: text"),
    ({"logit_bias": [1]}, ".logit_bias: found a list; allowed: a mapping of token ids to numbers"),
    ({"logit_bias": {"50256": "x"}}, '.logit_bias.50256: found "x"; allowed: a number'),
    ({"top_k": 2**64}, f".top_k: found {2**64}; allowed: {INTEGERS}"),
    ({"options": {"a": [1, -(2**70)]}}, f".options.a[1]: found {-(2**70)}; allowed: {INTEGERS}"),
    ({"tools": [{"a": 2**70}]}, f".tools[0].a: found {2**70}; allowed: {INTEGERS}"),
]


def _file(parameters: object) -> str:
    return '{"role_mappings": {"planner": {"parameters":\n' + json.dumps(parameters) + "}}}"


@pytest.mark.parametrize(("parameters", "said"), WRONG, ids=[json.dumps(given)[:40] for given, _said in WRONG])
def test_a_wrong_parameter_is_refused_where_it_stands(parameters: object, said: str, sandbox: Sandbox) -> None:
    sandbox.write({"models.json": _file(parameters)})
    assert sandbox.problems() == [f"config/models.json:2: role_mappings.planner.parameters{said}"]


def test_everything_wrong_with_the_parameters_comes_at_once(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": _file({"temperature": 3, "model": "x", "top_k": 2**64, "top_p": 1})})
    where = "config/models.json:2: role_mappings.planner.parameters"
    assert sandbox.problems() == [
        (
            f'{where}.model: found the name "model"; '
            "allowed: a request parameter other than input, messages, model, prompt, stream, stream_options"
        ),
        f"{where}.temperature: found 3; allowed: a number from 0 to 2",
        f"{where}.top_k: found {2**64}; allowed: {INTEGERS}",
    ]


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_parameters_nest_thirty_two_levels_and_no_more(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": _file({"deep": _nested(32)})})
    assert sandbox.load().roles["planner"].parameters["deep"] == _nested(32)
    sandbox.write({"models.json": _file({"deep": _nested(33)})})
    assert sandbox.problems() == [
        (
            "config/models.json:2: role_mappings.planner.parameters.deep: found values nested more than 32 deep; "
            "allowed: at most 32 levels"
        )
    ]


def test_what_is_right_stays_as_it_was_written(sandbox: Sandbox) -> None:
    given = {
        "temperature": 1,
        "top_p": 0.5,
        "presence_penalty": -2,
        "max_tokens": 1,
        "seed": -(2**63),
        "stop": "x",
        "n": 1,
        "logprobs": True,
        "top_logprobs": 20,
        "logit_bias": {"50256": -100},
        "tools": [{"type": "function"}],
        "tool_choice": {"type": "function"},
        "response_format": {"type": "json_object"},
        "reasoning_effort": "xhigh",
        "user": "",
        "mirostat": 2,
        "copy": {"any": [None, {"thing": 2**63 - 1}]},
    }
    sandbox.write({"models.json": _file(given)})
    assert json.dumps(dict(sandbox.load().roles["planner"].parameters)) == json.dumps(given)


def test_null_takes_a_parameter_of_a_lower_layer_away(sandbox: Sandbox) -> None:
    sandbox.write(
        {"models.json": _file({"seed": 1, "top_k": 2}), "user_models.json": _file({"seed": None, "top_k": None})}
    )
    assert sandbox.load().roles["planner"].parameters == {}
