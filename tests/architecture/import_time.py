"""Nothing happens at import, and what a module holds does not change or grow."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from tests.architecture.source import Module, Offence, callee, functions

# What may be called while a module is imported: it makes a constant or a type and does nothing else.
CONSTANT_MAKERS = {
    "AfterValidator", "CFUNCTYPE", "ConfigDict", "ContextVar", "Decoder", "Encoder", "Field", "Header",
    "MappingProxyType", "Meta", "POINTER", "Path", "Query", "Struct", "TypeVar", "_samples", "auto", "bytes",
    "compile", "dataclass", "datetime", "escape", "field", "float", "fromkeys", "frozenset", "getLogger", "int",
    "ip_network", "items", "join", "lru_cache", "maketrans", "model_validator", "namedtuple", "range", "replace",
    "set", "setting", "sorted", "split", "timedelta", "tuple", "zeros",
}  # fmt: skip
CHANGERS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "move_to_end", "pop", "popitem", "remove",
    "setdefault", "sort", "update",
}  # fmt: skip


def outside_functions(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs while the module is imported."""
    waiting: list[ast.AST] = [node for node in tree.body if not is_main_guard(node)]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def value_types(modules: Iterable[Module]) -> set[str]:
    """The names of the frozen value classes, whose objects are constants."""
    classes = [node for of in modules for node in of.tree.body if isinstance(node, ast.ClassDef)]
    return {node.name for node in classes if is_value_type(node)}


def is_value_type(node: ast.ClassDef) -> bool:
    frozen = any("frozen=True" in ast.unparse(each) for each in [*node.decorator_list, *node.keywords])
    return frozen or any(ast.unparse(base) in {"NamedTuple", "StrEnum", "IntFlag", "IntEnum"} for base in node.bases)


def nothing_happens_at_import(of: Module, values: frozenset[str] = frozenset()) -> Iterator[Offence]:
    for node in outside_functions(of.tree):
        if isinstance(node, ast.Call) and callee(node) not in CONSTANT_MAKERS | values:
            yield Offence(of.path, node.lineno, f"calls {ast.unparse(node.func)} at import")
        if isinstance(node, ast.With | ast.For | ast.While | ast.Global | ast.Delete | ast.AugAssign):
            yield Offence(of.path, node.lineno, "runs a statement at import that is no definition")


def module_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            names = [each for each in ast.walk(target) if isinstance(each, ast.Name)]
            yield from ((each.lineno, each.id) for each in names if isinstance(each.ctx, ast.Store))


def no_module_name_changes(of: Module) -> Iterator[Offence]:
    seen: set[str] = set()
    for line, name in module_names(of.tree):
        if name in seen:
            yield Offence(of.path, line, f"binds {name} a second time")
        seen.add(name)
    constants = {name for name in seen if name.strip("_").isupper()}
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Global):
            yield Offence(of.path, node.lineno, f"rebinds a module's name: global {', '.join(node.names)}")
        for changed in changed_names(node):
            if changed in constants or (changed in seen and not is_local(of.tree, changed)):
                yield Offence(of.path, node.lineno if hasattr(node, "lineno") else 0, f"changes the module's {changed}")


def is_local(tree: ast.Module, name: str) -> bool:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = [node for function in functions for node in ast.walk(function)]
    return any(isinstance(node, ast.Name | ast.arg) and bound_name(node) == name for node in inner)


def bound_name(node: ast.Name | ast.arg) -> str:
    if isinstance(node, ast.arg):
        return node.arg
    return node.id if isinstance(node.ctx, ast.Store) else ""


def changed_names(node: ast.AST) -> Iterator[str]:
    """Names whose object the node changes in place."""
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
        yield node.value.id
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGERS:
        yield from [node.func.value.id] if isinstance(node.func.value, ast.Name) else []


def every_memo_is_bounded(of: Module) -> Iterator[Offence]:
    for function in functions(of):
        for decorator in function.decorator_list:
            text = ast.unparse(decorator).removeprefix("functools.")
            takes = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            if (text == "cache" and takes) or text in {"lru_cache", "lru_cache()"} or "maxsize=None" in text:
                yield Offence(
                    of.path, function.lineno, f"{function.name} remembers without a bound: lru_cache(maxsize=…)"
                )
