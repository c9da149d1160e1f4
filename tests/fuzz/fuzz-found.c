/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin found: whatever it says, texts are bounded, have nothing that a terminal takes for a command, and are whole. */
#include <assert.h>

#include "agent/config-text.h"
#include "agent/found.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_text(const char *text, size_t size_max, const char *allowed) {
        assert(strlen(text) <= size_max);
        for (const char *p = text; *p; p++)
                assert(((unsigned char)*p >= ' ' && *p != 0x7f) || strchr(allowed, *p));
}

static void expect_whole(const char *text) {
        ConfigProblems problems = { 0 };

        assert(config_text_check(text, strlen(text), "", &problems) == 0);
        config_problems_free(problems.list, problems.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(found_done) Found f = { 0 };
        const char *why = NULL;
        int r = found_parse((const char *)data, size, &f, &why);

        if (r < 0) {
                assert(r == -EBADMSG && why && !f.id && !f.config);
                return 0;
        }
        expect_text(f.id, FOUND_NAME_MAX, "");
        expect_text(f.what, FOUND_TEXT_MAX, "");
        expect_text(f.config, FOUND_CONFIG_MAX, "\n\t");
        expect_text(f.options, FOUND_OPTIONS_MAX, "\n\t");
        assert(*f.id && *f.what && f.group && f.instance);
        expect_whole(f.config);
        expect_whole(f.options);
        return 0;
}
