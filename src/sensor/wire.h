/* SPDX-License-Identifier: Apache-2.0 */
/* One datagram over the SEQPACKET socket between daemon and host, with or without a descriptor beside it.
 * Never blocks. */
#pragma once

#include "base/macro.h"

/* fd -EBADF: none. -EAGAIN: no room now; -ENOTCONN: nobody there any more; -EMSGSIZE. */
_must_check_ int wire_send(int socket, const void *data, size_t size, int fd);
/* At most max bytes into data: their number, *ret_fd is -EBADF or the caller's. 0: the other side is gone.
 * -EAGAIN: nothing waits; -EBADMSG: larger than max. Of several descriptors all but the first are closed. */
_must_check_ ssize_t wire_receive(int socket, void *data, size_t max, int *ret_fd);
