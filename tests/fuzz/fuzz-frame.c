/* SPDX-License-Identifier: Apache-2.0 */
/* What frame_parse() takes is what frame_build() would have written, byte for byte, and its fields lie inside. */
#include <assert.h>

#include "model/frame.h"

#define U(i) f->f[i].u
#define I(i) (int64_t)f->f[i].u
#define S(i) f->f[i].data
#define B(i) f->f[i].data, f->f[i].size

static ssize_t rebuild(uint8_t out[static FRAME_SIZE_MAX], const Frame *f) {
        const char *kinds = frame_fields(f->type);

        if (streq(kinds, ""))
                return frame_build(out, f->type);
        if (streq(kinds, "u"))
                return frame_build(out, f->type, U(0));
        if (streq(kinds, "s"))
                return frame_build(out, f->type, S(0));
        if (streq(kinds, "b"))
                return frame_build(out, f->type, B(0));
        if (streq(kinds, "us"))
                return frame_build(out, f->type, U(0), S(1));
        if (streq(kinds, "su"))
                return frame_build(out, f->type, S(0), U(1));
        if (streq(kinds, "ss"))
                return frame_build(out, f->type, S(0), S(1));
        if (streq(kinds, "sb"))
                return frame_build(out, f->type, S(0), B(1));
        if (streq(kinds, "uus"))
                return frame_build(out, f->type, U(0), U(1), S(2));
        if (streq(kinds, "uss"))
                return frame_build(out, f->type, U(0), S(1), S(2));
        if (streq(kinds, "ssu"))
                return frame_build(out, f->type, S(0), S(1), U(2));
        if (streq(kinds, "usss"))
                return frame_build(out, f->type, U(0), S(1), S(2), S(3));
        if (streq(kinds, "usus"))
                return frame_build(out, f->type, U(0), S(1), U(2), S(3));
        if (streq(kinds, "ussu"))
                return frame_build(out, f->type, U(0), S(1), S(2), U(3));
        if (streq(kinds, "uiis"))
                return frame_build(out, f->type, U(0), I(1), I(2), S(3));
        if (streq(kinds, "ssssu"))
                return frame_build(out, f->type, S(0), S(1), S(2), S(3), U(4));
        if (streq(kinds, "ssubb"))
                return frame_build(out, f->type, S(0), S(1), U(2), B(3), B(4));
        if (streq(kinds, "uuuuuu"))
                return frame_build(out, f->type, U(0), U(1), U(2), U(3), U(4), U(5));
        abort(); /* a new list of fields: add it here */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static uint8_t out[FRAME_SIZE_MAX];
        Frame f;

        if (frame_parse(data, size, &f) < 0)
                return 0;
        assert(f.n_fields == strlen(frame_fields(f.type)));
        for (size_t i = 0; i < f.n_fields; i++)
                if (f.f[i].data) {
                        const char *end = (const char *)data + size;

                        assert(f.f[i].data >= (const char *)data && f.f[i].size <= (size_t)(end - f.f[i].data));
                }
        assert(rebuild(out, &f) == (ssize_t)size && memcmp(out, data, size) == 0);
        return 0;
}
