# SPDX-License-Identifier: Apache-2.0
"""Tests of the stand-in's parts that need no server: parser, value types, rate limits, counts, topics."""
import unittest

import gson
import limits
import store
import topics
import values
from mqtt_client import TELEMETRY


class LenientParser(unittest.TestCase):
    """THINGSBOARD.md 3.1."""
    GOOD = [('{"a":1}', {'a': '1'}), ('{a:1}', {'a': '1'}), ("{'a':'b'}", {'a': 'b'}),
            ('{"a"=1;"b"=>2}', {'a': '1', 'b': '2'}), ('{"a":1,/* x */"b":2 // y\n}', {'a': '1', 'b': '2'}),
            ('# c\n[1,2]', ['1', '2']), ('[1,]', ['1', None]), ('[,]', [None, None]), ('[;1]', [None, '1']),
            ('\ufeff{"a":1}', {'a': '1'}), ('{"a":TRUE,"b":Null,"c":falSe}', {'a': True, 'b': None, 'c': False}),
            ('{"a":1,"a":2}', {'a': '2'}), ('{"a":NaN}', {'a': 'NaN'}), ('{"a":-Infinity}', {'a': '-Infinity'}),
            ('{"a":+1}', {'a': '+1'}), ('{"a":01}', {'a': '01'}), ('{"a":"\\u00e9\\ud83d\\ude00"}', {'a': 'é😀'}),
            ('{"a":"x\\ud83dy"}', {'a': 'x?y'}), ('{"a":"line\nbreak"}', {'a': 'line\nbreak'}),
            ("{\"a\":\"\\'\"}", {'a': "'"}), ('', None), ('  // only a comment', None), (")]}'\n{}", {}),
            ('{"j":{"x":[1,null,{"y":null}]}}', {'j': {'x': ['1', None, {'y': None}]}}), ('{"a":1e5}', {'a': '1e5'})]
    BAD = ['{"a":1', '{"a":1}{"b":2}', '{"a":1} x', '{"a":1,}', '{,}', '[1', '{"a"}', '{"a":}', '"x', '{"a":"\\q"}',
           '{"a":"\\u12"}', '/* x', '[1 2]', '{"a" 1}', '}']

    def test_accepted(self):
        for text, wanted in self.GOOD:
            with self.subTest(text):
                self.assertEqual(gson.parse(text), wanted)

    def test_rejected(self):
        for text in self.BAD:
            with self.subTest(text), self.assertRaises(gson.Malformed):
                gson.parse(text)

    def test_same_result_both_ways(self):
        for text in ('{"a":[1,2.50,-0,1e3,"x",true,null],"b":{"c":"d\\n"}}', ' [ ] ', '{"ts":1,"values":{}}'):
            with self.subTest(text):
                quick, slow = gson.parse(text), gson._lenient(text)
                self.assertEqual(quick, slow)
                self.assertEqual(repr(quick), repr(slow))

    def test_numbers_keep_their_text(self):
        number, string = gson.parse('[1.50,"1.50"]')
        self.assertIs(type(number), gson.Num)
        self.assertIs(type(string), str)
        self.assertIs(type(gson.parse("['x',-1.50e+3]")[1]), gson.Num)

    def test_too_deep(self):
        with self.assertRaises(gson.TooDeep):
            gson.parse('[' * 200000)


