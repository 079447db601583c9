"""The image that the demo draws."""

from __future__ import annotations

import base64
import struct
import zlib


def sunset(width: int = 480, height: int = 270) -> str:
    """Paint a sunset, as the ``data:`` URL of a PNG."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # no filter
        for x in range(width):
            sun = (x - width * 0.6) ** 2 + (y - height * 0.55) ** 2 < 45**2
            sky = (70 + y * 2 // 3, 60 + y // 3, 150 - y // 3)
            rows += bytes((255, 208, 112) if sun else (30, 40, 70) if y > height * 0.7 else sky)

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(bytes(rows))),
        chunk(b"IEND", b""),
    )
    return (
        "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
    )
