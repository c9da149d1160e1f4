/* SPDX-License-Identifier: Apache-2.0 */
/* What a server may send in the life of its shared attributes, each line of the input one thing:
 *
 *      u{...}   an update               a{...}   the answer to the question
 *      U        one that is too large   A        one that is too large       t   no answer
 *      o        the connection goes     c        and comes                   w   some time passes
 *
 * What is held then goes into the file, and comes out of it as the same attributes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "agent/config.h"
#include "base/file.h"
#include "model/json.h"
#include "tb/mirror.h"

static Loop *loop;
static Attributes *held;
static bool open_question;

static int on_ask(void *userdata) {
        (void)userdata;
        if (open_question)
                abort();
        open_question = true;
        return 0;
}

static void on_changed(void *userdata, const char *key, const Attribute *now) {
        (void)userdata;
        if (attributes_get(held, key) != now)
                abort();
}

static void on_client(void *userdata, struct json_object *client) {
        (void)userdata;
        (void)client;
}

static void on_synced(void *userdata) {
        (void)userdata;
}

static void on_warning(void *userdata, const char *text) {
        (void)userdata;
        if (!text[0])
                abort();
}

static Attributes *new_attributes(void) {
        AttributesEvents events = { on_ask, on_changed, on_client, on_synced, on_warning, NULL };
        Attributes *a;

        if (attributes_new(&a, loop, &events) < 0)
                abort();
        return a;
}

static void connection(bool there) {
        open_question = false;
        if (there)
                attributes_online(held);
        else
                attributes_offline(held);
}

static void answer(int error, const char *json, size_t size) {
        if (!open_question)
                return;
        open_question = false;
        attributes_answer(held, error, json, size);
}

static void happen(char what, const char *text, size_t size) {
        switch (what) {
        case 'u':
                attributes_update(held, text, size);
                break;
        case 'U':
                attributes_update(held, NULL, MIB);
                break;
        case 'a':
                answer(0, text, size);
                break;
        case 'A':
                answer(0, NULL, MIB);
                break;
        case 't':
                answer(-ETIMEDOUT, NULL, 0);
                break;
        case 'o':
                connection(false);
                break;
        case 'c':
                connection(true);
                break;
        case 'w':
                if (loop_advance(loop, USEC_PER_SEC) < 0)
                        abort();
                break;
        default:
                break;
        }
}

static void check_same(const Attributes *a, const Attributes *b) {
        if (attributes_n(a) != attributes_n(b))
                abort();
        for (size_t i = 0; i < attributes_n(a); i++) {
                const Attribute *x = attributes_at(a, i), *y = attributes_at(b, i);

                if (!streq(x->key, y->key) || x->value.type != y->value.type || json_validate(x->json, x->json_size) < 0)
                        abort();
                if (x->value.type == VALUE_DOUBLE ? memcmp(&x->value.d, &y->value.d, sizeof(double)) != 0
                                                  : !streq(x->json, y->json))
                        abort();
        }
}

static void check_file(void) {
        _cleanup_(closep) int fd = memfd_create("shared.conf", MFD_CLOEXEC);
        _cleanup_(attributes_freep) Attributes *again = new_attributes();
        _cleanup_(freep) char *text = NULL, *why = NULL;
        _cleanup_(setting_freep) Setting *root = NULL;
        char path[64];
        size_t size;

        if (fd < 0 || mirror_text(held, &text, &size) < 0 || strlen(text) != size || file_write_all(fd, text, size) < 0)
                abort();
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (config_load_tree(path, &root, &why) < 0 || mirror_load(again, root) != 0)
                abort();
        check_same(held, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *p = (const char *)data, *end = p + size;

        if (!loop && loop_new_simulated(&loop, 0) < 0)
                abort();
        held = new_attributes();
        connection(true);
        while (p < end) {
                const char *newline = memchr(p, '\n', (size_t)(end - p));
                size_t length = (size_t)((newline ? newline : end) - p);

                if (length > 0)
                        happen(p[0], p + 1, length - 1);
                p += length + 1;
        }
        check_file();
        held = attributes_free(held);
        return 0;
}
