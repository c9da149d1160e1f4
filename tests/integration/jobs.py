# SPDX-License-Identifier: Apache-2.0
"""systemd, as far as a daemon that ends asks it: which job its unit has.

    jobs = case.using(Jobs(case))
    start(case, text, env=jobs.env)
    jobs.type = 'restart'       # what is under way; None: nothing; 'error': it does not say"""
import contextlib
import os
import struct
import threading

from bus import Bus, Caller, pad, put, text
from daemon import preload, write
from tap import Failed

UNIT = 'tbagent.service'
NAME = 'org.freedesktop.systemd1'
POLICY = '<policy context="mandatory"><allow own="%s"/><allow send_destination="%s"/></policy>' % (NAME, NAME)
CALL, RETURN, ERROR = 1, 2, 3


class Jobs(Caller):
    def __init__(self, case):
        self.bus = case.using(Bus(case, policy=POLICY))
        super().__init__(self.bus)
        self.type, self.asked = None, 0
        cgroup = write(os.path.join(case.folder, 'cgroup'), '0::/system.slice/%s\n' % UNIT)
        self.env = {**self.bus.env, 'LD_PRELOAD': preload('own-cgroup'), 'TBAGENT_OWN_CGROUP': cgroup}
        error, said = self.ask('RequestName', 'su', NAME, 0, path='/org/freedesktop/DBus', interface='org.freedesktop.DBus',
                               to='org.freedesktop.DBus')
        if error:
            raise Failed('no name on the bus: %s' % said)
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(2)
        self.thread.join(5)
        self.socket.close()

    def _serve(self):
        with contextlib.suppress(Failed, OSError):
            while True:
                kind, serial, sender, member = self._next()
                if kind == CALL and member == 'ListJobs':
                    self.asked += 1
                    self._reply(serial, sender)

    def _next(self):
        head = self._read(16)
        length, serial, size = struct.unpack_from('<III', head, 4)
        rest = self._read(size + -size % 8)
        self._read(length)
        fields, at = {}, 0
        while at < size:
            at += -at % 8
            code, kind = rest[at], chr(rest[at + 2])
            at += 4
            if kind == 'g':
                fields[code], at = None, at + rest[at] + 2
            elif kind == 'u':
                fields[code], at = None, at + 4
            else:
                fields[code], at = text(rest, at)
        return head[1], serial, fields.get(7), fields.get(3)

    def _reply(self, serial, to):
        failed = self.type == 'error'
        body = b'' if failed else jobs_of(self.type)
        fields = struct.pack('<BBccI', 5, 1, b'u', b'\0', serial)
        fields = put(pad(fields, 8) + b'\x06\x01s\0', to.encode())
        if failed:
            fields = put(pad(fields, 8) + b'\x04\x01s\0', b'org.freedesktop.DBus.Error.AccessDenied')
        else:
            fields = pad(fields, 8) + b'\x08\x01g\0\x09a(usssoo)\0'
        self.serial += 1
        head = struct.pack('<cBBBIII', b'l', ERROR if failed else RETURN, 0, 1, len(body), self.serial, len(fields)) + fields
        self.socket.sendall(pad(head, 8) + body)


def jobs_of(kind):
    """An array of jobs: somebody else's restart, and ours."""
    out = bytes(8)      # the length, and up to the first
    for unit, job in (('other.service', 'restart'), (UNIT, kind)):
        if job:
            out = pad(out, 8) + struct.pack('<I', 7)
            for value in (unit, job, 'running', '/org/freedesktop/systemd1/job/7', '/org/freedesktop/systemd1/unit/x'):
                out = put(out, value.encode())
    return struct.pack('<I', len(out) - 8) + out[4:]
