# SPDX-License-Identifier: Apache-2.0
"""A power cut for one folder: an ext4 in a file, mounted by a loop device, shut down while it is in use.

EXT4_IOC_SHUTDOWN without a log flush freezes the file system as the device has it: what was not forced out by
fsync, or by the journal's own timer, is gone after the next mount, and every access until then gives EIO.
Unlike a killed VM it takes no second, so a test may do it a hundred times.

    with LoopExt4('64M') as disk:
        start_something_in(disk.path)
        before = disk.written_bytes()      # what reached the block device, journal included
        disk.cut()
        ...kill it...
        disk.remount()

However the program ends, even by SIGKILL, a guard unmounts the folder and gives the loop device back. It needs root."""
import contextlib
import errno
import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

EXT4_IOC_SHUTDOWN = 0x8004587d
NOLOGFLUSH = 2
UNITS = {'': 1, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}


def parse_size(text):
    """Bytes of '64M', '512k' or a number."""
    found = re.fullmatch(r'(\d+)([KMG]?)', str(text).upper())
    if not found:
        raise ValueError('not a size: %s' % text)
    return int(found.group(1)) * UNITS[found.group(2)]


def available():
    """Why there can be no such disk here; None where there can."""
    if os.geteuid() != 0:
        return 'needs root'
    if not os.path.exists('/dev/loop-control'):
        return 'needs loop devices'
    return next(('needs %s' % c for c in ('losetup', 'mkfs.ext4', 'mount') if not shutil.which(c)), None)


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, LC_ALL='C'))
    if done.returncode != 0:
        raise OSError('%s: %s' % (' '.join(command), done.stderr.strip() or done.returncode))
    return done.stdout.strip()


def make(image, size):
    """A new file system in a file. Nothing is left to be written behind the back of who counts bytes."""
    with open(image, 'wb') as f:
        f.truncate(parse_size(size))
    _run('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', image)


def mount(source, path, commit=None):
    """Mounts a device, or a file by a new loop device. commit: seconds of the journal's timer; the kernel's own are 5."""
    options = [o for o in ('loop' if os.path.isfile(source) else '', 'commit=%d' % commit if commit else '') if o]
    _run('mount', '-t', 'ext4', *(['-o', ','.join(options)] if options else []), source, path)


def unmount(path, seconds=10):
    """Waits for processes that were killed a moment ago; raises where one still holds it after the time."""
    end = time.monotonic() + seconds
    while True:
        try:
            return _run('umount', path)
        except OSError as e:
            if 'busy' not in str(e) or time.monotonic() > end:
                raise
            time.sleep(.02)


def cut(path):
    """From now on nothing reaches the device, and every access fails."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack('I', NOLOGFLUSH))
    finally:
        os.close(folder)


def written_bytes(path):
    """What was written to the block device below path so far, the cached rest forced out first."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        device = os.fstat(folder).st_dev
    finally:
        os.close(folder)
    with contextlib.suppress(OSError):      # after a cut
        _run('sync', '--file-system', path)
    with open('/proc/diskstats') as f:
        for line in f:
            fields = line.split()
            if (int(fields[0]), int(fields[1])) == (os.major(device), os.minor(device)):
                return int(fields[9]) * 512
    raise OSError(errno.ENODEV, 'not in /proc/diskstats', path)


class LoopExt4:
    """A file system of its own, unmounted and gone at the end of the with block."""

    def __init__(self, size='64M', commit=None, mode=0o755, folder=None):
        """commit as for mount(); mode of the mounted folder; folder: where image and mount point go, else in /var/tmp."""
        self.commit = commit
        self.top = tempfile.mkdtemp(prefix='tbagent-ext4.', dir=folder or '/var/tmp')
        os.chmod(self.top, 0o755)
        self.path = os.path.join(self.top, 'disk')
        image = os.path.join(self.top, 'image')
        # The guard ends when its standard input does, which is when this process closes it or is no more.
        self.guard = subprocess.Popen(
            ['sh', '-c', 'cat; umount -l "$1/disk"; losetup -j "$1/image" -n -O NAME | xargs -r losetup -d; '
             'rm -rf --one-file-system "$1"', 'guard', self.top],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            os.mkdir(self.path)
            make(image, size)
            self.device = _run('losetup', '--find', '--show', image)
            mount(self.device, self.path, commit)
            os.chmod(self.path, mode)
            _run('sync', '--file-system', self.path)
        except BaseException:
            self.close()
            raise

    def written_bytes(self):
        return written_bytes(self.path)

    def cut(self):
        cut(self.path)

    def remount(self):
        """As after a reboot. Whatever used the folder has to be killed before."""
        unmount(self.path)
        mount(self.device, self.path, self.commit)

    def close(self):
        with contextlib.suppress(OSError):
            unmount(self.path, 2)
        self.guard.stdin.close()
        self.guard.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


USAGE = '''usage: ext4-cut make IMAGE SIZE MOUNTPOINT    a new file system in a file, mounted
       ext4-cut cut MOUNTPOINT                the power is gone: kill its users, then umount
       ext4-cut mount IMAGE MOUNTPOINT
       ext4-cut stat MOUNTPOINT               bytes written to the block device so far'''


def main(arguments):
    if len(arguments) == 4 and arguments[0] == 'make':
        make(arguments[1], arguments[2])
        mount(arguments[1], arguments[3])
    elif len(arguments) == 2 and arguments[0] == 'cut':
        cut(arguments[1])
    elif len(arguments) == 3 and arguments[0] == 'mount':
        mount(arguments[1], arguments[2])
    elif len(arguments) == 2 and arguments[0] == 'stat':
        print(written_bytes(arguments[1]))
    else:
        sys.exit(USAGE)


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as e:
        sys.exit('ext4-cut: %s' % e)
