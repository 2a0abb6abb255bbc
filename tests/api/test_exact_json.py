"""JSON as clients send it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.exact_json import decode, split_array, told
from domain.usage import canonical


def test_numbers_keep_all_their_digits() -> None:
    assert decode(b"[0.10, 123456789012345678901234567890, 1e3]") == [
        Decimal("0.10"), 123456789012345678901234567890, Decimal("1e3"),
    ]  # fmt: skip
    assert decode(b"[1e99999999999999999999]") == ["1e99999999999999999999"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"events":[]}', []),
        ('{"other":[1]}', None),
        (' { "a" : [1, {"events":[9]}] , "events" : [ {"x": "\\ud800"} , 2 ,"a,b]" ] , "z":1 } ',
         ['{"x": "\\ud800"}', "2", '"a,b]"']),
        ('{"events":[1],"events":[2, 3]}', ["2", "3"]),
    ],
)  # fmt: skip
def test_an_array_splits_into_the_texts_of_its_elements(text: str, expected: list[str] | None) -> None:
    assert split_array(text, "events") == expected


@pytest.mark.parametrize("text", ["[]", '{"events":[1', '{"events":[NaN]}', '{"events":[1]} x'])
def test_what_is_no_json_object_does_not_split(text: str) -> None:
    with pytest.raises(ValueError):
        split_array(text, "events")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@example(
    {
        "b": 1,
        "a": {"\x7f": '\x00\x1f\b\f\n\r\t/\\"'},
        "é": Decimal("1E+3"),
        "": -(2**70),
        "B": [Decimal("0E-9"), 2**64],
    }
)
def test_hashes_are_made_over_the_same_text_however_it_is_written(fields: object) -> None:
    assert told(fields) == canonical(fields)  # type: ignore[arg-type]
