"""Configuration of the documentation: `python -m sphinx -W -b html docs OUT` in the root of the checkout."""

import os
import sys
from pathlib import Path
from typing import Any

from numpydoc.xref import DEFAULT_LINKS

import tinyclf
from tinyclf.estimator.classifier import DOCUMENTATION

sys.path.insert(0, str(Path(__file__).parent))
import extension

GITHUB_REPOSITORY = os.environ.get("GITHUB_REPOSITORY", "tinyclf/tinyclf")
repository_address = f"https://github.com/{GITHUB_REPOSITORY}"
source_address = f"{repository_address}/blob/main"

project = "tinyclf"
author = copyright = "the tinyclf developers"
version = release = tinyclf.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "extension",
]
exclude_patterns = ["_build", "gallery/index.rst", "gallery/sg_execution_times.rst", "sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "autolink"
autodoc_typehints = "none"  # the docstrings have the types
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {word: word for word in DEFAULT_LINKS}  # no links to other sites
numpydoc_xref_aliases |= {name: f"tinyclf.{name}" for name in tinyclf.__all__}
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"(?<!dask_search)\.py$",  # it starts a cluster, and takes long
    "ignore_pattern": r"lab\.py$",  # a notebook
    "backreferences_dir": "reference/generated",
    "doc_module": ("tinyclf",),
    "parallel": 2,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 3600,
}

html_theme = "pydata_sphinx_theme"
html_title = f"tinyclf {version}"
html_baseurl = f"{DOCUMENTATION}/"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"changelog": [], "contributing": []}  # they have no section
html_favicon = "_static/icon.svg"
html_math_renderer = "mathml"
html_use_index = False  # the search finds the same
html_copy_source = html_show_sourcelink = False
html_context = {
    "default_mode": "auto",
    "edit_page_provider_name": "GitHub",
    "edit_page_url_template": repository_address + "/edit/main/{{ edited or 'docs/' + file_name }}",
}
html_theme_options = {
    "github_url": repository_address,
    "use_edit_page_button": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def linkcode_resolve(domain: str, info: dict[str, Any]) -> str | None:
    """Return the address of the source of an object."""
    return extension.linkcode_resolve(info, source_address)
