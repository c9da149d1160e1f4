# SPDX-License-Identifier: Apache-2.0
"""TLS between a socket and a Session (THINGSBOARD.md 10): 1.2 and 1.3, a client certificate is wanted, not needed.

The real server lets a client with an unknown certificate through the handshake and refuses its CONNECT. Python verifies by
itself and knows no callback for that, but it shows each handshake message before it is looked at: the end of the chain that
comes is made a trust anchor on the spot, with no check of dates. What remains is that the chain must hold link by link and
that the client must have the key, as on the real server."""
import asyncio
import ssl

import credentials

HANDSHAKE, CERTIFICATE = 22, 11
NO_CHECK_TIME = 0x200000       # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name
NO_COMPRESSION = 1 << 33       # nor SSL_OP_NO_RX_CERTIFICATE_COMPRESSION: the certificate has to be seen, and Java has none


def certificates(message, tls13):
    """The certificates (DER) of a Certificate handshake message."""
    at, out = 4, []
    if tls13:
        at += 1 + message[at]
    end = at + 3 + int.from_bytes(message[at:at + 3], 'big')
    at += 3
    while at < end:
        size = int.from_bytes(message[at:at + 3], 'big')
        out.append(message[at + 3:at + 3 + size])
        at += 3 + size
        if tls13:
            at += 2 + int.from_bytes(message[at:at + 2], 'big')
    return out


def _trust(tls, direction, version, content, kind, message):
    if direction == 'read' and content == HANDSHAKE and kind == CERTIFICATE:
        chain = certificates(message, version == ssl.TLSVersion.TLSv1_3)
        if chain:
            tls.context.load_verify_locations(cadata=chain[-1])


class Identity:
    """The server's certificate and key, read anew for each connection: a changed file is taken over at once."""

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key
        self.context()      # a wrong file ends the start, not the first connection

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.options |= NO_COMPRESSION
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
        context._msg_callback = _trust
        return context


class TlsLayer(asyncio.Protocol):
    """To the socket a protocol, to the session a transport."""

    def __init__(self, session, identity):
        self.session = session
        self.identity = identity
        self.transport = None
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = None
        self.up = False
        session.entry = self

    # -- the protocol -------------------------------------------------------------------------------------------
    def connection_made(self, transport):
        self.transport = transport
        self.session.connection_made(self)

    def connection_lost(self, exc):
        self.session.connection_lost(exc)

    def data_received(self, data):
        if self.session.deaf():
            return
        if self.session.frozen is not None:
            self.session.late += data
            return
        try:
            self.tls = self.tls or self.identity.context().wrap_bio(self.incoming, self.outgoing, server_side=True)
            self.incoming.write(data)
            if not self.up:
                self._handshake()
            self._read()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLZeroReturnError:
            self.transport.close()
        except (ssl.SSLError, OSError) as e:
            self._flush()
            self.session.hang_up('TLS: %s' % (getattr(e, 'reason', None) or e))

    def _handshake(self):
        self.tls.do_handshake()
        self.up = True
        self._flush()
        self.session.tls = self.tls.version()
        self.session.certificate = credentials.presented(self.tls)

    def _read(self):
        while not self.session.deaf():
            data = self.tls.read(65536)
            if not data:
                return self.transport.close()
            self.session.data_received(data)

    def _flush(self):
        data = self.outgoing.read()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    # -- the transport ------------------------------------------------------------------------------------------
    def write(self, data):
        if self.up:
            self.tls.write(data)
            self._flush()

    def close(self):
        """With a close_notify; the client's own is not waited for."""
        if self.up and not self.transport.is_closing():
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass
        self._flush()
        self.transport.close()

    def abort(self):
        self.transport.abort()

    def is_closing(self):
        return self.transport.is_closing()

    def pause_reading(self):
        self.transport.pause_reading()

    def resume_reading(self):
        self.transport.resume_reading()

    def get_extra_info(self, name):
        return self.transport.get_extra_info(name)
