// SPDX-License-Identifier: GPL-2.0-only
/*
 * What was seen on the buses, a line for each transfer, the last LINES of them:
 *
 *      17 bus=1 w48:01ff r48:19f0 = 2          two messages, both done
 *      18 bus=1 w50: = -6                      a probe of an address that nobody has
 *      19 bus=1 w48:00 r48:19f1 = 2 corrupt
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "i2c-sim.h"

#define LINES      8192
#define LINE       160
#define BYTES_MOST 32 /* of a message */

static char (*lines)[LINE];
static unsigned long next;  /* number of the next line */
static unsigned long first; /* of those since it was cleared */

int log_init(void) {
        lines = kvcalloc(LINES, LINE, GFP_KERNEL);
        return lines ? 0 : -ENOMEM;
}

void log_exit(void) {
        kvfree(lines);
}

void log_clear(void) {
        first = next;
}

static size_t message_print(char *text, size_t size, const struct i2c_msg *m, bool known) {
        bool read = m->flags & I2C_M_RD;
        size_t n = scnprintf(text, size, " %c%02x:", read ? 'r' : 'w', m->addr);

        if (read && !known)
                return n + scnprintf(text + n, size - n, "%u?", m->len);
        return n +
               scnprintf(text + n, size - n, "%*phN%s", min_t(int, m->len, BYTES_MOST), m->buf, m->len > BYTES_MOST ? "..." : "");
}

/* result: messages that were done, or an error. */
void log_transfer(const struct i2c_sim_bus *bus, const struct i2c_msg *messages, int n, int result, int fault) {
        char *text = lines[next % LINES];
        size_t at = scnprintf(text, LINE, "%lu bus=%d", next, bus->number);

        for (int i = 0; i < n; i++)
                at += message_print(text + at, LINE - at, &messages[i], i < result);
        at += scnprintf(text + at, LINE - at, " = %d", result);
        if (fault >= 0)
                scnprintf(text + at, LINE - at, " %s", fault_name(fault));
        next++;
}

void log_show(struct seq_file *f) {
        unsigned long from = first;

        if (next - from > LINES) {
                seq_printf(f, "lost %lu\n", next - from - LINES);
                from = next - LINES;
        }
        for (; from < next; from++)
                seq_printf(f, "%s\n", lines[from % LINES]);
}
