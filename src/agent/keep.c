/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor that is kept is what keeps a GPIO line as it is: the kernel gives the line free when the last one of it is closed.
 * So three have a copy: the plugin's process, this table (for a process that crashed), systemd (for a daemon that did, and for
 * one that is started again after an upgrade). systemd drops a copy by itself when poll() says that the other end is gone.
 *
 * systemd knows them by INSTANCE.NAME; an instance's name has no dot. It takes several of one name, so a name that gets another
 * descriptor is removed there before the new one is stored. The messages are read in the order they were sent in, also after the
 * death of this process.
 */
#include <fcntl.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "agent/keep.h"
#include "base/log.h"

#define STORE_NAME_MAX 255

typedef struct Kept {
        char *instance, *name; /* one allocation: free instance */
        int fd;
        bool claimed;
} Kept;

struct Keep {
        Kept list[KEEP_MAX];
        size_t n;
};

/* ---- systemd's store */

static void store(const Kept *kept) {
        char state[STORE_NAME_MAX + 32];

        snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s.%s", kept->instance, kept->name);
        (void)sd_pid_notify_with_fds(0, 0, state, &kept->fd, 1);
}

static void store_remove(const Kept *kept) {
        (void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s.%s", kept->instance, kept->name);
}

static bool name_valid(const char *name) {
        size_t n = strlen(name);

        for (size_t i = 0; i < n; i++)
                if (name[i] <= ' ' || name[i] > '~' || name[i] == ':')
                        return false;
        return n > 0;
}

/* ---- */

static Kept *find(const Keep *k, const char *instance, const char *name) {
        for (size_t i = 0; i < k->n; i++)
                if (streq(k->list[i].instance, instance) && streq(k->list[i].name, name))
                        return (Kept *)&k->list[i];
        return NULL;
}

/* Takes fd when it succeeds. */
static int add(Keep *k, const char *instance, const char *name, int fd, Kept **ret) {
        size_t size = strlen(instance);
        char *text;

        if (k->n == KEEP_MAX)
                return -ENOSPC;
        text = malloc(size + 1 + strlen(name) + 1);
        if (!text)
                return -ENOMEM;
        strcpy(text, instance);
        strcpy(text + size + 1, name);
        *ret = &k->list[k->n++];
        **ret = (Kept){ .instance = text, .name = text + size + 1, .fd = fd };
        return 0;
}

static void drop(Keep *k, Kept *kept) {
        store_remove(kept);
        closep(&kept->fd);
        free(kept->instance);
        *kept = k->list[--k->n];
}

int keep_put(Keep *k, const char *instance, const char *name, int passed_fd) {
        _cleanup_(closep) int fd = passed_fd;
        Kept *kept = find(k, instance, name);
        int r = 0;

        if (fd < 0 || !name_valid(name) || strlen(instance) + 1 + strlen(name) > STORE_NAME_MAX)
                return -EINVAL;
        if (kept) {
                store_remove(kept);
                closep(&kept->fd);
                kept->fd = fd;
        } else
                r = add(k, instance, name, fd, &kept);
        if (r < 0)
                return r;
        (void)TAKE_FD(fd);
        kept->claimed = true;
        store(kept);
        return 0;
}

int keep_take(const Keep *k, const char *instance, const char *name) {
        const Kept *kept = find(k, instance, name);
        int fd = kept ? fcntl(kept->fd, F_DUPFD_CLOEXEC, 3) : -EBADF;

        return !kept ? -ENOENT : fd < 0 ? -errno : fd;
}

void keep_forget(Keep *k, const char *instance, const char *name) {
        Kept *kept = find(k, instance, name);

        if (kept)
                drop(k, kept);
}

bool keep_is_claimed(const Keep *k, const char *instance, const char *name) {
        const Kept *kept = find(k, instance, name);

        return kept && kept->claimed;
}

void keep_claim(Keep *k, const char *instance, const char *name) {
        Kept *kept = find(k, instance, name);

        if (kept)
                kept->claimed = true;
}

void keep_unclaim_all(Keep *k, const char *instance) {
        for (size_t i = 0; i < k->n; i++)
                if (streq(k->list[i].instance, instance))
                        k->list[i].claimed = false;
}

void keep_forget_unclaimed(Keep *k, const char *instance) {
        for (size_t i = k->n; i-- > 0;)
                if (streq(k->list[i].instance, instance) && !k->list[i].claimed)
                        drop(k, &k->list[i]);
}

static size_t count(const Keep *k, const char *instance, bool unclaimed_only) {
        size_t n = 0;

        for (size_t i = 0; i < k->n; i++)
                n += (!instance || streq(k->list[i].instance, instance)) && (!unclaimed_only || !k->list[i].claimed);
        return n;
}

size_t keep_n(const Keep *k, const char *instance) {
        return count(k, instance, false);
}

size_t keep_n_unclaimed(const Keep *k, const char *instance) {
        return count(k, instance, true);
}

const char *keep_instance_at(const Keep *k, size_t i) {
        return k->list[i].instance;
}

/* ---- */

/* Takes fd. systemd passes what has no name as "stored" or "unknown", and sockets of a socket unit if somebody made one. */
static void adopt_one(Keep *k, const char *text, int passed_fd) {
        _cleanup_(closep) int fd = passed_fd;
        _cleanup_(freep) char *instance = strndup(text, strcspn(text, "."));
        const char *dot = strchr(text, '.');
        Kept *kept;
        int r = -EINVAL;

        if (instance && instance[0] && dot && name_valid(dot + 1) && !find(k, instance, dot + 1))
                r = add(k, instance, dot + 1, fd, &kept);
        if (r == 0)
                (void)TAKE_FD(fd);
        else {
                log_warning("systemd has kept a descriptor \"%.100s\" that is none of ours: it is closed", text);
                (void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", text);
        }
}

int keep_adopt(Keep *k) {
        char **names = NULL;
        int n = sd_listen_fds_with_names(true, &names);

        for (int i = 0; i < n; i++) {
                adopt_one(k, names && names[i] ? names[i] : "", SD_LISTEN_FDS_START + i);
                free(names[i]);
        }
        free(names);
        return n < 0 ? n : 0;
}

int keep_new(Keep **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

Keep *keep_free(Keep *k) {
        if (!k)
                return NULL;
        for (size_t i = 0; i < k->n; i++) {
                closep(&k->list[i].fd);
                free(k->list[i].instance);
        }
        free(k);
        return NULL;
}
