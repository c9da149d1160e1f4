/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a chip that the configuration describes, in one of two ways:
 *
 *   registers  each is read behind its number; with `burst` those that follow each other byte for byte at once (chips
 *              whose registers are wider than a byte would send something else there, so it is not the default)
 *   command    it is written, `delay` later one read takes the answer, and each of `registers` is a place in it
 */
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "i2c.h"

#define ANSWER_MAX 64
#define WIRE_MAX   (2 * ANSWER_MAX) /* a checksum behind each byte at worst */
#define GROUP_MAX  30               /* with checksums still one SMBus block at worst for the usual chips */

typedef struct Registers {
        Field *fields;
        size_t *order; /* fields by their register */
        Quantity *quantities;
        size_t n;
        Bytes *init;
        size_t n_init;
        Bytes command; /* n 0: registers are read by their numbers */
        uint32_t delay_usec;
        bool burst;
        size_t reg_size;
        Checksum checksum;
} Registers;

/* ---- from the options */

static size_t members_count(Device *d, const struct tbagent_node *options) {
        size_t n = 0;

        while (tbagent_member(d->host, options, "registers", n))
                n++;
        return n;
}

static int writes_configure(Device *d, Registers *r, const struct tbagent_node *options) {
        const char *command = tbagent_string(d->host, options, "command", 0), *text;

        if (command && bytes_parse(command, &r->command) < 0)
                return device_refuse(d, "command = \"%.40s\" is no list of bytes: write them as \"0x24 0x00\"", command);
        while (tbagent_string(d->host, options, "init", r->n_init))
                r->n_init++;
        r->init = calloc(r->n_init + 1, sizeof(*r->init));
        if (!r->init)
                return -ENOMEM;
        for (size_t i = 0; i < r->n_init; i++) {
                text = tbagent_string(d->host, options, "init", i);
                if (bytes_parse(text, &r->init[i]) < 0)
                        return device_refuse(d, "init: \"%.40s\" is no list of bytes: write them as \"0xf4 0x27\"", text);
        }
        return 0;
}

bool checksum_is_set(struct tbagent_host *host, const struct tbagent_node *options) {
        const struct tbagent_node *crc = tbagent_member(host, options, "crc", 0);

        return tbagent_is_set(host, options, "crc") || (crc && (tbagent_is_set(host, crc, "poly") ||
               tbagent_is_set(host, crc, "init") || tbagent_is_set(host, crc, "block")));
}

static void checksum_configure(Device *d, Registers *r, const struct tbagent_node *options) {
        const struct tbagent_node *crc = tbagent_member(d->host, options, "crc", 0);

        r->checksum.used = checksum_is_set(d->host, options);
        if (!r->checksum.used)
                return;
        r->checksum.polynomial = (uint8_t)tbagent_int(d->host, crc, "poly");
        r->checksum.init = (uint8_t)tbagent_int(d->host, crc, "init");
        r->checksum.block = (size_t)tbagent_int(d->host, crc, "block");
}

static int place_configure(Device *d, const Registers *r, const struct tbagent_node *node, Field *f, const char *name) {
        const char *needed = r->command.n > 0 ? "at" : "reg", *other = r->command.n > 0 ? "reg" : "at";

        if (tbagent_is_set(d->host, node, other))
                return device_refuse(d, "registers.%.40s.%s: %s command it is `%s`", name, other,
                                     r->command.n > 0 ? "with" : "without", needed);
        if (!tbagent_is_set(d->host, node, needed))
                return device_refuse(d, "registers.%.40s.%s is missing", name, needed);
        f->at = (uint16_t)tbagent_int(d->host, node, needed);
        if (r->command.n > 0 && f->at + f->size > ANSWER_MAX)
                return device_refuse(d, "registers.%.40s.at: an answer has at most %d bytes", name, ANSWER_MAX);
        if (r->command.n == 0 && r->reg_size == 1 && f->at > 255)
                return device_refuse(d, "registers.%.40s.reg = 0x%x: numbers above 0xff need reg_size = 2;", name, f->at);
        return 0;
}

