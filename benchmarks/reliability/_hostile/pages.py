"""Names and texts that would be markup in the report, if they were not escaped."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.reliability._hostile.forged import sound
from benchmarks.reliability._hostile.trial import Case
from headstart.lifecycle.record import story
from headstart.lifecycle.store import Store
from headstart.report.write import write
from tests.report.story import arrival

PAYLOADS = [
    "<script>fetch('//evil')</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style></title></svg><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "{{ 7*7 }}{% include 'x' %}",
    "]]>--><!--<iframe src=javascript:alert(1)>",
]


def pages() -> Iterator[Case]:
    """A store whose record is full of each of them."""
    for payload in PAYLOADS:
        prepare = functools.partial(_prepare, payload)
        yield Case(
            name=f"report: {payload}",
            prepare=prepare,
            attempt=functools.partial(_show, payload),
            harmless=True,
        )


def _prepare(payload: str, folder: Path) -> None:
    store = sound(folder)
    told = arrival(1, None, payload)
    told |= {"task": payload, "metric": payload, "version": store.champion_id()}
    store.record("done", payload, told)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(f"{tag} {name}" for name, _ in attrs)]


def _show(payload: str, folder: Path) -> None:
    """The page holds the text, and no tag or attribute that it would not hold without."""
    tags = {}
    for name, text in (("plain", "text"), ("hostile", payload)):
        place = folder / "store" / name
        told = story(Store(folder / "store"))
        if name == "plain":
            told["arrivals"] = [{**arrival(1, None, text), "version": told["arrivals"][0]["version"]}]
            told |= {"task": text, "metric": text, "title": text}
        page = write(told, place).read_text(encoding="utf-8")
        tags[name] = _Page(page).found
        written = page
    if set(tags["hostile"]) != set(tags["plain"]) or tags["hostile"].count("script") != tags["plain"].count(
        "script"
    ):
        raise RuntimeError(f"the page changed: {set(tags['hostile']) ^ set(tags['plain'])}")
    if payload in written and "<" in payload:
        raise RuntimeError("the text stands in the page as it was written")
