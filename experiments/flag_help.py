"""Flag help from docstrings: the docstring below a field becomes its `--help` text, as one paragraph.

tyro 1.0 joins the lines of a docstring only if they are not indented, and lines below fields are indented.
"""

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import get_type_hints


def write_flag_help(config: type) -> None:
    """Set the `help` metadata of a configuration's fields, nested configurations included; tyro reads it first.

    Args:
        config: A dataclass; the metadata of its fields is changed in place.
    """
    docs = {name: text for owner in reversed(config.__mro__) for name, text in field_docs(owner).items()}
    kinds = get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name in docs:
            field.metadata = MappingProxyType({**field.metadata, "help": docs[field.name]})
        kind = kinds[field.name]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            write_flag_help(kind)


def field_docs(owner: type) -> Mapping[str, str]:
    """Return field name to docstring, as one line, for the fields that a class defines itself."""
    if not dataclasses.is_dataclass(owner):
        return {}
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(definition, ast.ClassDef)
    docs: dict[str, str] = {}
    for field, doc in pairwise(definition.body):
        match field, doc:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = " ".join(text.split())
            case _:
                pass
    return docs
