#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short form of the program `limits` beside this file."""
import os
import sys

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'limits')

if __name__ == '__main__':
    os.execv(sys.executable, [sys.executable, PROGRAM, '--seconds', '15', *sys.argv[1:]])
