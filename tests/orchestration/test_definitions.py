"""All that Dagster is told, loaded as its code server loads it. Put here: names that clash, what does not resolve. Keep out: runs."""

from pathlib import Path

import dagster as dg

from orchestration.definitions import ASSETS, defs
from orchestration.jobs import JOBS

ASSET_FILES = Path(__file__).parents[2] / "assets"


def test_the_code_server_can_load_everything():
    repository = defs.get_repository_def()
    repository.load_all_definitions()
    assert {job.name for job in JOBS} <= set(repository.job_names)
    dg.Definitions.validate_loadable(defs)


def test_every_asset_file_is_part_of_the_graph():
    files = {path.stem for path in ASSET_FILES.glob("*.py") if not path.stem.startswith("_")}
    known = {asset.op.name for asset in ASSETS}
    assert known == {name for name in files if (ASSET_FILES / f"{name}.py").read_text().count(f"def {name}(")}
