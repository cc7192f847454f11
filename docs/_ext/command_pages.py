"""Directive ``command``: usage, arguments and defaults of a command, from its argparse parser.

``.. command:: train`` writes what the parser of ``sktagger train`` knows. A command with commands
of its own, such as ``import``, gets a section for each of them.
"""

import argparse
import inspect
import re

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from sktagger.commands import COMMANDS, build_parser

WIDTH = 76  # of a usage, in characters


def subparsers(parser):
    """Give the parsers of the commands of a parser, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def usage(parser):
    """Write the usage of a parser, as ``--help`` prints it."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=WIDTH)
    return re.sub(r"^usage: ", "", parser.format_usage()).rstrip()


def describe(parser):
    """Write reStructuredText of what a parser takes.

    Parameters
    ----------
    parser : ArgumentParser
        Of one command.

    Returns
    -------
    list of str
        Lines: the usage, then each group of arguments with its help and default.
    """
    lines = [".. code-block:: text", "", *(f"   {line}" for line in usage(parser).splitlines()), ""]
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
            and not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        ]
        if not actions:
            continue
        title = {"positional arguments": "Arguments"}.get(group.title, group.title.capitalize())
        lines += [f".. rubric:: {title}", ""]
        for action in actions:
            lines += [f"``{spelling(action)}``", f"   {text(action)}", ""]
    return lines


def spelling(action):
    """Write an argument as users type it, with the name of its value."""
    formatter = argparse.HelpFormatter("sktagger")
    if not action.option_strings:
        return formatter._format_args(action, action.dest.upper())
    value = "" if action.nargs == 0 else formatter._format_args(action, action.dest.upper())
    return ", ".join(f"{option} {value}".strip() for option in action.option_strings)


def text(action):
    """Write the help of an argument, with its default if it has one that the help does not tell."""
    words = argparse.HelpFormatter("sktagger")._expand_help(action) if action.help else ""
    words = re.sub(r"`([^`]+)`", r"``\1``", words.replace("*", r"\*"))
    words = re.sub(r"(?<![`\w])(--[\w-]+)", r"``\1``", words)
    if words:
        words = f"{words[0].upper()}{words[1:].rstrip('.')}."
    has_default = action.default not in (None, False, argparse.SUPPRESS) and action.nargs != 0
    if has_default and "default" not in words.lower():
        words = f"{words} Default: ``{action.default}``.".strip()
    return words or "\\"


class Command(SphinxDirective):
    """Describe a command."""

    required_arguments = 1

    def run(self):
        """Make the nodes of the page.

        Returns
        -------
        list of Node
        """
        name = self.arguments[0]
        parser = subparsers(build_parser())[name]
        self.env.note_dependency(inspect.getfile(COMMANDS[name]))
        found = [*self._parse([f"{parser.description}", "", *describe(parser)])]
        for kind, subparser in subparsers(parser).items():
            section = nodes.section(ids=[f"{name}-{kind}"])
            section += nodes.title("", f"{name} {kind}")
            section += self._parse([f"{subparser.description}", "", *describe(subparser)])
            found.append(section)
        return found

    def _parse(self, lines):
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source="parser"), self.content_offset, node)
        return node.children


def write_pages(app):
    """Write a page for each command, where there is none."""
    folder = app.srcdir / "commands"
    folder.mkdir(exist_ok=True)
    for name in COMMANDS:
        title = f"sktagger {name}"
        content = f"{title}\n{'=' * len(title)}\n\n.. command:: {name}\n"
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")


def setup(app):
    """Add the directive, and the pages of the commands.

    Parameters
    ----------
    app : Sphinx
        The application.

    Returns
    -------
    dict
        What Sphinx asks for.
    """
    app.add_directive("command", Command)
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
