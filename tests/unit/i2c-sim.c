/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/i2c-dev.h>
#include <linux/i2c.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/macro.h"
#include "i2c-sim-chip.h"
#include "tree.h"

#define CHIPS_MAX   32
#define MUX_ADDRESS 0x70

struct Sim {
        Sim *next;
        char *node;
        struct stat id;
        int watcher; /* a descriptor of our own, to try the lock */
        unsigned long functions;
        uint8_t slave, mux_mask;
        bool has_mux, low, claimed[128];
        Chip chips[CHIPS_MAX];
        sim_fault_fn fault;
        void *userdata;
        struct {
                SimFault fault;
                unsigned n;
        } planned[128];
        unsigned transactions[128], written[128], quick[128], collisions;
        SimLock locks[128];
};

static Sim *sims;
static uint64_t clock_ns = 1000000000;

/* ---- time */

uint64_t sim_now_ns(void) {
        return clock_ns;
}

void sim_advance(uint64_t usec) {
        clock_ns += usec * 1000;
}

__attribute__((visibility("default"))) int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                                                           struct timespec *left) {
        (void)clock;
        (void)left;
        assert_int_equal(flags, 0);
        clock_ns += (uint64_t)request->tv_sec * 1000000000 + (uint64_t)request->tv_nsec;
        return 0;
}

/* ---- the bus */

/* The channel of a chip that can be heard now. */
static bool reachable(const Sim *s, const Chip *chip) {
        return chip->used && (chip->channel < 0 || (s->mux_mask >> chip->channel & 1));
}

static int message(Sim *s, uint8_t address, bool read, uint8_t *bytes, size_t n) {
        uint8_t own[256];
        int heard = 0;

        if (!read && n > 0)
                s->written[address] += n;
        if (s->low) {
                if (read)
                        memset(bytes, 0, n);
                return 0;
        }
        if (s->has_mux && address == MUX_ADDRESS) {
                heard++;
                if (read)
                        memset(bytes, s->mux_mask, n);
                else if (n > 0)
                        s->mux_mask = bytes[n - 1];
        }
        for (size_t i = 0; i < CHIPS_MAX; i++) {
                Chip *chip = &s->chips[i];

                if (!reachable(s, chip) || chip->address != address)
                        continue;
                if (n > 0 && !(read ? chip_read(chip, own, n) : chip_write(chip, bytes, n)))
                        continue;
                for (size_t b = 0; read && b < n; b++)
                        bytes[b] = heard > 0 ? bytes[b] & own[b] : own[b];
                heard++;
        }
        s->collisions += heard > 1;
        if (heard > 0)
                return 0;
        errno = ENXIO;
        return -1;
}

static SimLock lock_now(Sim *s) {
        SimLock lock = SIM_UNLOCKED;

        if (flock(s->watcher, LOCK_SH | LOCK_NB) < 0)
                return SIM_EXCLUSIVE;
        if (flock(s->watcher, LOCK_EX | LOCK_NB) < 0)
                lock = SIM_SHARED;
        flock(s->watcher, LOCK_UN);
        return lock;
}

static SimFault transaction(Sim *s, uint8_t address, bool reads) {
        SimFault fault = SIM_OK;

        s->transactions[address]++;
        s->locks[address] = lock_now(s);
        if (s->planned[address].n > 0) {
                s->planned[address].n--;
                fault = s->planned[address].fault;
        } else if (s->fault)
                fault = s->fault(s->userdata, address, reads);
        return fault == SIM_BAD && !reads ? SIM_OK : fault;
}

/* -1 with errno, or 0: it goes on. */
static int fault_errno(SimFault fault) {
        static const int errors[SIM_FAULTS] = {
                [SIM_NACK] = EREMOTEIO, [SIM_TIMEOUT] = ETIMEDOUT, [SIM_STUCK] = EAGAIN, [SIM_GONE] = ENODEV};

        errno = errors[fault];
        return errno ? -1 : 0;
}

static void bit_flip(uint8_t *bytes, size_t n) {
        bytes[clock_ns / 1000 % n] ^= (uint8_t)(1u << clock_ns / 7 % 8);
}

