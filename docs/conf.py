"""Settings of the documentation site; CONTRIBUTING.md says how to build it."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("MPLBACKEND", "agg")

from members import own_members  # noqa: E402

import sktagger  # noqa: E402

project = "sktagger"
author = "sktagger developers"
project_copyright = "sktagger developers, BSD-3-Clause"
version = release = sktagger.__version__
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "pictures",  # before the gallery, which uses one
    "sphinx_gallery.gen_gallery",
    "command_pages",
    "links_to_files",
    "summaries",
    "aliases",
]
exclude_patterns = ["_build", "_ext", "_templates", "sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "obj"
suppress_warnings = ["config.cache"]  # functions among the settings
smartquotes = False  # quotes in docstrings are those of code
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 88

# The reference
autosummary_generate = True
autosummary_context = {"own_members": own_members}
autodoc_typehints = "none"  # the docstrings have the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

# Pages in Markdown
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The examples run while the site is built, and an error or a warning of one is an error.
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_\w+\.py$",
    "backreferences_dir": "generated/examples",
    "doc_module": ("sktagger",),
    "abort_on_example_error": True,
    "default_thumb_file": str(HERE / "generated" / "thumbnail.png"),
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
}

html_theme = "pydata_sphinx_theme"
html_title = f"sktagger {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/sktagger/sktagger",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# pages without pages below them
SINGLE = (
    "changes", "coming_from", "contributing", "errors", "first_steps", "index", "recipe",
    "security", "threshold_theory", "what_happens_when",
)  # fmt: skip
html_sidebars = {page: [] for page in SINGLE}
