# SPDX-License-Identifier: Apache-2.0
"""What the stand-in's tests of the wire have in common."""
import threading
import time
import unittest

from mqtt_client import Client
from standin import RestError, Standin


class WithServer(unittest.TestCase):
    """One server for all; every test has a device of its own."""

    @classmethod
    def setUpClass(cls):
        cls.tb = Standin('--settle', '0.02', '--store-delay', '0.02')
        cls.addClassCleanup(cls.tb.close)

    def options(self, **wanted):
        """Until the test ends."""
        self.tb.control('options', wanted)
        self.addCleanup(self.tb.control, 'options', dict(settle=0.02, store_delay=0.02, rpc_ack_timeout=10))

    def setUp(self):
        self.name = self.id().rsplit('.', 1)[1]
        self.token = self.tb.create_device(self.name)
        self.addCleanup(self.tb.control, 'faults/clear')

    def client(self, version=5):
        c = Client(self.tb.mqtt, version)
        self.addCleanup(c.sock.close)
        return c

    def linked(self, version=5):
        c = self.client(version)
        self.assertEqual(c.connect(self.token), 0)
        return c

    def subscribed(self, *topics, version=5):
        """A session whose subscriptions are in force."""
        c = self.linked(version)
        self.assertEqual(c.subscribe(*topics), [1] * len(topics))
        time.sleep(0.05)
        return c

    def during(self, function, *arguments, **more):
        """Runs it beside the test; result() gives what it returned, or the status of the RestError."""
        def run():
            try:
                answers.append(function(*arguments, **more))
            except RestError as e:
                answers.append(e.status)

        def result():
            thread.join(15)
            return answers[0] if answers else 'nothing'
        answers, thread = [], threading.Thread(target=run)
        thread.start()
        return result

    def stored(self, wanted):
        self.tb.wait(lambda: self.tb.count(self.name)['stored'] >= wanted, 3)
        return self.tb.count(self.name)['stored']

    def point(self, ts, value=1):
        return '{"ts":%d,"values":{"a":%s}}' % (ts, value)
