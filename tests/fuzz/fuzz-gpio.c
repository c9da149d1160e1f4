/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin gpio gets from outside: JSON of the server's, and a state file that may be damaged. The first byte chooses. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/gpio/memory.h"
#include "../../plugins/gpio/params.h"

static void look_at_text(const char *text) {
        double number = -1;
        int64_t ns = -1;
        unsigned pin = 0;
        bool on;

        for (int percent = 0; percent < 2; percent++)
                if (params_duty(text, percent, &number) == 0)
                        assert(percent ? number >= 0 && number <= 100 : number == 0 || number == 100);
        if (params_time(text, &ns) == 1)
                assert(ns >= 1000000 && ns <= INT64_C(86400000000000));
        if (params_number(text, &number) == 0)
                assert(isfinite(number));
        if (params_pin(text, &pin, &on) == 0)
                assert(pin >= 1 && pin <= 999);
        if (params_attribute(text, "water", &number) == 0)
                assert(isfinite(number));
}

static void look_at_memory(const uint8_t *data, size_t size) {
        static const uint8_t boot[16];
        Remembered list[MEMORY_LINES_MAX], again[MEMORY_LINES_MAX];
        uint8_t out[MEMORY_SIZE_MAX];
        bool same;
        size_t n = memory_decode(data, size, boot, list, &same), m;

        assert(n <= MEMORY_LINES_MAX);
        for (size_t i = 0; i < n; i++) {
                assert(!list[i].driven || (list[i].duty >= 0 && list[i].duty <= 100));
                assert(!list[i].counted || list[i].per_unit > 0);
        }
        m = memory_encode(list, n, boot, out);
        assert(m <= sizeof(out) && memory_decode(out, m, boot, again, &same) == n && same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text;

        if (size == 0)
                return 0;
        if (data[0] == 'm') {
                look_at_memory(data + 1, size - 1);
                return 0;
        }
        text = malloc(size);
        assert(text);
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        look_at_text(text);
        free(text);
        return 0;
}
