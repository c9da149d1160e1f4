/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines that there are, who uses them, and for those that nobody does what to write. Lines of the Raspberry Pi's header that
 * its I2C, SPI and serial ports have, as long as they are switched on, look free to the kernel: asking for one takes it away from
 * its port. So what is written for them is a comment, as for lines that are outputs now and, on such a board, those that lead to
 * no pin.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "gpio.h"

#define LINES_SHOWN_MAX 1024

typedef struct Scan {
        struct tbagent_host *host;
        uint64_t keys[2 * LINES_SHOWN_MAX]; /* that are given away */
        size_t n_keys, shown, proposed;
        bool header; /* a chip of this machine leads to a Raspberry Pi's */
} Scan;

/* NULL: nothing else, usually. */
static const char *other_use(unsigned gpio) {
        static const char *const uses[] = {
                [0] = "ID EEPROM", [1] = "ID EEPROM", [2] = "I2C",  [3] = "I2C",          [7] = "SPI",          [8] = "SPI",
                [9] = "SPI",       [10] = "SPI",      [11] = "SPI", [14] = "serial port", [15] = "serial port",
        };

        return gpio < sizeof(uses) / sizeof(uses[0]) ? uses[gpio] : NULL;
}

/* A key of letters that any file can hold: "GPIO17" -> gpio17, "EXP-3" -> exp_3. */
static void channel_name(const char *name, char out[static CHIP_NAME_SIZE + 8]) {
        size_t n = 0;

        if (!isalpha((unsigned char)name[0]))
                n = (size_t)snprintf(out, 8, "line_");
        for (; *name && n < CHIP_NAME_SIZE + 7; name++)
                out[n++] = (char)(isalnum((unsigned char)*name) ? tolower((unsigned char)*name) : '_');
        out[n] = '\0';
}

/* Whether the name alone leads to the line; "pin5" or "17" would lead elsewhere, one that two chips have and a quote nowhere. */
static bool is_name(const char *name, const ChipInfo *chip, unsigned offset) {
        char why[WHY_SIZE];
        Wanted w;
        Place p;

        return name[0] && !strpbrk(name, "\"\\\n") && wanted_parse(name, NULL, &w, why) == 0 && w.how == WANTED_NAME &&
               place_find(&w, &p, why) == 0 && strcmp(p.chip, chip->name) == 0 && p.offset == offset;
}

/* The first with this key may have it. */
static bool take_key(Scan *s, const char *key) {
        uint64_t id = memory_id(key);

        for (size_t i = 0; i < s->n_keys; i++)
                if (s->keys[i] == id)
                        return false;
        s->keys[s->n_keys++] = id;
        return true;
}

static bool is_on_header(const ChipInfo *chip, unsigned offset) {
        return chip_is_header(chip->label) && header_pin(offset) > 0;
}

static void config_of(Scan *s, const ChipInfo *chip, unsigned offset, const LineInfo *info, const char *use, char *out,
                      size_t size) {
        char key[CHIP_NAME_SIZE + 8] = "", where[2 * CHIP_NAME_SIZE + 40];

        if (is_on_header(chip, offset)) {
                snprintf(key, sizeof(key), "gpio%u", offset);
                snprintf(where, sizeof(where), "line = \"GPIO%u\";", offset);
                (void)take_key(s, key);
        } else {
                if (is_name(info->name, chip, offset))
                        channel_name(info->name, key);
                snprintf(where, sizeof(where), "line = \"%s\";", info->name);
        }
        if (!key[0] || (!is_on_header(chip, offset) && !take_key(s, key))) {
                snprintf(key, sizeof(key), "%s_%u", chip->name, offset);
                snprintf(where, sizeof(where), "line = \"%u\"; chip = \"%s\";", offset, chip->name);
        }
        snprintf(out, size, use ? "%s = { %s };  # %s, where that is switched on" : "%s = { %s };", key, where, use);
}

/* Somebody has to decide: what another port may use, what is driven now, what is inside the board, and what is more than an
 * instance may have. */
static bool is_doubtful(Scan *s, const ChipInfo *chip, unsigned offset, const LineInfo *info, const char *use) {
        if (use || info->output || (s->header && !is_on_header(chip, offset)) || s->proposed == LINES_MAX)
                return true;
        s->proposed++;
        return false;
}

static void add_text(json_object *o, const char *name, const char *text) {
        json_object_object_add(o, name, json_object_new_string(text));
}

static void add_config(Scan *s, json_object *o, const ChipInfo *chip, unsigned offset, const LineInfo *info) {
        const char *use = is_on_header(chip, offset) ? other_use(offset) : NULL;
        char config[256];

        config_of(s, chip, offset, info, use, config, sizeof(config));
        add_text(o, "config", config);
        add_text(o, "group", "lines");
        if (is_doubtful(s, chip, offset, info, use))
                json_object_object_add(o, "commented", json_object_new_boolean(true));
}

static void tell(Scan *s, const ChipInfo *chip, unsigned offset, const LineInfo *info) {
        char id[2 * CHIP_NAME_SIZE], what[256], pin[24] = "";
        json_object *o = json_object_new_object();

        if (!o)
                return;
        snprintf(id, sizeof(id), "%s %u", chip->name, offset);
        if (is_on_header(chip, offset))
                snprintf(pin, sizeof(pin), ", pin %u", header_pin(offset));
        snprintf(what, sizeof(what), "line %u of %s [%s]%s, %s%s%s", offset, chip->name, chip->label, pin,
                 info->output ? "output" : "input", info->used ? ", used by " : "",
                 info->used ? (info->consumer[0] ? info->consumer : "the kernel") : "");
        add_text(o, "id", info->name[0] ? info->name : id);
        add_text(o, "what", what);
        if (!info->used)
                add_config(s, o, chip, offset, info);
        (void)tbagent_found(s->host, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
        json_object_put(o);
}

static void scan_chip(Scan *s, const ChipInfo *info) {
        LineInfo line;
        Chip *chip;

        if (chip_open(&chip, info->path) < 0)
                return;
        for (unsigned offset = 0; offset < info->n_lines && s->shown < LINES_SHOWN_MAX; offset++)
                if (chip_line(chip, offset, &line) == 0) {
                        tell(s, info, offset, &line);
                        s->shown++;
                }
        chip_close(chip);
}

int gpio_scan(struct tbagent_host *host) {
        ChipInfo chips[CHIPS_MAX];
        size_t n = chips_list(chips);
        Scan s = {.host = host};
        char text[200];
        int denied = 0;

        for (size_t i = 0; i < n; i++)
                s.header |= chips[i].error == 0 && chip_is_header(chips[i].label);
        for (size_t i = 0; i < n; i++)
                if (chips[i].error == 0)
                        scan_chip(&s, &chips[i]);
                else if (denied == 0) {
                        denied = chips[i].error;
                        snprintf(text, sizeof(text), "%s cannot be looked at: %s", chips[i].path, strerrordesc_np(-denied));
                        tbagent_log(host, TBAGENT_WARNING, text);
                }
        if (n == 0)
                tbagent_log(host, TBAGENT_WARNING,
                            "there is no /dev/gpiochip*: this machine has no GPIO, or its driver is not loaded");
        return n == 0 ? -ENODEV : s.shown == 0 ? denied : 0;
}
