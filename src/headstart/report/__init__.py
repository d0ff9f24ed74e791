"""The report: one self-contained HTML page that says what happened and why, with JSON and Markdown twins."""

from __future__ import annotations

from headstart.report.html import render_html
from headstart.report.markdown import render_markdown
from headstart.report.write import write

__all__ = ["render_html", "render_markdown", "write"]
