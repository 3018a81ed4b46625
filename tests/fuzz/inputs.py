#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a target once over everything that is kept for it: seeds/NAME/*, corpus/NAME.corpus and
regressions/NAME/*.

usage: inputs.py NAME PROGRAM
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def files_of(name):
    """Single inputs: seeds written by hand, and what once went wrong."""
    found = []
    for kind in ("seeds", "regressions"):
        folder = os.path.join(HERE, kind, name)
        if os.path.isdir(folder):
            found += [os.path.join(folder, file) for file in sorted(os.listdir(folder))]
    return found


def corpus_of(name):
    return os.path.join(HERE, "corpus", name + ".corpus")


def main():
    name, program = sys.argv[1:]
    inputs = files_of(name)
    if os.path.exists(corpus_of(name)):
        inputs.append(corpus_of(name))
    sys.stdout.flush()
    os.execv(program, [program] + inputs)


if __name__ == "__main__":
    main()
