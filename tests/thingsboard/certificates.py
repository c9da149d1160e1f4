# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl command: self-signed ones, an authority and what it signs, any dates.

    made = Certificates(folder)
    ca = made.authority()
    server = made.create('server', signer=ca, hosts=('localhost', '127.0.0.1'))
    with Standin(cert=server.cert, key=server.key) as tb: ..."""
import os
import subprocess
import time
from collections import namedtuple

Pair = namedtuple('Pair', 'cert key')      # names of files
DAY = 86400
_KINDS = dict(ec=('ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'), rsa=('rsa:2048',))
_CONFIG = """[ca]
default_ca = x
[x]
database = index.txt
new_certs_dir = .
default_md = sha256
policy = p
rand_serial = yes
unique_subject = no
x509_extensions = e
[p]
commonName = supplied
[e]
subjectKeyIdentifier = hash
"""


class Certificates:
    """A folder of them."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def authority(self, name='ca', **more):
        return self.create(name, extensions='basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n', **more)

    def create(self, name, signer=None, hosts=(), days=365, since=-DAY, kind='ec', extensions=''):
        """A new key and certificate, NAME.crt and NAME.key; self-signed without a signer. Valid from `since` seconds from
        now for so many days; hosts are names and addresses for a server."""
        pair, request, config = (Pair(self.path(name + '.crt'), self.path(name + '.key')), self.path(name + '.csr'),
                                 self.path(name + '.cnf'))
        if hosts:
            kinds = ['%s:%s' % ('IP' if h.replace('.', '').isdigit() or ':' in h else 'DNS', h) for h in hosts]
            extensions += 'subjectAltName = %s\n' % ', '.join(kinds)
        with open(config, 'w') as f:
            f.write(_CONFIG + extensions + ('authorityKeyIdentifier = keyid\n' if signer else ''))     # else Python 3.13 refuses it
        open(self.path('index.txt'), 'w').close()
        self._openssl('req', '-newkey', *_KINDS[kind], '-nodes', '-keyout', pair.key, '-out', request, '-subj', '/CN=' + name)
        signed_by = ['-selfsign', '-keyfile', pair.key] if signer is None else ['-cert', signer.cert, '-keyfile', signer.key]
        start = time.time() + since
        dates = [time.strftime('%Y%m%d%H%M%SZ', time.gmtime(t)) for t in (start, start + days * DAY)]
        self._openssl('ca', '-batch', '-notext', '-config', config, *signed_by, '-in', request, '-out', pair.cert,
                      '-startdate', dates[0], '-enddate', dates[1])
        return pair

    def _openssl(self, *arguments):
        done = subprocess.run(['openssl', *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError('openssl %s: %s' % (arguments[0], done.stderr))


def pem(pair):
    """The text of the certificate."""
    with open(pair.cert) as f:
        return f.read()


def chain(path, *pairs):
    """One file of several certificates: the server's and what stands between it and the root."""
    with open(path, 'w') as f:
        f.write(''.join(map(pem, pairs)))
    return path
