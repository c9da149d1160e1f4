/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel numbers the edges of a request. So edges that overflowed its buffer, and those that a process read and took with it
 * when it was killed, are counted by the number of the next one: exactly, only their times are not known. What was counted up to
 * which number is kept together (memory.h).
 *
 * After a power cut the local total may be older than what the server has been told. Until the server has answered there is no
 * total: edges are counted, samples wait with their times. When there are too many of these every second one goes; a total loses
 * nothing by that but resolution.
 *
 * The rate is that of whole periods: n edges from the last one before to the last one. That is exact also where a sample has few
 * edges, or one in a while: without any, it can only be less than one in the time since the last.
 */
#include <math.h>
#include <string.h>

#include "counter.h"

uint32_t counter_edge(Counter *c, uint32_t seqno, int64_t time_ns) {
        uint32_t missed = 0;

        if (c->has_seqno) {
                missed = seqno - c->seqno - 1;
                if (missed > UINT32_MAX / 2) /* the numbers began anew, and nobody has said so */
                        missed = seqno - 1;
        }
        c->has_seqno = true;
        c->seqno = seqno;
        c->added += (uint64_t)missed + 1;
        c->n_recent += (uint64_t)missed + 1;
        c->last_ns = time_ns;
        return missed;
}

void counter_new_request(Counter *c) {
        c->has_seqno = true;
        c->seqno = 0;
}

void counter_lost_request(Counter *c) {
        c->has_seqno = false;
}

static double units(const Counter *c, uint64_t pulses) {
        return (double)pulses / c->per_unit;
}

static uint64_t pulses_of(const Counter *c, double total) {
        double pulses = round(total * c->per_unit);

        return pulses > 0 && pulses < 0x1p63 ? (uint64_t)pulses : 0;
}

double counter_total(const Counter *c) {
        return units(c, c->pulses + c->added);
}

void counter_settle(Counter *c, bool has_local, bool has_remote, double total, uint32_t epoch, double initial) {
        uint64_t remote = pulses_of(c, total);

        if (has_remote && (!has_local || epoch > c->epoch || (epoch == c->epoch && remote > c->pulses))) {
                c->pulses = remote;
                c->epoch = epoch;
        } else if (!has_remote && !has_local)
                c->pulses = pulses_of(c, initial);
        c->known = true;
}

void counter_set(Counter *c, double total) {
        c->pulses = pulses_of(c, total);
        c->added = 0;
        c->n_waiting = 0;
        c->epoch++;
        c->known = true;
}

void counter_rescale(Counter *c, double per_unit) {
        double factor = per_unit / c->per_unit;

        if (per_unit == c->per_unit)
                return; /* nothing is rounded */
        c->pulses = (uint64_t)round((double)c->pulses * factor);
        c->added = (uint64_t)round((double)c->added * factor);
        c->per_unit = per_unit;
}

void counter_wait(Counter *c, int64_t time_ns) {
        if (c->stride == 0)
                c->stride = 1;
        if (++c->skipped < c->stride)
                return;
        c->skipped = 0;
        if (c->n_waiting == COUNTER_WAITING_MAX) {
                for (size_t i = 0; i < COUNTER_WAITING_MAX / 2; i++)
                        c->waiting[i] = c->waiting[2 * i + 1];
                c->n_waiting = COUNTER_WAITING_MAX / 2;
                c->stride *= 2;
        }
        c->waiting[c->n_waiting++] = (CounterPoint){time_ns, c->added};
}

double counter_waited(const Counter *c, size_t index) {
        return units(c, c->pulses + c->waiting[index].added);
}

double counter_rate(Counter *c, int64_t now_ns, int64_t timeout_ns) {
        double most;

        if (c->last_ns == 0) {
                if (c->since_ns == 0)
                        c->since_ns = now_ns;
                return now_ns - c->since_ns >= timeout_ns ? 0 : -1; /* the server may have a rate of before */
        }
        if (c->n_recent > 0) {
                if (c->before_ns > 0 && c->last_ns > c->before_ns)
                        c->rate = (double)c->n_recent * 1e9 / (double)(c->last_ns - c->before_ns);
                else
                        c->rate = -1; /* the first one: of it alone nothing follows */
                c->before_ns = c->last_ns;
                c->n_recent = 0;
                return c->rate;
        }
        if (now_ns - c->last_ns >= timeout_ns)
                c->rate = 0;
        most = now_ns > c->last_ns ? 1e9 / (double)(now_ns - c->last_ns) : INFINITY;
        if (c->rate > most)
                c->rate = most;
        return c->rate;
}
