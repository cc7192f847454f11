"""References to a name of the package by any of its modules.

``sktagger.datasets.load_database`` is ``sktagger.load_database``, which has the page.
"""

from importlib import import_module


def find_value(name):
    """Import what a full name stands for; None if there is nothing."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute, None)
    except (ImportError, ValueError):
        return None


def resolve(app, env, node, contnode):
    """Find the page of a name that has none under the name that was written.

    Parameters
    ----------
    app : Sphinx
        The application.
    env : BuildEnvironment
        Its environment.
    node : Node
        The reference.
    contnode : Node
        Its text.

    Returns
    -------
    Node or None
        A link, if the name is that of a page.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    domain = env.get_domain("py")
    for prefix in (node.get("py:module"), "sktagger", None):
        value = find_value(f"{prefix}.{target}" if prefix else target)
        if not hasattr(value, "__name__") or not callable(value):
            continue
        for name in domain.objects:
            if name.endswith(f".{value.__name__}") and find_value(name) is value:
                return domain.resolve_xref(
                    env, node["refdoc"], app.builder, "obj", name, node, contnode
                )
    return None


def setup(app):
    """Connect to Sphinx.

    Parameters
    ----------
    app : Sphinx
        The application.

    Returns
    -------
    dict
        What Sphinx asks for.
    """
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
