"""Sphinx's settings for ``make docs``. Nothing is fetched while the site is built."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "site"))

import gainstage

project = "gainstage"
version = release = gainstage.__version__
copyright = "The gainstage developers"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_pages"]
root_doc = "index"
exclude_patterns = ["site"]
nitpicky = False  # types of NumPy and of the frameworks have no page here, and looking them up takes a network

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # the docstrings' Args sections describe each argument
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "gainstage"
html_copy_source = False
html_show_sphinx = False
html_static_path: list[str] = []
