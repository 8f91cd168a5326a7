"""Kept answers: when one is given again, and when it is read anew."""

import gzip

import pytest

from ticket_service.stores import documents
from ticket_service.stores.documents import Document, Documents, compress
from ticket_service.stores.redis import RedisUnavailable


class Words:
    """The versions of one instance; `None` where there is no Redis."""

    def __init__(self) -> None:
        self.word: str | None = "first"
        self.away = False
        self.begun = 0

    def current(self, event_id: str) -> str | None:
        if self.away:
            raise RedisUnavailable
        return self.word

    def begin(self, event_id: str) -> str | None:
        if self.away:
            raise RedisUnavailable
        self.begun += 1
        if self.word is not None:
            return None
        self.word = f"begun {self.begun}"
        return self.word


class Source:
    """What is to be shown; it counts how often it is read."""

    def __init__(self, body: bytes = b"{}") -> None:
        self.body = body
        self.reads = 0

    def __call__(self) -> bytes:
        self.reads += 1
        return self.body


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def kept(words: Words) -> Documents:
    return Documents(words)  # type: ignore[arg-type] # all of Versions that is used


@pytest.fixture
def source() -> Source:
    return Source()


def read(kept: Documents, source: Source) -> Document:
    return kept.read("key", source, event_id="event")


def test_one_reading_serves_until_the_version_changes(
    kept: Documents, words: Words, source: Source
):
    assert read(kept, source) is read(kept, source)
    assert source.reads == 1
    words.word = "second"
    source.body = b"[]"
    assert read(kept, source).body == b"[]"
    assert source.reads == 2


def test_what_did_not_change_keeps_its_document(kept: Documents, words: Words, source: Source):
    before = read(kept, source)
    words.word = "second"
    assert read(kept, source) is before
    assert source.reads == 2


def test_an_event_without_a_version_gets_one(kept: Documents, words: Words, source: Source):
    words.word = None
    read(kept, source)
    read(kept, source)
    assert (words.begun, source.reads) == (1, 1)


def test_without_redis_every_reading_is_new(kept: Documents, words: Words, source: Source):
    words.away = True
    for _ in range(3):
        read(kept, source)
    assert source.reads == 3
    words.away = False
    read(kept, source)
    assert source.reads == 4  # what was read then is not kept under any version


def test_old_answers_are_read_anew(
    kept: Documents, source: Source, monkeypatch: pytest.MonkeyPatch
):
    read(kept, source)
    monkeypatch.setattr(documents, "MAX_AGE", 0)
    read(kept, source)
    assert source.reads == 2


def test_a_list_asks_for_no_version(kept: Documents, words: Words, source: Source):
    words.away = True
    kept.read("list", source)
    kept.read("list", source)
    assert source.reads == 1


def test_what_cannot_be_read_is_not_kept(kept: Documents, source: Source):
    def fail() -> bytes:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            kept.read("key", fail, event_id="event")
    assert read(kept, source).body == source.body


def test_the_etag_is_of_the_body():
    assert Document(b"one").etag == Document(b"one").etag != Document(b"two").etag
    assert Document(b"one").etag.startswith('W/"')


def test_only_what_is_long_enough_is_compressed():
    assert compress(b"x" * (documents.MIN_COMPRESSED_BYTES - 1)) is None
    long = b"x" * documents.MIN_COMPRESSED_BYTES
    compressed = Document(long).compressed
    assert compressed is not None
    assert len(compressed) < len(long)
    assert gzip.decompress(compressed) == long
