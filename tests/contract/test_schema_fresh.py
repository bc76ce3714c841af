"""The JSON Schemas in the repository are those that the models would give now."""

from pathlib import Path

from gateway.config.folders import packaged
from gateway.config.json_schema import json_schemas, stale_schemas, write_schemas


def test_the_written_schemas_are_fresh() -> None:
    stale = stale_schemas(packaged("config") / "schema")
    assert stale == (), f"out of date: {', '.join(stale)}; run `make docs`"


def test_there_is_one_schema_for_each_kind_of_file_and_no_other() -> None:
    on_disk = {path.name for path in (packaged("config") / "schema").iterdir()}
    assert on_disk == set(json_schemas()) == {"models.schema.json", "user_models.schema.json", "profile.schema.json"}


def test_what_is_stale_is_written_and_then_fresh(tmp_path: Path) -> None:
    folder = tmp_path / "schema"
    assert write_schemas(folder) == ("models.schema.json", "user_models.schema.json", "profile.schema.json")
    assert stale_schemas(folder) == ()
    (folder / "profile.schema.json").write_text("{}")
    assert write_schemas(folder) == ("profile.schema.json",)
    assert write_schemas(folder) == ()
