"""Links from Markdown pages to files of the repository that are not pages of the site.

The Markdown files are also read on GitHub, so their links are relative paths. Here, links to the
files that pages include lead to these pages, and all others to the repository.
"""

import re
from pathlib import Path

REPOSITORY = "https://github.com/sktagger/sktagger/blob/main"
PAGES = {
    "CHANGES.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
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
    page = Path(app.env.doc2path(docname))
    top = Path(app.srcdir).parent

    def target(match):
        path, anchor = match.groups()
        path = (page.parent / path).resolve()
        if path.is_relative_to(app.srcdir):
            return match.group()
        name = path.relative_to(top).as_posix()
        up = "../" * docname.count("/")
        new = up + PAGES[name] if name in PAGES else f"{REPOSITORY}/{name}"
        return f"]({new}{anchor or ''})"

    if page.suffix == ".md":
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
