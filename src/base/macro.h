/* SPDX-License-Identifier: Apache-2.0 */
/* The ground below every module: attributes, cleanup, ownership hand-over, time and size units. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))

/* Gives the variable's value away: it is NULL (or -EBADF) afterwards and its cleanup does nothing. */
#define TAKE_PTR(p)                             \
        ({                                      \
                __typeof__(p) *_pp = &(p);      \
                __typeof__(p) _taken = *_pp;    \
                *_pp = NULL;                    \
                _taken;                         \
        })
#define TAKE_FD(fd)                     \
        ({                              \
                int *_pfd = &(fd);      \
                int _taken = *_pfd;     \
                *_pfd = -EBADF;         \
                _taken;                 \
        })

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define MAX(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })

/* Defines fnp() for _cleanup_(fnp) from a destructor that takes NULL and returns NULL. */
#define DEFINE_CLEANUP(type, fn)                \
        static inline void fn##p(type *p) {     \
                *p = fn(*p);                    \
        }

static inline void freep(void *p) {
        free(*(void **)p);
}

static inline void closep(const int *fd) {
        if (*fd >= 0)
                close(*fd);
}

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* The one time type: microseconds of the clock that the name or comment says. */
typedef uint64_t usec_t;
#define USEC_INFINITY ((usec_t)-1)
#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC ((usec_t)1000000)
#define NSEC_PER_USEC 1000LL
#define NSEC_PER_MSEC 1000000LL
#define NSEC_PER_SEC 1000000000LL

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
