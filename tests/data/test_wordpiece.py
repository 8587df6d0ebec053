"""A vocabulary that is the same in every process, and is what transformers takes for BERT's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stillbit.data import wordpiece
from stillbit.data.text_paraphrase import Manner, Meaning, say
from stillbit.data.wordpiece import SPECIAL, Pieces, fetch_pieces, read_pieces, train_pieces, write_pieces

MANNER = Manner(False, False, True, (0,) * 7)
TEXTS = [say(Meaning(i % 10, i % 4, i % 6, (i + 1 + i // 10) % 10, None, i % 3, i % 3), MANNER) for i in range(90)]
TRAINED = f"""
from stillbit.data.wordpiece import train_pieces
print(train_pieces({TEXTS!r}, 150).fingerprint)
"""


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    return train_pieces(TEXTS, 150)


def test_two_processes_train_the_same_vocabulary(pieces: Pieces) -> None:
    """The package numbers pieces by the order of a hash table, which is another one in every process."""
    asked = [subprocess.Popen([sys.executable, "-c", TRAINED], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {one.communicate()[0].strip() for one in asked} == {pieces.fingerprint}


def test_the_order_of_texts_does_not_matter(pieces: Pieces) -> None:
    assert train_pieces(TEXTS[::-1], 150).fingerprint == pieces.fingerprint
    assert train_pieces(TEXTS[:40], 150).fingerprint != pieces.fingerprint


def test_special_pieces_come_first_then_letters_and_pieces_are_as_many_as_asked(pieces: Pieces) -> None:
    vocabulary = pieces.tokenizer.get_vocab()
    ordered = sorted(vocabulary, key=vocabulary.__getitem__)
    assert tuple(ordered[:5]) == SPECIAL and pieces.rows == len(ordered) == 150
    assert (pieces.pad, pieces.start, pieces.end) == (0, 2, 3)
    letters = sorted({letter for text in TEXTS for letter in text} - {" "})
    assert ordered[5 : 5 + 2 * len(letters)] == [*letters, *(f"##{letter}" for letter in letters)]


def test_a_pair_begins_is_separated_and_ends_as_bert_wants_it(pieces: Pieces) -> None:
    found = pieces.tokenizer.encode("The king", "rarely KING")
    assert found.tokens[0] == "[CLS]" and found.tokens.count("[SEP]") == 2 and found.tokens[-1] == "[SEP]"
    second = found.tokens.index("[SEP]") + 1
    assert found.type_ids == [0] * second + [1] * (len(found.ids) - second)
    assert pieces.tokenizer.decode(found.ids) == "the king rarely king"


def test_enough_pieces_make_every_frequent_word_one() -> None:
    pieces = train_pieces(TEXTS, 2000)
    assert pieces.tokenizer.encode("the driver").tokens == ["[CLS]", "the", "driver", "[SEP]"]
    assert pieces.rows < 2000


def test_what_no_letter_of_the_training_texts_can_write_is_unknown(pieces: Pieces) -> None:
    assert pieces.tokenizer.encode("7 king").tokens[1] == "[UNK]"


@pytest.mark.filterwarnings("ignore")  # those of that package and of what it imports
def test_transformers_reads_what_was_written_and_finds_the_same_pieces(pieces: Pieces, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_pieces(pieces, tmp_path / "words", longest=64)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "words"))
    assert "Bert" in type(theirs).__name__
    assert (theirs.pad_token_id, theirs.cls_token_id, theirs.sep_token_id, theirs.model_max_length) == (0, 2, 3, 64)
    for text in TEXTS[:50]:
        said, ours = theirs(text, "The King rarely"), pieces.tokenizer.encode(text, "The King rarely")
        assert said["input_ids"] == ours.ids and said["token_type_ids"] == ours.type_ids


def test_a_folder_gives_back_what_was_written(pieces: Pieces, tmp_path: Path) -> None:
    write_pieces(pieces, tmp_path, longest=64)
    assert read_pieces(tmp_path).fingerprint == pieces.fingerprint
    (tmp_path / "tokenizer.json").unlink()
    assert read_pieces(tmp_path).fingerprint == pieces.fingerprint  # from the list of pieces alone
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"do_lower_case": False}))
    assert read_pieces(tmp_path).tokenizer.encode("King").tokens[1] == "[UNK]"


def test_padding_and_cutting_that_a_file_asks_for_are_taken_off(pieces: Pieces, tmp_path: Path) -> None:
    write_pieces(pieces, tmp_path, longest=64)
    theirs = type(pieces.tokenizer).from_file(str(tmp_path / "tokenizer.json"))
    theirs.enable_padding(length=99)
    theirs.enable_truncation(4)
    theirs.save(str(tmp_path / "tokenizer.json"))
    assert read_pieces(tmp_path).tokenizer.encode(TEXTS[0]).ids == pieces.tokenizer.encode(TEXTS[0]).ids


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no tokenizer.json and no vocab.txt"):
        read_pieces(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        read_pieces(tmp_path / "nowhere")
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"cannot be read: a vocabulary for BERT has .* and this one lacks \[PAD\]"):
        read_pieces(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"the tokenizer in .* cannot be read"):
        read_pieces(tmp_path)


def test_a_tokenizer_without_padding_is_refused(pieces: Pieces) -> None:
    from tokenizers import Tokenizer, models

    with pytest.raises(ValueError, match="has no piece to pad with"):
        _ = Pieces(Tokenizer(models.WordPiece({"a": 0}, unk_token="a"))).pad


def test_a_vocabulary_too_small_for_the_letters_is_refused_with_one_that_fits() -> None:
    with pytest.raises(ValueError, match=r"have 3 different letters and need 11 pieces: size=11"):
        train_pieces(["a cab"], 10)
    assert train_pieces(["a cab"], 11).rows == 11
    with pytest.raises(ValueError, match="no word to make pieces of"):
        train_pieces(["  ", ""])


def test_what_cannot_be_fetched_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenizers import Tokenizer

    def fail(name: str) -> Tokenizer:
        raise OSError("no\nnetwork")

    monkeypatch.setattr(Tokenizer, "from_pretrained", fail)
    with pytest.raises(ValueError, match="cannot fetch the tokenizer of bert-base-uncased: no network"):
        fetch_pieces("bert-base-uncased")


def test_without_the_package_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordpiece, "find_spec", lambda name: None)
    for ask in (lambda: train_pieces(TEXTS), lambda: read_pieces(tmp_path), lambda: fetch_pieces("x")):
        with pytest.raises(ValueError, match="pip install tokenizers"):
            ask()
