"""`check` says everything that is wrong, whatever else is wrong."""

from gateway.config.environ import Environment
from gateway.config.load import Check, check
from unit.config.sandbox import Sandbox


def checked(sandbox: Sandbox, *, profile: str | None = None) -> Check:
    return check(
        folder=sandbox.folder,
        state_folder=sandbox.state,
        environment=Environment(variables={"HOME": str(sandbox.root)}),
        profile=profile,
    )


def places(sandbox: Sandbox, *, profile: str | None = None) -> list[str]:
    return [one.split(" found")[0] for one in sandbox.told(checked(sandbox, profile=profile).problems)]


def test_a_broken_base_does_not_hide_what_is_wrong_in_profiles(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": '{"gateway": {"port": 0}}',
            "user_models.json": "{",
            "user_profiles/a.json": '{"gateway": {"port": 0}}',
            "user_profiles/b.json": "{",
            "user_profiles/c.json": '{"extends": "nobody"}',
        }
    )
    assert places(sandbox) == [
        "config/user_models.json:1:",
        "config/models.json:1: gateway.port:",
        "config/user_profiles/a.json:1: gateway.port:",
        "config/user_profiles/b.json:1:",
        "config/user_profiles/c.json:1: extends:",
    ]


def test_a_broken_active_profile_does_not_hide_what_is_wrong_below_and_beside_it(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": '{"role_mappings": {"planner": {"cloud_fallback": "nowhere:x"}}}',
            "user_profiles/a.json": "{",
            "user_profiles/b.json": '{"gateway": {"port": 0}}',
        }
    )
    wrong = [
        "config/user_profiles/b.json:1: gateway.port:",
        "config/models.json:1: role_mappings.planner.cloud_fallback:",
    ]
    assert places(sandbox, profile="a") == ["config/user_profiles/a.json:1:", *wrong]
    assert places(sandbox, profile="gone") == ["command line: --profile:", "config/user_profiles/a.json:1:", *wrong]


def test_a_profile_that_goes_wrong_only_over_the_layers_below_is_told_of_before_it_is_chosen(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": """{"cloud_providers": {"openai": {}},
            "role_mappings": {"planner": {"cloud_fallback": "openai:x"}},
            "selection": {"thermal": {"hot_c": 80}}}""",
            "user_profiles/cool.json": '{"selection": {"thermal": {"cool_c": 90}}}',
            "user_profiles/cooler.json": '{"extends": "cool", "selection": {"thermal": 3}}',
            "user_profiles/offline.json": '{"cloud_providers": null}',
        }
    )
    assert sandbox.load(profile="").inactive_problems != ()
    assert sandbox.told(checked(sandbox).problems) == [
        "config/user_profiles/cooler.json:1: selection.thermal: found 3; allowed: a mapping",
        (
            "config/user_profiles/cool.json:1: selection.thermal.cool_c: found cool_c 90 and hot_c 80; "
            'allowed: cool_c below hot_c; when the profile "cool" is active'
        ),
        (
            'config/models.json:2: role_mappings.planner.cloud_fallback: found the unknown provider "openai" in "openai:x"; '
            'allowed: provider:model with a configured provider (none); when the profile "offline" is active'
        ),
    ]


def test_what_is_doubtful_is_told_beside_what_is_wrong(sandbox: Sandbox) -> None:
    sandbox.write(
        {"models.json": '{"gateway": {"port": 0}, "selection": {"thermal": {"dwell_s": 5}}}', "user_model.json": "{}"}
    )
    result = checked(sandbox)
    assert len(result.problems) == 1
    assert [one.split(" found")[0] for one in sandbox.told(result.warnings)] == [
        "config/user_model.json:",
        "config/models.json:1: selection.thermal.dwell_s:",
    ]


def test_a_sound_folder_is_without_a_word(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}", "user_profiles/a.json": "{}"})
    assert checked(sandbox) == Check(problems=(), warnings=())
