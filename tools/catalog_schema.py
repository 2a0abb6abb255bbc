"""`python -m tools.catalog_schema [--check]`: docs/catalog.schema.json out of domain/catalog/schema.py. Keep out: the schema itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from domain.catalog.schema import catalog_schema

FILE = Path(__file__).parents[1] / "docs" / "catalog.schema.json"


def render() -> str:
    """The whole file."""
    return json.dumps(catalog_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or with --check say whether it is up to date (exit code 1: it is not)."""
    schema = render()
    if "--check" not in arguments:
        FILE.write_text(schema, encoding="utf-8")
        return 0
    if FILE.read_text(encoding="utf-8") == schema:
        return 0
    sys.stderr.write("docs/catalog.schema.json is out of date: run `python -m tools.catalog_schema`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