static int rdwr(Sim *s, struct i2c_rdwr_ioctl_data *data) {
        struct i2c_msg *last = &data->msgs[data->nmsgs - 1];
        bool reads = last->flags & I2C_M_RD;
        SimFault fault;

        assert_true(s->functions & I2C_FUNC_I2C);
        assert_in_range(data->nmsgs, 1, 2);
        fault = transaction(s, (uint8_t)last->addr, reads);
        if (fault_errno(fault) < 0)
                return -1;
        if (fault == SIM_SHORT)
                return (int)data->nmsgs - 1;
        for (unsigned i = 0; i < data->nmsgs; i++) {
                struct i2c_msg *m = &data->msgs[i];

                assert_true(m->len > 0);
                if (message(s, (uint8_t)m->addr, m->flags & I2C_M_RD, m->buf, m->len) < 0)
                        return -1;
        }
        if (fault == SIM_BAD)
                bit_flip(last->buf, last->len);
        return (int)data->nmsgs;
}

static int smbus_write(Sim *s, const struct i2c_smbus_ioctl_data *args) {
        uint8_t bytes[I2C_SMBUS_BLOCK_MAX + 1] = {args->command};
        size_t n = 1;

        switch (args->size) {
        case I2C_SMBUS_BYTE:
                break;
        case I2C_SMBUS_BYTE_DATA:
                bytes[n++] = args->data->byte;
                break;
        case I2C_SMBUS_WORD_DATA:
                bytes[n++] = (uint8_t)args->data->word;
                bytes[n++] = (uint8_t)(args->data->word >> 8);
                break;
        case I2C_SMBUS_I2C_BLOCK_DATA:
                memcpy(bytes + 1, args->data->block + 1, args->data->block[0]);
                n += args->data->block[0];
                break;
        default:
                fail_msg("SMBus write %u", args->size);
        }
        return message(s, s->slave, false, bytes, n);
}

static int smbus_read(Sim *s, const struct i2c_smbus_ioctl_data *args, SimFault fault) {
        uint8_t bytes[I2C_SMBUS_BLOCK_MAX], command = args->command;
        size_t n = args->size == I2C_SMBUS_I2C_BLOCK_DATA ? args->data->block[0] : args->size == I2C_SMBUS_WORD_DATA ? 2 : 1;

        if (args->size != I2C_SMBUS_BYTE && message(s, s->slave, false, &command, 1) < 0)
                return -1;
        if (message(s, s->slave, true, bytes, n) < 0)
                return -1;
        if (fault == SIM_BAD)
                bit_flip(bytes, n);
        if (args->size == I2C_SMBUS_I2C_BLOCK_DATA) {
                args->data->block[0] = (uint8_t)(fault == SIM_SHORT ? n - 1 : n);
                memcpy(args->data->block + 1, bytes, n);
        } else if (n == 2)
                args->data->word = (uint16_t)(bytes[0] | bytes[1] << 8);
        else
                args->data->byte = bytes[0];
        return 0;
}

static int smbus(Sim *s, const struct i2c_smbus_ioctl_data *args) {
        bool reads = args->read_write == I2C_SMBUS_READ, quick = args->size == I2C_SMBUS_QUICK;
        SimFault fault = transaction(s, s->slave, reads && !quick);

        if (fault_errno(fault) < 0)
                return -1;
        if (quick) {
                assert_true(s->functions & I2C_FUNC_SMBUS_QUICK);
                assert_false(reads);
                s->quick[s->slave]++;
                return message(s, s->slave, false, NULL, 0);
        }
        return reads ? smbus_read(s, args, fault) : smbus_write(s, args);
}

static Sim *sim_of(int fd) {
        struct stat st;

        if (!sims || fstat(fd, &st) < 0)
                return NULL;
        for (Sim *s = sims; s; s = s->next)
                if (s->id.st_dev == st.st_dev && s->id.st_ino == st.st_ino)
                        return s;
        return NULL;
}

static int slave_set(Sim *s, uint8_t address) {
        s->slave = address;
        if (!s->claimed[address])
                return 0;
        errno = EBUSY;
        return -1;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...) {
        va_list args;
        void *arg;
        Sim *s;

        va_start(args, request);
        arg = va_arg(args, void *);
        va_end(args);
        s = sim_of(fd);
        if (!s)
                return (int)syscall(SYS_ioctl, fd, request, arg);
        switch (request) {
        case I2C_FUNCS:
                *(unsigned long *)arg = s->functions;
                return 0;
        case I2C_SLAVE:
                return slave_set(s, (uint8_t)(uintptr_t)arg);
        case I2C_RDWR:
                return rdwr(s, arg);
        case I2C_SMBUS:
                return smbus(s, arg);
        default:
                fail_msg("ioctl %lx", request);
                return -1;
        }
}

