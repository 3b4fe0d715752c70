"""Writes self-contained pages, which open from disk, make no request, and are readable without JavaScript."""

from gainstage.report.html.page import html_page, save_html

__all__ = ["html_page", "save_html"]
