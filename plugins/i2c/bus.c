/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One transaction is one I2C_RDWR: write, repeated start, read, so that nobody comes in between. Adapters that speak
 * SMBus only (i2c-stub, the SMBus of a PC) get the SMBus call of the same bytes on the wire, as far as there is one.
 *
 * A multiplexer that we switch ourselves makes a transaction of three: select, transfer, deselect. Two of our processes
 * may share the bus (one instance each), and a chip behind the mux may have the address of one behind another channel
 * (of one in front it may not: while the channel is open both answer, which setup.c refuses as far as one instance knows).
 * So such a transaction holds the node's lock (flock) alone, and all others share it. It deselects even after a failure:
 * an open channel would put its chips into the way of everybody else's. A mux that may be open in spite of that (closing
 * it failed, or who opened it was killed) is closed before anything else is done.
 *
 * A data line (SDA) that something holds low looks like an answer of everybody: each address is acknowledged, each byte
 * is 0. So after zeros alone two addresses are read where nobody can be: those of 10-bit chips, which answer only to a
 * write before (UM10204 3.1.11 and table 3). Two, since some chips of factory address 0x78 and near are sold.
 *
 * A failed transaction is repeated as a whole, at most `retries` times with a growing pause. A timeout is repeated once
 * only, because each costs about a second of the adapter's own patience.
 *
 * Adapters do not agree on errors: a missing answer is ENXIO or EREMOTEIO, a bus that is not free EAGAIN or EBUSY. They
 * become one of each here, and EAGAIN none, since that means something else to our callers.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/i2c-dev.h>
#include <linux/i2c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "bus.h"

#define RETRY_USEC      1000u
#define PAUSES_MAX      6 /* doublings of it */
#define TIMEOUT_USEC    1000000u /* an adapter's own, usually */
#define LOCK_POLL_USEC  1000u
#define LOCK_POLLS      2000 /* 2 s: another process's transactions take milliseconds */
#define MUX_NONE        0
#define MUX_FIRST       0x70
#define MUX_TRIES       3
#define ADDRESS_UNKNOWN (-1)

struct Bus {
        int fd;
        unsigned long functions; /* I2C_FUNC_ bits */
        int slave;               /* what I2C_SLAVE was set to last */
        unsigned retries;
        bool held;        /* by bus_hold() */
        uint8_t suspects; /* muxes that may have a channel open, a bit each from MUX_FIRST on */
        Counters counters;
};

const char *const fault_names[FAULT_COUNT] = {"nack", "timeout", "stuck", "short", "checksum", "other"};

int bus_open(Bus **ret, const char *path) {
        Bus *b;
        int r;

        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->slave = ADDRESS_UNKNOWN;
        b->fd = open(path, O_RDWR | O_CLOEXEC);
        if (b->fd >= 0 && ioctl(b->fd, I2C_FUNCS, &b->functions) >= 0) {
                *ret = b;
                return 0;
        }
        r = -errno;
        bus_free(b);
        return r;
}

Bus *bus_free(Bus *b) {
        if (b && b->fd >= 0)
                close(b->fd);
        free(b);
        return NULL;
}

void bus_set_retries(Bus *b, unsigned retries) {
        b->retries = retries;
}

unsigned bus_retries(const Bus *b) {
        return b->retries;
}

void bus_wait(uint32_t usec) {
        struct timespec left = {usec / 1000000, (long)(usec % 1000000) * 1000};

        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
                ;
}

/* ---- errors */

static int error_of(int r) {
        if (r >= 0)
                return 0;
        switch (errno) {
        case EREMOTEIO:
                return -ENXIO;
        case EAGAIN:
                return -EBUSY;
        case EPROTO: /* some adapters' word for a checksum of SMBus that is wrong */
                return -EBADMSG;
        default:
                return -errno;
        }
}

static Fault fault_of(int error) {
        switch (error) {
        case -ENXIO:
                return FAULT_NACK;
        case -ETIMEDOUT:
                return FAULT_TIMEOUT;
        case -EBUSY:
        case BUS_LOW:
        case BUS_LOCKED:
                return FAULT_STUCK;
        case -ENODATA:
                return FAULT_SHORT;
        case -EBADMSG:
                return FAULT_CHECKSUM;
        default:
                return FAULT_OTHER;
        }
}

void bus_count(Bus *b, Fault fault) {
        b->counters.faults[fault]++;
}

const Counters *bus_counters(const Bus *b) {
        return &b->counters;
}

/* ---- one message */

static int rdwr(Bus *b, uint8_t address, const void *out, size_t n_out, void *in, size_t n_in) {
        struct i2c_msg messages[2];
        struct i2c_rdwr_ioctl_data data = {messages, 0};
        int r;

        if (n_out > 0)
                messages[data.nmsgs++] = (struct i2c_msg){address, 0, (uint16_t)n_out, (uint8_t *)out};
        if (n_in > 0)
                messages[data.nmsgs++] = (struct i2c_msg){address, I2C_M_RD, (uint16_t)n_in, in};
        r = ioctl(b->fd, I2C_RDWR, &data);
        if (r >= 0 && (unsigned)r != data.nmsgs)
                return -ENODATA;
        return error_of(r);
}

