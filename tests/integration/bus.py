# SPDX-License-Identifier: Apache-2.0
"""A bus of one's own, with the policy of the package, and a client that may say what no library would say.

    bus = case.using(Bus(case))                     # bus.env for those who are to meet there
    caller = case.using(Caller(bus))
    caller.ask('Request', 'sst', 'method', '{}', 0) # ('', answer) or (error name, text)"""
import os
import select
import socket
import struct
import subprocess
import time

from daemon import BUILD, SLOW, TOP, wait_for, write
from tap import Failed, Skipped

CTL = os.path.join(BUILD, 'tbagentctl')
ERROR = 'org.tbagent1.Error.'
POLICY = os.path.join(os.environ.get('TBAGENT_SRCDIR', TOP), 'systemd', 'org.tbagent1.conf')

# As Debian's system bus; whoever runs the test stands in for the user tbagent.
CONFIG = '''<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/>
<allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/></policy>
<include>%s</include>
<policy user="%d"><allow own="org.tbagent1"/><allow send_destination="org.tbagent1"/></policy>%s</busconfig>
'''
OPEN = '<policy context="mandatory"><allow send_destination="org.tbagent1"/></policy>'


class Bus:
    """started: it runs already. policy: more of it."""

    def __init__(self, case, started=True, policy=''):
        self.path = os.path.join(case.folder, 'bus')
        self.env = {'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=' + self.path}
        self.config = write(os.path.join(case.folder, 'bus.conf'), CONFIG % (self.path, POLICY, os.getuid(), policy), 0o644)
        self.process = None
        if started:
            self.start()

    def start(self):
        try:
            self.process = subprocess.Popen(
                ['dbus-daemon', '--nofork', '--nopidfile', '--nosyslog', '--config-file=' + self.config],
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise Skipped('there is no dbus-daemon') from None
        wait_for(self._answers, 10, 'the bus')

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.path) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        os.unlink(self.path)

    def signal(self, number):
        self.process.send_signal(number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.stop()

    def ctl(self, *words, **more):
        """tbagentctl: (exit status, what it printed, what it complained of)."""
        done = subprocess.run([CTL, *words], env=dict(os.environ, **self.env), capture_output=True, text=True, timeout=60 * SLOW,
                              **{'input': '', **more})
        return done.returncode, done.stdout, done.stderr

    def reachable(self, seconds=10):
        """Waits for the daemon."""
        wait_for(lambda: self.ctl('status')[0] == 0, seconds, 'org.tbagent1 on the bus')


class Caller:
    """A connection to the bus: says hello, calls methods, many at a time. Little endian, and no more types than the daemon's."""

    def __init__(self, bus):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30 * SLOW)
        self.socket.connect(bus.path)
        self.serial, self.answers, self.buffer = 0, {}, b''
        self.socket.sendall(b'\0AUTH EXTERNAL %s\r\n' % str(os.geteuid()).encode().hex().encode())
        if not self._read(len('OK %s\r\n' % (32 * '0'))).startswith(b'OK'):
            raise Failed('the bus does not know us')
        self.socket.sendall(b'BEGIN\r\n')
        self.answer(self.call('Hello', path='/org/freedesktop/DBus', interface='org.freedesktop.DBus', to='org.freedesktop.DBus'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def call(self, member, signature='', *values, path='/org/tbagent1', interface='org.tbagent1.Manager', to='org.tbagent1'):
        """Sends a call and does not wait; returns what answer() wants to know."""
        self.serial += 1
        body = marshal(signature, values)
        fields = b''
        for code, kind, value in ((1, 'o', path), (2, 's', interface), (3, 's', member), (6, 's', to), (8, 'g', signature)):
            fields = pad(fields, 8) + struct.pack('<BB', code, 1) + kind.encode() + b'\0'
            data = value.encode()
            fields = fields + struct.pack('<B', len(data)) + data + b'\0' if kind == 'g' else put(fields, data)
        head = struct.pack('<cBBBIII', b'l', 1, 0, 1, len(body), self.serial, len(fields)) + fields
        self.socket.sendall(pad(head, 8) + body)
        return self.serial

    def answer(self, serial):
        """('', the text that it answers) or (name of the error, its text)."""
        while serial not in self.answers:
            self._receive()
        return self.answers.pop(serial)

    def ask(self, *arguments, **more):
        return self.answer(self.call(*arguments, **more))

    def waiting(self, serials, seconds):
        """How many of them have no answer after so long."""
        end = time.monotonic() + seconds
        while any(s not in self.answers for s in serials):
            left = max(end - time.monotonic(), 0)
            if not self.buffer and not select.select([self.socket], [], [], left)[0]:
                break
            self._receive()
        return sum(s not in self.answers for s in serials)

    def _receive(self):
        head = self._read(16)
        length, _, fields = struct.unpack_from('<III', head, 4)
        rest = self._read(fields + -fields % 8)
        body = self._read(length)
        reply, error, signature, at = None, '', '', 0
        while at < fields:
            at += -at % 8
            code, kind = rest[at], chr(rest[at + 2])
            at += 4
            if kind == 'g':
                value, at = rest[at + 1:at + 1 + rest[at]].decode(), at + rest[at] + 2
            elif kind == 'u':
                value, at = struct.unpack_from('<I', rest, at)[0], at + 4
            else:
                value, at = text(rest, at)
            reply, error = value if code == 5 else reply, value if code == 4 else error
            signature = value if code == 8 else signature
        if reply is not None:
            self.answers[reply] = (error, text(body, 0)[0] if signature.startswith('s') else '')

    def _read(self, size):
        while len(self.buffer) < size:
            more = self.socket.recv(65536)
            if not more:
                raise Failed('the bus has closed the connection')
            self.buffer += more
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data


def pad(data, to):
    return data + bytes(-len(data) % to)


def put(data, value):
    """A string behind data."""
    return pad(data, 4) + struct.pack('<I', len(value)) + value + b'\0'


def text(data, at):
    size = struct.unpack_from('<I', data, at)[0]
    return data[at + 4:at + 4 + size].decode(), at + 4 + size + 1


def marshal(signature, values):
    """Of s, t, u and as."""
    out = b''
    for kind, value in zip(signature.replace('as', 'a'), values):
        if kind == 's':
            out = put(out, value if isinstance(value, bytes) else value.encode())
        elif kind == 'u':
            out = pad(out, 4) + struct.pack('<I', value)
        elif kind == 't':
            out = pad(out, 8) + struct.pack('<Q', value)
        else:
            out = pad(out, 4)
            start = len(out) + 4
            whole = out + bytes(4)
            for item in value:
                whole = put(whole, item.encode())
            out = whole[:start - 4] + struct.pack('<I', len(whole) - start) + whole[start:]
    return out
