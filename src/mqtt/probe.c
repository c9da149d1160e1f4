/* SPDX-License-Identifier: Apache-2.0 */
/* The name is looked up before each connect, by us and not by the library, for two reasons: the answer can
 * be told apart from a refused connection, and the library holds its one global lock while its own lookup
 * blocks. TCP and TLS are tried again only after a failure. TLS is verified here exactly as the library
 * does it (same stores, host name), but with OpenSSL's own verdict at hand: "expired" and "not yet valid"
 * (a Pi without a clock) need other advice than an unknown CA. */
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "mqtt/probe.h"

static void ssl_ctx_freep(SSL_CTX **ctx) {
        SSL_CTX_free(*ctx);
}

static void ssl_freep(SSL **ssl) {
        SSL_free(*ssl);
}

static void addrinfo_freep(struct addrinfo **info) {
        if (*info)
                freeaddrinfo(*info);
}

int endpoint_parse(const char *url, Endpoint *ret) {
        Endpoint e = {};
        const char *end, *port;
        size_t n;

        if (strncmp(url, "mqtts://", 8) == 0)
                e.tls = true;
        else if (strncmp(url, "mqtt://", 7) != 0)
                return -EINVAL;
        url += e.tls ? 8 : 7;

        if (*url == '[') {
                end = strchr(++url, ']');
                port = end ? end + 1 : NULL;
        } else
                port = end = url + strcspn(url, ":/");
        if (!end || end == url || (size_t)(end - url) >= sizeof(e.host))
                return -EINVAL;
        memcpy(e.host, url, (size_t)(end - url));

        if (*port == ':') {
                n = strspn(++port, "0123456789");
                if (n == 0 || n > 5 || strtoul(port, NULL, 10) > 65535)
                        return -EINVAL;
                memcpy(e.port, port, n);
                port += n;
        } else
                strcpy(e.port, e.tls ? "8883" : "1883");
        if (*port != '\0' && !streq(port, "/"))
                return -EINVAL;
        *ret = e;
        return 0;
}

static int name_error(const Endpoint *e, int error, char *text, size_t size) {
        if (error == EAI_AGAIN || error == EAI_SYSTEM)
                snprintf(text, size, "the name servers do not answer when asked for %s: check the network and /etc/resolv.conf",
                         e->host);
        else if (error == EAI_NONAME || error == EAI_NODATA || error == EAI_FAIL)
                snprintf(text, size, "the name servers do not know %s: check the host in server.url", e->host);
        else
                snprintf(text, size, "looking up %s failed: %s", e->host, gai_strerror(error));
        return error == EAI_AGAIN || error == EAI_SYSTEM ? -EAGAIN : -EHOSTUNREACH;
}

int probe_name(const Endpoint *e, ProbeAddress *ret, char *text, size_t size) {
        static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        _cleanup_(addrinfo_freep) struct addrinfo *all = NULL;
        const struct addrinfo *best;
        int r;

        r = getaddrinfo(e->host, e->port, &hints, &all);
        if (r != 0)
                return name_error(e, r, text, size);
        for (best = all; best->ai_next && best->ai_family != AF_INET; best = best->ai_next)
                ;
        memcpy(&ret->address, best->ai_addr, best->ai_addrlen);
        ret->size = best->ai_addrlen;
        return 0;
}

static int tcp_error(const Endpoint *e, int error, char *text, size_t size) {
        if (error == ECONNREFUSED)
                snprintf(text, size, "%s port %s refuses connections: is the server running, and is the port right?", e->host,
                         e->port);
        else if (error == ETIMEDOUT)
                snprintf(text, size, "%s port %s does not answer: the server is down, or a firewall is in between", e->host,
                         e->port);
        else if (error == ENETUNREACH || error == EHOSTUNREACH)
                snprintf(text, size, "there is no way to %s (%s): check this machine's network", e->host, strerror(error));
        else
                snprintf(text, size, "cannot connect to %s port %s: %s", e->host, e->port, strerror(error));
        return -error;
}

static int tcp_connect(const ProbeAddress *to, usec_t wait) {
        _cleanup_(closep) int fd = -EBADF;
        struct pollfd p;
        int error = 0;

        fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&to->address, to->size) < 0 && errno != EINPROGRESS)
                return -errno;
        p = (struct pollfd){ .fd = fd, .events = POLLOUT };
        if (poll(&p, 1, (int)(wait / USEC_PER_MSEC)) <= 0)
                return -ETIMEDOUT;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof(error) }) < 0)
                return -errno;
        return error ? -error : TAKE_FD(fd);
}

