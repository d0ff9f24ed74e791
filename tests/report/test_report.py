"""The page: self-contained, escaped, bounded, and complete with missing values."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from headstart.report import render_html
from headstart.report.html import view
from tests.report.story import story, version

VOID = {"meta", "br", "link", "img", "input"}
PAYLOADS = [
    "<script>alert('x')</script>",
    "\"'><img src=x onerror=y>",
    "</style><script>x</script>",
    "</title></svg><svg onload=x>",
    "' onmouseover='x",
    "{{ 7*7 }}{% raw %}",
    "]]>--><!--",
    "javascript:x",
]


class Page(HTMLParser):
    """Tags in order, their attributes, and text; a tag closed out of turn is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.stack: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str | None]:
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(story())


def poisoned(value: Any, payload: str) -> Any:
    """The same value with a payload in every text, names included, but for the decisions."""
    if isinstance(value, dict):
        odd = {"preview", "settings", "parameter_groups"}
        return {
            key: {payload: payload} if key in odd else item if key == "decision" else poisoned(item, payload)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [poisoned(item, payload) for item in value]
    return payload + value if isinstance(value, str) else value


def blanked(value: Any) -> Any:
    """The same value with None in place of every number and text."""
    if isinstance(value, dict):
        return {key: blanked(item) for key, item in value.items()}
    return [blanked(item) for item in value] if isinstance(value, list) else None


def without(value: Any, key: str) -> Any:
    """The same value without a key, wherever it stands."""
    if isinstance(value, dict):
        return {name: without(item, key) for name, item in value.items() if name != key}
    return [without(item, key) for item in value] if isinstance(value, list) else value


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | set().union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def test_the_page_refers_to_nothing_outside(page: str) -> None:
    read = Page(page)
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(read.tags)
    assert all(str(link).startswith("#") for link in read.values("href"))
    for name in ("src", "action", "srcset", "xlink:href", "data"):
        assert read.values(name) == []
    assert "http:" not in page and "https:" not in page and "url(" not in page and "@import" not in page


def test_ids_are_unique_and_links_lead_somewhere(page: str) -> None:
    read = Page(page)
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    assert {str(link)[1:] for link in read.values("href")} <= set(ids)
    assert set(read.values("aria-labelledby")) <= set(ids)


def test_only_the_scripts_and_styles_it_came_with_may_run(page: str) -> None:
    [policy] = [value for value in Page(page).values("content") if value and "default-src" in value]
    for tag in ("script", "style"):
        [body] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert not [value for value in Page(page).values("style") if value]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_users_wrote_is_never_markup(payload: str) -> None:
    told = {**story(2), "arrivals": story(2)["arrivals"][1:]}
    clean, foul = Page(render_html(told)), Page(render_html(poisoned(told, payload)))
    kinds = {"script", "style", "img", "html", "body", "template"}
    assert [tag for tag in foul.tags if tag in kinds] == [
        "html",
        "style",
        "body",
        "script",
    ]
    assert set(foul.tags) <= set(clean.tags)
    assert {name for _, name, _ in foul.attributes} <= {name for _, name, _ in clean.attributes}
    assert not [name for _, name, _ in foul.attributes if name.startswith("on")]
    assert any(payload in text for text in foul.text)
    assert not any(payload in str(value) for value in foul.values("class") + foul.values("id"))


def test_text_cannot_hide_control_characters_or_half_characters() -> None:
    read = render_html(story(2, "a\x00b\u202ec\ud800d"))
    read.encode("utf-8")
    assert "a\ufffdb\ufffdc\ufffdd" in read
    assert not set("\x00\u202e\ud800") & set(read)


def test_everything_of_the_story_is_there(page: str) -> None:
    text = " ".join(" ".join(Page(page).text).split())
    for part in (
        "Promoted",
        "0.8630",
        "0.8940",
        "Difference +0.0310",
        "49% of from scratch",
        "from scratch (estimated)",
        "label-shift",
        "0.1600 to 0.2600",
        "0.0004",
        "replay keeps the old mix",
        "won 4 of 5 arrivals so far (label)",
        "dropped at rung 1",
        "patience ran out",
        "warmup 0 to 0.001 (linear), 20 steps",
        "groups=label: no-decay, ema=0.999",
        "language=label",
        "inconclusive",
        "my parcel did not arrive",
        "interval 0.8730 to 0.9130",
        "no slice lost beyond its margin",
        "alpha=0.05",
    ):
        assert part in text, part


def test_numbers_carry_their_version_and_run(page: str) -> None:
    numbers = re.findall(r'<t(?:d|h scope="row") class="number"(?: title="([^"]*)")?>', page)
    told = [title for title in numbers if title]
    assert len(told) == len(numbers) > 100
    assert f"version {version(5)}, run {5 * 7919:016x}" in told
    assert re.search(rf"<title>candidate: 0\.8940 at arrival 5 · version {version(5)}, run", page)


def test_tables_have_captions_and_headings(page: str) -> None:
    read = Page(page)
    assert read.tags.count("table") == read.tags.count("caption") > 10
    assert set(read.values("scope")) == {"col", "row"}
    for table in re.findall(r"<table>.*?</table>", page, re.DOTALL):
        assert len({len(re.findall(r"<t[dh][ >]", row)) for row in table.split("<tr>")[1:]}) == 1


def test_drawings_say_what_they_show(page: str) -> None:
    for drawing in re.findall(r"<svg[^>]*>", page):
        assert 'role="img" aria-label="' in drawing or 'aria-hidden="true"' in drawing


def test_missing_values_are_dashes_and_break_nothing() -> None:
    text = " ".join(Page(render_html(blanked(story(3)))).text)
    assert "–" in text
    assert not {"None", "nan", "Undefined"} & set(re.findall(r"\w+", text))


def test_any_key_may_be_missing() -> None:
    told = {**story(2), "arrivals": [story(2)["arrivals"][1]]}
    for key in sorted(keys_of(told)):
        view(without(told, key))
    Page(render_html({**told, "arrivals": [{}], "totals": {}, "lineage": {}}))


def test_values_of_the_wrong_kind_break_nothing() -> None:
    second = story(2)["arrivals"][1]
    for key in second:
        for wrong in (None, {}, "text", 1, [None], float("nan"), [[1]]):
            few = {**second, "entrants": [], "findings": [], key: wrong}
            view({"arrivals": [few]})
    for key in second["entrants"][0]:
        for wrong in (None, {}, "text", [None], [[1]], [[1, "text"]]):
            view({"arrivals": [{**second, "entrants": [{**second["entrants"][0], key: wrong}]}]})


def test_a_store_without_updates_has_a_page() -> None:
    for empty in (story(0), {}):
        assert "Nothing has arrived yet" in render_html(empty)


def test_one_arrival_has_no_earlier_ones() -> None:
    one = render_html(story(1))
    assert "Earlier arrivals" not in one and "<details" not in one
    assert "the differences are to the trivial predictor" in one


def test_the_page_stays_small_over_many_arrivals() -> None:
    many = render_html(story(200))
    assert len(many.encode()) < 2_000_000
    assert many.count("<details") == 19  # and the latest, which is open
    assert len(render_html(story()).encode()) < 300_000
    assert "The newest 60 of 200 versions" in many


def test_a_huge_story_is_cut_to_size() -> None:
    told = story(2, "x" * 100_000)
    latest = told["arrivals"][-1]
    latest["entrants"] = latest["entrants"] * 200
    latest["findings"] = latest["findings"] * 200
    latest["verdict"]["slices"] = latest["verdict"]["slices"] * 200
    for entrant in latest["entrants"][:4]:
        entrant["curve"] = [[step, step / 1e5] for step in range(2_000)]
        entrant["train_curve"] = [[step, 1.0, 1e-3] for step in range(2_000)]
    assert len(render_html(told).encode()) < 5_000_000


def test_decisions_are_told_in_words() -> None:
    told = story(5)
    for decision, badge, part in (("hold", "Held", "stays in service"), ("reject", "Rejected", "stays in")):
        other = copy.deepcopy(told)
        other["arrivals"][-1]["decision"] = decision
        top = view(other)["headline"]
        assert top["badge"] == badge and part in top["told"]
    assert view(told)["headline"]["told"] == (
        f"Candidate {version(5)[:8]} is in service and replaces {version(2)[:8]}."
    )


def test_estimates_are_marked_until_all_is_measured() -> None:
    told = story()
    assert "(estimated)" in view(told)["costs"] and "dashed" in view(told)["costs"]
    for record in told["arrivals"]:
        record["scratch_measured"] = True
    assert "(estimated)" not in view(told)["costs"] and "dashed" not in view(told)["costs"]
