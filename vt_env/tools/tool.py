"""Tool definition: one typed function with a Google docstring, from which all other forms are derived.

The JSON schema, the line `name(arg, arg)` in prompts, the Gymnasium space and the method that TRL calls all come from
the signature and the docstring, so they cannot disagree. The docstring is written for the model: it is the description
in the schema. The schema equals what `transformers.utils.get_json_schema` makes of `Tool.method`, without needing
transformers.
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

from vt_env.errors import ConfigError
from vt_env.types import View

ToolFunction = Callable[..., View | str]
"""Takes the episode first, then the arguments by name."""

REQUIRED = inspect.Parameter.empty
"""Default of a parameter that has none."""

_JSON_TYPES: Mapping[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_RESERVED = ("reset", "step", "close", "render", "get_reward")
_SECTION = re.compile(r"(?:^|\n)[ ]*(Args|Returns|Raises):")
_ARGUMENT = re.compile(r"^\s*(\w+):\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a tool."""

    name: str
    kind: Any
    """`str`, `int`, `float`, `bool`, a list of one of them, or a `Literal`."""
    description: str
    default: Any = REQUIRED

    @property
    def is_time(self) -> bool:
        """Whether this is a time in the video, in seconds: its name ends in `_s`."""
        return self.name.endswith("_s")

    @property
    def schema(self) -> dict[str, Any]:
        """The argument's JSON schema."""
        if get_origin(self.kind) is Literal:
            choices = get_args(self.kind)
            return {"type": _JSON_TYPES[type(choices[0])], "enum": list(choices), "description": self.description}
        if get_origin(self.kind) is list:
            items = {"type": _JSON_TYPES[get_args(self.kind)[0]]}
            return {"type": "array", "items": items, "description": self.description}
        return {"type": _JSON_TYPES[self.kind], "description": self.description}


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call during an episode."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    function: ToolFunction

    @staticmethod
    def of(function: ToolFunction) -> "Tool":
        """Read a tool from a function `f(episode, argument: type = default, ...) -> View | str`.

        Raises:
            ConfigError: The name is reserved, an argument lacks its type or description, a type is not supported, or a
                time (`_s`) is not a float.
        """
        name = getattr(function, "__name__", "")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in _RESERVED:
            raise ConfigError(f"tool {name!r}: need a lower_case function name other than {', '.join(_RESERVED)}")
        description, described = _read_docstring(inspect.getdoc(function) or "")
        if not description:
            raise ConfigError(f"tool {name}: it has no docstring; write one, the model reads it")
        return Tool(name, description, _parameters(name, function, described), function)

    @property
    def line(self) -> str:
        """Name of the tool in prompts: `name(arg, arg)`."""
        return f"{self.name}({', '.join(parameter.name for parameter in self.parameters)})"

    def example(self, query: str, duration_s: float) -> dict[str, object]:
        """Make arguments of a call that works.

        Args:
            query: Stands where a text is wanted.
            duration_s: Length of the video; times are spread over it.
        """
        needed = [it for it in self.parameters if it.default is REQUIRED]
        times = [it.name for it in needed if it.is_time]
        part_s = duration_s / (len(times) + 1)
        spread_s = {name: round(part_s * number, 1) for number, name in enumerate(times, start=1)}
        return {it.name: spread_s[it.name] if it.is_time else _example(it.kind, query) for it in needed}

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema that chat templates and tool-calling APIs take."""
        arguments: dict[str, Any] = {"type": "object", "properties": {it.name: it.schema for it in self.parameters}}
        required = [it.name for it in self.parameters if it.default is REQUIRED]
        if required:
            arguments["required"] = required
        function = {"name": self.name, "description": self.description, "parameters": arguments}
        return {"type": "function", "function": function}

    def presented(self, schema: Mapping[str, Any]) -> "Tool":
        """Return the tool as a JSON schema names and describes it, for whoever builds on `method`.

        Args:
            schema: As `PromptSet.tool_schemas`; arguments are of plain types.
        """
        function, tool = schema["function"], self.function
        arguments: Mapping[str, Any] = function["parameters"]["properties"]
        needed = function["parameters"].get("required", ())
        kinds = {name: kind for kind, name in _JSON_TYPES.items()}

        def present(episode: Any, **given: object) -> View | str:
            return tool(episode, **given)

        lines = "\n".join(f"    {name}: {it['description']}" for name, it in arguments.items())
        present.__doc__ = f"{function['description']}\n\nArgs:\n{lines}\n"
        parameters = tuple(
            Parameter(name, kinds[it["type"]], it["description"], REQUIRED if name in needed else None)
            for name, it in arguments.items()
        )
        return Tool(function["name"], function["description"], parameters, present)

    def method(self, call: Callable[[Any, str, dict[str, object]], Any]) -> Callable[..., Any]:
        """Project the tool to a method for a class whose methods are its tools, as TRL wants them.

        The method's signature, annotations and docstring are the tool's without the episode; it passes on whatever
        names it is given, since `call(self, name, arguments)` answers wrong ones with a message for the model.
        """

        def project(self: Any, /, **arguments: object) -> Any:
            return call(self, self_name, arguments)

        self_name = self.name
        receiver = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        own = [
            inspect.Parameter(it.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=it.default, annotation=it.kind)
            for it in self.parameters
        ]
        project.__name__ = project.__qualname__ = self.name
        project.__doc__ = inspect.getdoc(self.function)
        project.__annotations__ = {it.name: it.kind for it in self.parameters}
        project.__signature__ = inspect.Signature([receiver, *own])  # pyright: ignore[reportFunctionMemberAccess]
        return project


def _example(kind: Any, query: str) -> object:
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) is list:
        # The only list of a built-in tool is a box.
        return [0.25, 0.25, 0.75, 0.75] if get_args(kind)[0] is float else [_example(get_args(kind)[0], query)]
    return {str: query, int: 1, float: 0.5, bool: True}[kind]


def _parameters(name: str, function: ToolFunction, described: Mapping[str, str]) -> tuple[Parameter, ...]:
    signature = list(inspect.signature(function).parameters.values())
    if not signature:
        raise ConfigError(f"tool {name}: need the episode as first argument, f(episode, ...)")
    kinds = _annotations(function, [it.name for it in signature[1:]])
    return tuple(_parameter(name, it, kinds.get(it.name), described.get(it.name)) for it in signature[1:])


def _annotations(function: ToolFunction, names: list[str]) -> dict[str, Any]:
    # The episode and the result are left out: their names often exist for type checkers only.
    annotations = {name: it for name, it in function.__annotations__.items() if name in names}
    return typing.get_type_hints(SimpleNamespace(__annotations__=annotations), function.__globals__)


def _parameter(tool: str, parameter: inspect.Parameter, kind: Any, description: str | None) -> Parameter:
    where = f"tool {tool}, argument {parameter.name}"
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise ConfigError(f"{where}: need an argument that can be given by name; drop '*', '**' and '/'")
    if description is None:
        raise ConfigError(f"{where}: it is not described; add '{parameter.name}: ...' under 'Args:' in the docstring")
    if not _is_supported(kind):
        raise ConfigError(f"{where}: type {kind}; allowed are str, int, float, bool, list of one of them and Literal")
    if parameter.name.endswith("_s") and kind is not float:
        raise ConfigError(f"{where}: names that end in _s are times in seconds; declare it float or rename it")
    return Parameter(parameter.name, kind, description, parameter.default)


def _is_supported(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        return type(choices[0]) in _JSON_TYPES and len({type(choice) for choice in choices}) == 1
    if get_origin(kind) is list:
        return get_args(kind)[0] in _JSON_TYPES
    return kind in _JSON_TYPES


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a Google docstring into its description and the descriptions of its arguments."""
    parts = _SECTION.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    described: dict[str, str] = {}
    current = ""
    for line in filter(str.strip, sections.get("Args", "").splitlines()):
        match = _ARGUMENT.match(line)
        if match:
            current = match.group(1)
            described[current] = match.group(2).strip()
        elif current:
            described[current] = f"{described[current]} {line.strip()}".strip()
    return parts[0].strip(), described
