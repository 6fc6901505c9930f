#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damages the tail of a killed run: damage_tail.py TAIL HOW [WHICH]

  list               prints the position and size of each entry that lies in the tail
  tear POSITION HOW  what a writer that was killed leaves there: everything but the position field, which
                     is stored last. HOW: whole (all else is written), half, nothing, noise
  flip POSITION BYTE changes one byte of the entry there, which was written whole
  version NUMBER     the tail's version

Offsets are those that journal/tail.h and journal/entry.h specify.
"""
import random
import struct
import sys

HEADER_SIZE = 128 << 10


class Tail:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.bytes = bytearray(self.file.read())
        self.ring_size, self.base = struct.unpack_from("<QQ", self.bytes, 16)

    def offset(self, position):
        offset = position & (self.ring_size - 1)
        return HEADER_SIZE + offset

    def entries(self):
        position = self.base
        while True:
            at = self.offset(position)
            found, _, size = struct.unpack_from("<QII", self.bytes, at)
            if found != position or size < 48:
                return
            yield position, size
            position += size

    def write(self, offset, data):
        self.file.seek(offset)
        self.file.write(data)
        self.file.flush()


def main():
    tail = Tail(sys.argv[1])
    how = sys.argv[2]
    if how == "list":
        for position, size in tail.entries():
            print(position, size)
        return
    if how == "version":
        tail.write(8, struct.pack("<I", int(sys.argv[3])))
        return
    position = int(sys.argv[3])
    size = dict(tail.entries())[position]
    at = tail.offset(position)
    if how == "flip":
        byte = int(sys.argv[4])
        assert byte < size
        tail.write(at + byte, bytes([tail.bytes[at + byte] ^ 0x10]))
        return
    left = {"whole": tail.bytes[at + 8 : at + size],
            "half": tail.bytes[at + 8 : at + size // 2] + bytes(size - size // 2),
            "nothing": bytes(size - 8),
            "noise": random.Random(position).randbytes(size - 8)}[sys.argv[4]]
    tail.write(at, bytes(8) + left[: size - 8])


main()
