# SPDX-License-Identifier: Apache-2.0
"""Device credentials: how they are stored and found (THINGSBOARD.md 2.1, 10; recordings basic_credentials, tls_*).

Every kind has one id, unique on the server: the token, or a hash of what the client must show."""
import hashlib
import json
import ssl
import time
from collections import namedtuple

TOKEN, BASIC, X509 = 'ACCESS_TOKEN', 'MQTT_BASIC', 'X509_CERTIFICATE'


class Refused(ValueError):
    """Credentials that the server does not store."""


class Presented(namedtuple('Presented', 'text not_before not_after')):
    """A client's certificate as base64 without line ends, and the seconds between which it is valid."""
    __slots__ = ()

    def valid(self):
        return self.not_before <= time.time() <= self.not_after


def presented(tls):
    """What an ssl.SSLObject got from its client; None: nothing."""
    der = tls.getpeercert(True)
    if not der:
        return None
    shown = tls.getpeercert()
    return Presented(trimmed(ssl.DER_cert_to_PEM_cert(der)), *(ssl.cert_time_to_seconds(shown[x])
                                                              for x in ('notBefore', 'notAfter')))


def trimmed(pem):
    """EncryptionUtil.certTrimNewLines: the text that is stored, hashed and compared."""
    for part in ('-----BEGIN CERTIFICATE-----', '\n', '\r', '-----END CERTIFICATE-----'):
        pem = pem.replace(part, '')
    return pem


def digest(*parts):
    return hashlib.sha3_256('|'.join(parts).encode()).hexdigest()


def formatted(wanted):
    """The members of credentials that depend on their kind, as they are stored."""
    kind = wanted.get('credentialsType')
    if kind == TOKEN:
        if not wanted.get('credentialsId'):
            raise Refused('Device credentials id should be specified!')
        return dict(credentialsType=kind, credentialsId=wanted['credentialsId'], credentialsValue=None)
    if kind == BASIC:
        return dict(credentialsType=kind, **_basic(wanted.get('credentialsValue')))
    if kind == X509:
        text = trimmed(wanted.get('credentialsValue') or '')
        if not text:
            raise Refused('Device credentials value should be specified!')
        return dict(credentialsType=kind, credentialsId=digest(text), credentialsValue=text)
    raise Refused('Device credentials type should be specified')


def _basic(text):
    try:
        given = json.loads(text)
        basic = {name: given.get(name) for name in ('clientId', 'userName', 'password')}
    except (TypeError, ValueError, AttributeError):
        raise Refused('Invalid credentials body for simple mqtt credentials!') from None
    client, user = basic['clientId'], basic['userName']
    if not client and not user:
        raise Refused('Both mqtt client id and user name are empty!')
    if client and basic['password'] and not user:
        raise Refused('Password cannot be specified along with client id')
    ident = user if not client else digest(client, user) if user else digest(client)
    return dict(credentialsId=ident, credentialsValue=json.dumps(basic, ensure_ascii=False, separators=(',', ':')))


def basic_of(credentials):
    return json.loads(credentials['credentialsValue'])


def find(lookup, client_id, user, password):
    """The device of a CONNECT without a certificate; lookup: credentials id -> device."""
    if not user:
        return _with_password(lookup.get(digest(client_id or '')), password)
    device = lookup.get(digest(client_id or '', user))
    if device is not None and device.credentials['credentialsType'] == BASIC:
        return _with_password(device, password)
    device = lookup.get(user)      # by the name alone any password will do
    return device if device is not None and device.credentials['credentialsType'] != X509 else None


def _with_password(device, password):
    if device is None or device.credentials['credentialsType'] != BASIC:
        return None
    return device if basic_of(device.credentials).get('password') in (None, '', password) else None


def find_certificate(lookup, certificate):
    """By exact match; expired or not yet valid is as unknown (2.2)."""
    device = lookup.get(digest(certificate.text))
    if device is None or device.credentials['credentialsType'] != X509 or not certificate.valid():
        return None
    return device