/* ---- the test's side */

Sim *sim_new(const char *root, int number, const char *name) {
        char path[128], content[128];
        Sim *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        snprintf(path, sizeof(path), "dev/i2c-%d", number);
        tree_put(root, path, "");
        assert_true(asprintf(&s->node, "%s/%s", root, path) > 0);
        assert_int_equal(stat(s->node, &s->id), 0);
        snprintf(path, sizeof(path), "sys/bus/i2c/devices/i2c-%d/name", number);
        snprintf(content, sizeof(content), "%s\n", name);
        tree_put(root, path, content);
        s->watcher = open(s->node, O_RDWR | O_CLOEXEC);
        assert_true(s->watcher >= 0);
        s->functions = I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
        s->next = sims;
        sims = s;
        return s;
}

Sim *sim_free(Sim *s) {
        Sim **at = &sims;

        if (!s)
                return NULL;
        while (*at != s)
                at = &(*at)->next;
        *at = s->next;
        close(s->watcher);
        free(s->node);
        free(s);
        return NULL;
}

void sim_smbus_only(Sim *s, bool quick) {
        s->functions = I2C_FUNC_SMBUS_EMUL & ~(quick ? 0ul : (unsigned long)I2C_FUNC_SMBUS_QUICK);
}

void sim_no_quick(Sim *s) {
        s->functions &= ~(unsigned long)I2C_FUNC_SMBUS_QUICK;
}

static Chip *chip_add(Sim *s, int channel, uint8_t address, const char *description) {
        for (size_t i = 0; i < CHIPS_MAX; i++) {
                Chip *chip = &s->chips[i];

                if (chip->used)
                        continue;
                *chip = (Chip){.used = true, .channel = channel, .address = address, .latch = 0xff};
                chip_describe(chip, description);
                chip->last_size = chip->model == MODEL_WORDS; /* register 0, after power-on */
                return chip;
        }
        fail_msg("too many chips");
        return NULL;
}

void sim_chip(Sim *s, uint8_t address, const char *description) {
        chip_add(s, -1, address, description);
}

void sim_chip_behind(Sim *s, int channel, uint8_t address, const char *description) {
        s->has_mux = true;
        chip_add(s, channel, address, description);
}

static Chip *chip_find(Sim *s, uint8_t address) {
        for (size_t i = 0; i < CHIPS_MAX; i++)
                if (s->chips[i].used && s->chips[i].address == address)
                        return &s->chips[i];
        fail_msg("no chip at 0x%02x", address);
        return NULL;
}

void sim_remove(Sim *s, uint8_t address) {
        chip_find(s, address)->used = false;
}

void sim_change(Sim *s, uint8_t address, const char *lines) {
        chip_describe(chip_find(s, address), lines);
}

int sim_peek(Sim *s, uint8_t address, uint8_t reg) {
        return chip_peek(chip_find(s, address), reg);
}

void sim_mux(Sim *s, uint8_t channels) {
        s->mux_mask = channels;
}

void sim_low(Sim *s, bool low) {
        s->low = low;
}

void sim_pull_low(Sim *s, uint8_t address, uint8_t pins) {
        chip_find(s, address)->low = pins;
}

void sim_claim(Sim *s, uint8_t address) {
        s->claimed[address] = true;
}

void sim_faults(Sim *s, sim_fault_fn fn, void *userdata) {
        s->fault = fn;
        s->userdata = userdata;
}

void sim_fail(Sim *s, uint8_t address, SimFault fault, unsigned n) {
        s->planned[address].fault = fault;
        s->planned[address].n = n;
}

void sim_forget(Sim *s) {
        memset(s->transactions, 0, sizeof(s->transactions));
        memset(s->written, 0, sizeof(s->written));
        memset(s->quick, 0, sizeof(s->quick));
        s->collisions = 0;
}

unsigned sim_transactions(Sim *s, uint8_t address) {
        return s->transactions[address];
}

unsigned sim_written(Sim *s, uint8_t address) {
        return s->written[address];
}

unsigned sim_quick(Sim *s, uint8_t address) {
        return s->quick[address];
}

unsigned sim_collisions(Sim *s) {
        return s->collisions;
}

SimLock sim_lock(Sim *s, uint8_t address) {
        return s->locks[address];
}
