"""Which roles use a model, and how the plan has it loaded."""

import dataclasses

from builders import a_model
from gateway.domain.model import Model
from gateway.domain.plan import Plan, RolePlan
from gateway.domain.role import Deadlines, Task
from gateway.errors import ModelInUse
from gateway.runtime.residency import LOAD_S, load_context, load_deadline_s, roles_of
from plans import a_deployment

LLAMA = a_model("ollama:llama3.1:8b")


def a_role_plan(name: str, reference: str, *, context: int | None = 16_000, load_s: float | None = None) -> RolePlan:
    return RolePlan(
        role=name,
        task=Task.CHAT,
        deployments=(a_deployment(reference, context=context),),
        deadlines=Deadlines(load_s=load_s),
    )


def a_plan(*roles: RolePlan) -> Plan:
    return Plan(roles={one.role: one for one in roles})


def named(name: str, *aliases: str) -> Model:
    return dataclasses.replace(a_model(f"ollama:{name}"), aliases=frozenset(aliases))


def test_the_roles_of_a_model_are_those_that_name_it_sorted() -> None:
    plan = a_plan(
        a_role_plan("writer", "ollama:llama3.1:8b"),
        a_role_plan("critic", "ollama:llama3.1:8b"),
        a_role_plan("other", "lab:llama3.1:8b"),
    )
    assert roles_of(LLAMA, plan=plan) == ("critic", "writer")
    assert roles_of(named("mine:latest", "llama3.1:8b"), plan=plan) == ()


def test_weights_are_loaded_with_the_planned_context_under_all_their_names() -> None:
    plan = a_plan(a_role_plan("planner", "ollama:llama3.1:8b"))
    assert load_context(LLAMA, plan=plan) == 16_000
    assert load_context(named("mine:latest", "llama3.1:8b"), plan=plan) == 16_000
    assert load_context(LLAMA, plan=a_plan(a_role_plan("planner", "ollama:llama3.1:8b", context=None))) is None


def test_a_model_in_no_role_has_the_default_need_at_most_its_trained_context() -> None:
    plan = a_plan(a_role_plan("planner", "ollama:llama3.1:8b"))
    assert load_context(a_model("lab:llama3.1:8b"), plan=plan) == 8_192
    assert load_context(a_model("ollama:tiny:1", context=2_048), plan=plan) == 2_048


def test_a_load_may_take_as_long_as_the_most_patient_role_allows() -> None:
    llama = "ollama:llama3.1:8b"
    quick, slow = a_role_plan("a", llama, load_s=10.0), a_role_plan("b", llama, load_s=900.0)
    assert load_deadline_s(LLAMA, plan=a_plan(quick)) == 10.0
    assert load_deadline_s(LLAMA, plan=a_plan(quick, slow)) == 900.0
    assert load_deadline_s(LLAMA, plan=a_plan(quick, a_role_plan("c", llama))) == LOAD_S == 300.0
    assert load_deadline_s(a_model("ollama:other:1"), plan=a_plan(quick)) == 300.0


def test_a_model_in_use_is_said_with_its_roles() -> None:
    assert (
        str(ModelInUse(model=str(LLAMA.ref), roles=["critic", "writer"]))
        == "ollama:llama3.1:8b serves the roles critic, writer"
    )
