#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the daemon costs while it has nothing to do."""
import contextlib
import os
import re
import time

import tap
from daemon import SLOW, WRAP, children, config, longest_turn, standin, start, wait_for

SECONDS = 10
WAKES_MAX = 20      # a second; the promise is 5 (bench measures it)
IDLE = '  counter = { plugin = "counter"; every = "1h"; };'


def switches(pids):
    """How often the threads of these processes went to sleep."""
    total = 0
    for pid in pids:
        for task in os.listdir('/proc/%d/task' % pid):
            with contextlib.suppress(OSError), open('/proc/%d/task/%s/status' % (pid, task)) as f:
                total += int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)', f.read(), re.M).group(1))
    return total


def idle(case):
    """connected and without samples, it sleeps"""
    if WRAP or SLOW > 1:
        raise tap.Skipped('sanitizers and valgrind wake up by themselves')
    server, url, token = standin(case)
    daemon = start(case, config(IDLE, url, token, telemetry=''))
    daemon.connected()
    wait_for(lambda: server.count('d')['stored'] >= 2, 10, 'the first sample')
    pids = [daemon.pid] + children(daemon.pid)
    began, before = time.monotonic(), switches(pids)
    wait_for(lambda: time.monotonic() - began > SECONDS, SECONDS + 5, 'the time to pass')
    rate = (switches(pids) - before) / (time.monotonic() - began)
    case.note('%.1f wake-ups a second of daemon and one host', rate)
    case.check(rate <= WAKES_MAX, '%.1f wake-ups a second', rate)
    longest_turn(case, daemon.stop())


if __name__ == '__main__':
    tap.main([idle])
