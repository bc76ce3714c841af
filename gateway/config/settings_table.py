"""The table of server settings in the user guide, made from their declarations."""

from pathlib import Path
from typing import Final

from gateway.config.settings import SETTINGS, Setting
from gateway.files.atomic import write_atomically

BEGIN: Final = "<!-- settings: `make docs` writes what stands between these two lines -->"
END: Final = "<!-- end of settings -->"


def settings_table() -> str:
    """The Markdown table: every setting in the order of declaration."""
    rows = ["| setting | variable | default | what it is |", "|---|---|---|---|"]
    rows += [f"| `{one.name}` | `{one.variable}` | `{_default(one)}` | {_about(one)} |" for one in SETTINGS.values()]
    return "\n".join(rows)


def with_table(text: str) -> str:
    """``text`` with the table between the two marks. Raises ``ValueError`` where they do not stand once each, in order."""
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _old, end, after = rest.partition(f"\n{END}\n")
    if not (begin and end) or text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"there is no place for the table of settings: {BEGIN} and {END} mark it, each on a line")
    return f"{before}{begin}\n{settings_table()}\n{end}{after}"


def write_table(path: Path) -> tuple[str, ...]:
    """Bring the table in the file at ``path`` up to date; the file's name if that changed it."""
    text = path.read_text(encoding="utf-8")
    fresh = with_table(text)
    if fresh == text:
        return ()
    write_atomically(path, fresh.encode(), mode=0o644)
    return (path.name,)


def _default(setting: Setting) -> str:
    return str(setting.default).lower() if setting.kind == "boolean" else str(setting.default) or "none"


def _about(setting: Setting) -> str:
    if setting.kind == "choice":
        return f"{setting.help}: {' or '.join(f'`{choice}`' for choice in setting.choices)}"
    return setting.help
