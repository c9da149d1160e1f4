# SPDX-License-Identifier: Apache-2.0
"""Faults that tests switch on by POST /standin/faults; README.md beside this file lists them.

Each is one member of one dictionary; null, false or 0 lifts it. Numbers of times count down; -1 means always."""
from limits import Bucket

DEFAULTS = dict(
    accept=None,             # 'close', 'reset', 'hang', 'unlisten'
    connack=None,            # code, 'close' (no CONNACK) or 'silent'
    connack_times=-1,        # how many CONNECTs the fault above takes
    mqtt5=None,              # 'unsupported' (0x84), 'v3' (3.1.1 CONNACK 0x01) or 'close'
    close_before_puback=0,   # times
    close_stores=True,       # whether the message before such a close is stored
    close_how='close',       # 'close' or 'reset'
    drop_acks=0,             # times: stored, never acknowledged, connection stays
    ack_delay=0,             # seconds
    ack_reorder=0,           # acks held back and sent in reverse order
    hidden_messages=None,    # per device, number a second or "capacity:seconds,..."; over it: DISCONNECT 0x83, no PUBACK
    hidden_points=None,
    session_limits=None,     # 'silent' or an object sent instead of the right answer
    ping=None,               # 'silent'
    suback=None,             # 'silent', 'refuse'
    downlink_reorder=0,      # attribute updates and answers held back and sent in another order
    downlink_hold=0.05,      # seconds, until they go out although there are fewer
    attribute_answers=None,  # 'silent', or how many attribute requests are not answered
    rpc_duplicate=0,         # times an RPC request is sent twice
    provision_lost=0,        # times the connection is closed in place of the answer SUCCESS
)
_CHOICES = dict(accept=('close', 'reset', 'hang', 'unlisten'), mqtt5=('unsupported', 'v3', 'close'), ping=('silent',),
                suback=('silent', 'refuse'), close_how=('close', 'reset'))


class Faults:
    """The switched-on faults as attributes."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.__dict__.update(DEFAULTS)
        self.buckets = {}

    def shown(self):
        return {name: getattr(self, name) for name in DEFAULTS}

    def set(self, wanted):
        """Takes over all members or, on a wrong one, none."""
        for name, value in wanted.items():
            if name not in DEFAULTS:
                raise ValueError('unknown fault %r; known: %s' % (name, ', '.join(DEFAULTS)))
            if value and name in _CHOICES and value not in _CHOICES[name]:
                raise ValueError('%s: one of %s' % (name, ', '.join(_CHOICES[name])))
            if value and name.startswith('hidden_'):
                _bucket(value)
            counted = type(DEFAULTS[name]) in (int, float) or name == 'attribute_answers' and value != 'silent'
            if value and counted and not isinstance(value, (int, float)):
                raise ValueError('%s: a number' % name)
        for name, value in wanted.items():
            default = DEFAULTS[name]
            setattr(self, name, value if value or isinstance(default, bool) else default)
        self.buckets = {}

    def spend(self, name):
        """True if the counted fault strikes now."""
        left = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0

    def connack_now(self):
        """The fault for this CONNECT, if there is one."""
        return self.connack if self.connack is not None and self.spend('connack_times') else None

    def answer_lost(self):
        """Whether this attribute request gets no answer."""
        return self.attribute_answers == 'silent' or bool(self.attribute_answers) and self.spend('attribute_answers')

    def over_hidden_limit(self, device, points):
        for name, count in (('hidden_messages', 1), ('hidden_points', points)):
            text = getattr(self, name)
            if text and (name, device) not in self.buckets:
                self.buckets[name, device] = _bucket(text)
            if text and not self.buckets[name, device].take(count):
                return True
        return False


def _bucket(value):
    text = value if isinstance(value, str) else '%g:1' % value
    return Bucket(text)
