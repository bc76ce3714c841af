"""What only shows when files meet: spellings, conflicts, profiles, variables and flags."""

import pytest

from gateway.file_errors import ConfigInvalid
from gateway.rendering.names import cloud_group
from unit.config.sandbox import Sandbox


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ("user_models.json", "user_models.yaml"),
            (
                "config/user_models.json: found two spellings of the layer user_models: user_models.json, "
                "user_models.yaml; allowed: one of them; keep one and remove the other"
            ),
        ),
        (
            ("user_models.json", "user_models.yaml", "user_models.yml"),
            (
                "config/user_models.json: found two spellings of the layer user_models: user_models.json, "
                "user_models.yaml, user_models.yml; allowed: one of them; keep one and remove the others"
            ),
        ),
        (
            ("models.json", "models.yml"),
            (
                "config/models.json: found two spellings of the layer models.json: models.json, models.yml; "
                "allowed: one of them; keep one and remove the other"
            ),
        ),
        (
            ("models.yaml", "models.yml"),
            (
                "config/models.yml: found models.yml beside models.yaml, which is another layer; allowed: one of them; "
                "rename models.yml to models.json in JSON, or move its content into models.yaml"
            ),
        ),
    ],
)
def test_two_spellings_of_one_layer_are_refused(names: tuple[str, ...], expected: str, sandbox: Sandbox) -> None:
    sandbox.write(dict.fromkeys(names, "{}"))
    assert sandbox.problems() == [expected]


def test_two_spellings_of_the_active_profile_are_refused(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}", "user_profiles/a.json": "{}", "user_profiles/a.yml": "{}"})
    told = (
        'config/user_profiles/a.json: found two spellings of the profile "a": a.json, a.yml; '
        "allowed: one of them; keep one and remove the other"
    )
    assert sandbox.problems(profile="a") == [told]
    assert sandbox.told(sandbox.load().inactive_problems) == [told]


@pytest.mark.parametrize(
    ("below", "above", "what"),
    [
        ("{a: {b: 1}}", '{"a": 7}', "found 7 over a mapping"),
        ("{a: [1]}", '{"a": {"b": 1}}', "found a mapping over a list"),
        ("{a: text}", '{"a": {}}', 'found an empty mapping over "text"'),
    ],
)
def test_a_mapping_over_a_value_or_the_reverse_names_both_places(
    below: str, above: str, what: str, sandbox: Sandbox
) -> None:
    sandbox.write(
        {
            "models.yaml": f"role_mappings:\n  planner:\n    parameters: {below}\n",
            "user_models.json": f'{{"role_mappings": {{"planner":\n{{"parameters":\n{above}}}}}}}',
        }
    )
    assert sandbox.problems() == [
        (
            f"config/user_models.json:3: role_mappings.planner.parameters.a: {what} (config/models.yaml:3); "
            "allowed: a mapping over a mapping, or a value over a value; null removes what a lower layer set"
        )
    ]


def test_a_cycle_of_profiles_is_drawn(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": "{}",
            "user_profiles/a.json": '{"extends": "b"}',
            "user_profiles/b.yaml": "description: x\nextends: c\n",
            "user_profiles/c.yml": "\nextends: b\n",
        }
    )
    assert sandbox.problems(profile="a") == [
        (
            "config/user_profiles/c.yml:2: extends: found a cycle: b > c > b; "
            "allowed: profiles that extend each other without coming back"
        )
    ]


def test_a_profile_that_extends_itself_is_a_cycle(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}", "user_profiles/a.json": '{"extends": "a"}'})
    assert sandbox.problems(profile="a") == [
        (
            "config/user_profiles/a.json:1: extends: found a cycle: a > a; "
            "allowed: profiles that extend each other without coming back"
        )
    ]


def test_a_missing_parent_is_named_with_the_nearest(sandbox: Sandbox) -> None:
    sandbox.write(
        {"models.json": "{}", "user_profiles/coding.json": "{}", "user_profiles/a.json": '{"extends": "codng"}'}
    )
    assert sandbox.problems(profile="a") == [
        (
            'config/user_profiles/a.json:1: extends: found the unknown profile "codng"; allowed: a, coding; '
            'did you mean "coding"?'
        )
    ]


@pytest.mark.parametrize(
    ("text", "found"), [('{"extends": ["a"]}', "a list"), ('{"extends": "../x"}', '"../x"'), ('{"extends": ""}', '""')]
)
def test_extends_names_one_profile(text: str, found: str, sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}", "user_profiles/a.json": text})
    assert sandbox.problems(profile="a") == [
        (
            f"config/user_profiles/a.json:1: extends: found {found}; "
            "allowed: the name of a profile: letters, digits, _, - and . (not first)"
        )
    ]


