"""Configuration of the documentation: `python -m sphinx -W -b html docs OUT`."""

import tinyclf

project = "tinyclf"
author = "the tinyclf developers"
copyright = "the tinyclf developers"
version = release = tinyclf.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
