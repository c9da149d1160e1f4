# SPDX-License-Identifier: Apache-2.0
"""For the tests of guest/: simulated hardware behind the kernel's own drivers (modules/README.md says what it can do).

    gpio = case.using(Gpio({17: 'GPIO17'}, lines=54, label='pinctrl-bcm2835'))
    gpio.pull(17, True)

    i2c = case.using(I2c(1))
    i2c.say('registers 1:48 width=2', 'set 1:48 0 1980')

    wire = case.using(OneWire())
    wire.sensor('28-000005e2fdc3', temp=21000)
    wire.wait_for('28-000005e2fdc3')

Each leaves nothing behind when the case ends."""
import collections
import contextlib
import errno
import fcntl
import glob
import os
import re

import machine
from tap import Failed

CONFIGFS = '/sys/kernel/config'
W1 = '/sys/bus/w1/devices'


def read(path):
    with open(path, encoding='utf8') as f:
        return f.read().strip()


def write(path, text):
    with open(path, 'w', encoding='utf8') as f:
        f.write(text)


def errors(function, *arguments):
    """The name of the error that a call ends with, None without."""
    try:
        function(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]
    return None


@contextlib.contextmanager
def opened(device, address):
    """A descriptor of an I2C bus whose read() and write() are transfers with this address."""
    I2C_SLAVE = 0x703
    fd = os.open(device, os.O_RDWR)
    try:
        fcntl.ioctl(fd, I2C_SLAVE, address)
        yield fd
    finally:
        os.close(fd)


def load(name, *needs):
    """One of our kernel modules, and modules of the kernel before it, with parameters behind them: 'wire timeout=1'."""
    for module in needs:
        machine.run('modprobe', *module.split())
    if not os.path.exists('/sys/module/' + name.replace('-', '_')):
        machine.run('insmod', '%s/modules/%s.ko' % (machine.RIG, name))


def unload(name):
    machine.run('rmmod', name)


class Gpio:
    """A chip of the kernel's gpio-sim. names: {offset: line name}. path: its device; name: gpiochipN."""
    made = 0

    def __init__(self, names=(), lines=8, label='rig'):
        load('gpio-sim', 'configfs')
        if not os.path.isdir(CONFIGFS + '/gpio-sim'):
            machine.run('mount', '-t', 'configfs', 'none', CONFIGFS)
        Gpio.made += 1
        self.folder = '%s/gpio-sim/rig%d' % (CONFIGFS, Gpio.made)
        self.bank = self.folder + '/bank'
        self.lines = [self.bank + '/line%d' % offset for offset in dict(names)]
        for folder in [self.folder, self.bank] + self.lines:
            os.mkdir(folder)
        for offset, name in dict(names).items():
            write(self.bank + '/line%d/name' % offset, name)
        write(self.bank + '/num_lines', str(lines))
        write(self.bank + '/label', label)
        self.plug()

    def plug(self):
        write(self.folder + '/live', '1')
        self.name = read(self.bank + '/chip_name')
        self.device = '/sys/devices/platform/%s/%s' % (read(self.folder + '/dev_name'), self.name)
        self.path = '/dev/' + self.name
        machine.wait_for(lambda: os.path.exists(self.path), 10, self.path)

    def unplug(self):
        write(self.folder + '/live', '0')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.unplug()
        for folder in self.lines + [self.bank, self.folder]:
            os.rmdir(folder)

    def pull(self, offset, high):
        """What is connected to the line: a level that an input has, and an output when nobody drives it."""
        write('%s/sim_gpio%d/pull' % (self.device, offset), 'pull-up' if high else 'pull-down')

    def value(self, offset):
        return read('%s/sim_gpio%d/value' % (self.device, offset)) == '1'

    def base(self):
        """Of the global numbers that the kernel's traces have."""
        return int(read(glob.glob('/sys/bus/gpio/devices/%s/../gpio/gpiochip*/base' % self.name)[0]))


class Simulation:
    """A module that has a control file. Context manager."""

    def __init__(self, name, *needs):
        self.folder = '/sys/kernel/debug/' + name
        load(name, *needs)

    def say(self, *lines):
        """Commands; what the last one answers. What a command did not like is what this raises."""
        try:
            write(self.folder + '/control', '\n'.join(lines))
        except OSError as e:
            raise Failed('%s: %s: %s' % (lines, e.strerror, read(self.folder + '/control'))) from None
        return read(self.folder + '/control')

    def state(self, kind, name):
        """A line of its state, as {name: number or text}; kind: bus, sensor, chip."""
        for line in read(self.folder + '/state').splitlines():
            words = line.split()
            if words[:2] == [kind, str(name)]:
                pairs = (word.split('=', 1) for word in words[2:])
                return {k: int(v) if re.fullmatch(r'-?\d+', v) else v for k, v in pairs}
        raise Failed('there is no %s %s' % (kind, name))

    def __enter__(self):
        return self


