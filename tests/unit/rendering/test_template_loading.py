"""Templates as an operator may have edited them: what loads, and what each mistake is told."""

import shutil
from pathlib import Path

import pytest

from gateway.file_errors import TemplateInvalid
from gateway.rendering.templates import DeploymentKind, Templates
from plans import ROUTER_TEMPLATES

PLACEHOLDERS = (
    "${api_key}, ${connect_s}, ${context_tokens}, ${first_token_s}, ${gap_s}, ${gateway_url}, ${group}, ${id}, "
    "${litellm_name}, ${load_s}, ${max_parallel}, ${mode}, ${model}, ${order}, ${provider}, ${reference}, ${role}, "
    "${total_s}, ${url}"
)
FILES = (
    "deployment.cloud.yaml, deployment.embedded.yaml, deployment.ollama-embedding.yaml, deployment.ollama.yaml, "
    "deployment.openai.yaml, router.yaml"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROUTER_TEMPLATES, tmp_path / "templates"))


def told(folder: Path) -> list[str]:
    """What loading says, one line per problem, without the folder."""
    with pytest.raises(TemplateInvalid) as caught:
        Templates.load(folder)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_the_shipped_templates_load_with_one_per_kind() -> None:
    templates = Templates.load(ROUTER_TEMPLATES)
    assert set(templates.deployments) == set(DeploymentKind)
    assert templates.router["model_list"] == "${model_list}"


def test_templates_cannot_be_changed_once_loaded() -> None:
    parameters = Templates.load(ROUTER_TEMPLATES).deployments[DeploymentKind.OLLAMA]["litellm_params"]
    with pytest.raises(TypeError):
        parameters["order"] = 1  # type: ignore[index]  # this is the point


def test_settings_and_parameters_may_be_added(folder: Path) -> None:
    edit(folder, "router.yaml", "num_retries: 0", "num_retries: 1\n  retry_after: 2")
    edit(folder, "deployment.ollama.yaml", "  drop_params: true", "  drop_params: true\n  keep_alive: 30m\n  top_k: 40")
    templates = Templates.load(folder)
    parameters = templates.deployments[DeploymentKind.OLLAMA]["litellm_params"]
    assert isinstance(parameters, type(templates.router))
    assert (parameters["keep_alive"], parameters["top_k"]) == ("30m", 40)