class ValueTypes(unittest.TestCase):
    """The table of THINGSBOARD.md 3.2, as stored after the root rule chain; recordings `numbers`."""
    TABLE = [('1', 1), ('-0', 0), ('1e3', 1000), ('1.5e1', 15), ('1e18', 10 ** 18), ('1.0', 1.0), ('42.0', 42.0),
             ('21.37', 21.37), ('0.1', 0.1), ('2.718281828459045', 2.718281828459045), ('9999999.0', 9999999.0),
             ('10000000.0', 10000000), ('123456789012345.0', 123456789012345), ('9007199254740993', 9007199254740993),
             ('-9223372036854775808', -2 ** 63), ('9223372036854775807', 2 ** 63 - 1),
             ('9223372036854775808', '9223372036854775808'), ('1e19', '1' + '0' * 19), ('1e20', '1' + '0' * 20),
             ('1e300', '1' + '0' * 300), ('100000000000000000000.0', '1' + '0' * 20),
             ('0.30000000000000004', '0.30000000000000004'), ('0.300000000000000', 0.3),
             ('3.14159265358979323846', '3.14159265358979323846'), ('1e-17', '0.00000000000000001'),
             ('1.0e-16', '0.00000000000000010'), ('0.0000000000000001', '0.00000000000000010'),
             ('0.000000000000001', 1e-15), ('0.00001', 1e-05), ('1E-5', 1e-05), ('NaN', 'NaN'), ('nan', 'nan'),
             ('Infinity', 'Infinity'), ('+1', '+1'), ('1.', '1.'), ('0x10', '0x10'), ('-0.0', 0.0), ('01', 1),
             ('1.00000000000000000000', '1.00000000000000000000'), ('"12"', 12), ('"007"', 7), ('"-5"', -5),
             ('".5"', 0.5), ('"-.5"', -0.5), ('"1.10"', 1.1), ('"1e3"', '1e3'), ('" 12"', ' 12'), ('"+5"', '+5'),
             ('"1.2.3"', '1.2.3'), ('"5."', '5.'), ('"-"', '-'), ('"."', '.'), ('"v1.10"', 'v1.10'), ('"٣"', 3),
             ('"true"', 'true'), ('true', True), ('"x\\u0000y"', 'xy'), ('""', ''),
             ('0.1234567890123456', 0.1234567890123456), ('0.12345678901234567', '0.12345678901234567'),
             ('{"x":[1,null,{"y":null}],"n":null}', {'x': [1, None, {}]}), ('[1.5,"7"]', [1.5, '7'])]

    def test_table(self):
        for sent, wanted in self.TABLE:
            with self.subTest(sent):
                (_, items), = values.telemetry(('{"a":%s}' % sent).encode())
                got = values.cast(items['a'])
                self.assertEqual(got, wanted)
                self.assertIs(type(got), type(wanted))

    def test_times(self):
        for sent, wanted in (('1451649600512', 1451649600512), ('1.9', 1), ('1e3', 1000), ('"17"', 17), ('[5]', 5), ('-3', -3),
                             ('9223372036854775808', -2 ** 63), ('1e400', 0)):
            with self.subTest(sent):
                self.assertEqual(values.telemetry(('{"ts":%s,"values":{"a":1}}' % sent).encode())[0][0], wanted)

    def test_bad_times(self):
        uncaught = [(sent, values.Uncaught) for sent in ('"2024-01-01"', '"1.5"', '""', 'NaN', 'true', 'null', '{}')]
        for sent, error in uncaught + [('[1,2]', values.BadPayload)]:
            with self.subTest(sent), self.assertRaises(error):
                values.telemetry(('{"ts":%s,"values":{"a":1}}' % sent).encode())

    def test_shapes(self):
        for bad in ('', '5', 'null', '"x"', '[[{"a":1}]]', '[1]', '[null]', '{"ts":1,"values":null}', '{"ts":1,"values":[]}'):
            with self.subTest(bad), self.assertRaises(values.BadPayload):
                values.telemetry(bad.encode())
        self.assertEqual(values.telemetry(b'{"ts":1}'), [(None, {'ts': '1'})])
        self.assertEqual(values.telemetry(b'[{"a":1},{"ts":2,"values":{"b":null}}]'), [(None, {'a': '1'}), (2, {})])
        self.assertEqual(values.telemetry(b'[]'), [])

    def test_keys(self):
        for good in ('k' * 255, 'a>b', 'a < b', 'a&b', '{x}', 'a{{b', '"', 'a/b', 'температура'):
            self.assertTrue(values.key_is_good(good), good)
        for bad in ('k' * 256, '😀' * 128, '', ' ', '\t', 'a<b', '<x', '<b>x</b>', '{{}}', '{{x}}', 'a\0b'):
            self.assertFalse(values.key_is_good(bad), bad)

    def test_written_by_rest(self):
        """Not read again by the rule chain, so 10000000.0 stays DOUBLE; nested values are never cast."""
        for sent, wanted in (('10000000.0', 1e7), ('0.0000000000000001', 1e-16), ('0.30000000000000004', '0.30000000000000004'),
                             ('"007"', 7), ('["007"]', ['007']), ('"x\\u0000y"', 'x\0y')):
            got = values.cast_once(gson.parse(sent))
            self.assertEqual((got, type(got)), (wanted, type(wanted)))

    def test_to_json(self):
        for value, wanted in ((1e7, '1.0E7'), ({'a': [1, None, True, 'é"', 1e-4]}, '{"a":[1,null,true,"é\\"",1.0E-4]}'),
                              ({}, '{}'), ('x\0', '"x\\u0000"'), (2 ** 63 - 1, '9223372036854775807'),
                              (float('inf'), '"Infinity"')):
            self.assertEqual(values.to_json(value), wanted)

    def test_java_double(self):
        for value, wanted in ((1e7, '1.0E7'), (123456789.5, '1.234567895E8'), (1e-4, '1.0E-4'), (-2.5e-10, '-2.5E-10'),
                              (0.001, '0.001')):
            self.assertEqual(values.java_double(value), wanted)


