# SPDX-License-Identifier: Apache-2.0
"""What the server has stored: series with one row for each (key, ts), latest values, attributes, and counts.

Writes happen a moment AFTER the PUBACK (THINGSBOARD.md 0 fact 4), in order, from one queue."""
import time
from array import array

import values
from gson import TooDeep
from lane import Lane

GAP_KEY = 'tbagent_gap'     # the agent's own records of lost data: given apart, not counted


class Order:
    """Inversions among first arrivals, key by key."""

    def __init__(self):
        self.newest = {}        # key -> largest ts so far
        self.inversions = 0

    def put(self, key, ts):
        newest = self.newest.get(key)
        if newest is not None and ts < newest:
            self.inversions += 1
        else:
            self.newest[key] = ts


class Lanes:
    """Whether first arrivals, key by key, may be two lanes that are each in order: live and backlog."""

    def __init__(self):
        self.newest = {}        # key -> [largest ts of each lane], the larger first
        self.misfits = 0

    def put(self, key, ts):
        newest = self.newest.setdefault(key, [ts, float('-inf')])
        for lane in (0, 1):
            if ts >= newest[lane]:
                newest[lane] = ts
                return
        self.misfits += 1


class Series:
    """The time series of one device."""

    def __init__(self):
        self.rows = {}          # key -> {ts: value}
        self.latest = {}        # key -> (ts, value)
        self.all, self.young, self.old, self.lanes = Order(), Order(), Order(), Lanes()
        self.stored = self.duplicated = self.lost = 0
        self.arrivals = array('q')      # of every first arrival: ts, and when it was stored
        self.types = {}
        self.gaps = []

    @property
    def reordered(self):
        return self.all.inversions

    def put(self, key, ts, value, young=True):
        """Upsert; the latest value moves only if ts >= its own (upsert_and_latest). True: a new row. What is young at its
        arrival and what is not are also orders of their own."""
        rows = self.rows.setdefault(key, {})
        new = ts not in rows
        rows[ts] = value
        latest = self.latest.get(key)
        if latest is None or ts >= latest[0]:
            self.latest[key] = (ts, value)
        if key == GAP_KEY:
            if new:
                self.gaps.append((ts, value))
        elif new:
            self._count(key, ts, value, young)
        else:
            self.duplicated += 1
        return new

    def _count(self, key, ts, value, young):
        self.stored += 1
        name = values.type_name(value)
        self.types[name] = self.types.get(name, 0) + 1
        self.all.put(key, ts)
        self.lanes.put(key, ts)
        (self.young if young else self.old).put(key, ts)
        self.arrivals.extend((ts, int(time.time() * 1000)))

    def range(self, key, start, end, limit, newest_first=True):
        rows = self.rows.get(key, {})
        times = sorted((t for t in rows if start <= t < end), reverse=newest_first)[:limit]
        return [(t, rows[t]) for t in times]

    def count(self, prefix=''):
        """With a prefix: `stored` and `keys` are of keys that begin so, the rest is of all."""
        keys = sorted(k for k in self.rows if k != GAP_KEY and k.startswith(prefix))
        stored = sum(len(self.rows[k]) for k in keys) if prefix else self.stored
        return dict(stored=stored, duplicated=self.duplicated, reordered=self.reordered, reordered_young=self.young.inversions,
                    reordered_old=self.old.inversions, unordered=self.lanes.misfits, types=dict(self.types), keys=keys,
                    lost_entries=self.lost, gaps=[dict(ts=t, value=v) for t, v in self.gaps])

    def lag(self, since):
        """From the time of a row to when it was stored, in ms, of the first arrivals not older than since."""
        lags = sorted(at - ts for ts, at in zip(self.arrivals[::2], self.arrivals[1::2]) if ts >= since)
        out = {'p%g' % p: lags[min(len(lags) - 1, int(len(lags) * p / 100))] if lags else None for p in (50, 90, 99, 99.9)}
        return dict(out, points=len(lags), max=lags[-1] if lags else None)


class KeyDictionary:
    """The server numbers keys as it meets them and lists a device's keys in that order. The recorded one met these
    first (recordings telemetry_object, v2_topics)."""

    def __init__(self):
        self.ids = {key: i for i, key in enumerate(('s', 'b', 'd', 'l', 'after', 'a'))}

    def add(self, key):
        self.ids.setdefault(key, len(self.ids))

    def sort(self, keys):
        return sorted(keys, key=self.ids.__getitem__)


class Writer:
    """The queue between PUBACK and the data base."""

    def __init__(self, delay, stored=None, young=7):
        self.delay, self.young = delay, young
        self.lane = Lane()
        self.keys = KeyDictionary()
        self.stored = stored or (lambda device, rows: None)

    def telemetry(self, device, entries, now_ms):
        self.lane.put(self.delay, self._telemetry, device, entries, now_ms)

    def client_attributes(self, device, items):
        self.lane.put(self.delay, self._attributes, device, items)

    def _telemetry(self, device, entries, now_ms):
        """Each entry is saved as a whole or not at all (recordings telemetry_key_*)."""
        rows = 0
        for ts, items in entries:
            cast = self._cast(items)
            if cast is None:
                device.series.lost += 1
                continue
            ts = now_ms if ts is None else ts
            young = now_ms - ts <= self.young * 1000
            for key, value in cast.items():
                self.keys.add(key)
                rows += device.series.put(key, ts, value, young)
        self.stored(device, rows)

    def _attributes(self, device, items):
        cast = self._cast(items)
        if cast is not None:
            device.client.update(cast)

    @staticmethod
    def _cast(items):
        if not all(map(values.key_is_good, items)):
            return None
        try:
            return {key: values.cast(value) for key, value in items.items()}
        except (TooDeep, RecursionError):
            return None
