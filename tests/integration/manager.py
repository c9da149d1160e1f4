# SPDX-License-Identifier: Apache-2.0
"""What systemd does for a service: it reads what the daemon notifies, keeps descriptors for it, and passes them to the next
process.

    manager = case.using(Manager(case))
    start(case, text, manager=manager)
    manager.names(), manager.text('io.pump'), manager.states"""
import contextlib
import fcntl
import os
import socket
import threading

PASSED_FROM = 200       # away from the numbers that they are to have


class Manager:
    def __init__(self, case):
        self.path = os.path.join(case.folder, 'notify')
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.lock = threading.Lock()
        self.kept, self.states = [], []     # (name, fd); every message, as text
        self.reached = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 16)
            if data == b'end':
                return
            if data == b'mark':
                self.reached.set()
                continue
            with self.lock:
                self._take(data.decode(), fds)

    def _take(self, text, fds):
        self.states.append(text)
        fields = dict(line.partition('=')[::2] for line in text.splitlines())
        name = fields.get('FDNAME', 'stored')
        if 'FDSTOREREMOVE' in fields:
            for kept in [k for k in self.kept if k[0] == name]:
                os.close(kept[1])
                self.kept.remove(kept)
        for fd in fds:
            same = any(n == name and os.path.samestat(os.fstat(fd), os.fstat(f)) for n, f in self.kept)
            if 'FDSTORE' in fields and len(name) <= 255 and ':' not in name and not same:
                self.kept.append((name, fd))
            else:
                os.close(fd)

    def before_start(self):
        """What a start of the daemon needs: words before its command, its environment, the descriptors it inherits."""
        self._settle()
        with self.lock:
            kept = list(self.kept)
            copies = [fcntl.fcntl(fd, fcntl.F_DUPFD, PASSED_FROM) for _, fd in kept]
        env = {'NOTIFY_SOCKET': self.path}
        if not kept:
            return (), env, ()
        env.update(LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=':'.join(name for name, _ in kept))
        moves = ''.join('exec %d<&%d %d<&-;' % (3 + i, fd, fd) for i, fd in enumerate(copies))
        return ('/bin/bash', '-c', moves + 'LISTEN_PID=$$ exec "$0" "$@"'), env, copies

    def _settle(self):
        """Until what was sent before this call is taken."""
        self.reached.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b'mark', self.path)
        self.reached.wait(10)

    def keep(self, name, fd):
        with self.lock:
            self.kept.append((name, fd))

    def names(self):
        self._settle()
        with self.lock:
            return sorted(name for name, _ in self.kept)

    def write(self, name, text):
        with self.lock:
            fd = dict(self.kept)[name]
            os.ftruncate(fd, 0)
            os.pwrite(fd, text.encode(), 0)

    def text(self, name):
        """What the memory file holds that is kept by this name; None: none is."""
        self._settle()
        with self.lock:
            fd = dict(self.kept).get(name)
            return None if fd is None else os.pread(fd, 100, 0).decode()

    def forget_states(self):
        with self.lock:
            self.states = []

    def said(self, text):
        self._settle()
        with self.lock:
            return any(text in state for state in self.states)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, contextlib.suppress(OSError):
            s.sendto(b'end', self.path)
        self.thread.join(5)
        self.socket.close()
        for _, fd in self.kept:
            os.close(fd)
