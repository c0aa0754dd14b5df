"""A decoding child gone bad: it speaks the protocol and misbehaves as the environment variable ROGUE says."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
import time

import numpy as np


def say(header: object, payload: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    sys.stdout.buffer.write(struct.pack("<I", len(text)) + text + payload)
    sys.stdout.buffer.flush()


def main() -> None:
    length = struct.unpack("<I", sys.stdin.buffer.read(4))[0]
    request = json.loads(sys.stdin.buffer.read(length))
    sys.stdin.buffer.read(request.get("bytes", 0))
    match os.environ["ROGUE"]:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            sys.exit(3)
        case "hang":
            time.sleep(60)
        case "endless header":
            sys.stdout.buffer.write(struct.pack("<I", 0xFFFFFFF0))
            sys.stdout.buffer.flush()
            time.sleep(60)
        case "no json":
            say(b"\x80\x04pickle?")
        case "a list":
            say([1, 2])
        case "object dtype":
            say({"dtype": "|O8", "shape": [1, 2, 2]}, bytes(32))
        case "negative shape":
            say({"dtype": "<i2", "shape": [1, -2, -2]}, bytes(8))
        case "two dimensions":
            say({"dtype": "<i2", "shape": [2, 2]}, bytes(8))
        case "fractional shape":
            say({"dtype": "<i2", "shape": [1, 2.5, 2]}, bytes(8))
        case "huge shape":
            say({"dtype": "<i2", "shape": [1 << 20, 1 << 20, 1 << 20]})
            time.sleep(60)
        case "wrong frame":
            say({"dtype": "<i2", "shape": [1, 2, 2]})
            say({"frame": 7}, bytes(8))
        case "too few bytes":
            say({"dtype": "<i2", "shape": [1, 2, 2]})
            say({"frame": 0}, bytes(3))
        case "dribble":
            say({"dtype": "<i2", "shape": [1, 2, 2]})
            while True:
                time.sleep(0.2)
        case "long refusal":
            say({"refused": "damaged", "text": "\x1b[31m" + "x" * 5000})
        case "right":
            say({"dtype": "<i2", "shape": [1, 2, 2]})
            say({"frame": 0}, np.arange(4, dtype="<i2").tobytes())
    time.sleep(60)


if __name__ == "__main__":
    main()