static int field_configure(Device *d, const Registers *r, const struct tbagent_node *node, Field *f, Quantity *q) {
        bool scaled = tbagent_is_set(d->host, node, "scale") || tbagent_is_set(d->host, node, "offset");
        bool masked = tbagent_is_set(d->host, node, "mask") || tbagent_is_set(d->host, node, "shift");
        int error;

        q->name = tbagent_name(d->host, node);
        error = type_parse(tbagent_string(d->host, node, "type", 0), f);
        if (error == 0)
                error = place_configure(d, r, node, f, q->name);
        if (error < 0)
                return error;
        f->mask = tbagent_is_set(d->host, node, "mask") ? (uint32_t)tbagent_int(d->host, node, "mask") : UINT32_MAX;
        f->shift = (unsigned)tbagent_int(d->host, node, "shift");
        f->scale = tbagent_is_set(d->host, node, "scale") ? tbagent_float(d->host, node, "scale") : 1;
        f->offset = tbagent_is_set(d->host, node, "offset") ? tbagent_float(d->host, node, "offset") : 0;
        f->has_invalid = tbagent_is_set(d->host, node, "invalid");
        f->invalid = f->has_invalid ? (uint32_t)tbagent_int(d->host, node, "invalid") : 0;
        q->kind = f->flag ? KIND_BOOL : f->real || scaled ? KIND_NUMBER : KIND_WHOLE;
        if (f->real && masked)
                return device_refuse(d, "registers.%.40s: a float has neither mask nor shift", q->name);
        if (field_check(f) < 0)
                return device_refuse(d, "registers.%.40s: mask and shift leave nothing of it", q->name);
        return 0;
}

static void fields_sort(Registers *r) {
        for (size_t i = 0; i < r->n; i++) {
                size_t at = i;

                for (; at > 0 && r->fields[r->order[at - 1]].at > r->fields[i].at; at--)
                        r->order[at] = r->order[at - 1];
                r->order[at] = i;
        }
}

static int fields_configure(Device *d, Registers *r, const struct tbagent_node *options) {
        int error = 0;

        r->n = members_count(d, options);
        if (r->n == 0)
                return device_refuse(d, "has neither chip nor registers: write chip = \"bme280\"; or what its registers are");
        r->fields = calloc(r->n, sizeof(*r->fields));
        r->order = calloc(r->n, sizeof(*r->order));
        r->quantities = calloc(r->n + 1, sizeof(*r->quantities));
        if (!r->fields || !r->order || !r->quantities)
                return -ENOMEM;
        d->quantities = r->quantities;
        for (size_t i = 0; error != -ENOMEM && i < r->n; i++) {
                const struct tbagent_node *node = tbagent_member(d->host, options, "registers", i);
                int one = field_configure(d, r, node, &r->fields[i], &r->quantities[i]);

                error = one < 0 ? one : error;
        }
        fields_sort(r);
        return error;
}

static int registers_configure(Device *d, const struct tbagent_node *options) {
        Registers *r = d->data;
        int error;

        r->delay_usec = d->delay_usec = (uint32_t)tbagent_int(d->host, options, "delay");
        r->burst = tbagent_int(d->host, options, "burst");
        r->reg_size = (size_t)tbagent_int(d->host, options, "reg_size");
        checksum_configure(d, r, options);
        error = writes_configure(d, r, options);
        if (error == -ENOMEM)
                return error;
        if (r->delay_usec > 0 && r->command.n == 0)
                device_refuse(d, "delay is how long after command, and there is no command");
        return fields_configure(d, r, options);
}

static void registers_release(Device *d) {
        Registers *r = d->data;

        free(r->fields);
        free(r->order);
        free(r->quantities);
        free(r->init);
}

