"""What a field is, said in a schema: the text that stands below it in its class.

pydantic can do that itself (`use_attribute_docstrings`), but it reads and parses a class's source
when the class is made. That was a tenth of what each command, worker and orchestrator took to
start, for texts which only schemas show. Here they are read when a schema is asked for.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from textwrap import dedent

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Described(BaseModel):
    """A model whose schema says of each field what stands below it in the source."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        """Put the texts in, but where a field has a description of its own."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for each in cls.__mro__[: cls.__mro__.index(Described)]:
            for name, text in _texts(each).items():
                if name in properties:  # a class variable is not
                    properties[name].setdefault("description", text)
        return schema


@cache
def _texts(model: type) -> Mapping[str, str]:
    """Read the texts below a class's own fields; one that was made of a generic class has none."""
    if "[" in model.__name__:
        return {}
    (told,) = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(told, ast.ClassDef)
    return dict(_below_fields(told))


def _below_fields(told: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(told.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
