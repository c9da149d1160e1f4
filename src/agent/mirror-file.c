/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <xxhash.h>

#include "agent/config.h"
#include "agent/mirror-file.h"
#include "base/log.h"
#include "tb/mirror.h"

#define WRITE_EVERY USEC_PER_SEC

struct MirrorFile {
        Loop *loop;
        Store *store;
        const Attributes *attributes;
        LoopTimer *timer;
        usec_t written_at; /* as far as a process can know: by a former one until it began */
        uint64_t written;  /* hash of what was written last */
        bool changed;
};

static void write_now(MirrorFile *m) {
        _cleanup_(freep) char *text = NULL;
        uint64_t hash;
        size_t size;

        if (!m->store || mirror_text(m->attributes, &text, &size) < 0)
                return;
        m->changed = false;
        hash = XXH3_64bits(text, size);
        if (hash == m->written)
                return;
        if (store_write_file(m->store, MIRROR_FILE, text, size, 0640) < 0) {
                m->changed = true;
                loop_timer_arm_in(m->timer, WRITE_EVERY, 0);
                return;
        }
        m->written = hash;
        m->written_at = loop_monotonic(m->loop);
}

static void on_timer(void *userdata) {
        write_now(userdata);
}

void mirror_file_changed(MirrorFile *m, bool anew) {
        usec_t now = loop_monotonic(m->loop), when = m->written_at + WRITE_EVERY;

        m->changed = true;
        if (anew)
                m->written = 0;
        if (!loop_timer_armed(m->timer))
                loop_timer_arm(m->timer, MAX(when, now), 10 * USEC_PER_MSEC);
}

void mirror_file_flush(MirrorFile *m) {
        if (m->changed)
                write_now(m);
}

int mirror_file_new(MirrorFile **ret, Loop *loop, Store *store, const Attributes *attributes) {
        _cleanup_(mirror_file_freep) MirrorFile *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        *m = (MirrorFile){ .loop = loop, .store = store, .attributes = attributes,
                            .written_at = loop_monotonic(loop) };
        r = loop_timer_new(&m->timer, loop, "mirror", on_timer, m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

MirrorFile *mirror_file_free(MirrorFile *m) {
        if (!m)
                return NULL;
        loop_timer_free(m->timer);
        free(m);
        return NULL;
}

int mirror_file_load(const char *state_dir, Attributes *a, char **ret_text) {
        _cleanup_(setting_freep) Setting *root = NULL;
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/" MIRROR_FILE, state_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = config_load_tree(path, &root, ret_text);
        if (r == -ENOENT)
                return 0;
        if (r == 0)
                r = mirror_load(a, root);
        if (r > 0)
                log_warning("%s: %d entries are not understood and left out", path, r);
        return MIN(r, 0);
}
