/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two files of one form, each a header and the plugin's bytes; the one with the higher number is the newer. In the
 * runtime directory (tmpfs) a new file is renamed over the old one, which no crash can interrupt, and nothing
 * needs an fsync; in the state directory the store's thread does the same with one, because a card may take
 * seconds.
 *
 * Each put is written at once, but not more than fifty times a second: so a plugin that counts pulses loses none
 * when the daemon is killed, and one that puts with every sample of a fast loop costs a thousandth of a
 * core. What a crash may take then is the last 20 ms of puts, never a whole file.
 *
 * The state directory is written when a change has waited for `persist`, and when the instance ends; a card sees
 * one small file each 15 minutes at most, and none where nothing changed.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <xxhash.h>

#include "agent/plugin-state.h"
#include "base/file.h"
#include "base/log.h"

#define MAGIC "tbastate"
#define FORMAT 1
#define WRITE_EVERY (20 * USEC_PER_MSEC)
#define RETRY_AFTER (10 * USEC_PER_SEC)

typedef struct Header { /* little endian */
        char magic[8];
        uint32_t version;
        uint32_t size;   /* of what follows */
        uint64_t number; /* of puts, over all restarts */
        uint64_t check;  /* XXH3_64 over the fields above and what follows */
} Header;

typedef struct File { /* header and data; NULL: none */
        uint8_t *bytes;
        size_t size;
        uint64_t number;
} File;

struct PluginState {
        PluginStateParams params;
        char *path, *new_path; /* in the runtime directory; NULL: none */
        char *name;            /* in the state directory */
        File file;
        uint64_t saved; /* number in the state directory */
        usec_t written_at;
        LoopTimer *write_timer, *save_timer;
        bool unwritable; /* told in the log */
};

/* ---- the form */

static uint64_t checksum(const uint8_t *bytes, size_t size) {
        XXH64_hash_t seed = XXH3_64bits(bytes, offsetof(Header, check));

        return htole64(XXH3_64bits_withSeed(bytes + sizeof(Header), size - sizeof(Header), seed));
}

static int file_make(File *ret, uint64_t number, const void *data, size_t size) {
        Header h = { .version = htole32(FORMAT), .size = htole32((uint32_t)size), .number = htole64(number) };
        uint8_t *bytes = malloc(sizeof(h) + size);

        if (!bytes)
                return -ENOMEM;
        memcpy(h.magic, MAGIC, sizeof(h.magic));
        memcpy(bytes, &h, sizeof(h));
        if (size > 0)
                memcpy(bytes + sizeof(h), data, size);
        h.check = checksum(bytes, sizeof(h) + size);
        memcpy(bytes, &h, sizeof(h));
        *ret = (File){ bytes, sizeof(h) + size, number };
        return 0;
}

/* What is wrong with it; NULL: nothing. */
static const char *file_fault(const uint8_t *bytes, size_t size) {
        Header h;

        if (size < sizeof(h))
                return "it is too short";
        memcpy(&h, bytes, sizeof(h));
        if (memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0)
                return "it is not tbagent's";
        if (le32toh(h.version) != FORMAT)
                return "another version of tbagent wrote it";
        if (le32toh(h.size) != size - sizeof(h))
                return "it is torn";
        return h.check == checksum(bytes, size) ? NULL : "its checksum is wrong";
}

static void file_done(File *f) {
        free(f->bytes);
        *f = (File){ 0 };
}

/* A file that is not there is none. */
static void file_load(File *ret, const char *path, const char *instance) {
        _cleanup_(freep) char *bytes = NULL;
        const char *fault;
        size_t size = 0;
        int r = file_read(path, sizeof(Header) + PLUGIN_STATE_MAX, &bytes, &size);

        if (r == -ENOENT)
                return;
        fault = r == -E2BIG ? "it is too large" : r < 0 ? strerror(-r) : file_fault((uint8_t *)bytes, size);
        if (fault) {
                log_instance(LOG_WARNING, instance, "what it kept in %s is left out: %s", path, fault);
                return;
        }
        ret->number = le64toh(((Header *)bytes)->number);
        ret->size = size;
        ret->bytes = (uint8_t *)TAKE_PTR(bytes);
}

/* ---- the runtime directory */

