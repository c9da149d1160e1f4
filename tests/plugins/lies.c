/* SPDX-License-Identifier: Apache-2.0 */
/* Goes past its host and writes datagrams of its own to the daemon: wrong types, lying lengths, garbage. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <tbagent/plugin.h>

static int find_socket(void) {
        for (int fd = 3; fd < 64; fd++) {
                int type = 0;
                socklen_t size = sizeof type;

                if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
                        return fd;
        }
        return -1;
}

static int lies_sample(struct tbagent_host *host, void *state) {
        static unsigned n;
        unsigned char data[512];
        size_t size;
        int fd = find_socket();

        (void)state;
        (void)tbagent_emit_int(host, "alive", 1);
        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (unsigned char)(i * 2654435761u >> (n % 24));
        /* a type that exists, then lengths that do not */
        data[0] = (unsigned char)(64 + n % 20);
        data[1] = data[2] = data[3] = 0;
        memset(data + 4, n % 3 == 0 ? 0xff : n % 3 == 1 ? 0x7f : 0, 16);
        size = n % 7 == 0 ? 1 : n % 7 == 1 ? 4 : sizeof data - n % 64;
        n++;
        return fd >= 0 && send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

TBAGENT_PLUGIN(.name = "lies", .summary = "lies about sizes", .sample = lies_sample);
