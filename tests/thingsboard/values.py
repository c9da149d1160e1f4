# SPDX-License-Identifier: Apache-2.0
"""What becomes of a payload: entries with a time, and the type each value is stored with.

A value is typed twice (THINGSBOARD.md 3.2): by the transport, and again by the root rule chain from the text that
Java prints for the first result. Types are Python's: bool BOOLEAN, int LONG, float DOUBLE, str STRING, list and
dict JSON. The recordings `numbers` hold every row of the table."""
import json
import re
from decimal import Decimal, InvalidOperation

import gson
from gson import Num, TooDeep


class BadPayload(Exception):
    """Refused by the adaptor: PUBACK 0x99 or close (1.4)."""


class Uncaught(Exception):
    """An error the adaptor does not catch: DISCONNECT 0x8B or close (1.4)."""


LONG_MIN, LONG_MAX = -2 ** 63, 2 ** 63 - 1
MAX_EXPONENT = 100000   # the real server expands exponents until its memory is gone; here the message is lost
_SHORT_INT = re.compile(r'-?[0-9]{1,18}\Z')
_SHORT_DECIMAL = re.compile(r'-?[0-9]{0,300}\.[0-9]{1,16}\Z')
_PARSABLE = re.compile(r'-?(\d+|\d*\.\d+)\Z')    # commons-lang NumberUtils.isParsable; digits of any script
_MARKUP = re.compile(r'<[a-zA-Z/!?]|\{\{.*\}\}', re.S)
_TYPES = {bool: 'BOOLEAN', int: 'LONG', float: 'DOUBLE', str: 'STRING', dict: 'JSON', list: 'JSON'}


def type_name(value):
    return _TYPES[type(value)]


def numeric(text):
    """JsonConverter.buildNumericKeyValueProto: int, float or str by the way the number is written."""
    if _SHORT_INT.match(text):
        return int(text)
    if _SHORT_DECIMAL.match(text):
        return float(text) + 0.0     # a BigDecimal has no negative zero
    number = _decimal(text)
    digits, exponent = number.as_tuple()[1:]
    simple = '.' in text and 'e' not in text and 'E' not in text
    if _integral(digits, exponent) and not simple:
        if len(digits) + exponent > 20 or not LONG_MIN <= int(number) <= LONG_MAX:
            return plain(number)
        return int(number)
    return float(number) + 0.0 if -exponent <= 16 else plain(number)


def _decimal(text):
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise TooDeep('exponent') from None
    if not number.is_finite() or abs(number.as_tuple().exponent) > MAX_EXPONENT:
        raise TooDeep('exponent')
    return number


def _integral(digits, exponent):
    """stripTrailingZeros().scale() <= 0."""
    if exponent >= 0 or not any(digits):
        return True
    return len(digits) > -exponent and not any(digits[exponent:])


def plain(number):
    """BigDecimal.toPlainString."""
    return format(abs(number) if number.is_zero() else number, 'f')


def java_double(value):
    """Double.toString (its rare superfluous last digits before Java 19 are not copied)."""
    if value in (float('inf'), float('-inf')):
        return 'Infinity' if value > 0 else '-Infinity'
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = ''.join(map(str, digits))
    return '%s%s.%sE%d' % ('-' if sign else '', text[0], text[1:] or '0', exponent + len(text) - 1)


def to_json(value):
    """As the server writes it: no blanks, doubles as Java prints them (1.0E7)."""
    kind = type(value)
    if kind is float:
        text = java_double(value)
        return text if text[-1].isdigit() else '"%s"' % text
    if kind is dict:
        return '{%s}' % ','.join('%s:%s' % (json.dumps(k, ensure_ascii=False), to_json(v)) for k, v in value.items())
    if kind in (list, tuple):
        return '[%s]' % ','.join(map(to_json, value))
    return json.dumps(value, ensure_ascii=False)


def _second_pass(value):
    """The rule chain reads the double again from Java's text: 10000000.0 becomes LONG, 1.0E-16 STRING."""
    if 1e-3 <= abs(value) < 1e7:
        text = repr(value)
        return value if len(text) - text.index('.') <= 17 else text
    text = java_double(value)
    return text if 'I' in text else numeric(text)


def cast(value):
    """The stored form of a value from gson.parse; the caller leaves nulls out before."""
    out = cast_once(value)
    return _second_pass(out) if type(out) is float else without_nul(out)


def cast_once(value):
    """What the transport or the REST API makes of it; what REST writes is not read again by the rule chain."""
    kind = type(value)
    if kind is Num:
        return numeric(value)
    if kind is str:
        return numeric(value) if value and _PARSABLE.match(value) else value
    return value if kind is bool else nested(value)


def without_nul(value):
    """The data base takes no U+0000."""
    return value.replace('\0', '') if type(value) is str else value


def nested(value):
    """A value inside JSON: not cast; null members of objects vanish, arrays keep theirs (telemetry_nested_json)."""
    kind = type(value)
    if kind is Num:
        if _SHORT_INT.match(value):
            return int(value)
        number = _decimal(value)
        return int(number) if number.as_tuple().exponent == 0 else float(number)
    if kind is dict:
        return {k: nested(v) for k, v in value.items() if v is not None}
    if kind is list:
        return [nested(v) for v in value]
    return value


def key_is_good(key):
    """KvUtils and NoXssValidator (3.3, recordings telemetry_key_*): else the whole entry is lost after its PUBACK."""
    if not key.strip() or '\0' in key:
        return False
    if len(key) > 127 and len(key.encode('utf-16-le', 'replace')) > 510:
        return False
    return not (('<' in key or '{' in key) and _MARKUP.search(key))


def parse(payload):
    try:
        return gson.parse(gson.decode(payload))
    except gson.Malformed as e:
        raise BadPayload(str(e)) from None


def parse_object(payload):
    value = parse(payload)
    if type(value) is not dict:
        raise BadPayload('not an object')
    return value


def telemetry(payload):
    """[(ts or None, {key: raw value})]: one entry for each object of the payload."""
    document = parse(payload)
    if type(document) is dict:
        return [_entry(document)]
    if type(document) is not list or any(type(x) is not dict for x in document):
        raise BadPayload('neither an object nor an array of objects')
    return [_entry(x) for x in document]


def _entry(item):
    if 'ts' not in item or 'values' not in item:
        return None, _without_nulls(item)
    ts = as_long(item['ts'])
    if type(item['values']) is not dict:
        raise BadPayload('values is not an object')
    return ts, _without_nulls(item['values'])


def _without_nulls(item):
    return {k: v for k, v in item.items() if v is not None} if None in item.values() else item


def attributes(payload):
    return _without_nulls(parse_object(payload))


def as_long(value):
    """Gson's getAsLong on `ts`: numbers are cut and wrap, other kinds are errors nobody catches (1.4, 3.1)."""
    if type(value) is list:
        if len(value) != 1:
            raise BadPayload('ts is an array')
        return as_long(value[0])
    if type(value) is Num:
        return _wrapped(value)
    if type(value) is str and re.match(r'[+-]?\d+\Z', value) and len(value) < 30:
        number = int(value)
        if LONG_MIN <= number <= LONG_MAX:
            return number
    raise Uncaught('ts is not a number')


def _wrapped(text):
    """BigDecimal.longValue: the low 64 bits; 1e400 is 0."""
    try:
        number = Decimal(text)
        if not number.is_finite() or number.as_tuple().exponent > 64 or number.adjusted() < 0:
            return 0
    except InvalidOperation:
        return 0
    return (int(number) + 2 ** 63) % 2 ** 64 - 2 ** 63
