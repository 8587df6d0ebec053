"""What a study file says."""

import pytest

from stillbit.study.settings import Switch, called, flags, references, settled
from tests.study.small import made


def test_a_method_that_is_left_as_it_is_has_its_own_name() -> None:
    assert (called("vvtq", "plain"), called("vvtq", "no-obr")) == ("vvtq", "vvtq+no-obr")


def test_references_are_the_words_with_an_at_sign_each_once() -> None:
    assert references(("--teacher", "@big", "--initial-checkpoint", "@float", "@big")) == ("big", "float")


def test_an_option_is_known_however_it_is_written() -> None:
    assert flags(("--bin_reg=0", "--lr", "-1", "x")) == {"--bin-reg", "--lr"}


def test_a_switch_is_for_the_methods_it_names_or_for_all() -> None:
    assert Switch(words=()).fits("lsq") and Switch(words=(), methods=("lsq",)).fits("lsq")
    assert not Switch(words=(), methods=("vvtq",)).fits("lsq")


def test_several_switches_at_once_are_joined_by_a_plus() -> None:
    study = made(switches={"a": "--x", "b": "--y"})
    assert [one.words for one in study.switched("a+b")] == [("--x",), ("--y",)]
    assert study.switched("plain") == []


def test_a_word_that_is_taken_back_goes_with_its_values() -> None:
    words = ("lsq", "--track", "--scale", "-1", "2", "--lr=3", "x", "!--scale", "!--lr", "--scale", "4")
    assert settled(words) == ("lsq", "--track", "--scale", "4")
    assert settled(("lsq", "--bin_reg", "1", "!--bin-reg")) == ("lsq",)


def test_what_nobody_said_cannot_be_taken_back() -> None:
    with pytest.raises(ValueError, match="!--track takes back what nobody said"):
        settled(("lsq", "!--track"))
