"""No module of the product imports itself by way of others, imports for the type checker included."""

from __future__ import annotations

import grimp


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("modules", cache_dir=None)
    circles = [
        " → ".join((module, *way))
        for module in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if (way := graph.find_shortest_chain(imported, module)) is not None
    ]
    assert len(graph.modules) > 200
    assert circles == []