/* ---- the chip */

static int registers_init(Device *d) {
        const Registers *r = d->data;
        int error = 0;

        for (size_t i = 0; error == 0 && i < r->n_init; i++)
                error = device_write(d, r->init[i].bytes, r->init[i].n);
        return error;
}

static int registers_start(Device *d, uint32_t *ret_usec) {
        const Registers *r = d->data;

        if (r->delay_usec == 0)
                return 0; /* command and answer are one transaction */
        *ret_usec = r->delay_usec;
        return device_write(d, r->command.bytes, r->command.n);
}

/* n bytes of data, checksums looked at and taken out. */
static int fetch(Device *d, const uint8_t *out, size_t n_out, uint8_t *data, size_t n) {
        const Registers *r = d->data;
        size_t size = checksum_size(&r->checksum, n);
        uint8_t wire[WIRE_MAX];
        int error;

        if (size > sizeof(wire))
                return device_fail(d, -EINVAL, "crc.block does not fit what is read");
        error = device_transfer(d, out, n_out, wire, size);
        if (error < 0)
                return error;
        return checksum_strip(&r->checksum, wire, n, data) < 0 ? device_checksum(d) : 0;
}

static void field_take(Device *d, size_t i, const uint8_t *bytes) {
        const Registers *r = d->data;
        double value;

        if (field_decode(&r->fields[i], bytes, &value) == 0)
                device_good(d, i, value);
        else
                device_bad(d, i, "the chip says that it has no value");
}

static int answer_read(Device *d) {
        const Registers *r = d->data;
        uint8_t data[ANSWER_MAX];
        size_t n = 0;
        int error;

        for (size_t i = 0; i < r->n; i++)
                if (r->fields[i].at + r->fields[i].size > n)
                        n = r->fields[i].at + r->fields[i].size;
        error = fetch(d, r->command.bytes, r->delay_usec == 0 ? r->command.n : 0, data, n);
        for (size_t i = 0; error == 0 && i < r->n; i++)
                field_take(d, i, data + r->fields[i].at);
        return error;
}

/* How many fields, in order from the first, are read at once; *ret_size gets their bytes. */
static size_t group_size(const Registers *r, size_t first, size_t *ret_size) {
        const Field *f = &r->fields[r->order[first]];
        size_t begin = f->at, end = begin + f->size, n = 1;

        for (; r->burst && first + n < r->n; n++) {
                f = &r->fields[r->order[first + n]];
                if (f->at > end || f->at + f->size - begin > GROUP_MAX)
                        break;
                if (f->at + f->size > end)
                        end = f->at + f->size;
        }
        *ret_size = end - begin;
        return n;
}

static int group_read(Device *d, size_t first, size_t n, size_t size) {
        const Registers *r = d->data;
        size_t begin = r->fields[r->order[first]].at;
        uint8_t data[ANSWER_MAX], number[2] = {(uint8_t)(begin >> 8), (uint8_t)begin};
        int error;

        error = fetch(d, number + 2 - r->reg_size, r->reg_size, data, size);
        for (size_t i = first; error == 0 && i < first + n; i++)
                field_take(d, r->order[i], data + r->fields[r->order[i]].at - begin);
        return error;
}

static int registers_read(Device *d) {
        const Registers *r = d->data;
        size_t size, n;
        int error = 0;

        if (r->command.n > 0)
                return answer_read(d);
        for (size_t i = 0; error == 0 && i < r->n; i += n) {
                n = group_size(r, i, &size);
                error = group_read(d, i, n, size);
        }
        return error;
}

const Driver registers_driver = {
        .name = "chip that is described here",
        .what = "what registers says",
        .options = "init command delay burst reg_size",
        .size = sizeof(Registers),
        .configure = registers_configure,
        .release = registers_release,
        .init = registers_init,
        .start = registers_start,
        .read = registers_read,
};
