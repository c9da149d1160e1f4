# SPDX-License-Identifier: Apache-2.0
"""For the tests of guest/: the vectors of tests/unit/i2c-vectors.c as chips of the simulated bus (modules/README.md).

    for vector in vectors():
        i2c.say(*vector.commands(bus=1))
        vector.config('v1')         # 'v1 = { chip = "bme280"; address = 0x76; };'"""
import re

import machine


def crc8(data, init=0xff):
    """As Sensirion's chips have it."""
    for byte in data:
        init ^= byte
        for _ in range(8):
            init = (init << 1 ^ 0x31) & 0xff if init & 0x80 else init << 1
    return init


def words(*numbers):
    """Words with their checksums, as digits."""
    return ''.join('%04x%02x' % (n, crc8(n.to_bytes(2, 'big'))) for n in numbers)


class Vector:
    """One chip: what it sends, and the values that means. `values` {quantity: (value, tolerance)}, `bad` {quantity: reason}."""

    def __init__(self, chip):
        self.chip, self.source, self.address = chip, '', 0
        self.options, self.lines, self.values, self.bad = [], [], {}, {}

    def take(self, word, rest):
        first, _, more = rest.partition(' ')
        if word == 'source':
            self.source = rest
        elif word == 'address':
            self.address = int(rest, 16)
        elif word == 'option':
            self.options.append((first, more))
        elif word == 'chip':
            self.lines.append(rest)
        elif word == 'expect':
            self.values[first] = tuple(map(float, more.split()))
        elif word == 'bad':
            self.bad[first] = more
        else:
            raise ValueError('vectors: what is "%s"?' % word)

    def config(self, name):
        """As a member of `chips`."""
        text = ['chip = "%s"; address = 0x%02x;' % (self.chip, self.address)]
        for option, value in self.options:
            value = '[%s]' % ', '.join('"%s"' % v for v in value.split('|')) if option == 'inputs' else value
            text.append('%s = %s;' % (option, value))
        return '%s = { %s };' % (name, ' '.join(text))

    def right(self, quantity, value):
        wanted, tolerance = self.values[quantity]
        return abs(value - wanted) <= tolerance + 1e-12

    # -- as commands of i2c-sim ------------------------------------------------------------------------------------------
    def _parse(self):
        """model, {register or command: bytes}, [(key, msec, kind, [(register, bytes while busy)], [(register, bytes then)])]"""
        model, cells, starts = None, {}, []
        for line in self.lines:
            if line.startswith('model '):
                model = line[6:]
            elif line.startswith('start '):
                _, key, usec, kind = line.split()
                starts.append((key, int(usec) // 1000, kind, [], []))
            elif not line.startswith('need '):      # no rule of the module has two conditions
                key, data = re.fullmatch(r'(?:busy |then )?(\w+): ([0-9a-f ]+)', line).groups()
                where = starts[-1][3 if line[0] == 'b' else 4] if line[:5] in ('busy ', 'then ') else None
                if where is None:
                    cells[key] = data.replace(' ', '')
                else:
                    where.append((key, data.replace(' ', '')))
        return model, cells, starts

    def commands(self, bus):
        """What makes it on that bus."""
        where = '%d:%02x' % (bus, self.address)
        model, cells, starts = self._parse()
        if model == 'commands' or any(kind == 'nack' for _, _, kind, _, _ in starts):
            return self._as_commands(where, model, cells, starts)
        return self._as_registers(where, model, cells, starts)

    @staticmethod
    def _as_registers(where, model, cells, starts):
        wide = model == 'words' and all(len(d) == 4 for d in cells.values()) and all(len(s[0]) == 6 for s in starts)
        out = ['registers %s%s' % (where, ' width=2' if wide else '')]
        out += ['set %s %s %s' % (where, key, data) for key, data in cells.items()]
        for key, msec, _, busy, then in starts:
            if len(key) > 2:
                rule = 'when %s %s %s' % (where, key[:2], key[2:])
            else:       # an order without data: from when the register that it changes was looked at
                rule = 'onread %s %s %s' % (where, then[0][0], cells[then[0][0]])
            out += ['%s 0 %s %s' % (rule, reg, data) for reg, data in busy]
            out += ['%s %d %s %s' % (rule, msec, reg, data) for reg, data in then]
        return out

    @staticmethod
    def _as_commands(where, model, cells, starts):
        """The answers of a command do not depend on what other commands did before: they are those of the end."""
        status = [data for s in starts for _, data in s[3]] + [cells[s[0]] for s in starts if s[2] == 'old' and s[0] in cells]
        out = ['commands %s%s' % (where, ' busy=' + status[0] if status else '')]
        answers = dict(cells)
        for _, _, _, _, then in starts:
            answers.update(then)
        delays = {key: msec for key, msec, kind, _, _ in starts if kind == 'nack' or key in answers}
        orders = {key for key, *_ in starts} - set(answers)
        if model == 'words':
            orders.add('02')    # the settings
        out += ['answer %s %s %d %s keep=1' % (where, key, delays.get(key, 0), data) for key, data in answers.items()]
        return out + ['answer %s %s %d -' % (where, key, delays.get(key, 0)) for key in sorted(orders)]


def vectors():
    found = []
    with open(machine.RIG + '/i2c-vectors', encoding='utf8') as f:
        for line in f.read().splitlines():
            word, _, rest = line.partition(' ')
            if word == 'vector':
                found.append(Vector(rest))
            elif word != 'end':
                found[-1].take(word, rest)
    return found


def vector(chip, address=None):
    """The first one of a chip, at another address perhaps."""
    found = next(v for v in vectors() if v.chip == chip)
    found.address = address or found.address
    return found