OLLAMA = "deployment.ollama.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            OLLAMA,
            "ollama_chat/${model}",
            "ollama_chat/${modle}",
            (
                'deployment.ollama.yaml:4: litellm_params.model: found "ollama_chat/${modle}"; allowed: LiteLLM\'s name of the '
                "provider, a slash, and ${model} or ${reference}"
            ),
        ),
        (
            OLLAMA,
            "${max_parallel}",
            "${max_paralel}",
            (
                "deployment.ollama.yaml:16: litellm_params.max_parallel_requests: found the unknown placeholder ${max_paralel}; "
                f'allowed: {PLACEHOLDERS}; did you mean "${{max_parallel}}"?'
            ),
        ),
        (
            OLLAMA,
            "${max_parallel}",
            "${max_parallel",
            (
                "deployment.ollama.yaml:16: litellm_params.max_parallel_requests: found a placeholder without its closing brace; "
                f"allowed: {PLACEHOLDERS}"
            ),
        ),
        (
            OLLAMA,
            "${total_s|600}\n  stream",
            "${total_s|[}\n  stream",
            'deployment.ollama.yaml:14: litellm_params.timeout: found the default "["; allowed: text, a number, true or false',
        ),
        (
            OLLAMA,
            "model_name: ${group}",
            "model_name: planner",
            'deployment.ollama.yaml:2: model_name: found "planner"; allowed: "${group}"',
        ),
        (
            OLLAMA,
            "  order: ${order}\n",
            "",
            'deployment.ollama.yaml:3: litellm_params.order: found nothing; allowed: "${order}"',
        ),
        (
            OLLAMA,
            "  id: ${id}",
            "  id: 7",
            'deployment.ollama.yaml:19: model_info.id: found 7; allowed: "${id}"',
        ),
        (
            OLLAMA,
            "litellm_params:\n",
            "litellm_parms:\n",
            (
                'deployment.ollama.yaml:3: litellm_parms: found the unknown name "litellm_parms"; allowed: litellm_params, '
                'model_info, model_name; did you mean "litellm_params"?'
            ),
        ),
        (
            OLLAMA,
            "api_key: ${api_key}",
            "api_key: sk-made-up",
            (
                "deployment.ollama.yaml:6: litellm_params.api_key: found a secret written out; allowed: a reference such as "
                '"os.environ/NAME", or "none"'
            ),
        ),
        (
            OLLAMA,
            "max_retries: 0",
            "max_retries: 0\n  max_retries: 1",
            "deployment.ollama.yaml:14: litellm_params.max_retries: found the same key twice; allowed: each key once",
        ),
        (
            OLLAMA,
            "max_retries: 0",
            "max_retries: 2026-01-01",
            (
                "deployment.ollama.yaml:13: litellm_params.max_retries: found a value of type timestamp; "
                "allowed: text, a number, "
                "true, false or null"
            ),
        ),
        (
            OLLAMA,
            "max_retries: 0",
            "max_retries: !!python/name:os.system",
            (
                "deployment.ollama.yaml:13: litellm_params.max_retries: found a value of type python/name:os.system; "
                "allowed: text, "
                "a number, true, false or null"
            ),
        ),
        (
            OLLAMA,
            "max_retries: 0",
            "1: 0",
            (
                "deployment.ollama.yaml:13: litellm_params: found a key that is not text; "
                "allowed: text as keys, in quotes if need "
                "be"
            ),
        ),
        (
            OLLAMA,
            "truncate: false",
            "truncate: &t false\n  again: *t",
            "deployment.ollama.yaml:11: litellm_params.again: found an alias; allowed: the value written out",
        ),
        (
            OLLAMA,
            "  max_retries: 0",
            "\tmax_retries: 0",
            (
                "deployment.ollama.yaml:13: found broken YAML ("
                "while scanning for the next token found character '\\t' that cannot "
                "start any token); allowed: one YAML document"
            ),
        ),
        (
            "router.yaml",
            "num_retries: 0",
            "num_retrys: 0",
            None,
        ),
        (
            "router.yaml",
            "model_list: ${model_list}",
            "model_list: []",
            'router.yaml:6: model_list: found a list; allowed: "${model_list}"',
        ),
        (
            "router.yaml",
            "general_settings: {}",
            "general_settings: 7",
            "router.yaml:25: general_settings: found 7; allowed: a mapping",
        ),
        (
            "router.yaml",
            "general_settings: {}",
            "general_settings: {master_key: sk-1234}",
            (
                "router.yaml:25: general_settings.master_key: found a secret written out; allowed: a reference such as "
                '"os.environ/NAME", or "none"'
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_is_allowed(
    folder: Path, file: str, old: str, new: str, message: str | None
) -> None:
    edit(folder, file, old, new)
    found = told(folder)
    first = found[0]
    if message is None:
        assert first.startswith(
            'router.yaml:14: router_settings.num_retrys: found the unknown name "num_retrys"; allowed: '
        )
        assert first.endswith('; did you mean "num_retries"?')
    else:
        assert message in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "router.yaml:1: found nothing; allowed: a mapping of names to values"),
        (b"- a\n", "router.yaml:1: found no mapping; allowed: a mapping of names to values"),
        (b"a: 1\n---\nb: 2\n", None),
        (b"a: 1\nb: \xff\n", "router.yaml:2: found bytes that are not UTF-8; allowed: a YAML file in UTF-8"),
        (b"a: 1\nb: \x00\n", "router.yaml:2: found control characters; allowed: a YAML file in UTF-8"),
        (b"a: " + b"[" * 20_000, "router.yaml: found YAML nested beyond measure; allowed: a few levels"),
        (b"#" * 300_000, "router.yaml: found more than 262144 bytes; allowed: at most 262144 bytes"),
    ],
)
def test_a_file_that_is_no_template_at_all_is_told_so(folder: Path, content: bytes, message: str | None) -> None:
    (folder / "router.yaml").write_bytes(content)
    (only,) = told(folder)
    if message is None:
        assert only.startswith("router.yaml:2: found broken YAML (expected a single document in the stream")
    else:
        assert only == message


def test_missing_files_folders_in_their_place_and_strangers_are_told_all_at_once(folder: Path) -> None:
    (folder / "router.yaml").unlink()
    (folder / "deployment.cloud.yaml").unlink()
    (folder / "deployment.cloud.yaml").mkdir()
    (folder / "deployment.olama.yaml").write_text("{}")
    (folder / "notes.txt").write_text("anything")
    assert told(folder) == [
        "deployment.cloud.yaml: found a directory; allowed: a YAML file in UTF-8",
        (
            f"deployment.olama.yaml: found a template that nothing is rendered from; allowed: {FILES}; "
            'did you mean "deployment.ollama.yaml"?'
        ),
        "router.yaml: found no such file; allowed: a YAML file in UTF-8",
    ]


def test_a_missing_folder_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(TemplateInvalid) as caught:
        Templates.load(tmp_path / "nowhere")
    (problem,) = caught.value.problems
    assert str(problem) == f"{tmp_path}/nowhere: found no such folder; allowed: the folder of the router templates"
    assert caught.value.exit_code == 3


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
