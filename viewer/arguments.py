"""What may stand after an option: points, sizes, levels, millimetres. Each says what is wrong with what was typed."""

from __future__ import annotations

import argparse
import math
from pathlib import Path


def point(text: str) -> tuple[float, float, float]:
    try:
        left, posterior, superior = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers L,P,S") from None
    if not math.isfinite(left + posterior + superior):
        raise argparse.ArgumentTypeError(f"{text!r} is not finite")
    return left, posterior, superior


def named_point(text: str) -> tuple[str, tuple[float, float, float]]:
    name, equals, rest = text.partition("=")
    if not (equals and name.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=L,P,S, as in liver=-60,10,40")
    return name.strip(), point(rest)


def named_box(text: str) -> tuple[str, tuple[tuple[float, float, float], tuple[float, float, float]]]:
    name, equals, rest = text.partition("=")
    first, colon, second = rest.partition(":")
    if not (equals and colon and name.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=L,P,S:L,P,S, two opposite corners")
    return name.strip(), (point(first), point(second))


def level(text: str) -> tuple[float, str]:
    number, _, name = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not VALUE or VALUE=NAME, as in 250=bone")
    return value, name.strip()


def millimetres(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a distance in mm, 0 or more")
    return number


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e7:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def gibibytes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size above 0")
    return number


def png(text: str) -> Path:
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png")
    return Path(text)


def size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and 64 <= int(width) <= 8192 and 64 <= int(height) <= 8192):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT with 64 to 8192 pixels each")
    return int(width), int(height)


def triangles(text: str) -> int:
    if not text.isdigit() or int(text) < 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of triangles")
    return int(text)
