/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "mqtt-fake.h"

typedef struct Peer {
        Fake *fake;
        const FakeScript *script;
        int fd, level;
        bool done; /* said good-bye */
} Peer;

/* The stopping test does not care what was lost. */
static bool say(const Peer *p, const void *bytes, size_t n) {
        return send(p->fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool hear(const Peer *p, uint8_t *to, size_t n) {
        while (n > 0) {
                struct pollfd fds[2] = { { .fd = p->fd, .events = POLLIN }, { .fd = p->fake->stop_fd, .events = POLLIN } };
                ssize_t got;

                if (poll(fds, 2, -1) < 0 || fds[1].revents)
                        return false;
                got = recv(p->fd, to, n, 0);
                if (got <= 0)
                        return false;
                to += got;
                n -= (size_t)got;
        }
        return true;
}

static bool hear_packet(const Peer *p, uint8_t *ret_type, uint8_t *body, size_t max, size_t *ret_size) {
        size_t size = 0;
        uint8_t byte;

        if (!hear(p, ret_type, 1))
                return false;
        for (unsigned shift = 0;; shift += 7) {
                if (shift > 21 || !hear(p, &byte, 1))
                        return false;
                size |= (size_t)(byte & 0x7F) << shift;
                if (!(byte & 0x80))
                        break;
        }
        *ret_size = size;
        return size <= max && hear(p, body, size);
}

static bool flood(const Peer *p) {
        static const uint8_t v4[] = { 0x30, 6, 0, 1, 't', 'a', 'b', 'c' }, v5[] = { 0x30, 7, 0, 1, 't', 0, 'a', 'b', 'c' };

        for (unsigned i = 0; i < p->script->flood; i++)
                if (!say(p, p->level == 5 ? v5 : v4, p->level == 5 ? sizeof(v5) : sizeof(v4)))
                        return false;
        return true;
}

static bool on_connect(Peer *p, const uint8_t *body) {
        const FakeScript *s = p->script;
        uint8_t v4[] = { 0x20, 2, 0, s->connack }, v5[] = { 0x20, 3, 0, s->connack, 0 };
        unsigned n = atomic_fetch_add(&p->fake->connects, 1);

        p->level = body[6];
        atomic_store(&p->fake->levels[n % 32], (unsigned)p->level);
        if (s->connect == FAKE_CLOSE)
                return false;
        if (s->connect == FAKE_SILENT)
                return true;
        if (s->connect == FAKE_HTTP) {
                (void)say(p, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
                return false;
        }
        return say(p, p->level == 5 ? v5 : v4, p->level == 5 ? sizeof(v5) : sizeof(v4)) && s->connack == 0 && !s->hang_up &&
               flood(p);
}

static bool on_publish(Peer *p, uint8_t type, const uint8_t *body) {
        const FakeScript *s = p->script;
        size_t topic = (size_t)body[0] << 8 | body[1];
        const uint8_t *id = body + 2 + topic;
        uint8_t ack[] = { 0x40, 2, id[0], id[1], s->code }, bye[] = { 0xE0, 2, s->code, 0 };

        atomic_fetch_add(&p->fake->publishes, 1);
        if (!(type & 6) || p->done)
                return true;
        atomic_store(&p->fake->last_id, (unsigned)id[0] << 8 | id[1]);
        switch (s->publish) {
        case FAKE_ACK:
                ack[1] = s->code ? 3 : 2;
                return say(p, ack, s->code ? 5 : 4);
        case FAKE_HOLD:
                return true;
        case FAKE_DISCONNECT:
                /* closed for good only when the peer did so: what is unread would make it a reset */
                p->done = true;
                return say(p, bye, sizeof(bye)) && shutdown(p->fd, SHUT_WR) == 0;
        case FAKE_HANG_UP:
                return false;
        }
        return false;
}

static bool on_subscribe(Peer *p, const uint8_t *body) {
        const FakeScript *s = p->script;
        size_t n = s->suback ? s->suback_n : 1, head = p->level == 5 ? 3 : 2;
        uint8_t ack[16] = { 0x90, (uint8_t)(head + n), body[0], body[1] };

        memcpy(ack + 2 + head, s->suback ? s->suback : "\1", n);
        return say(p, ack, 2 + head + n);
}

static bool on_packet(Peer *p) {
        static uint8_t body[128 * 1024]; /* one server thread at a time */
        uint8_t type;
        size_t size;

        if (!hear_packet(p, &type, body, sizeof(body), &size))
                return false;
        switch (type >> 4) {
        case 1:
                return on_connect(p, body);
        case 3:
                return on_publish(p, type, body);
        case 8:
                return on_subscribe(p, body);
        case 12:
                return say(p, "\xD0\0", 2);
        default:
                return type >> 4 != 14;
        }
}

static void serve(Fake *f, int fd) {
        Peer p = { .fake = f, .fd = fd };

        p.script = &f->scripts[MIN(atomic_load(&f->connects), f->n_scripts - 1)];
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        if (p.script->connect == FAKE_AT_ONCE) {
                atomic_fetch_add(&f->connects, 1);
                return;
        }
        atomic_store(&f->client_fd, fd);
        while (on_packet(&p))
                ;
        atomic_store(&f->client_fd, -1);
}

static void *fake_main(void *userdata) {
        Fake *f = userdata;

        for (;;) {
                struct pollfd fds[2] = { { .fd = f->listen_fd, .events = POLLIN }, { .fd = f->stop_fd, .events = POLLIN } };
                _cleanup_(closep) int fd = -EBADF;

                if (poll(fds, 2, -1) < 0 || fds[1].revents)
                        return NULL;
                fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0)
                        serve(f, fd);
        }
}

void fake_start(Fake *f, const FakeScript *scripts, unsigned n) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        assert_in_range(n, 1, FAKE_SCRIPTS);
        memset(f, 0, sizeof(*f));
        memcpy(f->scripts, scripts, n * sizeof(*scripts));
        f->n_scripts = n;
        f->stop_fd = eventfd(0, EFD_CLOEXEC);
        f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(f->listen_fd, 16), 0);
        assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&address, &size), 0);
        f->port = ntohs(address.sin_port);
        assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

void fake_stop(Fake *f) {
        const uint64_t one = 1;

        assert_int_equal(write(f->stop_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(pthread_join(f->thread, NULL), 0);
        close(f->listen_fd);
        close(f->stop_fd);
}

void fake_ack(Fake *f, unsigned id) {
        const uint8_t ack[] = { 0x40, 2, (uint8_t)(id >> 8), (uint8_t)id };

        assert_int_equal(send(atomic_load(&f->client_fd), ack, sizeof(ack), MSG_NOSIGNAL), sizeof(ack));
}
