/* SPDX-License-Identifier: Apache-2.0 */
/* Which row does the server refuse? Finds it among batches that did not arrive, by proof: see suspect.c. Knows
 * rows by their numbers alone; who sends them tells what came of it. Pure; the caller brings the time (monotonic). */
#pragma once

#include "tb/batch.h"

#define SUSPECT_RANGES_MAX 64u
#define SUSPECT_HEADS_MAX 8u

typedef struct SuspectRange {
        uint64_t first, last;
        bool confirmed; /* there is such a row in it, or was in what it is a part of */
} SuspectRange;

typedef struct Suspect {
        SuspectRange ranges[SUSPECT_RANGES_MAX]; /* to be tested; rising, apart from each other */
        unsigned n;
        uint64_t heads[SUSPECT_HEADS_MAX]; /* first rows of the batches that the last close took */
        unsigned n_heads;
        usec_t session;  /* when this session began */
        usec_t accepted; /* when the server last took a row in it; 0: not yet */
        bool probed;     /* the server took a probe in this session */
        RowRun struck;   /* what was refused last, closes only */
        unsigned strikes;
        unsigned others; /* closes since the first of them that took no test */
        usec_t struck_at, closed_at; /* 0: never */
        unsigned refusals; /* probes in a row that the server did not take */
        usec_t pause;
} Suspect;

typedef enum SuspectStep {
        SUSPECT_NONE,  /* nothing is suspected */
        SUSPECT_HOLD,  /* nothing to do before *ret_when; rows that are not suspected go as ever */
        SUSPECT_PROBE, /* a row that the server has goes once more, alone in flight */
        SUSPECT_TEST,  /* rows of ranges[0] go, alone in flight */
        SUSPECT_PAUSE, /* the server takes no telemetry at all: nothing goes before *ret_when */
} SuspectStep;

/* A session began. */
void suspect_session(Suspect *s, usec_t now);
SuspectStep suspect_step(const Suspect *s, usec_t now, usec_t *ret_when);

/* The server took telemetry (any batch, test or probe). true: it had refused all of it before. */
bool suspect_accepted(Suspect *s, usec_t now);
void suspect_probed(Suspect *s);
/* It refused the probe, or closed on it: how many times in a row. */
unsigned suspect_probe_failed(Suspect *s, usec_t now);

/* A batch with these rows was answered "malformed". */
void suspect_refused(Suspect *s, RowRun hull);
/* The connection was closed, as a test may be answered, while there was none in flight. */
void suspect_other_close(Suspect *s);
/* A close took these batches soon after they were sent. true: they are suspected now. */
bool suspect_lost(Suspect *s, const RowRun *hulls, size_t n);

/* ranges[0] is one row, a close on it alone would prove it guilty: it must not be for the number of its points or its size, so
 * it goes in parts as small as can be. */
bool suspect_wants_parts(const Suspect *s);
/* Of ranges[0], rows up to `last` are not suspected any more: they arrived, or are gone. */
void suspect_cleared(Suspect *s, uint64_t last);
/* A test with these rows of ranges[0] was refused; closed: by a close within its time, not by an answer. > 0: the number of
 * the row that is proven to be refused; reject it and call suspect_cleared(). */
uint64_t suspect_failed(Suspect *s, const RowRun *runs, unsigned n_runs, bool closed, usec_t now);

/* All of what is suspected; there is something. */
RowRun suspect_hull(const Suspect *s);