class Small(unittest.TestCase):
    def test_bucket(self):
        b = limits.Bucket('10:1,15:60,', now=0)
        self.assertEqual([b.take(1, now=0) for _ in range(11)].count(True), 10)
        self.assertTrue(b.take(4, now=0.5))
        self.assertFalse(b.take(4, now=0.9))
        self.assertFalse(b.take(11, now=999))

    def test_limit_option(self):
        self.assertEqual(limits.parse_option('messages=10:1,300:60;telemetryDataPoints=20:1'),
                         {'messages': '10:1,300:60', 'telemetryDataPoints': '20:1'})
        with self.assertRaises(ValueError):
            limits.parse_option('points=1:1')

    def test_series_counts(self):
        s = store.Series()
        for ts, value, young in ((10, 1, True), (20, 2.0, True), (10, 3, True), (15, 'x', False), (30, True, True)):
            s.put('a', ts, value, young)
        s.put(store.GAP_KEY, 5, {'from': 1})
        self.assertEqual(s.count(), dict(stored=4, duplicated=1, reordered=1, reordered_young=0, reordered_old=0,
                                         unordered=0, keys=['a'], lost_entries=0, gaps=[dict(ts=5, value={'from': 1})],
                                         types=dict(LONG=1, DOUBLE=1, STRING=1, BOOLEAN=1)))
        self.assertEqual(s.latest['a'], (30, True))
        self.assertEqual(s.range('a', 0, 30, 10), [(20, 2.0), (15, 'x'), (10, 3)])
        s.put('a', 14, 1, False)
        self.assertEqual([s.count()[w] for w in ('reordered', 'reordered_young', 'reordered_old', 'unordered')], [2, 0, 1, 1])
        s.put('b', 14, 1)
        self.assertEqual([(c['stored'], c['keys']) for c in (s.count('b'), s.count('x'))], [(1, ['b']), (0, [])])

    def test_topics(self):
        class Profile:
            custom_topics = None
        for topic, wanted in ((TELEMETRY, ('telemetry', '', '')), ('v2/t/j', ('telemetry', 'j', '')), (TELEMETRY + '/', None),
                              ('v2/a/req/j/7', ('attribute_request', 'j', '7')),
                              ('v2/r/res/7', ('rpc_reply', 'v2', '7')), ('', None),
                              ('v1/gateway/telemetry', ('gateway', '', 'v1/gateway/telemetry')),
                              ('v2/fw/request/1/chunk/x', None)):
            self.assertEqual(topics.route(topic, Profile), wanted, topic)