static int slave_select(Bus *b, uint8_t address) {
        if (b->slave == address)
                return 0;
        b->slave = ADDRESS_UNKNOWN;
        if (ioctl(b->fd, I2C_SLAVE, (unsigned long)address) < 0)
                return -errno;
        b->slave = address;
        return 0;
}

static int smbus_call(Bus *b, uint8_t read_write, uint8_t command, uint32_t size, union i2c_smbus_data *data) {
        struct i2c_smbus_ioctl_data args = {read_write, command, size, data};

        return error_of(ioctl(b->fd, I2C_SMBUS, &args));
}

static int smbus_write(Bus *b, const uint8_t *out, size_t n) {
        union i2c_smbus_data data = {0};

        switch (n) {
        case 1:
                return smbus_call(b, I2C_SMBUS_WRITE, out[0], I2C_SMBUS_BYTE, NULL);
        case 2:
                data.byte = out[1];
                return smbus_call(b, I2C_SMBUS_WRITE, out[0], I2C_SMBUS_BYTE_DATA, &data);
        case 3:
                data.word = (uint16_t)(out[1] | out[2] << 8);
                return smbus_call(b, I2C_SMBUS_WRITE, out[0], I2C_SMBUS_WORD_DATA, &data);
        default:
                if (n > I2C_SMBUS_BLOCK_MAX + 1)
                        return -EOPNOTSUPP;
                data.block[0] = (uint8_t)(n - 1);
                memcpy(&data.block[1], out + 1, n - 1);
                return smbus_call(b, I2C_SMBUS_WRITE, out[0], I2C_SMBUS_I2C_BLOCK_DATA, &data);
        }
}

static int smbus_read(Bus *b, uint8_t command, uint8_t *in, size_t n) {
        union i2c_smbus_data data = {0};
        int r;

        if (n > I2C_SMBUS_BLOCK_MAX)
                return -EOPNOTSUPP;
        if (n <= 2) {
                r = smbus_call(b, I2C_SMBUS_READ, command, n == 1 ? I2C_SMBUS_BYTE_DATA : I2C_SMBUS_WORD_DATA, &data);
                if (r < 0)
                        return r;
                in[0] = n == 1 ? data.byte : (uint8_t)data.word;
                if (n == 2)
                        in[1] = (uint8_t)(data.word >> 8);
                return 0;
        }
        data.block[0] = (uint8_t)n;
        r = smbus_call(b, I2C_SMBUS_READ, command, I2C_SMBUS_I2C_BLOCK_DATA, &data);
        if (r < 0)
                return r;
        if (data.block[0] < n)
                return -ENODATA;
        memcpy(in, &data.block[1], n);
        return 0;
}

static int smbus(Bus *b, uint8_t address, const uint8_t *out, size_t n_out, uint8_t *in, size_t n_in) {
        union i2c_smbus_data data = {0};
        int r;

        r = slave_select(b, address);
        if (r < 0)
                return r;
        if (n_in == 0)
                return smbus_write(b, out, n_out);
        if (n_out == 1)
                return smbus_read(b, out[0], in, n_in);
        if (n_out > 1 || n_in > 1)
                return -EOPNOTSUPP;
        r = smbus_call(b, I2C_SMBUS_READ, 0, I2C_SMBUS_BYTE, &data);
        in[0] = data.byte;
        return r;
}

static int message(Bus *b, uint8_t address, const void *out, size_t n_out, void *in, size_t n_in) {
        if (b->functions & I2C_FUNC_I2C)
                return rdwr(b, address, out, n_out, in, n_in);
        return smbus(b, address, out, n_out, in, n_in);
}

/* ---- one transaction */

/* flock() has no timeout, and a process that holds the lock may hang on the bus. */
static int lock(Bus *b, int how) {
        if (b->held)
                return 0;
        for (int i = 0; i < LOCK_POLLS; i++) {
                if (flock(b->fd, how | LOCK_NB) == 0)
                        return 0;
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                bus_wait(LOCK_POLL_USEC);
        }
        return BUS_LOCKED;
}

static void unlock(Bus *b) {
        if (!b->held)
                flock(b->fd, LOCK_UN);
}

int bus_hold(Bus *b) {
        int r;

        r = lock(b, LOCK_EX);
        b->held = r == 0;
        return r;
}

void bus_release(Bus *b) {
        b->held = false;
        unlock(b);
}

static bool line_low(Bus *b) {
        static const uint8_t nobody[] = {0x79, 0x7b};
        uint8_t byte;

        for (size_t i = 0; i < sizeof(nobody); i++) {
                byte = 0xff;
                if (message(b, nobody[i], NULL, 0, &byte, 1) < 0 || byte != 0)
                        return false;
        }
        return true;
}

static bool all_zero(const uint8_t *bytes, size_t n) {
        while (n > 0)
                if (bytes[--n] != 0)
                        return false;
        return true;
}

