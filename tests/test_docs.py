"""What docs/design.md says of paths and imports is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:gradcon_ext|csrc|tests|benchmarks|build_backend|docs)/[\w./*]*)`", DESIGN)))
(ORDER,) = re.findall(r"^(cli -> .*)$", DESIGN, re.MULTILINE)
LEVELS = [level.split(", ") for level in ORDER.split(" -> ")]
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}


def imports_at_run_time(file: Path) -> set[str]:
    """Modules that a file imports, also inside functions, but not for type checkers alone."""

    class Imports(ast.NodeVisitor):
        def __init__(self) -> None:
            self.names: set[str] = set()

        def visit_If(self, node: ast.If) -> None:
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            self.names |= {alias.name for alias in node.names}

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            self.names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}

    visitor = Imports()
    visitor.visit(ast.parse(file.read_text(encoding="utf-8")))
    return visitor.names


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "gradcon_ext" and len(parts) > 1 and parts[1] in LEVEL else None


def files_of(room: str) -> list[Path]:
    single = ROOT / "gradcon_ext" / f"{room}.py"
    return [single] if single.exists() else sorted((ROOT / "gradcon_ext" / room).rglob("*.py"))


@pytest.mark.parametrize("path", NAMED)
def test_every_path_that_is_named_exists(path: str) -> None:
    assert list(ROOT.glob(path.rstrip("/"))), f"docs/design.md names {path}"


def test_every_folder_of_the_package_has_its_place_in_the_order() -> None:
    folders = {path.parent.name for path in (ROOT / "gradcon_ext").glob("*/__init__.py")}
    assert folders <= LEVEL.keys()


@pytest.mark.parametrize("room", sorted(LEVEL))
def test_imports_point_one_way(room: str) -> None:
    for file in files_of(room):
        for module in imports_at_run_time(file):
            other = room_of(module)
            assert other is None or other == room or LEVEL[other] > LEVEL[room], f"{file.name} imports {module}"


@pytest.mark.parametrize("room", ["runtime", "serving"])
def test_the_runtime_and_the_server_reach_no_torch(room: str) -> None:
    waiting, seen = [*files_of(room), ROOT / "gradcon_ext" / "__init__.py"], set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        imports = ast.parse(file.read_text(encoding="utf-8")).body  # what runs at import
        names = {name for node in imports if isinstance(node, ast.Import | ast.ImportFrom) for name in _names(node)}
        assert not any(name.split(".")[0] == "torch" for name in names), file
        modules = [Path(*name.split(".")) for name in names if name.startswith("gradcon_ext")]
        paths = {ROOT / path for module in modules for path in (module, *module.parents[:-1])}
        candidates = [path.with_suffix(".py") for path in paths] + [path / "__init__.py" for path in paths]
        waiting += [path for path in candidates if path.exists() and path not in seen]


def _names(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
