/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "exec-fixture.h"
#include "tree.h"

int exec_setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        f->harness = harness_new("exec", f->options);
        f->dir = tree_new();
        *state = f;
        return 0;
}

int exec_teardown(void **state) {
        Fixture *f = *state;

        harness_free(f->harness);
        tree_free(f->dir);
        free(f);
        return 0;
}

void option(Fixture *f, const char *path, const char *value) {
        Option *o = f->options;

        while (o->path && strcmp(o->path, path) != 0)
                o++;
        assert_true(o < f->options + ELEMENTS(f->options) - 1);
        *o = (Option){path, value};
}

void script(Fixture *f, const char *text) {
        option(f, "shell", "true");
        option(f, "command", text);
}

int run(Fixture *f, const char *text) {
        int r;

        script(f, text);
        assert_int_equal(harness_open(f->harness), 0);
        r = harness_sample(f->harness);
        harness_close(f->harness);
        return r;
}

const Emit *emitted(Fixture *f, const char *key, EmitType type) {
        const Emit *e = harness_last(f->harness, key);

        if (!e)
                fail_msg("no value of %s", key);
        if (e->type != type)
                fail_msg("%s has type %d", key, e->type);
        return e;
}
