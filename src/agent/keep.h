/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors that plugins have handed over for safe keeping (fd_keep()), by instance and name. Each is in systemd's store,
 * too, and comes back from there when the daemon starts again. Knows nothing of processes and outputs: agent/exits does. Main
 * thread. */
#pragma once

#include "base/macro.h"

#define KEEP_MAX 64 /* FileDescriptorStoreMax= of the unit */

typedef struct Keep Keep;

_must_check_ int keep_new(Keep **ret);
/* Closes them here; systemd's copies stay. */
Keep *keep_free(Keep *k);
DEFINE_CLEANUP(Keep *, keep_free)

/* Takes over what systemd has passed to this process; for its start. A name that is none of ours is closed, told in the log. */
_must_check_ int keep_adopt(Keep *k);

/* Takes fd, also on failure, in place of one of the same name; it is claimed then. -EINVAL: no name for systemd; -ENOSPC. */
_must_check_ int keep_put(Keep *k, const char *instance, const char *name, int fd);
/* A duplicate, the caller's; -ENOENT. */
_must_check_ int keep_take(const Keep *k, const char *instance, const char *name);
/* Here and in systemd's store. */
void keep_forget(Keep *k, const char *instance, const char *name);

/* Claimed: the process that the instance has now works with it. */
bool keep_is_claimed(const Keep *k, const char *instance, const char *name);
void keep_claim(Keep *k, const char *instance, const char *name);
void keep_unclaim_all(Keep *k, const char *instance);
void keep_forget_unclaimed(Keep *k, const char *instance);
size_t keep_n(const Keep *k, const char *instance); /* NULL: of all */
size_t keep_n_unclaimed(const Keep *k, const char *instance);

/* Of any, in no order; for the start. */
const char *keep_instance_at(const Keep *k, size_t i);
