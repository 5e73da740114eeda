"""Templates: ``<< expression >>`` in a flow's fields and files, rendered in a sandbox whose work is bounded.

``Templates`` compiles a text for one ``Kind`` of field, ``Template.render`` fills it in, ``check_names``
finds unknown names without rendering. Jinja2 is imported when the first template is compiled, not before.
"""

from runner.template.asked import asked_for
from runner.template.compiled import OrElse, Template, Templates
from runner.template.kinds import LIMITS, Kind, Where
from runner.template.markup import inline_css
from runner.template.names import check_names
from runner.template.quotes import uncompiled, unquoted
from runner.template.scan import Delimiters, is_template
from runner.template.shape import ANY, Shape, shape_of_schema

__all__ = [
    "ANY",
    "LIMITS",
    "Delimiters",
    "Kind",
    "OrElse",
    "Shape",
    "Template",
    "Templates",
    "Where",
    "asked_for",
    "check_names",
    "inline_css",
    "is_template",
    "shape_of_schema",
    "uncompiled",
    "unquoted",
]
