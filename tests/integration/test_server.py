#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stand-in server's own tests, as TAP: what all others here rely on."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'thingsboard'))
import test_standin  # noqa: E402


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.bad = None

    def startTest(self, test):
        super().startTest(test)
        self.bad = None

    def addError(self, test, err):
        super().addError(test, err)
        self.bad = self.errors[-1][1]

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.bad = self.failures[-1][1]

    def stopTest(self, test):
        for line in (self.bad or '').splitlines():
            print('# ' + line)
        print('%s %d - %s' % ('not ok' if self.bad else 'ok', self.testsRun, test.id()), flush=True)


if __name__ == '__main__':
    suite = unittest.defaultTestLoader.loadTestsFromModule(test_standin)
    print('1..%d' % suite.countTestCases(), flush=True)
    sys.exit(0 if suite.run(Result()).wasSuccessful() else 1)
