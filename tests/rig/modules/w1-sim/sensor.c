// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a chip does with each time slot of the bus. In all of them the master pulls the wire low; who wants a 0 goes on
 * pulling, so that what is heard at the end is the AND of all. A chip that drives nothing leaves a 1.
 *
 *      reset     any state -> ROM
 *      ROM       8 bits: SEARCH, MATCH (55h), SEND its id (33h), FUNCTION (CCh, all chips at once), or IDLE
 *      SEARCH    bit, its complement, then the master's choice; 64 of these. Another choice than its own: IDLE
 *      MATCH     64 bits; the right ones: FUNCTION, else IDLE
 *      FUNCTION  8 bits: SHOW_BUSY (44h convert, 48h copy, B8h recall), SEND (BEh), RECEIVE (4Eh), SHOW_POWER (B4h), or IDLE
 */
#include <linux/string.h>

#include "w1-sim.h"

static void enter(struct w1_sim_sensor *s, enum w1_sim_state state) {
        s->state = state;
        s->bit = s->step = 0;
}

void sensor_reset(struct w1_sim_sensor *s) {
        chip_settle(s);
        memset(s->buffer, 0, sizeof(s->buffer));
        s->all = false;
        enter(s, ROM);
}

static bool id_bit(const struct w1_sim_sensor *s, unsigned bit) {
        return s->id >> bit & 1;
}

bool sensor_drives(struct w1_sim_sensor *s) {
        switch (s->state) {
        case SEARCH:
                return s->step == 2 ? true : id_bit(s, s->bit) != (s->step == 1);
        case SEND:
                return s->bit < s->length * 8 ? s->buffer[s->bit / 8] >> s->bit % 8 & 1 : true;
        case SHOW_BUSY:
                chip_settle(s);
                return !s->busy;
        case SHOW_POWER:
                return !s->parasite;
        case IDLE:
        case ROM:
        case MATCH:
        case FUNCTION:
        case RECEIVE:
                break;
        }
        return true;
}

static void send(struct w1_sim_sensor *s, const void *bytes, unsigned length) {
        memcpy(s->buffer, bytes, length);
        s->length = length;
        enter(s, SEND);
}

/* True: the byte is complete. */
static bool receive(struct w1_sim_sensor *s, bool wire) {
        if (wire)
                s->buffer[s->bit / 8] |= 1 << s->bit % 8;
        return ++s->bit % 8 == 0;
}

static void rom_command(struct w1_sim_sensor *s) {
        u64 id = s->id;

        switch (s->buffer[0]) {
        case W1_SEARCH:
                enter(s, SEARCH);
                break;
        case W1_MATCH_ROM:
                enter(s, MATCH);
                break;
        case W1_READ_ROM:
                send(s, &id, sizeof(id));
                break;
        case W1_SKIP_ROM:
                s->all = true;
                enter(s, FUNCTION);
                break;
        default:
                enter(s, IDLE);
        }
        if (s->state == FUNCTION)
                memset(s->buffer, 0, sizeof(s->buffer));
}

static void send_scratchpad(struct w1_sim_sensor *s) {
        s->count.reads++;
        send(s, s->scratchpad, SCRATCHPAD);
        if (s->bad_crc > 0) {
                s->bad_crc--;
                s->count.bad_crc++;
                s->buffer[0] ^= 1 << s->count.bad_crc % 8;
        }
}

static void function_command(struct w1_sim_sensor *s) {
        u8 command = s->buffer[0];

        memset(s->buffer, 0, sizeof(s->buffer));
        enter(s, IDLE);
        if (s->kind == OTHER)
                return;
        switch (command) {
        case W1_CONVERT_TEMP:
                chip_convert(s);
                enter(s, SHOW_BUSY);
                break;
        case W1_READ_SCRATCHPAD:
                send_scratchpad(s);
                break;
        case W1_WRITE_SCRATCHPAD:
                s->length = s->kind == DS18S20 ? 2 : 3;
                enter(s, RECEIVE);
                break;
        case W1_COPY_SCRATCHPAD:
                chip_copy(s);
                enter(s, SHOW_BUSY);
                break;
        case 0xb8: /* recall: w1.h has no name for it */
                chip_recall(s);
                enter(s, SHOW_BUSY);
                break;
        case W1_READ_PSUPPLY:
                enter(s, SHOW_POWER);
                break;
        }
}

static void search_hears(struct w1_sim_sensor *s, bool wire) {
        if (s->step < 2) {
                s->step++;
                return;
        }
        s->step = 0;
        if (wire != id_bit(s, s->bit) || ++s->bit == 64)
                enter(s, IDLE);
}

static void match_hears(struct w1_sim_sensor *s, bool wire) {
        if (wire != id_bit(s, s->bit)) {
                enter(s, IDLE);
                return;
        }
        if (++s->bit < 64)
                return;
        memset(s->buffer, 0, sizeof(s->buffer));
        enter(s, FUNCTION);
}

void sensor_hears(struct w1_sim_sensor *s, bool wire) {
        switch (s->state) {
        case ROM:
                if (receive(s, wire))
                        rom_command(s);
                break;
        case FUNCTION:
                if (receive(s, wire))
                        function_command(s);
                break;
        case RECEIVE:
                if (receive(s, wire) && s->bit == s->length * 8) {
                        chip_write(s);
                        enter(s, IDLE);
                }
                break;
        case SEARCH:
                search_hears(s, wire);
                break;
        case MATCH:
                match_hears(s, wire);
                break;
        case SEND:
                s->bit++;
                break;
        case IDLE:
        case SHOW_BUSY:
        case SHOW_POWER:
                break;
        }
}