static int write_new(const PluginState *p) {
        _cleanup_(closep) int fd = open(p->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r;

        if (fd < 0)
                return -errno;
        r = file_write_all(fd, p->file.bytes, p->file.size);
        if (r < 0)
                return r;
        return rename(p->new_path, p->path) < 0 ? -errno : 0;
}

static void write_now(void *userdata) {
        PluginState *p = userdata;
        int r = write_new(p);

        loop_timer_disarm(p->write_timer);
        p->written_at = loop_monotonic(p->params.loop);
        if (r < 0)
                loop_timer_arm_in(p->write_timer, RETRY_AFTER, RETRY_AFTER / 10);
        if (r < 0 && !p->unwritable)
                log_instance(LOG_WARNING, p->params.instance, "cannot keep its state in %s (%s): a crash would take it", p->path,
                             strerror(-r));
        p->unwritable = r < 0;
}

static void write_soon(PluginState *p) {
        if (!p->path || loop_timer_armed(p->write_timer))
                return;
        if (p->written_at == 0 || loop_monotonic(p->params.loop) - p->written_at >= WRITE_EVERY)
                write_now(p);
        else
                loop_timer_arm(p->write_timer, p->written_at + WRITE_EVERY, USEC_PER_MSEC);
}

/* ---- the state directory */

static void save_now(void *userdata) {
        PluginState *p = userdata;
        int r;

        if (p->saved == p->file.number || !p->params.store)
                return;
        r = store_write_file(p->params.store, p->name, p->file.bytes, p->file.size, 0600);
        if (r < 0)
                loop_timer_arm_in(p->save_timer, RETRY_AFTER, RETRY_AFTER / 10);
        else
                p->saved = p->file.number;
}

static void save_later(PluginState *p) {
        if (p->saved != p->file.number && !loop_timer_armed(p->save_timer))
                loop_timer_arm_in(p->save_timer, p->params.persist, USEC_PER_SEC);
}

/* ---- */

static int make_paths(PluginState *p) {
        _cleanup_(freep) char *folder = NULL;

        if (asprintf(&p->name, PLUGIN_STATE_DIR "/%s", p->params.instance) < 0) {
                p->name = NULL;
                return -ENOMEM;
        }
        if (!p->params.runtime_dir)
                return 0;
        if (asprintf(&folder, "%s/" PLUGIN_STATE_DIR, p->params.runtime_dir) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        (void)!file_mkdir(folder, 0750); /* where that fails the write tells */
        if (asprintf(&p->path, "%s/%s", folder, p->params.instance) < 0)
                p->path = NULL;
        if (asprintf(&p->new_path, "%s/%s.new", folder, p->params.instance) < 0)
                p->new_path = NULL;
        return p->path && p->new_path ? 0 : -ENOMEM;
}

static int load(PluginState *p) {
        _cleanup_(freep) char *saved_path = NULL;
        File saved = { 0 };

        if (p->params.state_dir && asprintf(&saved_path, "%s/%s", p->params.state_dir, p->name) < 0) {
                saved_path = NULL;
                return -ENOMEM;
        }
        if (p->path)
                file_load(&p->file, p->path, p->params.instance);
        if (saved_path)
                file_load(&saved, saved_path, p->params.instance);
        p->saved = saved.number;
        if (saved.bytes && (!p->file.bytes || saved.number > p->file.number)) {
                file_done(&p->file);
                p->file = saved;
        } else
                file_done(&saved);
        return 0;
}

int plugin_state_new(PluginState **ret, const PluginStateParams *params) {
        _cleanup_(plugin_state_freep) PluginState *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->params = *params;
        r = make_paths(p);
        if (r == 0)
                r = loop_timer_new(&p->write_timer, params->loop, "state-write", write_now, p);
        if (r == 0)
                r = loop_timer_new(&p->save_timer, params->loop, "state-save", save_now, p);
        if (r == 0)
                r = load(p);
        if (r < 0)
                return r;
        save_later(p);
        *ret = TAKE_PTR(p);
        return 0;
}

PluginState *plugin_state_free(PluginState *p) {
        if (!p)
                return NULL;
        if (p->write_timer && loop_timer_armed(p->write_timer))
                write_now(p);
        if (p->save_timer)
                save_now(p);
        if (p->params.store && p->saved != p->file.number)
                log_instance(LOG_WARNING, p->params.instance, "what it kept last is not on the disk: a reboot would take it");
        loop_timer_free(p->write_timer);
        loop_timer_free(p->save_timer);
        file_done(&p->file);
        free(p->name);
        free(p->new_path);
        free(p->path);
        free(p);
        return NULL;
}

const void *plugin_state_data(const PluginState *p, size_t *ret_size) {
        *ret_size = p->file.bytes ? p->file.size - sizeof(Header) : 0;
        return p->file.bytes ? p->file.bytes + sizeof(Header) : NULL;
}

int plugin_state_put(PluginState *p, const void *data, size_t size) {
        size_t old_size;
        const void *old = plugin_state_data(p, &old_size);
        File file;
        int r;

        if (size > PLUGIN_STATE_MAX)
                return -E2BIG;
        if (old && size == old_size && memcmp(old, data, size) == 0)
                return 0;
        r = file_make(&file, p->file.number + 1, data, size);
        if (r < 0)
                return r;
        file_done(&p->file);
        p->file = file;
        write_soon(p);
        save_later(p);
        return 0;
}