def test_an_unknown_profile_is_blamed_on_whoever_chose_it(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}", "user_profiles/coding.json": "{}"})
    told = 'found the unknown profile "codin"; allowed: coding; did you mean "coding"?'
    assert sandbox.problems(profile="codin") == [f"command line: --profile: {told}"]
    assert sandbox.problems(ROLEGATE_PROFILE="codin") == [f"environment: ROLEGATE_PROFILE: {told}"]
    sandbox.state.mkdir()
    (sandbox.state / "active_profile").write_text("codin\n")
    assert sandbox.problems() == [
        f"state/active_profile: {told}; choose another with `rolegate profiles use`",
    ]


def test_a_state_file_that_is_no_file_is_reported(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}"})
    (sandbox.state / "active_profile").mkdir(parents=True)
    assert sandbox.problems() == [
        (
            'state/active_profile: found the unknown profile "(a directory)"; allowed: none; '
            "choose another with `rolegate profiles use`"
        )
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("ROLEGATE_PORT", "http", 'found "http"; allowed: a whole number from 1 to 65535'),
        ("ROLEGATE_PORT", "70000", "found 70000; allowed: a whole number from 1 to 65535"),
        (
            "ROLEGATE_PORT",
            "tcp://10.0.0.1:4000",
            (
                'found "tcp://10.0.0.1:4000"; allowed: a whole number from 1 to 65535; '
                "Kubernetes sets this variable for a service called rolegate: use enableServiceLinks: false"
            ),
        ),
        ("ROLEGATE_HOT_SWAP", "maybe", 'found "maybe"; allowed: true or false'),
        ("ROLEGATE_LOG_FORMAT", "jsn", 'found "jsn"; allowed: "text" or "json"; did you mean "json"?'),
        ("ROLEGATE_HOST", "a b", 'found "a b"; allowed: text without spaces'),
    ],
)
def test_a_wrong_variable_is_a_problem(name: str, text: str, told: str, sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}"})
    assert sandbox.problems(**{name: text}) == [f"environment: {name}: {told}"]


def test_a_wrong_flag_is_a_problem(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}"})
    with pytest.raises(ConfigInvalid) as refused:
        sandbox.load(flags={"port": 0, "host": None})
    assert str(refused.value) == (
        "1 problem in the configuration:\n  command line: --port: found 0; allowed: a whole number from 1 to 65535"
    )


def test_a_flag_that_is_no_setting_is_the_callers_mistake(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match='"prot" is no setting; the settings are: host, port,'):
        sandbox.load(flags={"prot": 1})


def test_references_are_not_judged_while_a_file_cannot_be_read(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": "{",
            "user_models.json": '{"role_mappings": {"planner": {"cloud_fallback": "openai:gpt-4o-mini"}}}',
        }
    )
    (problem,) = sandbox.problems()
    assert problem.startswith("config/models.json:1: found broken JSON")


def test_what_is_wrong_in_inactive_profiles_is_a_warning(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": "{}",
            "user_profiles/a.json": '{"gateway": {"port": 0}}',
            "user_profiles/b.json": "{",
            "user_profiles/c.json": '{"extends": "nobody"}',
            "user_profiles/d.json": '{"extends": "e"}',
            "user_profiles/e.json": '{"extends": "d"}',
            "user_profiles/bad name.json": "{}",
            "user_profiles/.hidden.json": "{",
            "user_profiles/notes.txt": "{",
        }
    )
    configuration = sandbox.load()
    inactive = sandbox.told(configuration.inactive_problems)
    assert inactive == [
        "config/user_profiles/a.json:1: gateway.port: found 0; allowed: a whole number from 1 to 65535",
        (
            "config/user_profiles/b.json:1: found broken JSON at column 2: expecting property name enclosed in double quotes; "
            "allowed: JSON"
        ),
        'config/user_profiles/c.json:1: extends: found the unknown profile "nobody"; allowed: a, b, c, d, e',
        (
            "config/user_profiles/e.json:1: extends: found a cycle: d > e > d; "
            "allowed: profiles that extend each other without coming back"
        ),
        (
            "config/user_profiles/d.json:1: extends: found a cycle: e > d > e; "
            "allowed: profiles that extend each other without coming back"
        ),
    ]
    assert sandbox.told(configuration.warnings) == [
        (
            'config/user_profiles/bad name.json: found the profile name "bad name"; '
            "allowed: letters, digits, _, - and . (not first); it is not read; rename the file"
        ),
        *inactive,
    ]


