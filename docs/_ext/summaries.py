"""Summaries in the tables of the reference have no footnotes."""

from docutils import nodes
from sphinx import addnodes
from sphinx.ext.autosummary import autosummary_table


def drop_citations(app, doctree):
    """Remove references to sources, such as [1]_, which are on the page of the name."""
    for table in doctree.findall(autosummary_table):
        for node in list(table.findall(nodes.citation_reference)):
            node.parent.remove(node)
        for node in list(table.findall(addnodes.pending_xref)):
            if node.get("refdomain") == "citation":
                node.parent.remove(node)


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
    app.connect("doctree-read", drop_citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
