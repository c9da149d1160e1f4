/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "i2c-sim-chip.h"

/* ---- descriptions */

/* Hexadecimal digits, blanks between bytes allowed, up to what is none. */
static size_t hex_parse(const char *text, uint8_t *out, size_t max, const char **ret_end) {
        size_t n = 0;
        unsigned byte;

        for (text += strspn(text, " "); sscanf(text, "%2x", &byte) == 1; text += strspn(text, " ")) {
                assert_true(n < max);
                if (text[1] == ' ' || text[1] == ':' || text[1] == '\0')
                        fail_msg("half a byte: %s", text);
                out[n++] = (uint8_t)byte;
                text += 2;
        }
        *ret_end = text;
        return n;
}

static Cell cell_parse(const char *text) {
        Cell c = {.size = 0};
        const char *end;

        c.key_size = hex_parse(text, c.key, KEY_MAX, &end);
        if (c.key_size == 0 || *end != ':')
                fail_msg("no \"KEY: BYTES\": %s", text);
        c.size = hex_parse(end + 1, c.data, DATA_MAX, &end);
        if (*end && *end != '#')
                fail_msg("what is \"%s\"?", end);
        return c;
}

static Cell *cell_find(Chip *chip, const uint8_t *key, size_t size) {
        for (size_t i = 0; i < chip->n_cells; i++)
                if (chip->cells[i].key_size == size && memcmp(chip->cells[i].key, key, size) == 0)
                        return &chip->cells[i];
        return NULL;
}

static void cell_put(Chip *chip, const Cell *c) {
        Cell *there = cell_find(chip, c->key, c->key_size);

        if (chip->model == MODEL_BYTES) {
                assert_int_equal(c->key_size, 1);
                for (size_t i = 0; i < c->size; i++)
                        chip->regs[(uint8_t)(c->key[0] + i)] = c->data[i];
                return;
        }
        if (!there) {
                assert_true(chip->n_cells < CELLS_MAX);
                there = &chip->cells[chip->n_cells++];
        }
        *there = *c;
}

static void start_parse(Chip *chip, const char *text) {
        Start *s = &chip->starts[chip->n_starts++];
        unsigned long long usec;
        char key[2 * KEY_MAX + 1], kind[8];
        const char *end;

        assert_true(chip->n_starts <= STARTS_MAX);
        if (sscanf(text, "%24s %llu %7s", key, &usec, kind) != 3)
                fail_msg("no \"start KEY USEC nack|old\": %s", text);
        *s = (Start){.usec = usec, .nack = streq(kind, "nack")};
        s->key_size = hex_parse(key, s->key, KEY_MAX, &end);
        assert_int_equal(*end, 0);
}

/* The same register once more is another result of the next measurement. */
static void then_put(Start *s, Cell c) {
        for (size_t i = 0; i < s->n_then; i++)
                if (s->then[i].key_size == c.key_size && memcmp(s->then[i].key, c.key, c.key_size) == 0) {
                        s->then[i] = c;
                        return;
                }
        assert_true(s->n_then < ELEMENTS(s->then));
        s->then[s->n_then++] = c;
}

static void line_parse(Chip *chip, const char *line) {
        static const char *const models[] = {"bytes", "words", "commands", "port"};
        Start *s = chip->n_starts > 0 ? &chip->starts[chip->n_starts - 1] : NULL;
        Cell c;

        if (strncmp(line, "model ", 6) == 0) {
                for (size_t i = 0; i < ELEMENTS(models); i++)
                        if (streq(line + 6, models[i]))
                                chip->model = (Model)i;
        } else if (strncmp(line, "start ", 6) == 0)
                start_parse(chip, line + 6);
        else if (strncmp(line, "busy ", 5) == 0) {
                assert_non_null(s);
                s->busy[s->n_busy++] = cell_parse(line + 5);
        } else if (strncmp(line, "need ", 5) == 0) {
                assert_non_null(s);
                s->need = cell_parse(line + 5);
                s->n_need = 1;
        } else if (strncmp(line, "then ", 5) == 0) {
                assert_non_null(s);
                then_put(s, cell_parse(line + 5));
        } else {
                c = cell_parse(line);
                cell_put(chip, &c);
        }
}

