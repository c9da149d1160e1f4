/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "i2c-fixture.h"
#include "tree.h"

#define SAMPLES_MAX 12

Fixture *fixture_new(void) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->root = tree_new();
        f->sim = sim_new(f->root, 1, "bcm2835 (i2c@7e804000)");
        option_set(f, "root", f->root);
        f->harness = harness_new("i2c", f->options);
        return f;
}

Fixture *fixture_free(Fixture *f) {
        options_clear(f);
        harness_free(f->harness);
        sim_free(f->sim);
        tree_free(f->root);
        free((char *)f->options[0].path);
        free((char *)f->options[0].value);
        free(f);
        return NULL;
}

int fixture_setup(void **state) {
        *state = fixture_new();
        return 0;
}

int fixture_teardown(void **state) {
        fixture_free(*state);
        return 0;
}

void option_set(Fixture *f, const char *path, const char *text) {
        for (size_t i = 0; i < f->n_options; i++)
                if (streq(f->options[i].path, path)) {
                        free((char *)f->options[i].value);
                        f->options[i].value = strdup(text);
                        return;
                }
        assert_true(f->n_options < FIXTURE_OPTIONS);
        f->options[f->n_options++] = (Option){strdup(path), strdup(text)};
}

/* The harness keeps what it was asked for as long as it lives. */
void options_clear(Fixture *f) {
        while (f->n_options > 1) {
                f->n_options--;
                free((char *)f->options[f->n_options].path);
                free((char *)f->options[f->n_options].value);
                f->options[f->n_options] = (Option){NULL, NULL};
        }
}

const Vector *vector_of(const char *chip) {
        for (size_t i = 0; i < n_vectors; i++)
                if (streq(vectors[i].chip, chip))
                        return &vectors[i];
        fail_msg("no vector of %s", chip);
        return NULL;
}

void vector_configure(Fixture *f, const char *name, const Vector *v) {
        char path[96], address[8];

        snprintf(path, sizeof(path), "chips.%s.chip", name);
        option_set(f, path, v->chip);
        snprintf(path, sizeof(path), "chips.%s.address", name);
        snprintf(address, sizeof(address), "0x%02x", v->address);
        option_set(f, path, address);
        for (size_t i = 0; i < VECTOR_OPTIONS_MAX && v->options[i].name; i++) {
                snprintf(path, sizeof(path), "chips.%s.%s", name, v->options[i].name);
                option_set(f, path, v->options[i].value);
        }
        sim_chip(f->sim, v->address, v->description);
}

void sample(Fixture *f, int *ret_error) {
        for (int i = 0; i < SAMPLES_MAX; i++) {
                harness_set_now(f->harness, (int64_t)sim_now_ns());
                *ret_error = harness_sample(f->harness);
                if (*ret_error != -EAGAIN)
                        return;
                sim_advance(1000000);
        }
        fail_msg("nothing came");
}

void vector_check(Fixture *f, const char *name, const Vector *v) {
        char key[96];
        double seen;

        for (size_t i = 0; i < VECTOR_VALUES_MAX && v->values[i].quantity; i++) {
                snprintf(key, sizeof(key), "%s_%s", name, v->values[i].quantity);
                if (v->values[i].bad) {
                        expect_bad(f, key, v->values[i].bad);
                        continue;
                }
                seen = value(f, key);
                if (seen > v->values[i].value + v->values[i].tolerance || seen < v->values[i].value - v->values[i].tolerance)
                        fail_msg("%s: %s is %.9g, not %.9g +- %g (%s)", v->chip, key, seen, v->values[i].value,
                                 v->values[i].tolerance, v->source);
        }
}

double value(Fixture *f, const char *key) {
        const Emit *e = harness_last(f->harness, key);

        if (!e)
                fail_msg("no value of %s", key);
        switch (e->type) {
        case EMIT_DOUBLE:
                return e->d;
        case EMIT_INT:
        case EMIT_BOOL:
                return (double)e->i;
        default:
                fail_msg("%s: %s", key, e->text);
                return 0;
        }
}

void expect_bad(Fixture *f, const char *key, const char *why) {
        const Emit *e = harness_last(f->harness, key);

        if (!e)
                fail_msg("nothing of %s", key);
        if (e->type != EMIT_BAD)
                fail_msg("%s is not bad", key);
        if (!strstr(e->text, why))
                fail_msg("%s: \"%s\" lacks \"%s\"", key, e->text, why);
}

int64_t counter(Fixture *f, const char *name) {
        char quoted[40];
        const char *at;

        assert_int_equal(harness_rpc(f->harness, NULL, "counters", "{}"), 0);
        snprintf(quoted, sizeof(quoted), "\"%s\":", name);
        at = strstr(harness_reply(f->harness), quoted);
        if (!at)
                fail_msg("no %s in %s", name, harness_reply(f->harness));
        return strtoll(at + strlen(quoted), NULL, 10);
}
