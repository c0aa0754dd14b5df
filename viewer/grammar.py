"""The grammar of the command line: which commands there are and what each takes. No command is imported here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from viewer import arguments

EPILOG = "For planning practice and teaching; not a medical device."
_MAY_BE_NEGATIVE = ("--seed", "--centre", "--level", "--root", "--tip")


def parser() -> argparse.ArgumentParser:
    """The whole grammar of the command line."""
    top = argparse.ArgumentParser(
        prog="anatomyxr",
        description="A CT or MR scan becomes named surfaces, planning pictures and a verified headset model.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"anatomyxr {version('anatomyxr')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _demo,
        _inspect,
        _segmenters,
        _build,
        _shot,
        _export,
        _verify,
        _vessels,
        _labels,
        _compare,
        _sample,
    ):
        add(commands)
    return top


def _command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary, epilog=EPILOG)
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return command


def _demo(commands: Any) -> None:
    command = _command(commands, "demo", "run the main job on the built-in phantom and show it on a page")
    command.add_argument(
        "--out", type=Path, default=Path("anatomyxr-demo"), help="folder to make (default: %(default)s)"
    )


def _inspect(commands: Any) -> None:
    command = _command(commands, "info", "list the series of a scan, or the structures of a case")
    command.add_argument("path", type=Path, help="folder, DICOMDIR, zip, file, or case")
    _limits(command)


def _build(commands: Any) -> None:
    command = _command(commands, "build", "make a case from a scan")
    command.add_argument("scan", type=Path, help="DICOM folder, DICOMDIR, zip, NIfTI, NRRD or MHA")
    command.add_argument("case", type=Path, help="case folder to make")
    _drawing(command)
    command.add_argument("--series", type=int, metavar="N", help="ordinal shown by `info`")
    command.add_argument("--phase", type=int, metavar="N", help="phase of that series, from 1")
    command.add_argument(
        "--gaps", choices=("refuse", "interpolate"), default="refuse", help="missing slices (default: refuse)"
    )
    command.add_argument(
        "--budget",
        type=arguments.triangles,
        default=600_000,
        metavar="TRIANGLES",
        help="kept in the case (default: %(default)s)",
    )
    command.add_argument(
        "--method",
        choices=("nets", "marching-cubes"),
        default="nets",
        help="nets: neighbours share their walls; marching-cubes: each by itself (default: nets)",
    )
    command.add_argument(
        "--edges",
        choices=("auto", "image", "labels"),
        default="auto",
        help="where walls go: to the scan's edges, or with the labels (default: auto, edges for presets)",
    )
    command.add_argument("--fine", action="store_true", help="nets on voxels cut in eight: rounder vessels, more time")
    command.add_argument("--quality", action="store_true", help="print what smoothing and decimation did")
    command.add_argument("--keep-link", type=Path, metavar="FILE", help="write original UIDs there, outside the case")
    _limits(command)


def _drawing(command: argparse.ArgumentParser) -> None:
    """Who draws what."""
    command.add_argument(
        "--preset",
        metavar="NAME",
        help="ct-body, cta-vessels, … as `segmenters` lists them, or none for the scan alone",
    )
    command.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="ONNX file with its .toml, nnU-Net folder or MONAI bundle (these run their author's code); apart from us",
    )
    command.add_argument(
        "--model-seconds",
        type=arguments.seconds,
        default=3600.0,
        metavar="S",
        help="stop the model after so long (default: %(default)g)",
    )
    command.add_argument(
        "--labels", type=Path, metavar="PATH", help="label file, or a folder with one mask per structure"
    )
    _naming(command, "--names")
    command.add_argument(
        "--level",
        type=arguments.level,
        action="append",
        default=[],
        metavar="VALUE[=NAME]",
        help="surface where grey values pass VALUE, by marching cubes; repeat for more",
    )
    command.add_argument(
        "--seed", type=arguments.point, action="append", default=[], metavar="L,P,S", help="seed point in LPS mm"
    )
    _clicks(command)


def _clicks(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--click",
        type=arguments.named_point,
        action="append",
        default=[],
        metavar="NAME=L,P,S",
        help="grow liver, spleen, kidney, bladder or lesion from a point inside; a vessel from two or more along it",
    )
    command.add_argument(
        "--not",
        type=arguments.named_point,
        action="append",
        default=[],
        dest="outside",
        metavar="NAME=L,P,S",
        help="a point that does not belong to it",
    )
    command.add_argument(
        "--box",
        type=arguments.named_box,
        action="append",
        default=[],
        metavar="NAME=L,P,S:L,P,S",
        help="a box round it, by two opposite corners",
    )


def _shot(commands: Any) -> None:
    command = _command(commands, "shot", "draw a picture of a case")
    command.add_argument("case", type=Path)
    command.add_argument("picture", type=arguments.png, help="PNG file to write")
    command.add_argument("--layout", choices=("3d", "slices", "four-up"), default="four-up")
    command.add_argument(
        "--hide", nargs="+", action="extend", default=[], metavar="NAME", help="leave these structures out"
    )
    command.add_argument("--only", nargs="+", action="extend", default=[], metavar="NAME", help="show only these")
    command.add_argument(
        "--size", type=arguments.size, default=(1600, 1200), metavar="WxH", help="pixels (default: 1600x1200)"
    )
    command.add_argument("--window", metavar="NAME", help="grey-level window: abdomen, lung, bone, …")
    command.add_argument("--centre", type=arguments.point, metavar="L,P,S", help="where the slices cross, LPS mm")
    command.add_argument(
        "--view", default="anterior", help="3D from: anterior, posterior, left, right, superior, inferior, …"
    )
    command.add_argument("--overlay", choices=("both", "fill", "outline", "none"), default="both", help="on slices")
    command.add_argument(
        "--sheet",
        action="append",
        default=[],
        choices=("axial", "coronal", "sagittal"),
        help="lay that slice into the 3D view; repeat for more",
    )
    command.add_argument("--confidence", action="store_true", help="colour what grew from clicks by how sure it is")
    command.add_argument("--language", choices=("en", "zh"), default="en")


def _export(commands: Any) -> None:
    command = _command(commands, "export", "write a model of a case: GLB (verified), STL, PLY or OBJ")
    command.add_argument("case", type=Path)
    command.add_argument("model", type=Path, help="file to write: .glb .stl .ply .obj")
    command.add_argument("--budget", type=arguments.triangles, metavar="TRIANGLES", help="at most about so many in all")
    command.add_argument("--structures", nargs="+", action="extend", default=[], metavar="NAME", help="only these")


def _verify(commands: Any) -> None:
    command = _command(commands, "verify", "re-read a GLB and hold it against its case")
    command.add_argument("model", type=Path)
    command.add_argument("--case", type=Path, dest="of_case", metavar="CASE")


def _labels(commands: Any) -> None:
    command = _command(commands, "labels", "show what the labels of a file mean, and let it be corrected")
    command.add_argument("path", type=Path, metavar="FILE", help="label file, or folder of masks")
    _naming(command, "--corrections")
    command.add_argument("--write", type=Path, metavar="TOML", help="write the matching there, to be corrected")
    _limits(command)


def _naming(command: argparse.ArgumentParser, corrections: str) -> None:
    command.add_argument(
        corrections,
        dest="corrections",
        type=Path,
        metavar="TOML",
        help="what labels mean, as `labels --write` writes it",
    )
    command.add_argument(
        "--scheme",
        metavar="NAME",
        help="labels without names are class numbers: totalsegmentator (version 2, task total)",
    )


def _compare(commands: Any) -> None:
    command = _command(commands, "compare", "measure how far label files of one scan agree")
    command.add_argument("reference", type=Path, metavar="A", help="label file, or folder of masks; its grid counts")
    command.add_argument(
        "others", type=Path, nargs="+", metavar="B", help="label files to hold against it, and each other"
    )
    command.add_argument(
        "--tolerance",
        type=arguments.millimetres,
        default=1.0,
        metavar="MM",
        help="boundaries so near count as the same, for surface Dice (default: %(default)s)",
    )
    command.add_argument(
        "--margin",
        type=arguments.millimetres,
        default=10.0,
        metavar="MM",
        help="of background around what was drawn, for kappa, specificity and consensus (default: %(default)s)",
    )
    _naming(command, "--names")
    command.add_argument("--picture", type=arguments.png, metavar="PNG", help="draw where the graders differ")
    command.add_argument("--structure", metavar="NAME", help="of the picture; the three least alike when left out")
    command.add_argument("--scan", type=Path, metavar="PATH", help="the scan behind the picture's slices")
    command.add_argument("--language", choices=("en", "zh"), default="en", help="of the picture (default: en)")
    _limits(command)


def _segmenters(commands: Any) -> None:
    command = _command(commands, "segmenters", "list presets, plug-ins and models with licence and what they lack")
    command.add_argument("--model", type=Path, metavar="PATH", help="describe the model at that path, too")


def _vessels(commands: Any) -> None:
    command = _command(commands, "vessels", "follow a vessel of a case: branches, narrow places, laid straight")
    command.add_argument("case", type=Path)
    command.add_argument("--structure", required=True, metavar="NAME", help="the vessel")
    for end in ("root", "tip"):
        command.add_argument(
            f"--{end}", type=arguments.point, action="append", default=[], metavar="L,P,S", help=f"a {end} in LPS mm"
        )
    command.add_argument("--edges", choices=("image", "labels"), default="image", help="where the wall is")
    command.add_argument(
        "--reference", choices=("distal", "proximal", "mean"), default="mean", help="of a stenosis (default: mean)"
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="write the tree: .json .csv .vtp")
    command.add_argument("--cpr", type=arguments.png, metavar="PICTURE", help="draw the tree and its longest way: .png")
    command.add_argument("--size", type=arguments.size, default=(1600, 1000), metavar="WxH", help="of that picture")
    command.add_argument("--save", action="store_true", help="put the ways to all tips into the case's plan")
    command.add_argument("--language", choices=("en", "zh"), default="en")


def _sample(commands: Any) -> None:
    command = _command(commands, "sample", "fetch a public sample scan by name, checked by its sha256")
    command.add_argument("name", help="sample name, or `list`")
    command.add_argument("--out", type=Path, default=Path(), help="folder to put it in (default: here)")
    command.add_argument(
        "--from", type=Path, dest="source", metavar="FOLDER", help="take the files from there, offline"
    )


def _limits(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-gib",
        type=arguments.gibibytes,
        metavar="N",
        help="refuse scans that unpack to more (default: 4)",
    )


def with_points(words: Sequence[str]) -> list[str]:
    """The arguments, with what begins with a minus tied to its option, or argparse takes it for an option."""
    tied: list[str] = []
    for word in words:
        if tied and tied[-1] in _MAY_BE_NEGATIVE and word.startswith("-"):
            tied[-1] += f"={word}"
        else:
            tied.append(word)
    return tied
