"""Tag audio files: which events occur in them, and when.

PyTorch is imported only inside functions, so that help and errors appear without waiting for it.
"""

from __future__ import annotations

import argparse
import shlex
import sys

from sktagger._utils.files import expand_path
from sktagger._utils.text import printable
from sktagger.commands._tag_output import FORMATS, Output, write_results
from sktagger.commands._tagging import KINDS, Tagged, tag

__all__ = ["Tagged", "add_arguments", "main", "tag"]

_TOP = 5  # scores of a file, or a window, for people to read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="recordings, folders, or patterns such as '2026-*/*.flac'; '-' reads audio from "
        "standard input. Without --model, the first one is the model",
    )
    parser.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help="directory of an experiment, saved tagger, checkpoint, or name of a pretrained model "
        "(`sktagger models` lists them), which is fetched once",
    )
    kind = parser.add_mutually_exclusive_group()
    for name, text in (
        ("clips", "the highest score of each event in each file (default)"),
        ("segments", "the scores of each window"),
        ("detect", "events in time: onset and offset of each"),
    ):
        kind.add_argument(f"--{name}", action="store_const", const=name, dest="kind", help=text)
    parser.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        help="file, whose suffix or --format gives the format, or folder. A folder gets one file "
        "per recording or, without --format, the results of an archive in parts, for --resume",
    )
    format = parser.add_mutually_exclusive_group()
    format.add_argument(
        "--format",
        choices=FORMATS,
        help="default: table, with bars, in a terminal; elsewhere text, a line per row with file, "
        "onset, offset, event and score, separated by tabs",
    )
    format.add_argument(
        "--json-lines",
        action="store_const",
        const="json-lines",
        dest="format",
        help="print a JSON object per row, file by file",
    )
    parser.add_argument(
        "--top",
        type=int,
        metavar="N",
        help="list the N highest scores only (default: 5 in a table or text of scores, else all)",
    )
    parser.add_argument(
        "--threshold",
        metavar="T",
        default="tuned",
        help="list scores above T only; 'tuned': above those of the model, if it has any (default)",
    )
    parser.add_argument(
        "--events",
        metavar="EVENT",
        nargs="+",
        help="list these events only, up to the next option. Each is an argument of its own: quote "
        "names with spaces or commas, as in --events 'Speech, child' Music",
    )
    parser.add_argument(
        "--window",
        type=float,
        metavar="S",
        help="length of the windows in seconds (default: 10; with --detect, 2 every 1 s, or the "
        "segments of a WALNet)",
    )
    parser.add_argument("--hop", type=float, metavar="S", help="step of the windows in seconds")
    parser.add_argument(
        "--embeddings",
        action="store_true",
        help="keep embeddings in a folder of results, for `sktagger nearest`",
    )
    parser.add_argument("--resume", action="store_true", help="continue in a folder with results")
    parser.add_argument(
        "--part", metavar="I/N", default="1/1", help="tag only the I-th of N shares of the files"
    )
    parser.add_argument("--n-jobs", type=int, metavar="N", help="number of processes (default: 1)")
    parser.add_argument("--device", default="auto", help="default: auto")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def main(args: argparse.Namespace) -> None:
    """Print or write what occurs in the files; list unreadable files at the end."""
    from sktagger.commands._taggers import is_model, load_tagger

    model, files = args.model, args.files
    if model is None:
        model, files = files[0], files[1:]
        if not is_model(model) and (expand_path(model).exists() or set(model) & set("*?[")):
            raise ValueError(
                f"no model is given, because {model!r} is a recording. Name a model first, or by "
                "--model; `sktagger models` lists pretrained ones. For example: "
                f"sktagger tag --model mn10_as {shlex.join(args.files)}"
            )
        if is_model(model) and not files:
            raise ValueError(f"{model!r} is the model, but no recording is given.")
    output = Output.of(args.out, args.format)
    tagger = load_tagger(model, device=args.device, verbose=0 if args.quiet else 1)
    settings = {
        "kind": args.kind or ("detect" if output.needs_times else "clips"),
        "threshold": _number_or_tuned(args.threshold),
        "window": args.window,
        "hop": args.hop,
        "verbose": 0 if args.quiet else 1,
    }
    if output.is_archive:
        skipped = _tag_archive(tagger, files, output.path, args, settings)
    else:
        if args.resume or args.part != "1/1" or args.n_jobs is not None or args.embeddings:
            raise ValueError(
                "--resume, --part, --n-jobs and --embeddings are for archives: give a folder by "
                "-o, and no --format."
            )
        top = args.top
        if top is None and output.format in ("table", "text") and settings["kind"] != "detect":
            top = _TOP
        results = tag(tagger, files, top=top, events=args.events, **settings)
        skipped = write_results(results, output, settings["kind"])
    if skipped:
        for path, cause in skipped:
            print(f"Skipped {printable(path)}: {printable(cause)}", file=sys.stderr)
        raise OSError(f"{len(skipped)} files could not be read; they are listed above.")


def _number_or_tuned(text):
    if text == "tuned":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--threshold {text!r}: give a number or 'tuned'.") from None


def _tag_archive(tagger, files, folder, args, settings):
    """Write the results of an archive; return the files that could not be read."""
    from sktagger.recordings import tag_files

    for name in ("top", "events"):
        if getattr(args, name) is not None:
            raise ValueError(
                f"--{name} is not for a folder of results, which has all scores. Leave it out."
            )
    try:
        share, n_shares = map(int, args.part.split("/"))
    except ValueError:
        raise ValueError(f"--part {args.part!r}: give I/N, such as 3/10.") from None
    kind = KINDS[settings["kind"]]
    skipped = tag_files(
        tagger,
        files,
        folder,
        kind=kind,
        window="auto" if settings["window"] is None else settings["window"],
        hop=settings["hop"],
        threshold=settings["threshold"],
        embeddings=args.embeddings,
        part=(share, n_shares),
        resume=args.resume,
        n_jobs=args.n_jobs,
        verbose=settings["verbose"],
    )
    print(folder)
    return list(skipped.itertuples(index=False, name=None))
