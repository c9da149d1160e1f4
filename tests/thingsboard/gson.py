# SPDX-License-Identifier: Apache-2.0
"""JSON as ThingsBoard's parser (Gson, lenient) reads it: THINGSBOARD.md 3.1.

Numbers keep their text (class Num) because the server decides the type of a value by the way it is written.
Good JSON takes the quick way through the json module; only what that refuses goes to the lenient reader."""
import json
import re


class Num(str):
    """A number as it was written."""
    __slots__ = ()


class Malformed(ValueError):
    """Text that even the lenient parser refuses."""


class TooDeep(ValueError):
    """Nesting or an exponent that hurts the real server: it acknowledges and stores nothing (3.1, 3.2)."""


_STRICT = json.JSONDecoder(parse_int=Num, parse_float=Num, parse_constant=str)   # NaN, Infinity: unquoted strings
_NUMBER = re.compile(r'-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z')
_UNQUOTED = re.compile(r'[^/\\;#={}\[\]:, \t\f\r\n]+')
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_LINE = re.compile(r'[^\r\n]*')
_HEX = re.compile(r'[0-9a-fA-F]{4}')
_ESCAPES = {'t': '\t', 'b': '\b', 'n': '\n', 'r': '\r', 'f': '\f', '\n': '\n', "'": "'", '"': '"', '\\': '\\', '/': '/'}
_KEYWORDS = {'true': True, 'false': False, 'null': None}
_GUARD = ")]}'\n"     # Gson skips this prefix
_LONGEST_NUMBER = 1023   # a longer one is an unquoted string for Gson


def decode(payload):
    """Bytes to text: what is not UTF-8 becomes U+FFFD (recording telemetry_bad_utf8)."""
    return payload.decode('utf-8', 'replace')


def parse(text):
    """The value of a document; None for an empty one, as Gson has it."""
    try:
        value = _STRICT.decode(text)
    except RecursionError:
        raise TooDeep('nesting') from None
    except ValueError:
        value = _lenient(text)
    return _join_surrogates(value) if '\\u' in text else value


def _lenient(text):
    try:
        return _Reader(text).document()
    except RecursionError:
        raise TooDeep('nesting') from None


def _join_surrogates(value):
    """Pairs of surrogate escapes become one character, a lone one `?` (3.1)."""
    if type(value) is str:
        if not value.isascii():
            value = value.encode('utf-16-le', 'surrogatepass').decode('utf-16-le', 'surrogatepass')
            value = re.sub('[\ud800-\udfff]', '?', value)
        return value
    if type(value) is dict:
        return {_join_surrogates(k): _join_surrogates(v) for k, v in value.items()}
    if type(value) is list:
        return [_join_surrogates(v) for v in value]
    return value


class _Reader:
    """Recursive descent with the liberties of Gson's JsonReader in lenient mode."""

    def __init__(self, text):
        self.text = text
        self.at = 0

    def document(self):
        if self.text.startswith('\ufeff'):
            self.at = 1
        self.peek()
        if self.text.startswith(_GUARD, self.at):
            self.at += len(_GUARD)
        if self.peek() == '':
            return None
        value = self.value()
        if value is not None and self.peek() != '':
            raise Malformed('more than one document')
        return value

    def peek(self):
        """The next character that counts; '' at the end. Skips white space and the three kinds of comment."""
        text = self.text
        while self.at < len(text):
            c = text[self.at]
            if c in ' \t\r\n':
                self.at += 1
            elif c == '#' or text.startswith('//', self.at):
                self.at = _LINE.match(text, self.at).end()
            elif text.startswith('/*', self.at):
                end = text.find('*/', self.at + 2)
                if end < 0:
                    raise Malformed('comment without end')
                self.at = end + 2
            else:
                return c
        return ''

    def value(self):
        c = self.peek()
        if c in ('"', "'"):
            return self.string(c)
        if c == '[':
            return self.array()
        if c == '{':
            return self.object()
        word = self.unquoted()
        if word.lower() in _KEYWORDS and word.isascii():
            return _KEYWORDS[word.lower()]
        if len(word) <= _LONGEST_NUMBER and _NUMBER.match(word):
            return Num(word)
        return word

    def unquoted(self):
        m = _UNQUOTED.match(self.text, self.at)
        if not m:
            raise Malformed('a value was expected at %d' % self.at)
        self.at = m.end()
        return m.group()

    def string(self, quote):
        self.at += 1
        parts = []
        while True:
            m = _PLAIN[quote].match(self.text, self.at)
            parts.append(m.group())
            self.at = m.end() + 1
            c = self.text[m.end():self.at]
            if c == '':
                raise Malformed('string without end')
            if c == quote:
                return ''.join(parts)
            parts.append(self.escape())

    def escape(self):
        c = self.text[self.at:self.at + 1]
        self.at += 1
        if c == 'u':
            m = _HEX.match(self.text, self.at)
            if not m:
                raise Malformed('bad \\u escape')
            self.at = m.end()
            return chr(int(m.group(), 16))
        if c not in _ESCAPES or c == '':
            raise Malformed('bad escape')
        return _ESCAPES[c]

    def array(self):
        """`;` separates as `,` does; an empty place is a null, also the one behind a trailing comma."""
        self.at += 1
        out = []
        if self.peek() == ']':
            self.at += 1
            return out
        while True:
            c = self.peek()
            out.append(None if c and c in ',;]' else self.value())
            c = self.peek()
            self.at += 1
            if c == ']':
                return out
            if c == '' or c not in ',;':
                raise Malformed('array without end')

    def object(self):
        """Names may be unquoted, `=` and `=>` stand for `:`; a trailing comma is an error here."""
        self.at += 1
        out = {}
        if self.peek() == '}':
            self.at += 1
            return out
        while True:
            c = self.peek()
            name = self.string(c) if c in ('"', "'") else self.unquoted()
            self.colon()
            out[name] = self.value()
            c = self.peek()
            self.at += 1
            if c == '}':
                return out
            if c == '' or c not in ',;':
                raise Malformed('object without end')

    def colon(self):
        c = self.peek()
        self.at += 1
        if c == '=':
            if self.text.startswith('>', self.at):
                self.at += 1
        elif c != ':':
            raise Malformed('no colon')
