# SPDX-License-Identifier: Apache-2.0
"""Work that is done later but in the order it came: the real server's queues between its parts."""
import asyncio
import time
from collections import deque


class Lane:
    def __init__(self):
        self.queue = deque()
        self.timer = None

    def put(self, delay, function, *arguments):
        """Not before the delay is over, and not before what was put earlier."""
        due = time.monotonic() + delay
        self.queue.append((max(due, self.queue[-1][0]) if self.queue else due, function, arguments))
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(delay, self._run)

    def _run(self):
        now = time.monotonic() + 1e-3
        try:
            while self.queue and self.queue[0][0] <= now:
                _, function, arguments = self.queue.popleft()
                function(*arguments)
        finally:
            left = self.queue[0][0] - time.monotonic() if self.queue else None
            self.timer = None if left is None else asyncio.get_running_loop().call_later(left, self._run)