void chip_describe(Chip *chip, const char *lines) {
        char *copy = strdup(lines), *save = NULL;

        for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                line += strspn(line, " ");
                if (*line && *line != '#')
                        line_parse(chip, line);
        }
        free(copy);
}

/* ---- a chip */

static void cells_apply(Chip *chip, const Cell *cells, size_t n) {
        for (size_t i = 0; i < n; i++)
                cell_put(chip, &cells[i]);
}

static void chip_settle(Chip *chip) {
        Start *s = chip->running;

        if (!s || sim_now_ns() < chip->ends_ns)
                return;
        chip->running = NULL;
        cells_apply(chip, s->then, s->n_then);
}

static Start *chip_start(Chip *chip, const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i < chip->n_starts; i++) {
                Start *s = &chip->starts[i];

                if (s->key_size > n || memcmp(s->key, bytes, s->key_size) != 0)
                        continue;
                if (s->n_need > 0 && chip_peek(chip, s->need.key[0]) != s->need.data[0])
                        return s;
                cells_apply(chip, s->busy, s->n_busy);
                chip->running = s;
                chip->ends_ns = sim_now_ns() + s->usec * 1000;
                return s;
        }
        return NULL;
}

static void words_write(Chip *chip, const uint8_t *bytes, size_t n) {
        Cell c = {.key = {bytes[0]}, .key_size = 1, .size = n - 1};

        if (n > 1) {
                assert_true(n - 1 <= DATA_MAX);
                memcpy(c.data, bytes + 1, n - 1);
                cell_put(chip, &c);
        }
}

bool chip_write(Chip *chip, const uint8_t *bytes, size_t n) {
        bool known;

        chip_settle(chip);
        switch (chip->model) {
        case MODEL_BYTES:
                chip->pointer = bytes[0];
                for (size_t i = 1; i < n; i++)
                        chip->regs[chip->pointer++] = bytes[i];
                break;
        case MODEL_WORDS:
                words_write(chip, bytes, n);
                break;
        case MODEL_COMMANDS:
                break;
        case MODEL_PORT:
                chip->latch = bytes[n - 1];
                break;
        }
        known = chip_start(chip, bytes, n) != NULL;
        chip_settle(chip);
        chip->last_size = chip->model == MODEL_WORDS ? 1 : MIN(n, sizeof(chip->last));
        memcpy(chip->last, bytes, chip->last_size);
        return chip->model != MODEL_COMMANDS || known || cell_find(chip, chip->last, chip->last_size);
}

bool chip_read(Chip *chip, uint8_t *bytes, size_t n) {
        const Cell *c;

        chip_settle(chip);
        if (chip->running && chip->running->nack)
                return false;
        if (chip->model == MODEL_PORT) {
                memset(bytes, chip->latch & ~chip->low, n);
                return true;
        }
        if (chip->model == MODEL_BYTES) {
                for (size_t i = 0; i < n; i++)
                        bytes[i] = chip->regs[chip->pointer++];
                return true;
        }
        c = cell_find(chip, chip->last, chip->last_size);
        if (!c || c->size == 0)
                return false;
        memset(bytes, 0xff, n);
        memcpy(bytes, c->data, MIN(n, c->size));
        return true;
}

int chip_peek(Chip *chip, uint8_t reg) {
        Cell *c;

        if (chip->model == MODEL_PORT)
                return chip->latch;
        if (chip->model == MODEL_BYTES)
                return chip->regs[reg];
        c = cell_find(chip, &reg, 1);
        return c && c->size > 0 ? c->data[0] : -1;
}
