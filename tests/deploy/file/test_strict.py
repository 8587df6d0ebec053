"""JSON from a stranger."""

from __future__ import annotations

import pytest

from stillbit.deploy.file.strict import parsed, written


def test_plain_data_comes_back() -> None:
    data = {"a": [1, -2.5, None, True, "é"], "b": {"c": []}}
    assert parsed(written(data)) == data == parsed(written(data).encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "says a name twice"),
        ("[NaN]", "has NaN"),
        ("[-Infinity]", "has -Infinity"),
        ("[1e999]", "has 1e999"),
        ("[1" + "0" * 5000 + "]", "larger than anything"),
        (f"[{2**63}]", "larger than anything"),
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[1,", "damaged"),
        (b"\xff\xfe[]", "damaged"),
        (b"[\xed\xa0\x80]", "damaged"),
        ("", "damaged"),
    ],
)
def test_what_is_odd_is_a_sentence(text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parsed(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("data", [float("nan"), {1, 2}, [float("inf")]])
def test_what_json_cannot_say_is_not_written(data: object) -> None:
    with pytest.raises(ValueError, match="JSON cannot hold"):
        written(data)
