"""One self-contained page: it opens from disk, makes no request, and can be read without JavaScript."""

from gainstage.report.html.page import html_page, save_html

__all__ = ["html_page", "save_html"]
