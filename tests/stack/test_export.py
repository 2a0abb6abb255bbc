"""`aforo export` and `aforo schema` as a person or a script uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stack.test_apply import CATALOG, EXAMPLES, _stack, aforo, as_json  # noqa: F401


def test_an_exported_file_applies_without_a_change(tmp_path: Path) -> None:
    aforo("apply", CATALOG)
    file = tmp_path / "exported.yaml"
    assert aforo("export", file).exit_code == 0
    assert aforo("export").output == file.read_text(encoding="utf-8")
    again = as_json("apply", file)
    assert (again["counts"]["create"], again["counts"]["change"]) == (0, 0)


def test_prices_keep_every_digit_and_say_their_version() -> None:
    aforo("apply", CATALOG)
    output = aforo("export").output
    assert "# version 1\n- key: inference-standard" in output
    assert "unitPrice: '0.0000025'" in output


def test_only_the_sections_asked_for_are_written() -> None:
    aforo("apply", CATALOG)
    assert set(as_json("export", "--only", "plans, offerings")) == {"tenant", "ratePlans", "offerings"}
    assert aforo("export", "--only", "prices").exit_code == 2


def test_json_in_a_file_applies_too(tmp_path: Path) -> None:
    aforo("apply", CATALOG)
    file = tmp_path / "exported.json"
    assert aforo("export", file, "--json").exit_code == 0
    assert json.loads(file.read_text(encoding="utf-8")) == as_json("export")
    assert as_json("apply", file)["counts"]["change"] == 0


def test_among_several_tenants_one_must_be_named() -> None:
    aforo("apply", CATALOG)
    aforo("apply", EXAMPLES / "api-platform.yaml")
    refused = aforo("export", "--json")
    assert refused.exit_code == 2
    assert as_json("export", "--tenant", "northwind")["tenant"]["id"] == "northwind"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_is_exported_to_what_it_says(file: Path) -> None:
    applied = as_json("apply", file)
    exported = as_json("export", "--tenant", applied["tenant"])
    nouns = sum(len(part) for part in exported.values() if isinstance(part, list))
    assert nouns + 1 == applied["counts"]["create"]


def test_the_schema_is_printed() -> None:
    printed = json.loads(aforo("schema").output)
    assert printed["properties"]["ratePlans"]["items"]["properties"]["metrics"]
