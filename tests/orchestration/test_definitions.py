"""All that Dagster is told, loaded as its code server loads it. Put here: names that clash, what does not resolve. Keep out: runs."""

from importlib import import_module
from pathlib import Path

import dagster as dg

from orchestration.definitions import ASSETS, defs
from orchestration.jobs import JOBS
from transforms.frames import TABLES

ASSET_FILES = Path(__file__).parents[2] / "assets"


def test_the_code_server_can_load_everything():
    repository = defs.get_repository_def()
    repository.load_all_definitions()
    assert {job.name for job in JOBS} <= set(repository.job_names)
    dg.Definitions.validate_loadable(defs)


def test_every_asset_of_every_file_is_part_of_the_graph():
    files = [path.stem for path in ASSET_FILES.glob("*.py") if not path.stem.startswith("_")]
    made = {
        name: [each for each in vars(import_module(f"assets.{name}")).values() if is_asset(each)]
        for name in files
    }
    assert [name for name, assets in made.items() if not assets] == [], "a file without an asset"
    left_out = [name for name, assets in made.items() if not all(each in ASSETS for each in assets)]
    assert left_out == []


def is_asset(each: object) -> bool:
    return isinstance(each, dg.AssetsDefinition)


def test_the_graph_is_the_tables_and_what_is_known_of_them():
    keys = {key.to_user_string() for asset in ASSETS for key in asset.keys}
    assert keys == {*TABLES, "access_snapshot", "dry_run", "reconciliation", "replay"}
