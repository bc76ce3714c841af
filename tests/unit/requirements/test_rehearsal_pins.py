import subprocess
import sys
from pathlib import Path

import pytest

from requirements.rehearsal import RehearsalFailed, copied, repinned, wanted

ROOT = Path(__file__).resolve().parents[3]


def test_a_release_is_named_by_package_and_version() -> None:
    assert wanted("LiteLLM==1.2.3") == ("litellm", "1.2.3")


@pytest.mark.parametrize("text", ["litellm", "litellm>=1.2", "litellm==1.*", "litellm==1,==2", "1.2.3", "litellm=1.2"])
def test_anything_but_one_exact_release_is_refused(text: str) -> None:
    with pytest.raises(RehearsalFailed) as caught:
        wanted(text)
    assert str(caught.value) == f"{text!r} is not one exact release; name it like litellm==1.2.3"


def test_every_pin_of_the_package_is_moved_and_no_other() -> None:
    text = '["litellm==1.0", "litellm-more==1.0", "litellm[proxy]==1.0; sys_platform != \'win32\'", "xlitellm==1.0"]'
    assert repinned(text, package="litellm", version="2.0") == (
        '["litellm==2.0", "litellm-more==1.0", "litellm[proxy]==2.0; sys_platform != \'win32\'", "xlitellm==1.0"]'
    )


def test_a_package_that_is_not_pinned_cannot_be_moved() -> None:
    with pytest.raises(RehearsalFailed, match=r"^pyproject\.toml does not pin httpx to one version$"):
        repinned('["httpx>=0.28,<1"]', package="httpx", version="2.0")


def test_the_pins_of_this_project_are_found() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert repinned(text, package="litellm", version="9.9.9").count("==9.9.9") == 2


def test_a_copy_leaves_out_environments_history_and_what_was_made(tmp_path: Path) -> None:
    for name in ("a/module.py", "a/__pycache__/x.pyc", ".git/HEAD", "env/pyvenv.cfg", "env/lib/x.py", "dist/x.whl"):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    copy = copied(tmp_path / "project", tmp_path / "copy")
    assert [path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()] == ["a/module.py"]


def test_a_release_that_was_taken_over_is_never_tried() -> None:
    command = [sys.executable, "-m", "requirements.rehearsal", "litellm==1.82.8"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith("litellm 1.82.8 may not be installed: published or reported as published by ")
