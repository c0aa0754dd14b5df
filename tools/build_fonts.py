"""Make the small fonts of `assets/fonts` from the full families; needs fontTools.

    python tools/build_fonts.py INTER_FOLDER NOTO_SANS_CJK_REGULAR_TTC

`INTER_FOLDER` holds Inter-Regular.otf and Inter-SemiBold.otf. What is kept: Latin, punctuation, arrows and the signs of
measurement from Inter; the 6763 characters of GB 2312 and Chinese punctuation from Noto Sans CJK SC.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

FONTS = Path(__file__).resolve().parent.parent / "assets" / "fonts"
SIMPLIFIED_CHINESE = 2  # place of "Noto Sans CJK SC" in the collection
LATIN = {*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x2000, 0x20A0), *range(0x2190, 0x21A0)} | {
    ord(sign) for sign in "−≤≥≈∞√µμαβγΔ°±×÷•…"
}
CHINESE_PUNCTUATION = {*range(0x20, 0x7F), *range(0x3000, 0x3020), *range(0xFF00, 0xFF60)} | {ord(s) for s in "·—…“”‘’"}


def main(inter: Path, noto: Path) -> None:
    FONTS.mkdir(parents=True, exist_ok=True)
    for weight in ("Regular", "SemiBold"):
        keep(TTFont(inter / f"Inter-{weight}.otf"), LATIN, FONTS / f"Inter-{weight}.otf")
    chinese = TTCollection(noto).fonts[SIMPLIFIED_CHINESE]
    keep(chinese, gb2312() | CHINESE_PUNCTUATION, FONTS / "NotoSansSC-Regular.otf")


def gb2312() -> set[int]:
    """Code points of the Chinese characters of GB 2312 (rows 16 to 87)."""
    found = set()
    for row in range(0xB0, 0xF8):
        for cell in range(0xA1, 0xFF):
            try:
                found.add(ord(bytes([row, cell]).decode("gb2312")))
            except UnicodeDecodeError:
                continue  # the standard leaves these cells empty
    return found


def keep(font: TTFont, characters: set[int], path: Path) -> None:
    options = subset.Options()
    options.layout_features = []
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE", "GSUB", "GPOS", "GDEF"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.notdef_outline = True
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    font.save(path)
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
