/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include <sys/uio.h>

#include "sensor/wire.h"

#define FDS_MAX 8 /* room for what is not expected: the kernel closes those beyond */

int wire_send(int socket, const void *data, size_t size, int fd) {
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { (void *)data, size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                struct cmsghdr *c;

                message.msg_control = control.bytes;
                message.msg_controllen = sizeof(control.bytes);
                c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(fd));
                memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        }
        while (sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                if (errno == EINTR)
                        continue;
                return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
        }
        return 0;
}

static int take_fd(struct msghdr *message) {
        int first = -EBADF;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
                                   ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                        if (first < 0)
                                first = fd;
                        else
                                close(fd);
                }
        }
        return first;
}

ssize_t wire_receive(int socket, void *data, size_t max, int *ret_fd) {
        union {
                char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct iovec iov = { data, max };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n;
        int fd;

        /* ECONNRESET: the other side ended without reading all we sent; what it sent is still there. */
        do
                n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && (errno == EINTR || errno == ECONNRESET));
        if (n < 0)
                return -errno;

        fd = take_fd(&message);
        if (message.msg_flags & MSG_TRUNC) {
                closep(&fd);
                return -EBADMSG;
        }
        *ret_fd = fd;
        return n;
}
