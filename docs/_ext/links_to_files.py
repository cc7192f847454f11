"""Links from Markdown pages to files of the repository that are not pages of the site.

The Markdown files are also read on GitHub, so their links are relative paths. Here, links to the
files that pages include lead to these pages, and all others to the repository.
"""

import re

REPOSITORY = "https://github.com/sktagger/sktagger/blob/main"
PAGES = {
    "../CHANGES.md": "changes.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../SECURITY.md": "security.md",
}


def relink(app, docname, source):
    """Change the links of a page.

    Parameters
    ----------
    app : Sphinx
        The application.
    docname : str
        Name of the page.
    source : list of str
        Its text, which is replaced.
    """

    def target(match):
        path, anchor = match.groups()
        new = PAGES.get(path) or f"{REPOSITORY}/{path.removeprefix('../')}"
        up = "" if new.startswith("http") else "../" * docname.count("/")
        return f"]({up}{new}{anchor or ''})"

    if app.env.doc2path(docname).suffix == ".md":
        source[0] = re.sub(r"\]\((\.\./[^)#]*)(#[^)]*)?\)", target, source[0])


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
    app.connect("source-read", relink)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
