"""Count the packages, layers, imports and circles of the import graph.

The nodes are the modules and packages directly in ``sktagger``. Imports inside functions count,
imports for type checkers do not. The layer of a package is the length of the longest chain of
imports from it down to a package that imports no other. Packages that import each other in a circle
share a layer. ``pyproject.toml`` states which layers are allowed, and ``lint-imports`` checks them.

    python benchmarks/import_graph.py [--modules]
"""

import argparse
from collections import defaultdict

import grimp

PACKAGE = "sktagger"


def package_of(module):
    """Return the package of a module, directly in sktagger; None for sktagger itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def read_imports(by_module=False):
    """Return the packages (or modules), each with those that it imports."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    name = (lambda module: module) if by_module else package_of
    imports = {
        name(module): set() for module in graph.modules if name(module) not in (None, PACKAGE)
    }
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if {name(module), name(imported)} <= imports.keys() and name(module) != name(imported):
                imports[name(module)].add(name(imported))
    return imports


def find_circles(imports):
    """Group the packages that import each other, directly or not."""
    reached = {package: _reach(imports, package) for package in imports}
    groups = defaultdict(set)
    for package in imports:
        groups[frozenset({package} | {r for r in reached[package] if package in reached[r]})].add(
            package
        )
    return list(groups)


def _reach(imports, package):
    found, left = set(), [package]
    while left:
        for imported in imports[left.pop()] - found:
            found.add(imported)
            left.append(imported)
    return found


def find_layers(imports):
    """Return the layer of each package. The lowest is 0."""
    circle_of = {package: circle for circle in find_circles(imports) for package in circle}
    layers = {}

    def layer(circle):
        if circle not in layers:
            below = {circle_of[other] for package in circle for other in imports[package]} - {
                circle
            }
            layers[circle] = 1 + max(map(layer, below), default=-1)
        return layers[circle]

    return {package: layer(circle_of[package]) for package in imports}


def main():
    """Print the counts, and the packages by layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", action="store_true", help="count modules instead of packages")
    imports = read_imports(parser.parse_args().modules)
    layers = find_layers(imports)
    circles = [sorted(circle) for circle in find_circles(imports) if len(circle) > 1]
    print(
        f"{len(imports)} packages, {1 + max(layers.values())} layers, "
        f"{sum(map(len, imports.values()))} imports, {len(circles)} circles"
    )
    for circle in circles:
        print("circle:", ", ".join(circle))
    for layer in sorted(set(layers.values())):
        print(f"{layer}:", ", ".join(sorted(name for name in imports if layers[name] == layer)))


if __name__ == "__main__":
    main()
