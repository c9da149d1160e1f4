# SPDX-License-Identifier: Apache-2.0
"""The fixed list of topics (THINGSBOARD.md 1.1, 1.2, recording subscribe_variants).

A flavour is the family of names a session uses: v1, v2, v2 JSON (j), v2 protobuf (p); the last one used decides
the topic of what the server sends."""
import re

V1, V2, V2J, V2P = '', 'v2', 'j', 'p'
TELEMETRY, ATTRIBUTES = 'v1/devices/me/telemetry', 'v1/devices/me/attributes'
_SUFFIX = {V2: '', V2J: '/j', V2P: '/p'}

# exact publish topics -> (feature, flavour)
_PUBLISH = {TELEMETRY: ('telemetry', V1), ATTRIBUTES: ('attributes', V1), 'v1/devices/me/claim': ('claim', V1),
            '/provision/request': ('provision', V1)}
# publish topics with an id at their end: (prefix, feature, flavour); longer prefixes first
_WITH_ID = [(ATTRIBUTES + '/request/', 'attribute_request', V1), ('v1/devices/me/rpc/response/', 'rpc_reply', V1),
            ('v1/devices/me/rpc/request/', 'client_rpc', V1)]
# subscription filter -> (feature, flavour)
SUBSCRIBE = {ATTRIBUTES: ('attributes', V1), ATTRIBUTES + '/response/+': ('attribute_request', V1),
             'v1/devices/me/rpc/request/+': ('rpc', V1), 'v1/devices/me/rpc/response/+': ('client_rpc', V1),
             'v2/fw/response/+/chunk/+': ('ota', V2), 'v2/fw/error': ('ota_error', V2),
             'v2/sw/response/+/chunk/+': ('ota', V2), 'v2/sw/error': ('ota_error', V2),
             'v1/gateway/attributes': ('gateway', V1), 'v1/gateway/attributes/response': ('gateway', V1),
             'v1/gateway/rpc': ('gateway', V1)}
for _f, _s in _SUFFIX.items():
    _PUBLISH['v2/t' + _s] = ('telemetry', _f)
    _PUBLISH['v2/a' + _s] = ('attributes', _f)
    SUBSCRIBE['v2/a' + _s] = ('attributes', _f)
    for _name, _kind, _sub in (('a/res', None, 'attribute_request'), ('r/req', None, 'rpc'), ('r/res', None, 'client_rpc')):
        SUBSCRIBE['v2/%s%s/+' % (_name, _s)] = (_sub, _f)
    for _name, _kind in (('a/req', 'attribute_request'), ('r/res', 'rpc_reply'), ('r/req', 'client_rpc')):
        _WITH_ID.append(('v2/%s%s/' % (_name, _s), _kind, _f))
_WITH_ID.sort(key=lambda x: -len(x[0]))
_OTA = re.compile(r'v2/(fw|sw)/request/([0-9]+)/chunk/([0-9]+)\Z')


def matches(pattern, topic):
    """MQTT wildcard match, for topics that a device profile names itself."""
    return re.fullmatch('/'.join('.*' if p == '#' else '[^/]*' if p == '+' else re.escape(p)
                                 for p in pattern.split('/')), topic) is not None


def route(topic, profile):
    """(feature, flavour, text of the id) for a publish; None: unknown topic."""
    custom = profile.custom_topics
    if custom:
        for name, feature in (('telemetry', 'telemetry'), ('attributes', 'attributes')):
            if matches(custom[name], topic):
                return feature, V1, ''
        if topic in (TELEMETRY, ATTRIBUTES):
            return None
    found = _PUBLISH.get(topic)
    if found:
        return found + ('',)
    for prefix, feature, flavour in _WITH_ID:
        if topic.startswith(prefix):
            return feature, flavour, topic[len(prefix):]
    if _OTA.match(topic):
        return 'ota', V2, topic
    if topic.startswith('v1/gateway/'):
        return 'gateway', V1, topic
    return None


def subscription(topic, profile):
    custom = profile.custom_topics
    if custom and topic == custom['updates']:
        return 'attributes', V1
    return SUBSCRIBE.get(topic)


_DOWN = {'attributes': (ATTRIBUTES, 'v2/a'), 'attribute_request': (ATTRIBUTES + '/response/', 'v2/a/res'),
         'rpc': ('v1/devices/me/rpc/request/', 'v2/r/req'), 'client_rpc': ('v1/devices/me/rpc/response/', 'v2/r/res')}


def downlink(feature, flavour, ident=None):
    """The topic the server sends on."""
    v1, v2 = _DOWN[feature]
    if flavour == V1:
        return v1 if ident is None else v1 + str(ident)
    return v2 + _SUFFIX[flavour] + ('' if ident is None else '/%d' % ident)
