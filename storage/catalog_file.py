"""Catalog files. Put here: YAML in and out without losing anything. Keep out: what the fields mean (domain.catalog).

YAML's conveniences cost money: a float would round a price, a repeated key would silently win, `2023-11-01` would become a
date in no time zone. So numbers with a point become Decimals, days stay text, and repeated keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from domain.errors import PermanentFailure

_ENDLESS = 2**30
_PLAIN_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9_]*)")


class UnreadableCatalog(PermanentFailure):
    """The file is missing, or is no YAML."""

    code = "UNREADABLE_CATALOG"
    exit_code = 2


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader that keeps numbers exact and days as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    text = str(loader.construct_scalar(node)).replace("_", "")
    try:
        return Decimal(text)
    except InvalidOperation:  # .inf, .nan, 1:30.5
        raise yaml.MarkedYAMLError(None, None, f"{text!r} is not a decimal", node.start_mark) from None


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | str:
    """Only what everybody reads as a number: `007` and `0x1F` are identifiers, `12:30` is text."""
    text = str(loader.construct_scalar(node))
    return int(text) if _PLAIN_WHOLE.fullmatch(text) else text


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        name = str(key.value)
        if name in seen:
            raise yaml.MarkedYAMLError(None, None, f"{name!r} stands here twice", key.start_mark)
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load_document(path: Path) -> Any:
    """The file's content as dicts, lists, text, ints, Decimals and booleans. Raises UnreadableCatalog."""
    try:
        with path.open(encoding="utf-8") as stream:
            # Not yaml.safe_load: _Loader is a SafeLoader too, it makes no objects of foreign types.
            return yaml.load(stream, Loader=_Loader)
    except OSError as error:
        raise UnreadableCatalog(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableCatalog(f"{path}: is not YAML: {error}") from None


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """SafeDumper without references between equal parts. Text that looks like a number is quoted, so it stays exact."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def dump_document(document: Mapping[str, Any], comments: Mapping[str, Mapping[str, str]]) -> str:
    """The document as YAML, in its own order; small objects on one line. comments: section, identifier (`key`) to what is
    said above that item."""
    return "\n".join(_section(name, value, comments.get(name, {})) for name, value in document.items())


def _section(name: str, value: Any, comments: Mapping[str, str]) -> str:
    if not comments:
        return _yaml({name: value})
    items = [
        (f"# {comments[item['key']]}\n" if item["key"] in comments else "") + _yaml([item]) for item in value
    ]
    return f"{name}:\n" + "".join(items)


def _yaml(value: Any) -> str:
    return str(
        yaml.dump(
            value,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,
            width=_ENDLESS,
        )
    )
