"""Answers kept as bytes: JSON, its gzip and its ETag, made once and sent many times.

A kept answer is never older than the last write of this service, whichever instance wrote: every
read asks Redis for the event's version, and readers that arrive together share the question. It
is never older than MAX_AGE otherwise, for what other programs write. Without Redis no version is
known and every round of readers reads PostgreSQL.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

from isal import igzip

from ticket_service import metrics
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.sized_cache import SizedCache
from ticket_service.stores.versions import Versions

MAX_AGE = 0.9
"""Seconds that an answer is kept: with the time to read it anew, under the second promised."""

MAX_EVENT_BYTES = 200_000_000
"""Memory for answers about one event each: as many as there are events, whoever asks."""

MAX_LIST_BYTES = 16_000_000
"""Memory for lists. Each different query makes one, so they must not push the others out."""

ENTRY_BYTES = 1_000
"""Memory that an answer takes beside its bytes and the words of its key: 600 to 700 were measured,
and the allocator needs some more."""

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
        self._events: SizedCache[Hashable, _Kept] = SizedCache(MAX_EVENT_BYTES)
        self._lists: SizedCache[Hashable, _Kept] = SizedCache(MAX_LIST_BYTES)
        metrics.KEPT_BYTES.labels("events").set_function(lambda: self._events.size)
        metrics.KEPT_BYTES.labels("lists").set_function(lambda: self._lists.size)
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
        cache = self._lists if event_id is None else self._events
        kept = cache.get(key)
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
        cache.keep(key, _Kept(document, version, now), _size(key, document))
        return document

    def _ask(self, versions: Callable[[str], str | None], event_id: str | None) -> str | None:
        """A version, or None where it is not known; the empty one where there is no event."""
        if event_id is None:
            return ""
        try:
            return versions(event_id)
        except RedisUnavailable:
            return None


def _size(key: Hashable, document: Document) -> int:
    size = ENTRY_BYTES + len(document.body)
    if len(document.body) >= WORTH_COMPRESSING:
        size += len(document.body)  # its gzip may be made at any time
    words = key if isinstance(key, tuple) else (key,)
    return size + sum(map(sys.getsizeof, words))
