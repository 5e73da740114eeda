"""MJML → HTML, and style rules → ``style`` attributes. No network, no files, whatever a document asks for.

Both are done by native libraries that recurse over the document: 20,000 nested elements end the process, so the
nesting is counted first.
"""

from __future__ import annotations

import re

from runner.errors import TemplateError

MAX_MARKUP = 10_000_000
"""Characters of markup that are taken on."""
_MAX_MJML = 1_000_000
_MAX_NESTING = 400
_MAX_TAGS = 200_000
_MAX_OPEN = 4_000_000
_MAX_MATCHING = 60_000_000
_MAX_MESSAGE = 300
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_LEFT = re.compile(r"<!--|</?(mj-[a-z0-9-]{1,60})", re.IGNORECASE)
_STYLE = re.compile(r"<style\b[^<>]*>([^<]*)", re.IGNORECASE)
# elements without an end tag, and those whose end tag people leave away: they do not nest by themselves
# fmt: off
_FLAT = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "colgroup",
})
# fmt: on


def compile_mjml(source: str) -> str:
    """HTML from an MJML document; raises TemplateError. ``mj-include`` is refused, ``include`` serves."""
    from mjml import mjml2html

    if len(source) > _MAX_MJML:
        raise TemplateError(f"the MJML has more than {_MAX_MJML} characters")
    if re.search(r"<mj-include\b", source):
        raise TemplateError("mj-include does not read files here", hint='write <% include "part.mjml" %>')
    _count_tags(source, "MJML")
    try:
        html: str = mjml2html(source)
    except Exception as error:  # (the library raises what it likes)
        raise TemplateError(f"the MJML cannot be compiled: {str(error)[:_MAX_MESSAGE]}") from error
    if (left := _left_over(html)) is not None:
        raise TemplateError(
            f"unknown MJML element <{left}>, or one that cannot stand where it does",
            hint="compare its name and its place with the MJML documentation",
        )
    return html


def _left_over(html: str) -> str | None:
    """The first element that MJML did not know and left as it stood; None when there is none."""
    at = 0
    while (match := _LEFT.search(html, at)) is not None:
        if match[1] is not None:
            return match[1]
        # MJML that is commented out stays so.
        at = html.find("-->", match.end())
        if at < 0:
            break
    return None


def inline_css(html: str) -> str:
    """The document with its ``<style>`` rules moved onto the elements; raises TemplateError.

    Rules that cannot move stay in a ``<style>``: media queries, ``:hover``, ``::before``, and selectors that match
    nothing. Remote and local stylesheets are never loaded. At most 10,000,000 characters, 200,000 tags and 400
    elements within one another.
    """
    import css_inline

    if len(html) > MAX_MARKUP:
        raise TemplateError(f"the HTML has more than {MAX_MARKUP} characters")
    tags = _count_tags(html, "HTML")
    styles = sum(len(match[1]) for match in _STYLE.finditer(html))
    # each rule is tried on each element
    if styles * tags > _MAX_MATCHING:
        raise TemplateError(
            "the styles are too many for so many elements", hint="leave inline_css away, or use fewer rules"
        )
    # Not keep_style_tags: it would send every rule a second time, also those that have moved.
    inliner = css_inline.CSSInliner(
        load_remote_stylesheets=False,
        keep_style_tags=False,
        keep_at_rules=True,
        keep_link_tags=True,
        remove_inlined_selectors=True,
    )
    try:
        return str(inliner.inline(html))
    except Exception as error:  # (the library raises what it likes)
        raise TemplateError(f"the styles cannot be inlined: {str(error)[:_MAX_MESSAGE]}") from error


def _count_tags(markup: str, what: str) -> int:
    """The number of tags; raises TemplateError when they are too many or too deep."""
    count = depth = opened = 0
    for match in _TAG.finditer(markup):
        count += 1
        if match[2].lower() not in _FLAT:
            depth = max(depth - 1, 0) if match[1] else depth + 1
        # an element left open is opened again inside each that follows: what counts is the sum
        opened += depth
        if depth > _MAX_NESTING or count > _MAX_TAGS or opened > _MAX_OPEN:
            raise TemplateError(f"the {what} has too many elements, or too many within one another")
    return count
