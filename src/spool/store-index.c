/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept in memory: one Shelf for each file, not a word of the blocks in it, as a store may hold
 * hundreds of thousands of them. */
#include <fcntl.h>
#include <stdio.h>

#include "spool/store-inside.h"

#define ERAS_MAX 1024 /* boots whose rows wait in one store */
#define DAMAGED_MAX 65536

int disk_new(Disk **ret, const char *dir, uint64_t max_bytes, uint64_t known_acked, uint64_t known_last) {
        _cleanup_(disk_freep) Disk *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->cursor.fd = -EBADF;
        d->max_bytes = d->limit = max_bytes;
        d->known_acked = d->acked = known_acked;
        d->known_last = known_last;
        d->dir = strdup(dir);
        if (!d->dir || asprintf(&d->folder, "%s/spool", dir) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(d);
        return 0;
}

Disk *disk_free(Disk *d) {
        if (!d)
                return NULL;
        disk_close_cursor(d);
        news_done(&d->news);
        free(d->damaged);
        free(d->eras);
        free(d->shelves);
        free(d->folder);
        free(d->dir);
        free(d);
        return NULL;
}

/* Room for one more item. */
static bool grow(void *items, size_t n, size_t *room, size_t size) {
        void **p = items, *larger;

        if (n < *room)
                return true;
        larger = reallocarray(*p, *room * 2 + 8, size);
        if (!larger)
                return false;
        *p = larger;
        *room = *room * 2 + 8;
        return true;
}

/* ---- shelves */

Shelf *disk_add_shelf(Disk *d, uint64_t name) {
        size_t i = d->n;

        while (i > 0 && d->shelves[i - 1].name > name)
                i--;
        if ((i > 0 && d->shelves[i - 1].name == name) || !grow(&d->shelves, d->n, &d->room, sizeof(*d->shelves)))
                return NULL;
        memmove(d->shelves + i + 1, d->shelves + i, (d->n - i) * sizeof(*d->shelves));
        d->shelves[i] = (Shelf){ .name = name, .last = name - 1, .base = d->acked };
        d->n++;
        return &d->shelves[i];
}

void disk_remove_shelf(Disk *d, size_t i) {
        if (d->cursor.fd >= 0 && d->cursor.name == d->shelves[i].name)
                disk_close_cursor(d);
        memmove(d->shelves + i, d->shelves + i + 1, (d->n - i - 1) * sizeof(*d->shelves));
        d->n--;
}

void disk_set_aside(const Disk *d, uint64_t name) {
        char file[SEGMENT_NAME_SIZE], *from = NULL, *to = NULL;

        segment_name(file, name);
        if (asprintf(&from, "%s/%s", d->folder, file) < 0)
                return;
        if (asprintf(&to, "%s.bad", from) >= 0)
                (void)rename(from, to);
        free(to);
        free(from);
}

void disk_lose_shelf(Disk *d, size_t i, const char *why) {
        const Shelf *s = &d->shelves[i];

        if (s->rows > 0 && s->last > d->acked) {
                uint64_t rows = d->acked > s->base ? MIN(s->rows, s->last - d->acked) : s->rows;

                disk_tell_lost(d, MAX(s->name, d->acked + 1), s->last, rows, s->points * rows / s->rows, s->from_ms, s->to_ms,
                               why);
        }
        disk_remove_shelf(d, i);
}

uint64_t disk_bytes(const Disk *d) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < d->n; i++)
                bytes += d->shelves[i].size;
        return bytes;
}

StoreStats disk_stats(const Disk *d) {
        const char *text;
        StoreStats stats = {
                .state = disk_state(d, &text),
                .segments = d->n,
                .bytes = disk_bytes(d),
                .bytes_written = d->bytes_written,
                .commits = d->commits,
                .evicted_segments = d->evicted,
        };

        for (size_t i = 0; i < d->n; i++) {
                const Shelf *s = &d->shelves[i];

                if (s->rows == 0)
                        continue;
                if (stats.rows == 0)
                        stats.first = MAX(s->name, d->acked + 1);
                stats.last = s->last;
                stats.rows += s->rows;
                stats.points += s->points;
        }
        snprintf(stats.text, sizeof(stats.text), "%s", text);
        return stats;
}

/* ---- eras */

BootEra *disk_find_era(Disk *d, const uint8_t boot_id[static BOOT_ID_SIZE], bool make) {
        BootEra *larger;

        for (size_t i = 0; i < d->n_eras; i++)
                if (memcmp(d->eras[i].boot_id, boot_id, BOOT_ID_SIZE) == 0)
                        return &d->eras[i];
        if (!make || d->n_eras == ERAS_MAX)
                return NULL;
        larger = reallocarray(d->eras, d->n_eras + 1, sizeof(*d->eras));
        if (!larger)
                return NULL;
        d->eras = larger;
        larger[d->n_eras] = (BootEra){ 0 };
        memcpy(larger[d->n_eras].boot_id, boot_id, BOOT_ID_SIZE);
        return &d->eras[d->n_eras++];
}

