"""Files that cannot be read as what they should be: one exact message each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.document import MAX_FILE_BYTES, read_document
from unit.config.sandbox import Sandbox

A_MAPPING = "allowed: a mapping of configuration keys"
EMPTY = f"found an empty file; {A_MAPPING}; write {{}} or remove the file"
DEEP = "found values nested more than 64 deep; allowed: at most 64 levels"
BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)

CASES: dict[str, tuple[str, str | bytes, list[str]]] = {
    "empty JSON": ("models.json", "", [f"config/models.json: {EMPTY}"]),
    "only white space": ("models.json", " \n\n", [f"config/models.json: {EMPTY}"]),
    "only comments": ("models.yaml", "# nothing yet\n", [f"config/models.yaml: {EMPTY}"]),
    "only a byte order mark": ("models.json", b"\xef\xbb\xbf", [f"config/models.json: {EMPTY}"]),
    "binary": ("models.json", b"\x7fELF\x00\x01", ["config/models.json: found binary data; allowed: UTF-8 text"]),
    "invalid UTF-8": (
        "models.yaml",
        b"gateway:\n  host: caf\xe9\n",
        ["config/models.yaml:2: found byte 0xe9, which is not UTF-8; allowed: UTF-8 text; save the file as UTF-8"],
    ),
    "UTF-16": (
        "models.json",
        "{}".encode("utf-16"),
        ["config/models.json:1: found UTF-16 text; allowed: UTF-8 text; save the file as UTF-8"],
    ),
    "broken JSON": (
        "models.json",
        '{\n  "gateway": {\n    "port" 4000\n  }\n}',
        ["config/models.json:3: found broken JSON at column 12: expecting ':' delimiter; allowed: JSON"],
    ),
    "cut JSON": (
        "user_models.json",
        '{"gateway":',
        ["config/user_models.json:1: found broken JSON at column 12: expecting value; allowed: JSON"],
    ),
    "broken YAML": (
        "models.yaml",
        "gateway:\n  port: 4000: 1\n",
        [
            (
                "config/models.yaml:2: found broken YAML at column 13: mapping values are not allowed in this context; "
                "allowed: YAML"
            )
        ],
    ),
    "a tab in YAML": (
        "models.yaml",
        "gateway:\n\tport: 4000\n",
        [
            (
                "config/models.yaml:2: found broken YAML at column 1: while scanning for the next token, "
                "found character that cannot start any token; allowed: YAML"
            )
        ],
    ),
    "a control character in YAML": (
        "models.yaml",
        "gateway:\n  host: a\x1b[31m\n",
        ["config/models.yaml:2: found a control character; allowed: YAML, which is printable text"],
    ),
    "a list for a file": ("models.json", "\n[1]", [f"config/models.json:2: found a list; {A_MAPPING}"]),
    "text for a file": ("models.yaml", "hello\n", [f'config/models.yaml:1: found "hello"; {A_MAPPING}']),
    "a number for a file": ("models.json", "7", [f"config/models.json:1: found 7; {A_MAPPING}"]),
    "duplicate keys in JSON": (
        "models.json",
        '{"gateway": {\n"port": 1,\n"host": "a",\n"port": 2}}',
        ["config/models.json:4: gateway.port: found the same key again (first on line 2); allowed: each key once"],
    ),
    "duplicate keys in YAML": (
        "models.yaml",
        "role_mappings:\n  planner: {}\n  critic: {}\n  planner: {}\n",
        [
            (
                "config/models.yaml:4: role_mappings.planner: found the same key again (first on line 2); "
                "allowed: each key once"
            )
        ],
    ),
    "a number for a key": (
        "models.yaml",
        "role_mappings:\n  8: {}\n",
        ['config/models.yaml:2: role_mappings: found 8 as a key; allowed: text as a key; write "8" in quotes'],
    ),
    "null for a key": (
        "models.yaml",
        "role_mappings:\n  ~: {}\n",
        [
            'config/models.yaml:2: role_mappings: found null as a key; allowed: text as a key; write "~" in quotes',
            (
                'config/models.yaml:2: role_mappings["~"]: found the name "~"; '
                "allowed: a role name of letters, digits, _, . and -"
            ),
        ],
    ),
    "a list for a key": (
        "models.yaml",
        "role_mappings:\n  ? [a, b]\n  : {}\n",
        ["config/models.yaml:2: role_mappings: found a list as a key; allowed: text as a key"],
    ),
    "an unsafe tag": (
        "models.yaml",
        "gateway:\n  host: !!python/object/apply:os.system [id]\n",
        [
            (
                "config/models.yaml:2: found the tag !!python/object/apply:os.system; "
                "allowed: plain mappings, lists, text, numbers, true, false and null"
            )
        ],
    ),
    "an alias bomb": (
        "models.yaml",
        BOMB,
        [
            "config/models.yaml:6: found aliases that expand to more than 200000 values; allowed: aliases that stay small"
        ],
    ),
    "an alias inside itself": (
        "models.yaml",
        "gateway: &g\n  host: *g\n",
        ["config/models.yaml:2: found the alias *g inside itself; allowed: aliases that end"],
    ),
    "an alias of nothing": (
        "models.yaml",
        "gateway: *g\n",
        [
            (
                "config/models.yaml:1: found the alias *g without an anchor; "
                "allowed: an alias of an anchor (&g) set before it"
            )
        ],
    ),
    "two YAML documents": (
        "models.yaml",
        "gateway: {}\n---\ngateway: {}\n",
        ["config/models.yaml:2: found a second YAML document; allowed: one document in a file"],
    ),
    "a merge key of text": (
        "models.yaml",
        "gateway:\n  <<: text\n",
        [
            'config/models.yaml:2: gateway["<<"]: found "text"; allowed: an alias of a mapping, or a list of them',
        ],
    ),
    "deep JSON": ("models.json", "[" * 200_000, [f"config/models.json: {DEEP}"]),
    "deep JSON within Python's own limit": (
        "models.json",
        '{"gateway": ' + "[" * 70 + "]" * 70 + "}",
        [f"config/models.json:1: gateway{'[0]' * 63}: {DEEP}"],
    ),
    "deep YAML": ("models.yaml", "- " * 200_000, [f"config/models.yaml:1: {DEEP}"]),
    "deep flow YAML": ("models.yaml", "[" * 200_000, [f"config/models.yaml:1: {DEEP}"]),
    "NaN": (
        "models.json",
        '{"selection": {\n"memory_margin": NaN}}',
        ["config/models.json:2: selection.memory_margin: found a number that is not finite; allowed: a finite number"],
    ),
    "infinity in YAML": (
        "models.yaml",
        "role_mappings:\n  planner:\n    parameters:\n      seed: -.inf\n",
        [
            (
                "config/models.yaml:4: role_mappings.planner.parameters.seed: found a number that is not finite; "
                "allowed: a finite number"
            )
        ],
    ),
    "a number too large for a float": (
        "models.json",
        '{"role_mappings": {"planner": {"parameters": {"seed": 1e999}}}}',
        [
            (
                "config/models.json:1: role_mappings.planner.parameters.seed: found a number that is not finite; "
                "allowed: a finite number"
            )
        ],
    ),
    "a number with endless digits": (
        "models.json",
        '{"gateway": {"port": ' + "9" * 5000 + "}}",
        [
            f'config/models.json:1: gateway.port: found "{"9" * 60}…"; allowed: a whole number from 1 to 65535',
        ],
    ),
    "half a surrogate pair": (
        "models.json",
        '{"gateway": {"host": "\\ud800"}}',
        [
            (
                "config/models.json:1: gateway.host: found text with half a surrogate pair; "
                "allowed: text that UTF-8 can hold"
            )
        ],
    ),
    "a newer schema": (
        "models.json",
        '{\n"schema_version": 2, "unheard_of": 1}',
        [
            (
                "config/models.json:2: schema_version: found 2, which is newer than this rolegate; allowed: 1; "
                "upgrade rolegate, or use a file of schema_version 1"
            )
        ],
    ),
    "a schema before the first": (
        "models.json",
        '{"schema_version": 0}',
        ["config/models.json:1: schema_version: found 0; allowed: 1"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_be_used_says_where_and_why(case: str, sandbox: Sandbox) -> None:
    name, content, expected = CASES[case]
    sandbox.write({name: content})
    assert sandbox.problems() == expected


def test_a_file_of_fifty_megabytes_is_refused_without_being_read(sandbox: Sandbox) -> None:
    with (sandbox.folder / "models.json").open("wb") as handle:
        handle.truncate(50_000_000)
    assert sandbox.problems() == ["config/models.json: found 50000000 bytes; allowed: at most 8388608 bytes"]


def test_a_file_of_just_the_largest_size_is_read(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": b"{}" + b" " * (MAX_FILE_BYTES - 2)})
    assert sandbox.load().roles == {}


def test_a_directory_in_the_place_of_a_file_is_named(sandbox: Sandbox) -> None:
    (sandbox.folder / "models.json").mkdir()
    assert sandbox.problems() == ["config/models.json: found a directory; allowed: a file"]


def test_a_named_pipe_in_the_place_of_a_file_does_not_hang(sandbox: Sandbox) -> None:
    os.mkfifo(sandbox.folder / "models.yaml")
    assert sandbox.problems() == [
        "config/models.yaml: found something that is not a regular file; allowed: a file",
    ]


def test_a_link_to_nothing_is_named(sandbox: Sandbox) -> None:
    (sandbox.folder / "models.json").symlink_to("nowhere.json")
    assert sandbox.problems() == [
        "config/models.json: found a symbolic link to nothing; allowed: a file; mend or remove the link"
    ]


def test_a_file_that_may_not_be_read_is_named(sandbox: Sandbox) -> None:
    path = sandbox.folder / "models.json"
    path.write_text("{}")
    path.chmod(0)
    told = _as_nobody(path) if os.geteuid() == 0 else str(read_document(path).problems[0])
    assert told == (
        f"{path}: found a file that may not be read; allowed: a readable file; "
        "give the user that runs rolegate read access"
    )


def _as_nobody(path: Path) -> str:
    """Root may read everything, so a child process drops it first."""
    for folder in path.parents:
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from gateway.config.document import read_document; "
        "os.setgid(65534); os.setuid(65534); print(read_document(Path(sys.argv[1])).problems[0])"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_a_folder_that_does_not_exist_is_named(sandbox: Sandbox) -> None:
    sandbox.folder.rmdir()
    assert sandbox.problems() == ["config: found no such folder; allowed: a folder"]


def test_a_file_in_the_place_of_the_folder_is_named(sandbox: Sandbox) -> None:
    sandbox.folder.rmdir()
    sandbox.folder.write_text("")
    assert sandbox.problems() == ["config: found a file; allowed: a folder"]


def test_a_byte_order_mark_is_passed_over(sandbox: Sandbox) -> None:
    sandbox.write(
        {"models.json": b'\xef\xbb\xbf{"gateway": {"port": 4001}}', "models.yaml": b"\xef\xbb\xbfgateway: {}"}
    )
    assert sandbox.load().gateway.port == 4001
