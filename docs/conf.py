"""How Sphinx builds these pages: ``sphinx-build -W --keep-going -b html docs build/docs``."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

project = "flask-llmchat"
copyright = "the flask-llmchat authors"
version = release = version_of(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "pallets_sphinx_themes"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]

# Links to headings, as GitHub makes them.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 80

html_theme = "flask"
html_title = f"flask-llmchat {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
version_banner = False  # every reader's browser would send a request to PyPI
html_sidebars = {"**": ["globaltoc.html", "localtoc.html", "searchbox.html"], "404": []}
html_show_copyright = False
html_show_sourcelink = False

ROOT = Path(__file__).parents[1]
INCLUDED = {
    "README": "index",
    "CHANGES": "changes",
    "CONTRIBUTING": "contributing",
    "example_app/README": "example-app",
    "example_app/deploy/README": "deployment",
}
"""Pages outside this folder, and the page here that includes each of them."""


class LinksOutside(SphinxPostTransform):
    """Points links to files outside this folder, which work on GitHub, to their pages here.

    A module of the package is shown as source; any other file is a download.
    """

    default_priority = 8  # before any other link is resolved

    def run(self, **kwargs: Any) -> None:
        """Change the links of one page."""
        for link in self.document.findall(pending_xref):
            target = (Path(self.env.srcdir) / link["reftarget"]).resolve()
            if link["reftype"] == "myst" and target.is_relative_to(ROOT):
                inside = target.relative_to(ROOT).as_posix()
                link["reftarget"] = INCLUDED.get(inside, link["reftarget"])
        for link in list(self.document.findall(download_reference)):
            target = (Path(self.env.srcdir) / link["reftarget"]).resolve()
            if target.suffix == ".py" and target.is_relative_to(ROOT / "flask_llmchat"):
                inside = target.relative_to(ROOT).with_suffix("").as_posix()
                page = f"_modules/{inside.removesuffix('/__init__')}"
                text = nodes.inline("", "", *link.children)
                made = make_refnode(self.app.builder, self.env.docname, page, None, text)
                link.replace_self(made)


def source_of_alias(app: Sphinx, module: str, name: str) -> str | None:
    """Return the module in which an alias of a type is; viewcode would look for the type."""
    return module if name == "Message" else None


def add_data_docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Give an exported constant its docstring, which is in another module than the export."""
    if what != "data":
        return
    for module in sorted(name for name in sys.modules if name.startswith("flask_llmchat.")):
        docs = ModuleAnalyzer.for_module(module).find_attr_docs()
        if found := docs.get(("", name.rpartition(".")[2])):
            lines[:] = found
            return


def setup(app: Sphinx) -> None:
    """Register the functions above."""
    app.connect("autodoc-process-docstring", add_data_docstring)
    app.connect("viewcode-follow-imported", source_of_alias)
    app.add_post_transform(LinksOutside)
