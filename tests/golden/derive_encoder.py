#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes GPT-2's encoder.json from its merges: derive_encoder.py vocab.bpe OUT

The file says nothing that the merges do not: the 256 bytes in GPT-2's order, then what each merge
makes, then the end of text. It is 1 MB, so it is written when the tests are built; the hash is that
of the file that OpenAI published, and every byte is checked by it.
"""
import hashlib
import json
import sys

PUBLISHED = "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"


def byte_letters():
    """Printable bytes stand for themselves, the others for letters from 256 on."""
    shown = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) for b in shown] + [chr(256 + i) for i in range(len(hidden))]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        merges = file.read().split("\n")[1:]
    words = byte_letters() + [m.replace(" ", "") for m in merges if m] + ["<|endoftext|>"]
    data = json.dumps({word: i for i, word in enumerate(words)}).encode()
    if hashlib.sha256(data).hexdigest() != PUBLISHED:
        sys.exit("what was derived is not the published encoder.json")
    with open(sys.argv[2], "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()
