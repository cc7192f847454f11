import unicodedata

import pytest

from sktagger._utils.text import find_twins, listed, nearest, printable, quoted, short

EVIL = "x\x1b[2J\n12:00  done\r\x9b1m\u202egnp\u200b\ud800"


def test_what_a_terminal_obeys_is_escaped():
    expected = r"x\x1b[2J\n12:00  done\r\x9b1m\u202egnp\u200b\ud800"
    assert printable(EVIL) == expected
    assert listed([EVIL]) == expected
    for text in (quoted([EVIL]), short(EVIL), nearest(EVIL + "y", [EVIL])):
        assert text.isprintable()


@pytest.mark.parametrize("text", ["Gewässer", "雨", "дождь", "Dog's bark, “loud”", "🐕"])
def test_ordinary_letters_of_any_script_stay(text):
    assert printable(text) == text
    assert text in short(text)


def test_lists_of_names_are_cut():
    assert listed("abc") == "a, b, c"
    assert listed("abcdef") == "a, b, c, d, e, ..."
    assert quoted(["a", 3]) == "'a', 3"
    assert len(short("x" * 999)) == 60
    assert len(short(list(range(999)))) == 60


def test_near_names_are_told():
    assert nearest("Brid", ["Bird", "Dog"]) == "; nearest: 'Bird'"
    assert nearest("rain", ["Rain"]) == "; nearest: 'Rain'"
    assert nearest("Cat", ["Dog"]) == ""
    assert nearest(1, [1.5, "1"]) == "; nearest: '1'"


@pytest.mark.parametrize("other", ["Rain ", "Ra\u200bin", "R\u0430in", "Rai\uff4e"])
def test_names_that_print_alike_are_spelled_out(other):
    assert nearest(other, ["Dog", "Rain"]) == f"; 'Rain' looks alike, but is not {other!a}"


def test_composed_and_decomposed_characters_are_spelled_out():
    message = nearest(unicodedata.normalize("NFD", "Gewässer"), ["Gewässer"])
    assert message == r"; 'Gew\xe4sser' looks alike, but is not 'Gewa\u0308sser'"


def test_twins_are_found():
    names = ["Rain", "Rain ", "rain", "Dog", 7, "é", "e\u0301", "Car horn", "Car  horn"]
    assert find_twins(names) == [
        ["Rain", "Rain ", "rain"],
        ["é", "e\u0301"],
        ["Car horn", "Car  horn"],
    ]
    assert find_twins(["Rain", "Rainy", "Train"]) == []
