"""Values and keys that no configuration may hold: one exact message each, all of a file at once."""

import pytest

from unit.config.sandbox import Sandbox

REFERENCE = 'allowed: a model reference, such as "mistral:latest" or "openai:gpt-4o-mini"'
URL = "allowed: an http:// or https:// address without spaces, user, password, query or fragment"
TOP = "$schema, cloud_providers, gateway, local_providers, model_profiles, role_mappings, schema_version, selection"
ROLE = (
    "allow_cloud, cloud_fallback, cold_start, deadlines, discover, hold_back, keep_alive, max_deployments, parameters, "
    "preferred, requirements, stream_failure, task, weights"
)

# What stands in models.yaml, and every problem of it without the file's name.
CASES: dict[str, tuple[str, list[str]]] = {
    "an unknown section": (
        "role_mapings: {}",
        [f'1: role_mapings: found the unknown key "role_mapings"; allowed: {TOP}; did you mean "role_mappings"?'],
    ),
    "an unknown key of a role": (
        "role_mappings:\n  planner:\n    prefered: []",
        [
            (
                f'3: role_mappings.planner.prefered: found the unknown key "prefered"; allowed: {ROLE}; '
                'did you mean "preferred"?'
            )
        ],
    ),
    "a time to keep a model for that would let go of it": (
        "role_mappings:\n  planner:\n    keep_alive: 0",
        [
            (
                "3: role_mappings.planner.keep_alive: found 0; allowed: a time with its unit (30m, 1h30m), a whole number of "
                "seconds, or -1 for ever"
            )
        ],
    ),
    "an unknown key with a dot": (
        'gateway: {"a.b": 1}',
        [
            (
                '1: gateway["a.b"]: found the unknown key "a.b"; allowed: body_limit_bytes, embedded, expose_models, host, '
                "hot_swap, log_format, max_connections, port, shutdown_grace_s, tls_cert, tls_key"
            )
        ],
    ),
    "extends outside a profile": (
        "extends: coding",
        [f'1: extends: found the unknown key "extends"; allowed: {TOP}'],
    ),
    "a role that is no mapping": (
        "role_mappings: {planner: mistral}",
        ['1: role_mappings.planner: found "mistral"; allowed: a mapping'],
    ),
    "a section that is a list": ("role_mappings: [planner]", ["1: role_mappings: found a list; allowed: a mapping"]),
    "a role's name with a space": (
        "role_mappings:\n  the planner: {}",
        [
            (
                '2: role_mappings["the planner"]: found the name "the planner"; '
                "allowed: a role name of letters, digits, _, . and -"
            )
        ],
    ),
    "a provider's name in capitals": (
        "local_providers:\n  Ollama: {kind: ollama}",
        [
            (
                '2: local_providers.Ollama: found the name "Ollama"; '
                "allowed: a provider name of lower-case letters, digits, _ and -, beginning with a letter"
            )
        ],
    ),
    "a score over one": (
        "role_mappings:\n  planner:\n    requirements:\n      reasoning_strength: 7",
        ["4: role_mappings.planner.requirements.reasoning_strength: found 7; allowed: a number from 0 to 1"],
    ),
    "a score as text": (
        'role_mappings: {planner: {requirements: {creativity: "0.7"}}}',
        ['1: role_mappings.planner.requirements.creativity: found "0.7"; allowed: a number from 0 to 1'],
    ),
    "an unknown requirement": (
        "role_mappings: {planner: {requirements: {coding: 0.7}}}",
        [
            (
                '1: role_mappings.planner.requirements.coding: found the unknown key "coding"; allowed: coding_strength, '
                "context_length_min, creativity, memory_gb_max, multilingual_score, reasoning_strength, "
                "supports_audio, supports_function_calling, supports_insert, supports_json_schema, supports_prefill, "
                "supports_thinking, supports_tools, supports_vision, tool_calling"
            )
        ],
    ),
    "a context of nothing": (
        "role_mappings: {planner: {requirements: {context_length_min: 0}}}",
        [
            (
                "1: role_mappings.planner.requirements.context_length_min: found 0; "
                "allowed: a whole number of tokens from 1 to 100000000"
            )
        ],
    ),
    "a broken number of tokens": (
        "role_mappings: {planner: {requirements: {context_length_min: 8000.5}}}",
        [
            (
                "1: role_mappings.planner.requirements.context_length_min: found 8000.5; "
                "allowed: a whole number of tokens from 1 to 100000000"
            )
        ],
    ),
    "true for a number": (
        "role_mappings: {planner: {requirements: {memory_gb_max: true}}}",
        [
            (
                "1: role_mappings.planner.requirements.memory_gb_max: found true; "
                "allowed: a number of GB (10^9 bytes) over 0, at most 100000"
            )
        ],
    ),
    "a number for true": (
        "role_mappings: {planner: {discover: 1}}",
        ["1: role_mappings.planner.discover: found 1; allowed: true or false"],
    ),
    "yes for true": (
        "gateway: {hot_swap: yes}",
        ['1: gateway.hot_swap: found "yes"; allowed: true or false'],
    ),
    "an unknown task": (
        "role_mappings: {planner: {task: embeddings}}",
        [
            (
                '1: role_mappings.planner.task: found "embeddings"; allowed: "chat" or "embedding"; '
                'did you mean "embedding"?'
            )
        ],
    ),
    "an unknown way to fail": (
        "role_mappings: {planner: {stream_failure: stop}}",
        ['1: role_mappings.planner.stream_failure: found "stop"; allowed: "terminate" or "continue"'],
    ),
    "too many deployments": (
        "role_mappings: {planner: {max_deployments: 65}}",
        ["1: role_mappings.planner.max_deployments: found 65; allowed: a whole number from 1 to 64"],
    ),
    "a deadline of nothing": (
        "role_mappings:\n  planner:\n    deadlines:\n      connect_s: 0\n      total_s: -1",
        [
            "4: role_mappings.planner.deadlines.connect_s: found 0; allowed: a number of seconds over 0, at most 86400",
            "5: role_mappings.planner.deadlines.total_s: found -1; allowed: a number of seconds over 0, at most 86400",
        ],
    ),
    "a weight below zero": (
        "role_mappings: {planner: {weights: {speed: -0.1}}}",
        ["1: role_mappings.planner.weights.speed: found -0.1; allowed: a number from 0 to 1000"],
    ),
    "weights of nothing": (
        "role_mappings: {planner: {weights: {speed: 0, cost: 0.0}}}",
        ["1: role_mappings.planner.weights: found nothing but zeros; allowed: at least one weight over 0"],
    ),
    "preferred as text": (
        'role_mappings: {planner: {preferred: "mistral"}}',
        ['1: role_mappings.planner.preferred: found "mistral"; allowed: a list of model references'],
    ),
    "preferred with what are no references": (
        'role_mappings:\n  planner:\n    preferred:\n    - mistral\n    - 7\n    - ""\n    - a b\n    - null',
        [
            f"5: role_mappings.planner.preferred[1]: found 7; {REFERENCE}",
            f'6: role_mappings.planner.preferred[2]: found ""; {REFERENCE}',
            f'7: role_mappings.planner.preferred[3]: found "a b"; {REFERENCE}',
            f"8: role_mappings.planner.preferred[4]: found null; {REFERENCE}",
        ],
    ),
    "a fallback that is a mapping": (
        "role_mappings: {planner: {cloud_fallback: {openai: gpt-4o-mini}}}",
        [
            "1: role_mappings.planner.cloud_fallback: found a mapping; allowed: a model reference or a list of them",
        ],
    ),
    "a fallback to an unknown provider": (
        'cloud_providers: {openai: {}}\nrole_mappings:\n  planner:\n    cloud_fallback: "opnai:gpt-4o-mini"',
        [
            (
                '4: role_mappings.planner.cloud_fallback: found the unknown provider "opnai" in "opnai:gpt-4o-mini"; '
                'allowed: provider:model with a configured provider (openai); did you mean "openai"?'
            )
        ],
    ),
    "a fallback without a provider": (
        (
            "cloud_providers: {openai: {models: {gpt-4o-mini: {}}}}\n"
            "role_mappings:\n  planner:\n    cloud_fallback:\n    - gpt-4o-mini"
        ),
        [
            (
                '5: role_mappings.planner.cloud_fallback[0]: found "gpt-4o-mini" without a provider; '
                'allowed: provider:model with a configured provider (openai); did you mean "openai:gpt-4o-mini"?'
            )
        ],
    ),
    "a fallback where no provider is": (
        "role_mappings: {planner: {cloud_fallback: x}}",
        [
            (
                '1: role_mappings.planner.cloud_fallback: found "x" without a provider; '
                "allowed: provider:model with a configured provider (none)"
            )
        ],
    ),
    "a parameter that is the caller's": (
        "role_mappings:\n  planner:\n    parameters:\n      model: gpt-4o",
        [
            (
                '4: role_mappings.planner.parameters.model: found the name "model"; '
                "allowed: a request parameter other than input, messages, model, prompt, stream, stream_options"
            )
        ],
    ),
    "an unknown capability": (
        'model_profiles:\n  "llama3.1:8b":\n    capabilities:\n      context: 8192',
        [
            (
                '4: model_profiles["llama3.1:8b"].capabilities.context: found the unknown key "context"; '
                "allowed: coding_strength, context_length, creativity, memory_gb_estimate, min_memory_gb, model_size, "
                "model_source, multilingual_score, quantization_level, reasoning_strength, recommended_memory_gb, "
                "requires_api_key, supports_audio, supports_function_calling, supports_insert, supports_json_schema, "
                "supports_prefill, supports_thinking, supports_tools, supports_vision, "
                'thermal_sensitivity, tool_calling; did you mean "context_length"?'
            )
        ],
    ),
    "a capability of the wrong type": (
        "model_profiles: {mistral: {capabilities: {supports_tools: 1, memory_gb_estimate: 0}}}",
        [
            (
                "1: model_profiles.mistral.capabilities.memory_gb_estimate: found 0; "
                "allowed: a number of GB (10^9 bytes) over 0, at most 100000"
            ),
            "1: model_profiles.mistral.capabilities.supports_tools: found 1; allowed: true or false",
        ],
    ),
    "an unknown kind of provider": (
        "local_providers:\n  ollama: {kind: olama}",
        [
            (
                '2: local_providers.ollama.kind: found "olama"; allowed: "ollama", "embedded" or "openai"; '
                'did you mean "ollama"?'
            )
        ],
    ),
    "a provider without a kind": (
        "local_providers:\n  ollama: {}",
        ['2: local_providers.ollama: found no kind; allowed: "ollama", "embedded" or "openai"'],
    ),
    "a URL without its scheme": (
        'local_providers: {ollama: {kind: ollama, url: "localhost:11434"}}',
        [
            f'1: local_providers.ollama.url: found "localhost:11434"; {URL}; did you mean "http://localhost:11434"?',
        ],
    ),
    "a URL with a password, which is not repeated": (
        'local_providers: {ollama: {kind: ollama, url: "http://me:hunter2@host"}}',
        [f'1: local_providers.ollama.url: found "http://***@host"; {URL}'],
    ),
    "a URL of another kind": (
        'cloud_providers: {openai: {api_endpoint: "ftp://host/v1"}}',
        [f'1: cloud_providers.openai.api_endpoint: found "ftp://host/v1"; {URL}'],
    ),
    "a cloud over plain http": (
        'cloud_providers: {openai: {api_endpoint: "http://api.example.com/v1"}}',
        [
            (
                '1: cloud_providers.openai.api_endpoint: found "http://api.example.com/v1"; '
                "allowed: https://, or plain http:// to this machine (127.0.0.1, [::1] or localhost); "
                "keys and prompts would go unencrypted"
            )
        ],
    ),
    "a cloud on one's own network": (
        'cloud_providers: {openai: {api_endpoint: "https://192.168.1.10/v1"}}',
        [
            (
                '1: cloud_providers.openai.api_endpoint: found "https://192.168.1.10/v1", a private address; '
                "allowed: a public address, or a name of one; "
                "a server on your own network is a local provider: local_providers, kind openai"
            )
        ],
    ),
    "a budget below nothing": (
        "cloud_providers: {openai: {budget: {daily_usd: -1}}}",
        [("1: cloud_providers.openai.budget.daily_usd: found -1; allowed: a number of US dollars from 0 to 1000000")],
    ),
    "a URL with an impossible port": (
        'local_providers: {ollama: {kind: ollama, url: "http://host:99999"}}',
        [f'1: local_providers.ollama.url: found "http://host:99999"; {URL}'],
    ),
    "a server without a URL": (
        "local_providers:\n  lab: {kind: openai}",
        ["2: local_providers.lab: found no url; allowed: the server's url, such as http://127.0.0.1:8000/v1"],
    ),
    "an unknown lane": (
        "local_providers: {ollama: {kind: ollama, lane: openapi}}",
        [
            (
                '1: local_providers.ollama.lane: found "openapi"; allowed: "ollama", "openai" or "litellm"; '
                'did you mean "openai"?'
            )
        ],
    ),
    "a lane that the kind cannot take": (
        'local_providers: {lab: {kind: openai, url: "http://a", lane: ollama}}',
        ['1: local_providers.lab.lane: found "ollama" for a provider of kind openai; allowed: "openai" or "litellm"'],
    ),
    "a lane of Ollama's that sends no load profile": (
        "local_providers:\n  ollama:\n    kind: ollama\n    lane: openai",
        [
            (
                '4: local_providers.ollama.lane: found "openai" for a provider of kind ollama; '
                'allowed: "ollama" or "litellm"'
            )
        ],
    ),
    "a role named like the cloud group of another": (
        "cloud_providers: {openai: {}}\nrole_mappings:\n  planner: {cloud_fallback: 'openai:x'}\n  planner.cloud: {}",
        [
            (
                '4: role_mappings["planner.cloud"]: found a role named "planner.cloud"; '
                'allowed: any other name: the cloud models of "planner" are rendered as the group "planner.cloud"'
            )
        ],
    ),
    "the openai lane without an address": (
        "cloud_providers:\n  groq: {lane: openai}",
        [
            (
                "2: cloud_providers.groq: found lane openai without api_endpoint; "
                "allowed: api_endpoint beside lane openai; add api_endpoint, or leave lane out"
            )
        ],
    ),
    "models of a server that lists its own": (
        "local_providers: {ollama: {kind: ollama, models: [mistral]}}",
        [
            (
                "1: local_providers.ollama.models: found models for a provider of kind ollama; "
                "allowed: models for the kind embedded only; this server says itself what it has"
            )
        ],
    ),
    "an address for the embedded engine": (
        'local_providers: {embedded: {kind: embedded, url: "http://a"}}',
        [
            (
                "1: local_providers.embedded.url: found url for the embedded engine; "
                "allowed: kind, models, lane, max_parallel, queue, queue_wait_s; "
                "it runs on this machine and finds its own address"
            )
        ],
    ),
    "two embedded engines": (
        "local_providers:\n  embedded: {kind: embedded}\n  second: {kind: embedded}",
        [
            (
                '3: local_providers.second.kind: found a second embedded engine (the first is "embedded"); '
                "allowed: one provider of kind embedded; list its models under local_providers.embedded"
            )
        ],
    ),
    "embedded models that are none": (
        "local_providers:\n  embedded:\n    kind: embedded\n    models:\n    - path: x.gguf\n    - 7\n    - a\n    - a",
        [
            '5: local_providers.embedded.models[0]: found no name; allowed: a model\'s name, such as "mistral:latest"',
            '6: local_providers.embedded.models[1]: found 7; allowed: a model\'s name, or {"name": …, "path": …}',
            '8: local_providers.embedded.models[3]: found the model "a" again; allowed: each model once',
        ],
    ),
    "one name for two providers": (
        "local_providers:\n  openai: {kind: ollama}\ncloud_providers:\n  openai: {}",
        [
            (
                '2: local_providers.openai: found the name "openai" in cloud_providers too; '
                "allowed: one provider of a name; rename one of them"
            )
        ],
    ),
    "a key in the file": (
        "cloud_providers:\n  open-ai:\n    api_key: sk-hunter2",
        [
            (
                '3: cloud_providers.open-ai.api_key: found the unknown key "api_key"; '
                "allowed: api_endpoint, budget, lane, litellm_provider, max_parallel, models, queue, queue_wait_s; "
                "keys never stand in a file: set OPEN_AI_API_KEY"
            )
        ],
    ),
    "a margin of everything": (
        "selection: {memory_margin: 1}",
        ["1: selection.memory_margin: found 1; allowed: a number from 0 to less than 1"],
    ),
    "an unknown way to live together": (
        "selection: {co_residency: enforce}",
        ['1: selection.co_residency: found "enforce"; allowed: "report"'],
    ),
    "cool over hot": (
        "selection:\n  thermal:\n    hot_c: 70\n    cool_c: 80",
        ["4: selection.thermal.cool_c: found cool_c 80 and hot_c 70; allowed: cool_c below hot_c"],
    ),
    "hot under the default for cool": (
        "selection: {thermal: {hot_c: 70}}",
        ["1: selection.thermal.hot_c: found cool_c 75.0 and hot_c 70; allowed: cool_c below hot_c"],
    ),
    "a port of nothing": (
        "gateway: {port: 0}",
        ["1: gateway.port: found 0; allowed: a whole number from 1 to 65535"],
    ),
    "a control character in a URL": (
        'local_providers: {lab: {kind: openai, url: "http://127.0.0.1:1/\\0"}}',
        [f'1: local_providers.lab.url: found "http://127.0.0.1:1/\\u0000"; {URL}'],
    ),
    "an escape in a URL": (
        'cloud_providers: {lab: {api_endpoint: "http://127.0.0.1:1/\\e[31m"}}',
        [f'1: cloud_providers.lab.api_endpoint: found "http://127.0.0.1:1/\\u001b[31m"; {URL}'],
    ),
    "a port too high": (
        "gateway: {port: 65536}",
        ["1: gateway.port: found 65536; allowed: a whole number from 1 to 65535"],
    ),
    "an unknown log format": (
        "gateway: {log_format: jsn}",
        ['1: gateway.log_format: found "jsn"; allowed: "text" or "json"; did you mean "json"?'],
    ),
    "a host with a space": (
        'gateway: {host: "local host"}',
        ['1: gateway.host: found "local host"; allowed: text without spaces'],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_value_says_where_what_and_what_is_allowed(case: str, sandbox: Sandbox) -> None:
    text, expected = CASES[case]
    sandbox.write({"models.yaml": text})
    assert sandbox.problems() == [f"config/models.yaml:{problem}" for problem in expected]


def test_all_problems_of_all_active_files_come_at_once_in_order(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": "gateway: {port: 0}\n",
            "models.json": '{"selection": {"memory_margin": 2}}',
            "user_models.json": '{\n"role_mappings": {"a": {"cloud_fallback": "nowhere:x"}},\n"selecton": {}}',
            "user_profiles/base.json": '{"gateway": {"port": "x"}}',
            "user_profiles/top.json": '{"extends": "base", "gateway": {"hots": 1}}',
            "user_profiles/other.json": '{"gateway": {"port": 0}}',
        }
    )
    problems = sandbox.problems(profile="top", ROLEGATE_PORT="none")
    assert [problem.split(" found")[0] for problem in problems] == [
        "environment: ROLEGATE_PORT:",
        "config/user_profiles/top.json:1: gateway.hots:",
        "config/user_profiles/base.json:1: gateway.port:",
        "config/user_models.json:2: role_mappings.a.cloud_fallback:",
        "config/user_models.json:3: selecton:",
        "config/models.json:1: selection.memory_margin:",
        "config/models.yaml:1: gateway.port:",
    ]


def test_the_whole_error_counts_its_problems(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": '{"gateway": 5}'})
    assert sandbox.problems(ROLEGATE_PORT="4001") == ["config/models.json:1: gateway: found 5; allowed: a mapping"]


def test_a_file_of_endless_problems_tells_two_hundred_and_counts_the_rest(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{" + ",\n".join(f'"unheard{n}": 1' for n in range(300)) + "}"})
    problems = sandbox.problems()
    assert len(problems) == 201
    assert problems[0] == "config/models.json: found 100 more problems; allowed: none; mend the first ones"


def test_text_in_a_message_is_cut_and_cannot_drive_a_terminal(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": '{"gateway": {"host": "\\u001b[31m' + " x" * 100 + '"}}'})
    (problem,) = sandbox.problems()
    assert problem == (
        'config/models.json:1: gateway.host: found "\\u001b[31m' + " x" * 27 + ' \\u2026"; allowed: text without spaces'
    )
