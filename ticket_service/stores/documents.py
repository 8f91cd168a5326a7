"""Answers kept as bytes: JSON, its gzip and its ETag, made once and sent many times.

A kept answer is never older than the last write of this service, whichever instance wrote: every
read asks Redis for the event's version, and readers that arrive together share the question. It
is never older than MAX_AGE otherwise, for what other programs write. Without Redis no version is
known and every round of readers reads PostgreSQL.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

from cachetools import LRUCache
from isal import igzip

from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.versions import Versions

MAX_AGE = 0.9
"""Seconds that an answer is kept: with the time to read it anew, under the second promised."""

CAPACITY = 200_000_000
"""Bytes of answers kept. A search makes one for each different query, hence a bound."""

WORTH_COMPRESSING = 1_000
"""Bytes below which gzip saves nothing on the wire."""


def compress(body: bytes) -> bytes | None:
    """The gzip of `body`, or None where that is not worth it."""
    if len(body) < WORTH_COMPRESSING:
        return None
    return igzip.compress(body, compresslevel=1, mtime=0)


class Document:
    """A JSON answer, ready to send."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        # Weak, because the plain and the compressed form share it.
        self.etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'

    @cached_property
    def compressed(self) -> bytes | None:
        """The gzip of the body, or None where that is not worth it."""
        return compress(self.body)


@dataclass(slots=True)
class _Kept:
    document: Document
    version: str | None
    read_at: float


class Documents:
    """The kept answers of this instance."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._kept: LRUCache[Hashable, _Kept] = LRUCache(CAPACITY, getsizeof=_size)
        self._coalescer: Coalescer[Document] = Coalescer()

    def read(
        self, key: Hashable, load: Callable[[], bytes], *, event_id: str | None = None
    ) -> Document:
        """The document under `key`, made by `load` when the kept one may be out of date.

        `event_id` names the event whose inventory the document shows; without one only its age
        counts. `load` runs once however many ask; what it raises is raised to all of them.
        """
        return self._coalescer.run(key, lambda: self._read(key, load, event_id))

    def _read(self, key: Hashable, load: Callable[[], bytes], event_id: str | None) -> Document:
        # The version first: what is written after it costs one more reading, never a stale answer.
        version = self._ask(self._versions.current, event_id)
        kept = self._kept.get(key)
        now = time.monotonic()
        if (
            kept is not None
            and version is not None
            and version == kept.version
            and now - kept.read_at < MAX_AGE
        ):
            return kept.document
        body = load()
        if kept is not None and body == kept.document.body:
            document = kept.document  # and its gzip with it
        else:
            document = Document(body)
        if version is None:  # not before: an id that means nothing makes no key
            version = self._ask(self._versions.begin, event_id)
        self._kept[key] = _Kept(document, version, now)
        return document

    def _ask(self, versions: Callable[[str], str | None], event_id: str | None) -> str | None:
        """A version, or None where it is not known; the empty one where there is no event."""
        if event_id is None:
            return ""
        try:
            return versions(event_id)
        except RedisUnavailable:
            return None


def _size(kept: _Kept) -> int:
    return len(kept.document.body)
