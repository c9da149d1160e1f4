# SPDX-License-Identifier: Apache-2.0
"""Rate limits as the server keeps them: token buckets by "capacity:seconds,..." (THINGSBOARD.md 3.4, rate_limit)."""
import time


class Bucket:
    """Refills greedily; a take passes only if every bandwidth of the text has enough."""

    def __init__(self, text, now=None):
        now = time.monotonic() if now is None else now
        self.bands = []
        for part in (text or '').split(','):
            if part.strip():
                capacity, seconds = part.split(':')
                self.bands.append([float(capacity), float(capacity) / float(seconds), float(capacity), now])

    def take(self, count=1, now=None):
        now = time.monotonic() if now is None else now
        for band in self.bands:
            band[2] = min(band[0], band[2] + (now - band[3]) * band[1])
            band[3] = now
        if any(band[2] < count - 1e-9 for band in self.bands):
            return False
        for band in self.bands:
            band[2] -= count
        return True


KINDS = ('messages', 'telemetryMessages', 'telemetryDataPoints')
_FIELDS = dict(zip(KINDS, ('MsgRateLimit', 'TelemetryMsgRateLimit', 'TelemetryDataPointsRateLimit')))


class RateLimits:
    """The buckets of the tenant and of each device, made from the tenant profile's configuration."""

    def __init__(self, configuration):
        self.configuration = configuration
        self.buckets = {}

    def text(self, scope, kind):
        return self.configuration.get('transport%s%s' % (scope, _FIELDS[kind])) or None

    def set(self, kind, text):
        self.configuration['transportDevice' + _FIELDS[kind]] = text
        self.reset()

    def reset(self):
        """A saved profile starts all buckets anew."""
        self.buckets = {}

    def session_limits(self):
        return {kind: self.text('Device', kind) for kind in KINDS}

    def allow(self, device, points):
        """With points: telemetry messages and data points; without: messages."""
        wanted = (('telemetryMessages', 1), ('telemetryDataPoints', points)) if points else (('messages', 1),)
        for scope, owner in (('Tenant', ''), ('Device', device)):
            for kind, count in wanted:
                text = self.text(scope, kind)
                if text and not self._bucket(owner, kind, text).take(count):
                    return False
        return True

    def _bucket(self, owner, kind, text):
        found = self.buckets.get((owner, kind))
        if found is None:
            found = self.buckets[owner, kind] = Bucket(text)
        return found


def parse_option(text):
    """`messages=10:1,300:60;telemetryDataPoints=20:1` -> {kind: text}."""
    out = {}
    for part in filter(None, (text or '').split(';')):
        kind, _, value = part.partition('=')
        if kind.strip() not in KINDS:
            raise ValueError('unknown limit %r; known: %s' % (kind, ', '.join(KINDS)))
        Bucket(value)
        out[kind.strip()] = value.strip() or None
    return out