def test_what_is_doubtful_is_a_warning(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": """{"cloud_providers": {"openai": {"models": {"gpt-4o-mini": {}}}, "groq": {}},
            "role_mappings": {
              "a": {"cloud_fallback": ["openai:gpt-4o-mni", "groq:anything"]},
              "b": {"preferred": ["olama:mistral:7b", "host:5000/me/mistral:7b"]},
              "c": {"discover": false}}}""",
            "user_model.json": "{}",
            "api_keys.json": "{}",
        }
    )
    assert sandbox.told(sandbox.load(ROLEGATE_PROT="1").warnings) == [
        (
            'environment: ROLEGATE_PROT: found the unknown variable "ROLEGATE_PROT"; allowed: ROLEGATE_ADMIN_KEY, '
            "ROLEGATE_ADMIN_KEY_FILE, ROLEGATE_BODY_LIMIT_BYTES, ROLEGATE_CLIENT_KEY, ROLEGATE_CLIENT_KEY_FILE, "
            "ROLEGATE_CONFIG_DIR, ROLEGATE_DATA_DIR, ROLEGATE_EMBEDDED, ROLEGATE_EXPOSE_MODELS, ROLEGATE_HOST, "
            "ROLEGATE_HOT_SWAP, ROLEGATE_LOG_FORMAT, ROLEGATE_MAX_CONNECTIONS, ROLEGATE_PORT, ROLEGATE_PROFILE, "
            "ROLEGATE_SHUTDOWN_GRACE_S, ROLEGATE_STATE_DIR, ROLEGATE_TLS_CERT, ROLEGATE_TLS_KEY, "
            'ROLEGATE_VAULT_PASSPHRASE; did you mean "ROLEGATE_PORT"?'
        ),
        (
            "config/user_model.json: found a file that is not read; allowed: user_models.json, user_models.yaml, "
            'user_models.yml, models.json, models.yml, models.yaml; did you mean "user_models.json"?'
        ),
        (
            'config/models.json:3: role_mappings.a.cloud_fallback[0]: found "openai:gpt-4o-mni", which '
            "cloud_providers.openai.models does not list; allowed: gpt-4o-mini; did you mean "
            '"gpt-4o-mini"?; it is tried all the same'
        ),
        (
            'config/models.json:4: role_mappings.b.preferred[0]: found "olama:mistral:7b", and no provider "olama"; '
            "allowed: a configured provider (groq, openai) before the first colon; it is taken for a model's name"
        ),
        (
            "config/models.json:5: role_mappings.c: found a role that no model can serve; allowed: preferred or "
            "cloud_fallback models, discover: true, or selection.system_default"
        ),
    ]


def test_a_folder_without_any_layer_loads_with_a_warning(sandbox: Sandbox) -> None:
    configuration = sandbox.load()
    assert configuration.roles == {}
    assert sandbox.told(configuration.warnings) == [
        "config: found no file of any layer; allowed: models.json, models.yaml or user_models.json; there are no roles"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "role_mappings: {planner: {cloud_fallback: ['openai:x']}, planner.cloud: {}}",
        "role_mappings: {planner: {preferred: ['llama3.1:8b', 'openai:x']}, planner.cloud: {}}",
        "selection: {system_default: 'openai:x'}\nrole_mappings: {planner: {}, planner.cloud: {preferred: [a]}}",
    ],
)
def test_a_role_cannot_have_the_name_of_the_group_that_anothers_cloud_models_make(text: str, sandbox: Sandbox) -> None:
    sandbox.write({"models.yaml": f"cloud_providers: {{openai: {{}}}}\n{text}"})
    line = 2 + text.count("\n")
    assert sandbox.problems() == [
        (
            f'config/models.yaml:{line}: role_mappings["planner.cloud"]: found a role named "planner.cloud"; allowed: any '
            'other name: the cloud models of "planner" are rendered as the group "planner.cloud"'
        )
    ]
    assert cloud_group("planner") == "planner.cloud"


@pytest.mark.parametrize(
    "text",
    [
        "role_mappings: {planner: {preferred: ['llama3.1:8b']}, planner.cloud: {cloud_fallback: 'openai:x'}}",
        "role_mappings: {planner: {cloud_fallback: 'openai:x', allow_cloud: false}, planner.cloud: {}}",
        "selection: {cloud_fallback: false}\nrole_mappings: {planner: {cloud_fallback: 'openai:x'}, planner.cloud: {}}",
        "role_mappings: {planner.cloud: {cloud_fallback: 'openai:x'}}",
    ],
)
def test_the_name_is_free_where_no_such_group_can_be(text: str, sandbox: Sandbox) -> None:
    sandbox.write({"models.yaml": f"cloud_providers: {{openai: {{}}}}\n{text}"})
    assert "planner.cloud" in sandbox.load().roles
