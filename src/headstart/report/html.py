"""The page, from its template. Everything in the story is escaped: it holds what users and files said."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from headstart.report.view import number, overview

__all__ = ["render_html"]


def render_html(story: Mapping[str, Any]) -> str:
    """One self-contained page: no script, no address outside it, light and dark."""
    import jinja2
    from markupsafe import Markup

    files = resources.files("headstart.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    template = environment.from_string(files.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    style = files.joinpath("page.css").read_text(encoding="utf-8")
    # The charts are made by svg.py, which escapes what it is given; nothing else is taken as markup.
    return template.render(story=story, view=overview(story), style=Markup(style), svg=Markup)
