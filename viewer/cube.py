"""A small labelled cube that shows how the patient lies in a 3D picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from meshing.frames import FloatArray
from viewer.lettering import write

_SCALE = 4  # drawn larger and shrunk: smooth edges
_FACES: tuple[tuple[str, tuple[int, int, int], tuple[int, int, int]], ...] = (
    # letter, outward direction (LPS), upright direction of the letter
    ("L", (1, 0, 0), (0, 0, 1)),
    ("R", (-1, 0, 0), (0, 0, 1)),
    ("P", (0, 1, 0), (0, 0, 1)),
    ("A", (0, -1, 0), (0, 0, 1)),
    ("S", (0, 0, 1), (0, 1, 0)),
    ("I", (0, 0, -1), (0, -1, 0)),
)
_TINT = np.array([196.0, 204.0, 214.0])
_INK = (24, 28, 34)
_FACE_PX = 96
_LETTER_PX = 74


def visible_faces(camera_axes: FloatArray) -> list[str]:
    """Letters of the faces that look at the viewer, the most frontal last.

    Parameters
    ----------
    camera_axes
        (3, 3) unit rows in LPS: rightwards, upwards, towards the viewer.
    """
    facing = {letter: float(np.dot(out, camera_axes[2])) for letter, out, _ in _FACES}
    return sorted((letter for letter, share in facing.items() if share > 0.02), key=lambda letter: facing[letter])


def edge_letters(camera_axes: FloatArray) -> tuple[str, str, str, str]:
    """What lies at the left, right, top and bottom edge of a 3D picture; two letters where the view is oblique."""

    def towards(direction: FloatArray) -> str:
        shares = sorted(((float(np.dot(out, direction)), letter) for letter, out, _ in _FACES), reverse=True)
        return "".join(letter for share, letter in shares if share > 0.45)

    right, up, _ = camera_axes
    return towards(-right), towards(right), towards(up), towards(-up)


def draw_cube(camera_axes: FloatArray, size_px: int) -> Image.Image:
    """The cube as RGBA on a transparent square of `size_px`."""
    side = size_px * _SCALE
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    shown = visible_faces(camera_axes)
    for letter, out, up in sorted(_FACES, key=lambda face: shown.index(face[0]) if face[0] in shown else -1):
        if letter in shown:
            picture.alpha_composite(_face(letter, np.array(out, float), np.array(up, float), camera_axes, side))
    return picture.resize((size_px, size_px), Image.Resampling.LANCZOS)


def _face(letter: str, out: FloatArray, up: FloatArray, camera_axes: FloatArray, side: int) -> Image.Image:
    """One face as it is seen: a lettered tile carried to its place by an affine map."""
    right = np.cross(up, out)
    half = side * 0.5 / np.sqrt(3.0) * 0.96
    centre = _on_screen(out, camera_axes, half, side)
    across = _on_screen(out + right, camera_axes, half, side) - centre
    upward = _on_screen(out + up, camera_axes, half, side) - centre
    # Tile pixel (u, v) lies at centre + (2u/n − 1)·across − (2v/n − 1)·upward; Pillow wants the inverse map.
    forward = np.column_stack([across, -upward]) * 2 / _FACE_PX
    inverse = np.linalg.inv(forward)
    shift = _FACE_PX / 2 - inverse @ centre
    coefficients = (*inverse[0], shift[0], *inverse[1], shift[1])
    tile = _tile(letter, 0.55 + 0.45 * float(out @ camera_axes[2]))
    return tile.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)


def _on_screen(point: FloatArray, camera_axes: FloatArray, half: float, side: int) -> FloatArray:
    seen = camera_axes @ point
    return np.array([side / 2 + half * seen[0], side / 2 - half * seen[1]])


def _tile(letter: str, brightness: float) -> Image.Image:
    red, green, blue = (round(channel * brightness) for channel in _TINT)
    tile = Image.new("RGBA", (_FACE_PX, _FACE_PX), (red, green, blue, 235))
    draw = ImageDraw.Draw(tile)
    draw.rectangle((0, 0, _FACE_PX - 1, _FACE_PX - 1), outline=(60, 68, 78, 255), width=3)
    middle = _FACE_PX / 2
    write(tile, (middle, middle), letter, px=_LETTER_PX, ink=_INK, weight="SemiBold", anchor="mm")
    return tile