Message = collections.namedtuple('Message', 'read address data')       # data: hexadecimal digits, '2?' for a read that failed
Transfer = collections.namedtuple('Transfer', 'bus messages result fault')


class I2c(Simulation):
    """Buses with these numbers, /dev/i2c-N, and no chips. Commands are said by say()."""

    def __init__(self, *buses):
        super().__init__('i2c-sim', 'i2c-dev')
        self.buses = buses or (1,)
        for bus in self.buses:
            self.plug(bus)

    def plug(self, bus):
        """Once nobody has open any more what was there before."""
        def comes():
            try:
                self.say('bus %d' % bus)
            except Failed as e:
                if 'open still' not in str(e):
                    raise
                return False
            return True
        machine.wait_for(comes, 10, 'the last who has bus %d open' % bus)
        machine.wait_for(lambda: os.path.exists('/dev/i2c-%d' % bus), 10, '/dev/i2c-%d' % bus)

    def unplug(self, bus):
        """Ends when the device is gone, or when somebody has it open still."""
        self.say('unplug %d' % bus)

    def __exit__(self, *_):
        for bus in self.buses:
            with contextlib.suppress(Failed):       # the test has unplugged it
                self.unplug(bus)
        self.say('clear')
        for bus in self.buses:
            machine.wait_for(lambda: not os.path.exists('/dev/i2c-%d' % bus), 20, 'the end of /dev/i2c-%d: who has it open?' % bus)
        machine.wait_for(lambda: machine.succeeds('rmmod', 'i2c-sim'), 10, 'the end of i2c-sim')

    def log(self):
        """What was seen on the buses since `clearlog`."""
        found = []
        for line in read(self.folder + '/log').splitlines():
            head, _, tail = line.partition(' = ')
            if not tail:
                raise Failed('the log lost what was before: ' + line)
            _, bus, *messages = head.split()
            result, _, fault = tail.partition(' ')
            found.append(Transfer(int(bus[4:]), [Message(m[0] == 'r', int(m[1:3], 16), m[4:]) for m in messages],
                                  int(result), fault))
        return found

    def written(self):
        """{address: [data of each message written there]} of the log; '' is a probe that writes nothing."""
        found = collections.defaultdict(list)
        for transfer in self.log():
            for message in transfer.messages:
                if not message.read:
                    found[message.address].append(message.data)
        return dict(found)


class OneWire(Simulation):
    """Buses 1 .. N with the kernel's thermometer driver, and no sensors. A search looks for them once a second."""

    def __init__(self, buses=1):
        super().__init__('w1-sim', 'wire timeout=1 slave_ttl=2', 'w1_therm')
        # The kernel has modprobe look for the driver of each new sensor, which is there: half a second each, emulated.
        write('/proc/sys/kernel/modprobe', '\n')
        self.masters = {}       # number of the bus: folder of the kernel's master
        for bus in range(1, buses + 1):
            self.plug(bus)

    def plug(self, bus=1):
        before = set(glob.glob(W1 + '/w1_bus_master*'))
        self.say('bus %d on' % bus)
        self.masters[bus], = set(glob.glob(W1 + '/w1_bus_master*')) - before

    def unplug(self, bus=1):
        self.say('bus %d off' % bus)
        del self.masters[bus]

    def __exit__(self, *_):
        for bus in list(self.masters):
            self.unplug(bus)
        unload('w1-sim')
        write('/proc/sys/kernel/modprobe', '/sbin/modprobe\n')

    def sensor(self, ident, bus=1, kind=None, **options):
        """A new one; options as in modules/README.md."""
        words = ['kind=' + kind] if kind else []
        self.say(' '.join(['sensor %d %s' % (bus, ident)] + words + ['%s=%d' % o for o in options.items()]))

    def set(self, ident, **options):
        self.say(' '.join(['set ' + ident] + ['%s=%d' % o for o in options.items()]))

    def sensors(self):
        """Ids as the kernel has them."""
        return sorted(n for n in os.listdir(W1) if not n.startswith('w1_bus_master'))

    def wait_for(self, *idents, seconds=20):
        """Has the kernel search until it has just these."""
        def found():
            for master in self.masters.values():
                write(master + '/w1_master_search', '-1')
            return self.sensors() == sorted(idents)
        try:
            machine.wait_for(found, seconds, 'sensors %s' % ' '.join(idents))
        except Failed as e:
            raise Failed('%s; there are %s' % (e, ' '.join(self.sensors()))) from None

    def keep(self):
        """No search any more: the kernel keeps what it has, whether that answers or not."""
        for master in self.masters.values():
            write(master + '/w1_master_search', '0')

    def count(self, ident, what):
        return self.state('sensor', ident)[what]
