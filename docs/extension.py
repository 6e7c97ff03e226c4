"""The parts of the site that no Sphinx extension has: links of included files, formulas, and the lesson."""

import inspect
import re
import subprocess
import sys
from html import escape
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from numpydoc.docscrape_sphinx import SphinxDocString
from sphinx.addnodes import desc_content, pending_xref
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer

import tinyclf

ROOT = Path(__file__).parents[1]
PAGES = {  # files outside of docs/, and the pages that include them
    "benchmarks/README.md": "explanation/benchmarks",
    "data/README.md": "reference/hard_logits",
    "examples/README.md": "examples",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
}


def linkcode_resolve(info: dict[str, Any], source: str) -> str | None:
    """Return the address of the source of an object, on GitHub."""
    found: Any = import_module(info["module"])
    for part in info["fullname"].split("."):
        found = getattr(found, part, None)
    try:
        path = Path(inspect.getfile(inspect.unwrap(found))).relative_to(Path(tinyclf.__file__).parents[1])
        lines, start = inspect.getsourcelines(inspect.unwrap(found))
    except (TypeError, ValueError, OSError):  # an attribute, or inherited from another package
        return None
    return f"{source}/{path.as_posix()}#L{start}-L{start + len(lines) - 1}"


def with_links(text: str, folder: Path, source: str) -> str:
    """Rewrite the relative links of a Markdown file in a folder, to pages of the site or to GitHub."""

    def link(match: re.Match[str]) -> str:
        path, mark, anchor = match[1].partition("#")
        target = (folder / path).resolve()
        if not path or not target.exists() or not target.is_relative_to(ROOT):
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        if name.startswith("docs/"):
            address = name.removeprefix("docs")
        elif name in PAGES:
            address = f"/{PAGES[name]}.md"
        elif re.fullmatch(r"examples/(?!lab)\w+\.py", name):
            address = f"/gallery/{target.stem}.rst"
        else:
            address = f"/../{name}" if target.suffix == ".png" else f"{source}/{name}"
        return f"]({address}{mark}{anchor})"

    return re.sub(r"\]\(([^)\s:]+)\)", link, text)


def read_page(app: Sphinx, docname: str, content: list[str]) -> None:
    """Rewrite the links of a page, and remove the empty lines that end a doctest."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        text = with_links(content[0], path.parent, app.config.source_address)
        content[0] = re.sub(r"(```pycon\n.*?)\n+```", r"\1\n```", text, flags=re.DOTALL)


def read_included(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    """Rewrite the links of an included file."""
    content[0] = with_links(content[0], (Path(app.srcdir) / path).parent, app.config.source_address)


def link_names_and_pictures(app: Sphinx, tree: nodes.document) -> None:
    """Link the first mention of each public name on a Markdown page, and each picture to its file."""
    if Path(app.env.doc2path(app.env.docname)).suffix != ".md":
        return
    kinds = (nodes.title, nodes.reference, pending_xref)
    parents = tree.findall(lambda node: isinstance(node, kinds))
    done = {node for parent in parents for node in parent.findall(nodes.literal)}
    names = set()
    for literal in list(tree.findall(nodes.literal)):
        name = literal.astext().removeprefix("tinyclf.")
        if literal not in done and name not in names:
            names.add(name)  # if the reference has no such name, only the literal is shown
            target = {"refdomain": "py", "reftype": "obj", "reftarget": f"tinyclf.{name}"}
            literal.replace_self(pending_xref("", literal.deepcopy(), refdoc=app.env.docname, **target))
    for picture in tree.findall(nodes.image):
        if picture.get("alt"):
            picture["width"] = "100%"  # Sphinx links scaled pictures


def complete_page(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Set the description of a page for search engines, and the file to edit; generated pages have none."""
    texts = tree.findall(nodes.paragraph) if tree else []
    text = next((p.astext() for p in texts if isinstance(p.parent, nodes.section | desc_content)), "")
    if text:
        content = escape(shorten(text, 160, placeholder="..."))
        context["metatags"] += f'\n<meta name="description" content="{content}" />'
    if page.startswith("gallery/"):
        context["edited"] = f"examples/{Path(page).name}.py"
    else:
        context["edited"] = next((path for path, name in PAGES.items() if name == page), None)
    if page.startswith("reference/generated/"):
        context["page_source_suffix"] = None


def clean_docstring(app: Sphinx, kind: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Replace the references to scikit-learn's pages in docstrings of inherited methods."""
    site = "https://scikit-learn.org/stable"
    for i, line in enumerate(lines):
        line = re.sub(r":ref:`([^`<]+?) <metadata_routing>`", rf"`\1 <{site}/metadata_routing.html>`__", line)
        lines[i] = re.sub(r":term:`([^`]+)`", rf"`\1 <{site}/glossary.html#term-\1>`__", line)


def visit_math(self: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers show without a script."""
    if isinstance(node, nodes.math):
        self.body.append(convert(node.astext()))
    else:
        formula = convert(node.astext().replace("{aligned}", "{split}"), display="block")
        self.body.append(f'<div class="pst-scrollable-table-container">{formula}</div>')
    raise nodes.SkipNode


def start_lesson(app: Sphinx) -> None:
    """Run `python -m tinyclf lesson` beside the examples; explanation/lesson shows its page."""
    page = Path(app.outdir) / "explanation" / "lesson_page.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tinyclf", "lesson", "--quick", "--out", str(page)]
    lesson = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)

    def finish(app: Sphinx, error: Exception | None) -> None:
        if lesson.wait():
            raise ExtensionError("python -m tinyclf lesson failed")

    app.connect("build-finished", finish)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions above with Sphinx."""
    # numpydoc would show the first line of a property instead of its entry in the docstring of the class.
    process = SphinxDocString._process_param
    SphinxDocString._process_param = lambda self, param, text, summary: process(self, param, text, False)
    # autodoc looks for the docstring of a constant in the module that exports it.
    exported, defined = map(ModuleAnalyzer.for_module, ("tinyclf", "tinyclf.estimator.classifier"))
    name = ("", "SKLEARN_DEFAULTS")
    exported.find_attr_docs()[name] = defined.find_attr_docs()[name]
    app.add_config_value("source_address", "", "env")
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    app.connect("autodoc-process-docstring", clean_docstring)
    app.connect("doctree-read", link_names_and_pictures)
    app.connect("html-page-context", complete_page, priority=400)
    app.connect("builder-inited", start_lesson, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
