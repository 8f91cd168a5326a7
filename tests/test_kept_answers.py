"""What an instance keeps in memory: it is counted, and bounded."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import choice, choices
from urllib.parse import quote
from uuid import uuid4

import psutil

from tests.support.buyers import token_for
from tests.support.factories import MakeEvent, section
from tests.support.service import Service

StartService = Callable[..., Service]


def kept_bytes(service: Service, cache: str) -> float:
    text = service.request("GET", "/metrics").body.decode()
    [value] = re.findall(rf'^ticket_kept_bytes{{cache="{cache}"}} (.+)$', text, re.MULTILINE)
    return float(value)


def search_all(service: Service, words: list[str]) -> None:
    """Search for each, eight at a time, on connections that are kept open."""

    def search(some: list[str]) -> None:
        for word in some:
            assert service.get(f"/events?q={quote(word)}").status == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(search, [words[at::8] for at in range(8)]))


def worker_of(service: Service) -> psutil.Process:
    [worker] = psutil.Process(service.process.pid).children()
    return worker


def test_kept_searches_are_counted_with_all_that_they_take(start_service: StartService):
    service = start_service()
    worker = worker_of(service)
    long = "x" * 200 + "\N{GRINNING FACE}"  # four bytes a letter in memory
    search_all(service, [f"{uuid4()}{long}" for _ in range(400)])
    before = worker.memory_info().rss, kept_bytes(service, "lists") + kept_bytes(service, "urls")
    search_all(service, [f"{uuid4()}{long}" for _ in range(4_000)])
    counted = kept_bytes(service, "lists") + kept_bytes(service, "urls") - before[1]
    assert worker.memory_info().rss - before[0] < counted + 3_000_000


def test_searches_are_bounded_and_push_nothing_else_out(
    start_service: StartService, make_event: MakeEvent
):
    service = start_service()
    worker = worker_of(service)
    marker = "".join(choices("abcdefgh", k=16))
    for _ in range(50):
        event = make_event(title=marker, description="x" * 4_000, sections=[section()])
    searches = [
        "".join(choice([str.lower, str.upper])(letter) for letter in marker) for _ in range(500)
    ]
    for path in (f"/events/{event.id}", f"/seats/events/{event.id}"):
        assert service.get(path).status == 200
    kept = kept_bytes(service, "events")
    assert kept > 4_000
    search_all(service, searches[:50])
    before = worker.memory_info().rss
    search_all(service, searches)  # 100 MB of answers
    assert worker.memory_info().rss - before < 40_000_000
    assert 10_000_000 < kept_bytes(service, "lists") <= 16_000_000
    assert kept_bytes(service, "urls") <= 4_000_000
    assert kept_bytes(service, "events") == kept


def test_checked_tokens_take_little_memory(start_service: StartService):
    service = start_service()
    worker = worker_of(service)
    padding = "x" * 5_000  # and so 7 kB of header
    tokens = [token_for(email=f"{number}{padding}") for number in range(3_100)]
    for token in tokens[:100]:
        assert service.get("/reservations/my", token=token).status == 200
    before = worker.memory_info().rss
    for token in tokens[100:]:
        assert service.get("/reservations/my", token=token).status == 200
    assert worker.memory_info().rss - before < 10_000_000
