import json
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest

from stillbit.analysis.record import Record, from_json, read, to_json, write
from stillbit.analysis.table import Table


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Parts(Record):
    kind: ClassVar[str] = "parts"
    parts: tuple[Part, ...]
    head: int | None = None

    def tables(self) -> tuple[Table, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Others(Parts):
    kind: ClassVar[str] = "others"


FOUND = Parts(subject="a run of Zoë", parts=(Part(name="<b>", value=0.1 + 0.2), Part(name="tiny", value=5e-324)))


def test_a_record_comes_back_equal_to_the_bit(tmp_path):
    path = tmp_path / "analysis" / "parts.json"
    write(FOUND, path)
    assert read(Parts, path) == FOUND


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused_and_nothing_is_written(tmp_path, value):
    broken = Parts(subject="run", parts=(Part(name="w", value=value),))
    with pytest.raises(ValueError, match="not finite"):
        write(broken, tmp_path / "parts.json")
    assert not list(tmp_path.iterdir())


def test_a_record_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="no others analysis: write it again, stillbit analyze others RUN"):
        from_json(Others, to_json(FOUND), "file.json")


def test_another_version_is_refused():
    held = json.loads(to_json(FOUND)) | {"version": 9}
    with pytest.raises(ValueError, match="of version 9 and this stillbit reads 1"):
        from_json(Parts, json.dumps(held), "file.json")


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"analysis": "parts"}', "[" * 100_000, '{"analysis": 1, "record": {}}']
)
def test_what_is_no_record_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="write it again"):
        from_json(Parts, text, "file.json")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "parts.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not JSON: write it again, stillbit analyze parts RUN"):
        read(Parts, tmp_path / "parts.json")


def test_a_damaged_record_of_a_run_says_the_command_that_writes_it_anew(tmp_path):
    path = tmp_path / "run" / "analysis" / "parts.json"
    write(FOUND, path)
    path.write_text("{oops")
    with pytest.raises(ValueError, match=rf"write it again, stillbit analyze parts {tmp_path / 'run'}$"):
        read(Parts, path)


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path):
    (tmp_path / "analysis").touch()
    with pytest.raises(ValueError, match="is a file, and a record goes into a folder of that name: move it away"):
        write(FOUND, tmp_path / "analysis" / "parts.json")


def test_a_field_of_the_wrong_type_is_named():
    held = json.loads(to_json(FOUND))
    held["record"]["parts"][0]["value"] = "much"
    with pytest.raises(ValueError, match="value"):
        from_json(Parts, json.dumps(held), "file.json")
