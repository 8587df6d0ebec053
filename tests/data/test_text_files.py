"""Files as GLUE gives them out, and files that are not as they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillbit.data.text_files import find_file, read_texts
from stillbit.data.text_source import Texts
from stillbit.data.text_tasks import MATCHED, MISMATCHED, find_task, own_task

GIVEN_OUT: dict[str, tuple[str, str, tuple[str, ...], list[float]]] = {
    "cola": ("gj04\t1\t\tThe cat sat.\ngj04\t0\t*\tCat the sat.\n", "", ("The cat sat.", "Cat the sat."), [1, 0]),
    "sst2": ("good \t1\nbad\t0\n", "sentence\tlabel\n", ("good ", "bad"), [1, 0]),
    "mrpc": (
        '1\t702\t703\tHe said "no.\tHe said "no".\n0\t1\t2\tA\tB\n',
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n",
        ('He said "no.', "A"),
        [1, 0],
    ),
    "stsb": (
        "0\tmain\tMSR\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t5.000\n1\tm\tM\t2\t1\tn\tn\tA\tB\t0.25\n",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n",
        ("A plane.", "A"),
        [5.0, 0.25],
    ),
    "qqp": (
        "133273\t213221\t213222\tHow?\tWhy?\t0\n402555\t1\t2\tWho?\tWho is it?\t1\n",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n",
        ("How?", "Who?"),
        [0, 1],
    ),
    "mnli": (
        "0\t1\t2n\tfiction\t( a )\t( b )\tp\tp\tA.\tB.\tneutral\tneutral\n"
        "1\t1\t2c\tfiction\t( a )\t( b )\tp\tp\tC.\tD.\tentailment\tcontradiction\n",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n",
        ("A.", "C."),
        [1, 2],
    ),
    "qnli": (
        "0\tWho?\tHe.\tnot_entailment\n1\tWhen?\tNow.\tentailment\n",
        "index\tquestion\tsentence\tlabel\n",
        ("Who?", "When?"),
        [1, 0],
    ),
    "rte": (
        "0\tA dog.\tA cat.\tnot_entailment\n1\tA\tB\tentailment\n",
        "index\tsentence1\tsentence2\tlabel\n",
        ("A dog.", "A"),
        [1, 0],
    ),
    "wnli": (
        "0\tI stuck a pin.\tIt hurt.\t1\n1\tA\tB\t0\n",
        "index\tsentence1\tsentence2\tlabel\n",
        ("I stuck a pin.", "A"),
        [1, 0],
    ),
}
"""The lines of a training file of each task, its header, the first texts, and the targets."""


def written(folder: Path, text: str | bytes, name: str = "train.tsv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, task: str = "rte", **how: Any) -> Texts:
    return read_texts(find_task(task), path, **how)


def refused(path: Path, said: str, task: str = "rte") -> None:
    with pytest.raises(ValueError) as caught:
        read(path, task)
    assert said in str(caught.value) and "\n" not in str(caught.value)


HEADER = "index\tsentence1\tsentence2\tlabel\n"


@pytest.mark.parametrize("task", GIVEN_OUT)
def test_every_file_of_glue_is_read_as_it_is_given_out(task: str, tmp_path: Path) -> None:
    lines, header, first, targets = GIVEN_OUT[task]
    root = tmp_path / "glue"
    written(root / find_task(task).folder, header + lines)
    texts = read(find_file(find_task(task), root, "train"), task)
    assert texts.first == first and texts.targets.tolist() == targets
    assert texts.numbers.tolist() == ([2, 3] if header else [1, 2])


def test_validation_is_dev_and_mnli_has_two(tmp_path: Path) -> None:
    for name in ("dev.tsv", "dev_matched.tsv", "dev_mismatched.tsv"):
        written(tmp_path, "", name)
    assert find_file(find_task("rte"), tmp_path, "validation").name == "dev.tsv"
    mnli = find_task("mnli")
    assert [find_file(mnli, tmp_path, split).name for split in mnli.val] == ["dev_matched.tsv", "dev_mismatched.tsv"]
    assert mnli.val == (MATCHED, MISMATCHED)


def test_only_a_line_feed_ends_a_line_and_nothing_is_quoted(tmp_path: Path) -> None:
    odd = '0\t"A\u2028dog\x85 \x0b\tand "so" \rit\tentailment\r\n'
    texts = read(written(tmp_path, HEADER + odd))
    assert texts.first == ('"A\u2028dog\x85 \x0b',) and texts.second == ('and "so" \rit',)


def test_empty_lines_count_at_the_end_for_nothing_and_elsewhere_as_damage(tmp_path: Path) -> None:
    line = "0\tA\tB\tentailment\n"
    assert len(read(written(tmp_path, HEADER + line + "\n \n"))) == 1
    refused(written(tmp_path, HEADER + line + "\n" + line), "line 3: it is empty")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"0\tcaf\xe9\tB\tentailment\n", "line 3: byte 6 of the line is no UTF-8"),
        (b"0\tA\tB\n", "line 3: it has 3 columns and not 4"),
        (b"0\tA\tB\tC\tentailment\n", "line 3: it has 5 columns and not 4"),
        (b"0\tA\t \tentailment\n", "line 3: the sentence2 is empty"),
        (b"0\tA\tB\tperhaps\n", "line 3: the label 'perhaps' is none of entailment, not_entailment"),
    ],
)
def test_damage_is_named_by_its_line(line: bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, HEADER.encode() + b"0\tA\tB\tentailment\n" + line + b"0\tC\tD\t1\n")
    refused(path, said)
    texts = read(path, corrupt="skip")
    assert texts.first == ("A", "C") and len(texts.damaged) == 1 and texts.numbers.tolist() == [2, 4]


def test_a_file_that_is_not_utf_8_from_the_start_is_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, (HEADER + "0\tA\tB\t1\n").encode("utf-16")), "line 1: byte 1 of the line is no UTF-8")


def test_a_file_without_labels_or_with_other_columns_is_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, "index\tsentence1\tsentence2\n0\tA\tB\n"), "has no column label, so no labels")
    refused(written(tmp_path, "a\tb\n0\t1\n"), "has the columns a, b and not sentence1, sentence2, label: name yours")
    refused(written(tmp_path, ""), "has the columns none and not")


def test_a_file_that_is_not_there_is_refused_with_what_is(tmp_path: Path) -> None:
    written(tmp_path / "RTE", "", "test.tsv")
    with pytest.raises(
        ValueError, match=r"there is no dev.tsv, .csv or .jsonl in .*RTE, but test.tsv: give the folder"
    ):
        find_file(find_task("rte"), tmp_path, "validation")
    with pytest.raises(ValueError, match="there is no folder"):
        find_file(find_task("rte"), tmp_path / "nowhere", "train")
    refused(tmp_path / "train.tsv", "there is no file")
    refused(written(tmp_path, "", "train.pkl"), "let its name end in .tsv, .csv, .jsonl")


OWN = own_task(("review",), "stars", ("low", "high"))


def test_commas_separate_as_csv_does_and_lines_are_counted_where_examples_begin(tmp_path: Path) -> None:
    path = written(tmp_path, 'stars,review\nhigh,"good,\nreally ""good"""\nlow,bad\n', "train.csv")
    texts = read_texts(OWN, path)
    assert texts.first == ('good,\nreally "good"', "bad") and texts.numbers.tolist() == [2, 4]
    assert texts.targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'stars,review\nhigh,"good\n', "line 2: unexpected end of data; quote its texts as CSV does"),
        (b"stars,review\nhigh,caf\xe9\n", "line 2: byte 9 of the line is no UTF-8; save the file as UTF-8"),
        (b"stars,review\nhigh,a,b\n", "line 2: it has 3 columns and not 2"),
    ],
)
def test_a_damaged_csv_is_named_by_its_line(text: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        read_texts(OWN, written(tmp_path, text, "train.csv"))
    assert said in str(caught.value)


def test_each_line_is_an_object_of_json(tmp_path: Path) -> None:
    rows: list[Any] = [{"review": "good", "stars": "high"}, {"review": "b\u2028d", "stars": 0, "more": [1]}]
    path = written(tmp_path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "train.jsonl")
    texts = read_texts(OWN, path)
    assert texts.first == ("good", "b\u2028d") and texts.targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: it is no JSON object"),
        ("[1]", "line 2: it is no JSON object"),
        ('{"review": "x"}', "line 2: it has no stars"),
        ('{"review": null, "stars": 0}', "line 2: it has no review"),
        ('{"review": "", "stars": 0}', "line 2: the review is empty"),
    ],
)
def test_a_damaged_object_is_named_by_its_line(line: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, '{"review": "x", "stars": 1}\n' + line + "\n", "train.jsonl")
    with pytest.raises(ValueError) as caught:
        read_texts(OWN, path)
    assert said in str(caught.value)


def test_a_task_of_glue_may_come_in_the_columns_of_hugging_face_too(tmp_path: Path) -> None:
    path = written(tmp_path, "premise\thypothesis\tlabel\nA\tB\t2\n")
    assert read(path, "mnli").targets.tolist() == [2]
    assert read(written(tmp_path, "sentence\tlabel\nA dog.\t1\n"), "cola").first == ("A dog.",)
