"""What has become of edits: heard of once, refused until one comes through, and what a rollback leaves in the files."""

from pathlib import Path

from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.config.settings import Configuration
from gateway.errors import Problem, RolegateError
from gateway.file_errors import ConfigInvalid
from gateway.runtime.edits import Edits
from gateway.runtime.pending import Pending


def read(folder: Path, text: str) -> Configuration:
    (folder / "models.json").write_text(text, encoding="utf-8")
    return load(folder=folder, state_folder=folder, environment=Environment(variables={}))


def test_an_edit_that_was_heard_of_and_found_is_named_once_and_then_no_news(tmp_path: Path) -> None:
    edits = Edits(begun_with=read(tmp_path, "{}"), hot_swap=True)
    edits.hear("models.json")
    edits.hear("user_models.json")
    told = [(edits.heard, edits.take_for_read("models.json")), (edits.heard, edits.take_for_read())]
    assert told == [(True, "models.json, user_models.json"), (False, "")]


def test_a_refusal_is_news_when_its_reason_is_another_and_stands_until_an_edit_is_taken_up(tmp_path: Path) -> None:
    before = read(tmp_path, "{}")
    edits = Edits(begun_with=before, hot_swap=True)
    assert [edits.refused(RolegateError(one)) for one in ("full", "full", "gone")] == [True, False, True]
    assert edits.error == "gone"
    edits.taken_up(before)
    assert (edits.error, edits.pending) == ("", None)


def test_a_setting_of_the_server_stays_pending_once_its_edit_is_taken_up(tmp_path: Path) -> None:
    edits = Edits(begun_with=read(tmp_path, "{}"), hot_swap=True)
    edits.taken_up(read(tmp_path, '{"gateway": {"port": 4001}}'))
    assert edits.pending == Pending(profile=None, restart=("gateway.port",))


def test_files_that_cannot_be_used_are_pending_with_what_is_wrong_in_them(tmp_path: Path) -> None:
    edits = Edits(begun_with=read(tmp_path, "{}"), hot_swap=True)
    problem = Problem(file="models.json", found="nothing", allowed="an object")
    edits.unusable(ConfigInvalid([problem]), profile="mine")
    assert edits.pending == Pending(profile="mine", problems=(problem,))
    edits.unusable(RolegateError("the disk is gone"), profile="mine")
    assert edits.pending == Pending(profile="mine")


def test_what_a_rollback_leaves_in_the_files_is_named_and_to_be_weighed(tmp_path: Path) -> None:
    serving = read(tmp_path, "{}")
    edits = Edits(begun_with=serving, hot_swap=True)
    assert edits.kept_in_files(read(tmp_path, "{ }"), serving=serving) == ""
    assert (edits.pending, edits.unweighed) == (None, False)
    asked = read(tmp_path, '{"selection": {"memory_margin": 0.2}}')
    assert edits.kept_in_files(asked, serving=serving) == (
        "models.json keeps the edit: the next one, a reload or a restart takes it up again"
    )
    assert (edits.pending, edits.unweighed) == (Pending(profile=None, files=("models.json",)), True)