static int exchange(Bus *b, uint8_t address, const void *out, size_t n_out, void *in, size_t n_in) {
        int r;

        r = message(b, address, out, n_out, in, n_in);
        return r == 0 && n_in > 0 && all_zero(in, n_in) && line_low(b) ? BUS_LOW : r;
}

static uint8_t mux_bit(uint8_t mux) {
        return (uint8_t)(1u << (mux - MUX_FIRST));
}

void bus_suspect(Bus *b, uint8_t mux) {
        b->suspects |= mux_bit(mux);
}

static int mux_close(Bus *b, uint8_t mux) {
        uint8_t none = MUX_NONE;
        int r;

        r = message(b, mux, &none, 1, NULL, 0);
        if (r == 0)
                b->suspects &= (uint8_t)~mux_bit(mux);
        return r;
}

/* All but one, which is switched anyway. One that does not answer at all has no supply, and so nothing open; it stays
 * under suspicion. One that the kernel has is the kernel's to close. */
static int muxes_close(Bus *b, uint8_t but) {
        int r;

        for (uint8_t mux = MUX_FIRST; mux < MUX_FIRST + 8; mux++) {
                if (!(b->suspects & mux_bit(mux)) || mux == but)
                        continue;
                if (bus_claim(b, mux) == -EBUSY) {
                        b->suspects &= (uint8_t)~mux_bit(mux);
                        continue;
                }
                r = -ENXIO;
                for (int i = 0; i < MUX_TRIES && r == -ENXIO; i++)
                        r = mux_close(b, mux);
                if (r < 0 && r != -ENXIO)
                        return r;
        }
        return 0;
}

static int exchange_behind(Bus *b, const Route *route, const void *out, size_t n_out, void *in, size_t n_in) {
        uint8_t select = (uint8_t)(1u << route->channel);
        int r, closed;

        b->suspects |= mux_bit(route->mux);
        r = message(b, route->mux, &select, 1, NULL, 0);
        if (r == 0)
                r = exchange(b, route->address, out, n_out, in, n_in);
        closed = mux_close(b, route->mux);
        return r == 0 ? closed : r;
}

static int attempt(Bus *b, const Route *route, const void *out, size_t n_out, void *in, size_t n_in) {
        int r;

        r = lock(b, route->mux || b->suspects ? LOCK_EX : LOCK_SH);
        if (r < 0)
                return r;
        r = muxes_close(b, route->mux);
        if (r == 0)
                r = route->mux ? exchange_behind(b, route, out, n_out, in, n_in)
                               : exchange(b, route->address, out, n_out, in, n_in);
        unlock(b);
        return r;
}

static unsigned retries_after(const Bus *b, int error) {
        switch (error) {
        case -ENODEV:
        case -EOPNOTSUPP:
        case -EINVAL:
        case -EACCES:
        case -EPERM:
        case BUS_LOCKED: /* that was long enough */
                return 0;
        case -ETIMEDOUT:
                return b->retries > 1 ? 1 : b->retries;
        default:
                return b->retries;
        }
}

int bus_transfer(Bus *b, const Route *route, const void *out, size_t n_out, void *in, size_t n_in) {
        int r;

        b->counters.transactions++;
        for (unsigned done = 0;; done++) {
                r = attempt(b, route, out, n_out, in, n_in);
                if (r == 0)
                        return 0;
                bus_count(b, fault_of(r));
                if (done >= retries_after(b, r))
                        break;
                b->counters.retries++;
                bus_wait(RETRY_USEC << (done < PAUSES_MAX ? done : PAUSES_MAX));
        }
        b->counters.failed++;
        return r;
}

uint64_t bus_usec(const Bus *b, bool mux) {
        unsigned timeouts = 1 + (b->retries > 0);
        uint64_t usec;

        usec = LOCK_POLL_USEC * LOCK_POLLS + (uint64_t)TIMEOUT_USEC * timeouts * (mux ? 3 : 1);
        for (unsigned done = 0; done < b->retries; done++)
                usec += RETRY_USEC << (done < PAUSES_MAX ? done : PAUSES_MAX);
        return usec;
}

/* ---- who is there */

int bus_claim(Bus *b, uint8_t address) {
        b->slave = ADDRESS_UNKNOWN; /* a driver may have come since */
        return slave_select(b, address);
}

bool bus_can_quick(const Bus *b) {
        return b->functions & I2C_FUNC_SMBUS_QUICK;
}

int bus_probe(Bus *b, uint8_t address, bool read) {
        union i2c_smbus_data data = {0};
        int r;

        r = bus_claim(b, address);
        if (r == 0)
                r = lock(b, LOCK_SH);
        if (r < 0)
                return r;
        if (read)
                r = smbus_call(b, I2C_SMBUS_READ, 0, I2C_SMBUS_BYTE, &data);
        else
                r = smbus_call(b, I2C_SMBUS_WRITE, 0, I2C_SMBUS_QUICK, NULL);
        unlock(b);
        return r;
}

bool bus_is_low(Bus *b) {
        bool low;

        if (lock(b, LOCK_SH) < 0)
                return false;
        low = line_low(b);
        unlock(b);
        return low;
}