void disk_note_era(Disk *d, const SegmentBlock *b) {
        BootEra *e = disk_find_era(d, b->era.boot_id, true);

        if (!e)
                return;
        if (b->era.quality != CLOCK_TRUSTED)
                e->last_estimated = MAX(e->last_estimated, b->last);
        else if (!e->trusted) {
                e->trusted = true;
                e->offset_ms = b->era.offset_ms;
        }
}

Era disk_resolve_era(Disk *d, const Era *era) {
        Era resolved = *era;
        const BootEra *e = era->quality == CLOCK_TRUSTED ? NULL : disk_find_era(d, era->boot_id, false);

        if (e && e->trusted) {
                resolved.offset_ms = e->offset_ms;
                resolved.quality = CLOCK_TRUSTED;
        }
        return resolved;
}

/* ---- damage that was told, where the file could not be told so */

bool disk_is_damaged(const Disk *d, uint64_t first) {
        for (size_t i = 0; i < d->n_damaged; i++)
                if (d->damaged[i] == first)
                        return true;
        return false;
}

void disk_mark_damaged(Disk *d, uint64_t shelf, const SegmentBlock *b) {
        _cleanup_(closep) int fd = segment_open(d->folder, shelf, O_WRONLY);
        uint64_t *larger;

        if (fd >= 0 && segment_void(fd, b) == 0)
                return;
        if (d->n_damaged == DAMAGED_MAX)
                return;
        larger = reallocarray(d->damaged, d->n_damaged + 1, sizeof(*d->damaged));
        if (!larger)
                return;
        d->damaged = larger;
        larger[d->n_damaged++] = b->first;
}

/* ---- news */

void news_done(NewsList *list) {
        for (size_t i = 0; i < list->n; i++) {
                News *n = &list->items[i];

                if (n->what == NEWS_BLOCK)
                        free((void *)n->block.records);
                else if (n->what == NEWS_STATE)
                        free(n->state.text);
        }
        free(list->items);
        *list = (NewsList){ 0 };
}

static int tell(Disk *d, const News *news) {
        if (!grow(&d->news.items, d->news.n, &d->news.room, sizeof(*d->news.items)))
                return -ENOMEM;
        d->news.items[d->news.n++] = *news;
        return 0;
}

int disk_tell_block(Disk *d, const StoreBlock *block) {
        return tell(d, &(News){ .what = NEWS_BLOCK, .block = *block });
}

void disk_tell_lost(Disk *d, uint64_t first, uint64_t last, uint64_t rows, uint64_t points, int64_t from_ms, int64_t to_ms,
                    const char *why) {
        (void)tell(d, &(News){ .what = NEWS_LOST, .lost = { first, last, rows, points, from_ms, to_ms, why } });
}

StoreState disk_state(const Disk *d, const char **ret_text) {
        for (unsigned at = 0; at < _AT_MAX; at++)
                if (d->at[at].state == STORE_FULL || d->at[at].state == STORE_FAILED) {
                        *ret_text = d->at[at].text;
                        return d->at[at].state;
                }
        *ret_text = "";
        return d->at[AT_COMMIT].state;
}

static void tell_state(Disk *d, StoreState state, const char *text) {
        char *copy = strdup(text);

        if (copy && tell(d, &(News){ .what = NEWS_STATE, .state = { state, copy } }) < 0)
                free(copy);
}

static const char *advice(int error) {
        switch (-error) {
        case ENOSPC:
        case EDQUOT:
                return "nothing of the store is left to drop: free some space there";
        case EROFS:
                return "the card may be failing, see dmesg; then remount it read-write";
        case EACCES:
        case EPERM:
                return "it has to belong to the user that tbagent runs as";
        case ENOENT:
        case ENOTDIR:
                return "something took the folder away or stands in its place";
        case EMFILE:
        case ENFILE:
        case ENOMEM:
                return "the machine is short of it";
        default:
                return "the card or disk may be failing, see dmesg";
        }
}

void disk_set_failed(Disk *d, FailedAt at, const char *path, int error) {
        StoreState state = error == -ENOSPC || error == -EDQUOT ? STORE_FULL : STORE_FAILED;
        char text[320];
        size_t size;

        snprintf(text, sizeof(text), "cannot %s %.80s: %s; %s%s", at == AT_READ ? "read" : "write", path,
                 strerrordesc_np(-error) ?: "unknown error", advice(error), at == AT_COMMIT ? "; new rows wait in memory" : "");
        if (d->at[at].state != state)
                tell_state(d, state, text);
        d->at[at].state = state;
        size = strnlen(text, sizeof(d->at[at].text) - 1);
        memcpy(d->at[at].text, text, size);
        d->at[at].text[size] = 0;
}

void disk_set_well(Disk *d, FailedAt at) {
        bool failed = d->at[at].state == STORE_FULL || d->at[at].state == STORE_FAILED;
        const char *text;

        d->at[at].state = STORE_OK;
        if (failed && disk_state(d, &text) == STORE_OK)
                tell_state(d, STORE_OK, "the store works again");
}
