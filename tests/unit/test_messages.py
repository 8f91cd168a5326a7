"""The sentences, and which language is spoken."""

import string

import pytest

from tests.support.wire import is_korean
from ticket_service.messages import MAX_ACCEPT_LENGTH, SENTENCES, preferred_language, sentence


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "ko"),
        ("ko", "ko"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("EN", "en"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en;q=0.5,ko;q=0.9", "ko"),
        ("fr,en;q=0.5", "en"),
        ("fr", "ko"),
        ("*", "ko"),
        ("en;q=0", "ko"),
        ("english", "ko"),
        ("en;q=nonsense", "ko"),
        (";;,,", "ko"),
        ("x," * 200 + "en", "ko"),  # it is not looked at to its end
    ],
)
def test_korean_unless_english_is_preferred(header: str, language: str):
    assert preferred_language(header) == language


def test_only_the_beginning_of_a_header_counts():
    assert preferred_language("fr," * (MAX_ACCEPT_LENGTH // 3) + "en") == "ko"
    assert preferred_language("en," + "fr," * 10_000) == "en"


@pytest.mark.parametrize("key", SENTENCES)
def test_every_sentence_is_there_twice_with_the_same_gaps(key: str):
    korean, english = SENTENCES[key]
    assert is_korean(korean)
    assert not is_korean(english)
    gaps = [
        {name for _, name, _, _ in string.Formatter().parse(text) if name}
        for text in (korean, english)
    ]
    assert gaps[0] == gaps[1]
    values = dict.fromkeys(gaps[0], "값")
    assert "{" not in sentence(key, "ko", **values) + sentence(key, "en", **values)