static int verify_error(const Endpoint *e, long verdict, char *text, size_t size) {
        const char *why = X509_verify_cert_error_string(verdict);

        switch (verdict) {
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
                snprintf(text, size, "the server's TLS certificate is not for the name %s: set server.url to a name it is for",
                         e->host);
                break;
        case X509_V_ERR_CERT_NOT_YET_VALID:
                snprintf(text, size, "the TLS certificate of %s is not valid yet: is this machine's clock right?", e->host);
                break;
        case X509_V_ERR_CERT_HAS_EXPIRED:
                snprintf(text, size,
                         "the TLS certificate of %s has expired (or this machine's clock is wrong): renew it on the server",
                         e->host);
                break;
        default:
                snprintf(text, size, "the TLS certificate of %s is not trusted (%s): set server.ca to the CA that signed it",
                         e->host, why);
        }
        return -EKEYREJECTED;
}

static int tls_error(const Endpoint *e, char *text, size_t size) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        snprintf(text, size, "TLS with %s fails (%s): is port %s its TLS port, and does it want a client certificate?", e->host,
                 why               ? why
                 : errno == EAGAIN ? "no answer"
                                   : "closed by the server",
                 e->port);
        return -EPROTO;
}

static int file_error(const char *what, const char *file, char *text, size_t size) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        snprintf(text, size, "cannot use the %s %s (%s): check that it is PEM and that user tbagent may read it", what, file,
                 why ? why : "unreadable");
        return -EIO;
}

static int tls_context(const ProbeFiles *files, SSL_CTX **ret, char *text, size_t size) {
        _cleanup_(ssl_ctx_freep) SSL_CTX *ctx = NULL;
        const char *key = files->key ? files->key : files->cert;

        ERR_clear_error();
        ctx = SSL_CTX_new(TLS_client_method());
        if (!ctx)
                return -ENOMEM;
        if (files->ca && SSL_CTX_load_verify_locations(ctx, files->ca, NULL) != 1)
                return file_error("CA file", files->ca, text, size);
        if (!files->ca)
                (void)SSL_CTX_set_default_verify_paths(ctx);
        if (files->cert && SSL_CTX_use_certificate_chain_file(ctx, files->cert) != 1)
                return file_error("client certificate", files->cert, text, size);
        if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
                return file_error("client key", key, text, size);
        *ret = TAKE_PTR(ctx);
        return 0;
}

/* fd blocks, with a time limit on each read and write. */
static int tls_handshake(const Endpoint *e, int fd, SSL_CTX *ctx, char *text, size_t size) {
        _cleanup_(ssl_freep) SSL *ssl = NULL;
        X509_VERIFY_PARAM *verify;
        long verdict;
        char byte;
        int r;

        ssl = SSL_new(ctx);
        if (!ssl || SSL_set_fd(ssl, fd) != 1)
                return -ENOMEM;
        verify = SSL_get0_param(ssl);
        if (X509_VERIFY_PARAM_set1_ip_asc(verify, e->host) != 1) {
                (void)X509_VERIFY_PARAM_set1_host(verify, e->host, 0);
                (void)SSL_set_tlsext_host_name(ssl, e->host);
        }
        SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
        r = SSL_connect(ssl);
        verdict = SSL_get_verify_result(ssl);
        if (verdict != X509_V_OK)
                return verify_error(e, verdict, text, size);
        if (r != 1)
                return tls_error(e, text, size);
        /* with TLS 1.3 a missing or unknown client certificate is told only now; an MQTT server says nothing */
        r = SSL_read(ssl, &byte, 1);
        return r > 0 || SSL_get_error(ssl, r) == SSL_ERROR_WANT_READ ? 0 : tls_error(e, text, size);
}

int probe_connect(const Endpoint *e, const ProbeAddress *address, const ProbeFiles *files, usec_t wait, char *text, size_t size) {
        const struct timeval limit = { .tv_sec = (time_t)(wait / USEC_PER_SEC), .tv_usec = (suseconds_t)(wait % USEC_PER_SEC) };
        _cleanup_(ssl_ctx_freep) SSL_CTX *ctx = NULL;
        _cleanup_(closep) int fd = -EBADF;
        int r;

        snprintf(text, size, "cannot connect to %s", e->host);
        if (e->tls) {
                r = tls_context(files, &ctx, text, size);
                if (r < 0)
                        return r;
        }
        fd = tcp_connect(address, wait);
        if (fd < 0)
                return tcp_error(e, -fd, text, size);
        if (!e->tls)
                return 0;

        if (fcntl(fd, F_SETFL, 0) < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
                return -errno;
        return tls_handshake(e, fd, ctx, text, size);
}
