"""How Sphinx makes the documentation: `nox -s docs`, or `.ci/docs`."""

from __future__ import annotations

import re
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "https://github.com/gradcon-ext/gradcon_ext/blob/main"
_UPWARD = re.compile(r"(?<!!)(\[[^\]]*\])\((\.\./[^)#]+)(#[^)]*)?\)")

project = "gradcon_ext"
author = "The gradcon_ext authors"
project_copyright = author
release = version = installed_version("gradcon_ext")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
language = "en-GB"

html_theme = "furo"
html_title = "gradcon_ext"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_theme_options = {
    "source_repository": SOURCE.removesuffix("/blob/main"),
    "source_branch": "main",
    "source_directory": "docs/",
}

html_math_renderer = "mathml"  # Which browsers draw by themselves, without a script from elsewhere.

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# Code in pages is checked by running it.
highlight_language = "none"

python_maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
nitpicky = True
_INTERNAL = (
    "chain",
    "training.progress",
    "detector.balance.Subspace",
    "detector.places",
    "detector.stored_chain",
    "ops.objective",
)
nitpick_ignore_regex = [
    ("py:.*", r"(?!gradcon_ext\.).*"),  # Of other packages, whose own documentation is not at hand.
    ("py:.*", rf"gradcon_ext\.({'|'.join(map(re.escape, _INTERNAL))}).*"),
]
# Torchvision, which pytorch-ood imports, has to be the one made for the torch at hand.
autodoc_mock_imports = ["torchvision", *(name for name in ("pyod", "pytorch_ood") if find_spec(name) is None)]
default_role = "code"  # Docstrings write `names` as Markdown does, and no other markup:
_MARKUP = re.compile(r"(`[^`]*`)|([*|])|(?<=\w)_(?=\W|$)")


def _link_to_repository(app: Sphinx, name: str, source: list[str]) -> None:
    """Turn links to files outside of this folder, which work on GitHub as they are, into addresses."""

    def address(link: re.Match[str]) -> str:
        text, path, anchor = link.groups()
        target = (Path(app.srcdir, name).parent / path).resolve()
        if target.is_relative_to(app.srcdir):
            return link[0]
        if not target.exists():
            logging.getLogger(__name__).warning("%s.md: there is no %s", name, path)
        return f"{text}({SOURCE}/{target.relative_to(ROOT)}{anchor or ''})"

    source[0] = _UPWARD.sub(address, source[0])


def _escape_markup(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Leave (N, *shape), |g| and MALLOC_ as they are."""
    lines[:] = _MARKUP.sub(lambda found: found[1] or f"\\{found[0]}", "\n".join(lines)).split("\n")


def _write_formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    as_block = isinstance(node, nodes.math_block)
    formula = latex2mathml.tex2mathml(node.astext(), as_block=as_block)
    translator.body.append(f'<div class="formula">{formula}</div>' if as_block else formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register what is ours."""
    app.add_html_math_renderer("mathml", (_write_formula, None), (_write_formula, None))
    app.connect("autodoc-process-docstring", _escape_markup, priority=400)  # before napoleon, which makes markup
    app.connect("source-read", _link_to_repository)
