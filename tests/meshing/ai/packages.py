"""A real package of plug-ins, written into a folder with its metadata, good and bad ones; for tests."""

from __future__ import annotations

from pathlib import Path

LIGHT = '''
"""What the entry points load: light, no library but the seam."""
from meshing.ai import ChildLimits, PlugIn
from meshing.segmenters.presets import Preset


def plug_in(name, seconds=60.0, memory_gib=48.0, **options):
    preset = Preset(name, "CT", name, "测试", "for tests", "测试用", ("liver",), False)
    return PlugIn(preset, "foreign_model:" + name.replace("-", "_"), "foreign 1.0", "MIT",
                  limits=ChildLimits(seconds, memory_gib), options=options)


good = plug_in("good", threshold=100)
crash = plug_in("crash")
preset = Preset("lacking", "CT", "lacking", "缺", "d", "d", ("liver",), False)
lacking = PlugIn(preset, "foreign_model:good", "x", "MIT",
                 needs=("a_library_that_is_not_there",), install=("foreign[heavy]",), download="weights of 20 MB")
'''

HEAVY = '''
"""What the entry points run, in the child only."""
import ctypes, os, signal, subprocess, sys, time

import numpy as np

from meshing.ai import Drawn
from meshing.errors import SegmentationError

NAMES = {1: "liver"}


def box(scan):
    labels = np.zeros(scan.voxels.shape, np.uint8)
    labels[1:3, 1:4, 2:5] = 1
    return labels


def good(scan, options, progress):
    progress(0.5, "thinking")
    return Drawn((np.asarray(scan.voxels) > options["threshold"]).astype(np.uint8), NAMES)


def crash(scan, options, progress):
    sys.stderr.write("about to touch address 0\\n")
    sys.stderr.flush()
    ctypes.string_at(0)


def abort(scan, options, progress):
    os.abort()


def killed(scan, options, progress):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(scan, options, progress):
    progress(0.3, "thinking for ever")
    time.sleep(600)


def parent_of_many(scan, options, progress):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(options["pids"], "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    progress(0.4, "others work for me")
    time.sleep(600)


def full_memory(scan, options, progress):
    hoard = [np.empty(1 << 26) for _ in range(200)]


def raises(scan, options, progress):
    raise RuntimeError("the moon is in the wrong house\\nand more")


def states(scan, options, progress):
    raise SegmentationError("the scan has 3 slices, 16 are needed", hint="scan more")


def gives_up(scan, options, progress):
    sys.exit(3)


def leaves(scan, options, progress):
    os._exit(0)


def other_shape(scan, options, progress):
    return Drawn(np.ones((3, 3, 3), np.uint8), NAMES)


def other_place(scan, options, progress):
    matrix = np.array(scan.voxel_to_patient)
    matrix[2, 3] += 12.5
    return Drawn(box(scan), NAMES, matrix)


def own_place(scan, options, progress):
    return Drawn(box(scan), NAMES, scan.voxel_to_patient)


def no_place(scan, options, progress):
    return Drawn(box(scan), NAMES, np.zeros((4, 4)))


def unknown_labels(scan, options, progress):
    labels = box(scan)
    labels[0, 0, 0], labels[1, 0, 0:2] = 7, 9
    return Drawn(labels, NAMES)


def nothing(scan, options, progress):
    return Drawn(np.zeros(scan.voxels.shape, np.uint8), NAMES)


def floats(scan, options, progress):
    return Drawn(box(scan).astype(float), NAMES)


def not_numbers(scan, options, progress):
    labels = box(scan).astype(np.float32)
    labels[0] = np.nan
    return Drawn(labels, NAMES)


def negative(scan, options, progress):
    return Drawn(-box(scan).astype(np.int16), NAMES)


def too_high(scan, options, progress):
    return Drawn(box(scan).astype(np.int32) * 70_000, {70_000: "liver"})


def nameless(scan, options, progress):
    return Drawn(box(scan), {})


def words(scan, options, progress):
    return Drawn(np.full(scan.voxels.shape, "liver"), NAMES)


def objects(scan, options, progress):
    return Drawn(np.full(scan.voxels.shape, None), NAMES)


def no_answer(scan, options, progress):
    return None


def chatter(scan, options, progress):
    """Garbage on both streams, of both kinds, before a right answer."""
    os.write(1, bytes(range(256)) * 2000)
    os.write(2, b'{"refused": "stated", "text": "no"}')
    print("\\x1b[2J progress 200 %")
    with open("progress.txt", "ab") as file:
        file.write(b"nan\\tx\\n\\xff\\xfe\\n1e999\\ty\\nhalf a line")
    return Drawn(box(scan), NAMES)


def flood(scan, options, progress):
    while True:
        os.write(1, b"x" * 65536)


def forged(scan, options, progress):
    """Writes the files of the exchange itself."""
    with open("answer.json", "w") as file:
        file.write(options["words"])
    with open("labels.npy", "wb") as file:
        file.write(bytes.fromhex(options["labels"]))
    os._exit(0)


def foreign_names(scan, options, progress):
    labels = np.zeros((2, *scan.voxels.shape), np.uint16)
    labels[0, 1:3], labels[0, 3], labels[1, 1:2], labels[0, 0, 0, 0] = 300, 2, 5, 6
    return Drawn(labels, {300: "Kidney, left", 2: "左肾", 5: "gizmo of the liver", 6: "spleen", 77: "never drawn"})


def seeds(scan, options, progress):
    labels = np.zeros(scan.voxels.shape, np.uint8)
    index = np.linalg.inv(scan.voxel_to_patient) @ [*scan.seeds_mm[0], 1.0]
    labels[tuple(np.rint(index[:3]).astype(int))] = 1
    return Drawn(labels, NAMES)


def environment(scan, options, progress):
    progress(0.9, os.environ.get("A_SECRET", "no secret") + " " + scan.modality)
    time.sleep(0.5)
    return Drawn(box(scan), NAMES)
'''


def write_package(folder: Path) -> Path:
    """The folder, holding the modules `foreign` and `foreign_model` and the metadata that make them a distribution."""
    (folder / "foreign.py").write_text(LIGHT, encoding="utf-8")
    (folder / "foreign_model.py").write_text(HEAVY, encoding="utf-8")
    metadata = folder / "foreign-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n", encoding="utf-8")
    entries = "\n".join(f"{name} = foreign:{name}" for name in ("good", "crash", "lacking"))
    (metadata / "entry_points.txt").write_text(f"[meshing.segmenters]\n{entries}\n", encoding="utf-8")
    return folder
