"""MJML → HTML, and style rules → ``style`` attributes. No network, no files, whatever a document asks for."""

from __future__ import annotations

import re

from runner.errors import TemplateError

MAX_MARKUP = 10_000_000
"""Characters of markup that are taken on."""
_MAX_MJML = 2_000_000
_MAX_MESSAGE = 300


def compile_mjml(source: str) -> str:
    """HTML from an MJML document; raises TemplateError. ``mj-include`` is refused, ``include`` serves."""
    from mjml import mjml2html

    if len(source) > _MAX_MJML:
        raise TemplateError(f"the MJML has more than {_MAX_MJML} characters")
    if re.search(r"<mj-include\b", source):
        raise TemplateError("mj-include does not read files here", hint='write <% include "part.mjml" %>')
    try:
        html: str = mjml2html(source)
    except Exception as error:
        raise TemplateError(f"the MJML cannot be compiled: {str(error)[:_MAX_MESSAGE]}") from error
    return html


def inline_css(html: str) -> str:
    """The document with its ``<style>`` rules moved onto the elements; raises TemplateError.

    Rules that cannot move (media queries) stay. Remote and local stylesheets are never loaded.
    """
    import css_inline

    if len(html) > MAX_MARKUP:
        raise TemplateError(f"the HTML has more than {MAX_MARKUP} characters")
    inliner = css_inline.CSSInliner(
        load_remote_stylesheets=False, keep_style_tags=False, keep_at_rules=True, keep_link_tags=True
    )
    try:
        return str(inliner.inline(html))
    except Exception as error:
        raise TemplateError(f"the styles cannot be inlined: {str(error)[:_MAX_MESSAGE]}") from error
