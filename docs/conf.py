"""Sphinx's settings: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

import os
import re
from typing import Any

import fastnn

# The gallery's scripts run on small data, whatever lies in the folder of the user's data sets.
os.environ |= {"FASTNN_DATA_DIR": "/nonexistent", "FASTNN_QUIET": "1", "MPLBACKEND": "agg"}

REPOSITORY = "https://github.com/fastnn-cpu/fastnn/blob/main/"

project, author = "fastnn", "The fastnn developers"
copyright = author
version = release = fastnn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.mermaid",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"
html_theme = "furo"
html_static_path, html_css_files = ["_static"], ["wide.css"]
html_title = f"fastnn {release}"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

autodoc_mock_imports = ["torch", "onnx"]  # large, and only their absence matters: nothing of them is run
autodoc_typehints = "none"  # numpydoc's sections have the types
# What scikit-learn adds to its estimators, with references to its own pages.
autodoc_default_options = {"exclude-members": "set_fit_request,set_partial_fit_request,set_score_request"}
numpydoc_show_class_members = False  # the template has the members in full
# Sections in their order; parameters that exist, in the order of the signature.
numpydoc_validation_checks = {"GL03", "GL06", "GL07", "PR02", "PR03", "PR05", "PR10"}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),  # what scripts print and draw is enough
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}


def link_repository(app: Any, name: str, source: list[str]) -> None:
    """Let links that lead out of docs/, as GitHub follows them, lead to the repository."""
    out = "../" * (name.count("/") + 1)
    source[0] = re.sub(rf"\]\({re.escape(out)}([\w./-]+)", rf"]({REPOSITORY}\1", source[0])


def setup(app: Any) -> None:
    """Register the hook."""
    app.connect("source-read", link_repository)
