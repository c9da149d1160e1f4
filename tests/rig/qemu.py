# SPDX-License-Identifier: Apache-2.0
"""One emulated PC (never KVM: what passes for one need not run a Debian kernel), which may be saved as it is, and started from
there any number of times. It has a private copy of a disk in memory, a 9p folder `rig` through which tests go in and results come
out, two serial lines and no network. Whoever starts it ends it."""
import json
import os
import socket
import subprocess
import time


class Qemu:
    """folder: for its sockets and its console. drive: the disk, which stays as it is unless `keep`. state: of a saved machine,
    or None. clock: 'rtc', or 'none': as on a Raspberry Pi, it starts in the past and there is nothing to read."""

    def __init__(self, image, folder, share, drive, keep=False, disk=None, clock='rtc', state=None):
        self.console, self.line = os.path.join(folder, 'console'), os.path.join(folder, 'line')
        self.monitor, self.talk, self.told = os.path.join(folder, 'monitor'), None, 0
        append = 'console=ttyS0 quiet panic=-1 systemd.show_status=0 mitigations=off'
        command = [
            'setpriv', '--pdeathsig', 'KILL', 'qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2',
            '-m', '1024', '-M', 'q35', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
            '-kernel', os.path.join(image, 'vmlinuz'), '-initrd', os.path.join(image, 'initrd.gz'),
            '-serial', 'file:' + self.console, '-serial', 'unix:%s,server=on,wait=off' % self.line,
            '-qmp', 'unix:%s,server=on,wait=off' % self.monitor,
            '-drive', 'file=%s,if=virtio,cache=unsafe,format=qcow2%s' % (drive, '' if keep else ',snapshot=on'),
            '-fsdev', 'local,id=rig,path=%s,security_model=none' % share, '-device', 'virtio-9p-pci,fsdev=rig,mount_tag=rig']
        if disk:
            command += ['-drive', 'file=%s,format=raw,if=virtio' % disk]
        if clock == 'none':
            append += ' initcall_blacklist=cmos_init'
            command += ['-rtc', 'base=2020-01-01']
        if state:
            command += ['-incoming', 'exec:cat ' + state]
        self.process = subprocess.Popen(command + ['-append', append], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)

    def ended(self):
        return self.process.poll() is not None

    def end(self):
        """What it complained of."""
        self.process.kill()
        return self.process.communicate()[1]

    def tell_time(self):
        """Wakes a machine that was saved, a few times a second until it does something: it may not listen yet, and the line holds
        sixteen bytes."""
        if time.monotonic() < self.told + .3:
            return
        self.told = time.monotonic()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(1)
            try:
                s.connect(self.line)
                s.sendall(b'\n%d\n' % time.time())
                s.recv(1)       # the guest's echo, or nothing in a second
            except OSError:
                pass

    def _ask(self, what, **arguments):
        if self.talk is None:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            s.connect(self.monitor)
            self.talk = s.makefile('rw')
            self.talk.readline()
            self._ask('qmp_capabilities')
        print(json.dumps({'execute': what, 'arguments': arguments}), file=self.talk, flush=True)
        while True:
            line = self.talk.readline()
            if not line:
                raise OSError('the emulator has ended')
            answer = json.loads(line)
            if 'event' not in answer:
                return answer

    def save(self, path, until):
        """Saves it, once it has let go of the folder, and ends it. Raises OSError when it could not by then (monotonic)."""
        self._ask('migrate-set-parameters', **{'max-bandwidth': 1 << 40})
        while 'error' in self._ask('migrate', uri='exec:cat >' + path):
            if time.monotonic() > until:
                raise OSError('the machine cannot be saved')
            time.sleep(.1)
        while True:
            status = self._ask('query-migrate')['return'].get('status')
            if status == 'completed':
                break
            if status == 'failed' or time.monotonic() > until:
                raise OSError('saving the machine: %s' % status)
            time.sleep(.1)
        self._ask('quit')
        self.process.wait(10)
