"""A case as one HTML page: pictures, structures, what was done to the scan. No script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from meshing.atomic import write_bytes
from meshing.casefile import DISCLAIMER

DISCLAIMER_ZH = "仅供规划练习与教学使用；不是医疗器械。"

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2730; --soft: #5d6b77; --line: #d9e0e6; --paper: #fbfcfd; --tint: #eef2f5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4eaef; --soft: #9aa8b4; --line: #2d3943; --paper: #12181d; --tint: #1b242b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
       font: 16px/1.5 Inter, "Helvetica Neue", Arial, "Noto Sans SC", "WenQuanYi Micro Hei", sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .8rem; }
p.lead, p.small { color: var(--soft); margin: 0 0 1rem; }
p.notice { border-left: 3px solid #c98a1b; padding: .4rem .9rem; background: var(--tint); }
figure { margin: 0 0 1.5rem; }
figure img { width: 100%; height: auto; display: block; border-radius: 6px; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.25rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
th { color: var(--soft); font-weight: 600; }
.dot { display: inline-block; width: .75rem; height: .75rem; border-radius: 50%; margin-right: .55rem;
       vertical-align: -.05rem; }
a { color: inherit; }
"""


def write_page(
    path: Path, report: Mapping[str, Any], pictures: Sequence[tuple[str, str]], model: Mapping[str, Any]
) -> None:
    """An index page beside its pictures.

    Parameters
    ----------
    report
        What `build --json` gives, plus "title" and "colours" (key → #rrggbb).
    pictures
        (file name, caption); the first is shown large.
    model
        What `export --json` gives.
    """
    first, *rest = pictures
    body = [
        f"<h1>{escape(str(report['title']))}</h1>",
        f'<p class="lead">{_grid_line(report["grid"])}</p>',
        f'<p class="notice">{escape(DISCLAIMER)}<br><span lang="zh">{DISCLAIMER_ZH}</span></p>',
        _figure(*first),
        '<div class="pair">' + "".join(_figure(*other) for other in rest) + "</div>",
        "<h2>Headset model</h2>",
        _model(model),
        "<h2>Structures</h2>",
        _structures(report),
        "<h2>What was done to the scan</h2>",
        "<ul>" + "".join(f"<li>{escape(fact['text'])}</li>" for fact in report["facts"]) + "</ul>",
        f'<p class="small">{_seconds(report["seconds"])}</p>',
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(str(report['title']))}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    write_bytes(path, page.encode("utf-8"))


def _grid_line(grid: Mapping[str, Any]) -> str:
    shape = " × ".join(str(n) for n in grid["shape"])
    return f"{shape} voxels of {' × '.join(f'{mm:.3g}' for mm in grid['spacing_mm'])} mm"


def _figure(file: str, caption: str) -> str:
    return (
        f'<figure><img src="{escape(file)}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _model(model: Mapping[str, Any]) -> str:
    worst = max((row["max_deviation_mm"] for row in model["structures"]), default=0.0)
    mean = max((row["mean_deviation_mm"] for row in model["structures"]), default=0.0)
    file = escape(Path(model["path"]).name)
    return (
        f'<p><a href="{file}">{file}</a>: {model["triangles"]:,} triangles, {model["bytes"] / 1e6:.2f} MB, in metres, '
        "patient upright and facing the viewer; size, left and right, colours and names verified against the case. "
        f"Largest mean deviation of a structure {mean:.2f} mm, largest single deviation {worst:.2f} mm from the "
        "full-resolution surface.</p>"
    )


def _structures(report: Mapping[str, Any]) -> str:
    head = (
        '<tr><th>structure</th><th class="text" lang="zh">名称</th><th class="text">SNOMED CT</th>'
        "<th>surface ml, ± half a voxel</th><th>voxels ml</th><th>triangles</th><th>closed</th></tr>"
    )
    rows = [_structure_line(row, report["colours"].get(row["key"], "#999")) for row in report["structures"]]
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _structure_line(row: Mapping[str, Any], colour: str) -> str:
    cells = [
        f'<td><span class="dot" style="background:{colour}"></span>{escape(row["name"])}</td>',
        f'<td class="text" lang="zh">{escape(row["name_zh"])}</td>',
        f'<td class="text">{escape(row["code"])}</td>',
        f"<td>{row['volume_ml']:.2f} ± {row['volume_spread_ml']:.2f}</td>",
        f"<td>{row['voxel_volume_ml']:.2f}</td>",
        f"<td>{row['triangles']:,}</td>",
        f"<td>{'yes' if row['closed'] and row['manifold'] else 'NO'}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _seconds(seconds: Mapping[str, float]) -> str:
    return "Seconds: " + ", ".join(f"{escape(stage)} {value:.1f}" for stage, value in seconds.items())
