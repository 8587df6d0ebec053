"""Texts to numbers: a WordPiece vocabulary trained on the spot, or a tokenizer that is there already."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from stillbit.data.whole import whole

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""As BERT calls them; their numbers are their places."""
_NAMES = {"pad": ("[PAD]", "<pad>"), "start": ("[CLS]", "<s>"), "end": ("[SEP]", "</s>")}
"""How families call the same thing."""
_TOKENIZER, _VOCABULARY, _CONFIG = "tokenizer.json", "vocab.txt", "tokenizer_config.json"


@final
@dataclass(frozen=True)
class Pieces:
    """A tokenizer, and what a batch and a model have to know of it."""

    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        """Only the loader pads and cuts; what a file says of that would be done twice, or in silence."""
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    @cached_property
    def rows(self) -> int:
        """How many rows a table of embeddings needs: the largest number that a piece has, and one."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def pad(self) -> int:
        """The number of the piece that fills batches up."""
        found = self._special("pad")
        if found is None:
            raise ValueError(f"this tokenizer has no piece to pad with: add one of {', '.join(_NAMES['pad'])} to it")
        return found

    @cached_property
    def start(self) -> int | None:
        """The number of the piece that sequences begin with."""
        return self._special("start")

    @cached_property
    def end(self) -> int | None:
        """The number of the piece that ends a text."""
        return self._special("end")

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that the tokenizer does."""
        return sha256(self.tokenizer.to_str().encode()).hexdigest()

    def _special(self, kind: str) -> int | None:
        numbers = (self.tokenizer.token_to_id(name) for name in _NAMES[kind])
        return next((number for number in numbers if number is not None), None)


def train_pieces(texts: Iterable[str], size: int = 1000) -> Pieces:
    """A vocabulary of at most ``size`` lower-case pieces, a function of ``texts`` alone, in any process."""
    _need_package()
    from tokenizers import Tokenizer, models, trainers

    lines = list(texts)
    normal, split = _bert_words()
    words = {word for line in lines for word, _ in split.pre_tokenize_str(normal.normalize_str(line))}
    letters = sorted(set().union(*words))
    if not letters:
        raise ValueError("there is no word to make pieces of: give texts that have some")
    # The trainer numbers pieces in the order in which it meets words, and that is another one in every process. It
    # breaks ties by these numbers, too. So letters get theirs before it begins: as if they were special.
    first = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    if size < len(first):
        raise ValueError(
            f"these texts have {len(letters)} different letters and need {len(first)} pieces: size={len(first)}"
        )
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=first, show_progress=False)
    trained = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    trained.normalizer, trained.pre_tokenizer = normal, split
    trained.train_from_iterator(lines, trainer)
    return _bert(trained.get_vocab())


def read_pieces(folder: Path) -> Pieces:
    """The tokenizer of a folder that transformers wrote: its tokenizer.json, or BERT's vocab.txt."""
    _need_package()
    from tokenizers import Tokenizer

    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: name the one with {_TOKENIZER}, or train_pieces(texts)")
    try:
        if (folder / _TOKENIZER).is_file():
            return Pieces(Tokenizer.from_file(str(folder / _TOKENIZER)))
        if (folder / _VOCABULARY).is_file():
            lines = (folder / _VOCABULARY).read_text(encoding="utf-8").splitlines()
            config = folder / _CONFIG
            said = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
            return _bert({piece: number for number, piece in enumerate(lines)}, lower=said.get("do_lower_case", True))
    except Exception as error:  # the package raises plain ones
        raise ValueError(f"the tokenizer in {folder} cannot be read: {' '.join(str(error).split())}") from None
    raise ValueError(
        f"{folder} has no {_TOKENIZER} and no {_VOCABULARY}: write one with AutoTokenizer(...).save_pretrained(FOLDER)"
    )


def fetch_pieces(name: str) -> Pieces:
    """The tokenizer of a model of Hugging Face's hub, by its name; fetched if it is not here yet."""
    _need_package()
    from tokenizers import Tokenizer

    try:
        return Pieces(Tokenizer.from_pretrained(name))
    except Exception as error:  # no such model, no such file, no network
        raise ValueError(f"cannot fetch the tokenizer of {name}: {' '.join(str(error).split())}") from None


def write_pieces(pieces: Pieces, folder: Path, longest: int) -> None:
    """Write a tokenizer so that transformers reads it (WordPiece as BERT's), for models of ``longest`` positions."""
    said = json.loads(pieces.tokenizer.to_str())
    vocabulary = sorted(pieces.tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest}
    written = {_TOKENIZER: pieces.tokenizer.to_str(pretty=True) + "\n"}
    if said["model"]["type"] == "WordPiece" and set(SPECIAL) <= {piece for piece, _ in vocabulary}:
        lower = bool((said["normalizer"] or {}).get("lowercase"))
        names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
        config |= {"tokenizer_class": "BertTokenizer", "do_lower_case": lower, **names}
        written[_VOCABULARY] = "".join(f"{piece}\n" for piece, _ in vocabulary)
    written[_CONFIG] = json.dumps(config, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        with whole(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def _bert(vocabulary: dict[str, int], lower: bool = True) -> Pieces:
    """What BERT does with a vocabulary: [CLS] a [SEP], and for a pair [CLS] a [SEP] b [SEP], b being of type 1."""
    from tokenizers import Tokenizer, decoders, models, processors

    missing = [name for name in SPECIAL if name not in vocabulary]
    if missing:
        raise ValueError(f"a vocabulary for BERT has {', '.join(SPECIAL)}, and this one lacks {', '.join(missing)}")
    made = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token=SPECIAL[1], max_input_chars_per_word=100))
    made.normalizer, made.pre_tokenizer = _bert_words(lower)
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(list(SPECIAL))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    return Pieces(made)


def _bert_words(lower: bool = True) -> tuple[Any, Any]:
    from tokenizers import normalizers, pre_tokenizers

    return normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer()


def _need_package() -> None:
    if find_spec("tokenizers") is None:
        raise ValueError("texts become numbers with Hugging Face's tokenizers: pip install tokenizers")
