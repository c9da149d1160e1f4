# SPDX-License-Identifier: Apache-2.0
"""All tests of the stand-in server itself. Run: python3 tests/thingsboard/test_standin.py, or python3 -m unittest test_standin
in this folder; words choose classes or tests, as Tls.test_token."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from test_actor import Attributes, Claims, DownlinkControl, Provisioning, ServerRpc      # noqa: E402, F401
from test_faults import Faults                                                           # noqa: E402, F401
from test_tls import Tls                                                                 # noqa: E402, F401
from test_values import LenientParser, Small, ValueTypes                                 # noqa: E402, F401
from test_wire import Wire                                                               # noqa: E402, F401

if __name__ == '__main__':
    unittest.main()
