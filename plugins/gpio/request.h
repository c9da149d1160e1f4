/* SPDX-License-Identifier: Apache-2.0 */
/* A line that is ours, as the descriptor of its request: values and edges, through the kernel's own interface (uAPI v2). Values
 * are logical: after active_low. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum Bias { BIAS_AS_IS, BIAS_PULL_UP, BIAS_PULL_DOWN, BIAS_DISABLED } Bias;
typedef enum Drive { DRIVE_PUSH_PULL, DRIVE_OPEN_DRAIN, DRIVE_OPEN_SOURCE } Drive;

typedef struct RequestConfig {
        bool output, active_low;
        bool as_is; /* neither direction: only to look at it, and for request_change() after that */
        Bias bias;
        Drive drive;
        bool rising, falling; /* edges that are told */
        uint32_t debounce_usec;
        bool value; /* of an output, from its first moment */
} RequestConfig;

typedef struct Edge {
        int64_t monotonic_ns; /* CLOCK_MONOTONIC */
        uint32_t seqno; /* from 1, of this request: what is missing was lost */
        bool active; /* to which level */
} Edge;

#define REQUEST_EDGES_MAX 1024 /* that the kernel keeps for us */

/* The descriptor, which does not block; -EBUSY: somebody has it; -EINVAL: the chip cannot do that; -errno. consumer: who we are.
 * */
int request_new(const char *chip_path, unsigned offset, const char *consumer, const RequestConfig *config);
/* Another configuration, without giving the line free; no edge that waits is lost. */
int request_change(int fd, const RequestConfig *config);
/* How the line is configured, but for its value; -errno. */
int request_look(const char *chip_path, unsigned offset, RequestConfig *ret);
bool request_same(const RequestConfig *a, const RequestConfig *b);

/* 0, 1, -errno; -ENODEV: the chip is gone. */
int request_get(int fd);
int request_set(int fd, bool value);
/* How many edges, at most n; 0: none waits; -errno. */
ssize_t request_edges(int fd, Edge *ret, size_t n);
