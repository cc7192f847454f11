"""Count the rooms, floors, arrows and circles of the package's imports.

A room is a module or package directly in ``sktagger``; an arrow leads from a room to one that it
imports, wherever in a module the import stands. The floor of a room is the length of the longest
chain of arrows from it down to a room that imports nothing. Rooms that import each other in a
circle share a floor.

    pip install import-linter
    python benchmarks/import_graph.py [--modules]
"""

import argparse
from collections import defaultdict

import grimp

PACKAGE = "sktagger"


def room_of(module):
    """Give the room of a module; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def read_arrows(by_module=False):
    """Give the rooms (or modules), each with those that it imports."""
    graph = grimp.build_graph(PACKAGE)
    name = (lambda module: module) if by_module else room_of
    arrows = {
        name(module): set() for module in graph.modules if name(module) not in (None, PACKAGE)
    }
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if {name(module), name(imported)} <= arrows.keys() and name(module) != name(imported):
                arrows[name(module)].add(name(imported))
    return arrows


def find_circles(arrows):
    """Group the rooms that reach each other."""
    reached = {room: _reach(arrows, room) for room in arrows}
    groups = defaultdict(set)
    for room in arrows:
        groups[frozenset({room} | {r for r in reached[room] if room in reached[r]})].add(room)
    return list(groups)


def _reach(arrows, room):
    found, left = set(), [room]
    while left:
        for imported in arrows[left.pop()] - found:
            found.add(imported)
            left.append(imported)
    return found


def find_floors(arrows):
    """Give the floor of each room, the lowest of which is 0."""
    circle_of = {room: circle for circle in find_circles(arrows) for room in circle}
    floors = {}

    def floor(circle):
        if circle not in floors:
            below = {circle_of[other] for room in circle for other in arrows[room]} - {circle}
            floors[circle] = 1 + max(map(floor, below), default=-1)
        return floors[circle]

    return {room: floor(circle_of[room]) for room in arrows}


def main():
    """Print the counts, and the rooms by floor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", action="store_true", help="count modules instead of rooms")
    arrows = read_arrows(parser.parse_args().modules)
    floors = find_floors(arrows)
    circles = [sorted(circle) for circle in find_circles(arrows) if len(circle) > 1]
    print(
        f"{len(arrows)} rooms, {1 + max(floors.values())} floors, "
        f"{sum(map(len, arrows.values()))} arrows, {len(circles)} circles"
    )
    for circle in circles:
        print("circle:", ", ".join(circle))
    for floor in sorted(set(floors.values())):
        print(f"{floor}:", ", ".join(sorted(room for room in arrows if floors[room] == floor)))


if __name__ == "__main__":
    main()
