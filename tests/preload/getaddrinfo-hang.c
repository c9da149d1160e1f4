/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD: name servers that do not answer. TBAGENT_DNS_SECONDS=n: lookups of names block until n seconds
 * after the first one and fail then; later ones work. -1: no lookup ever returns. Not set: as ever.
 * TBAGENT_DNS_PASS=n: the first n lookups still work. A test program may be linked with this file instead. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Lookups of names so far, for tests that are linked with this. */
__attribute__((visibility("default"))) unsigned getaddrinfo_calls;
__attribute__((visibility("default"))) double getaddrinfo_first; /* 0: the next one is the first */

typedef int (*lookup_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static double now(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int is_number(const char *node) {
        unsigned char address[16];

        return !node || inet_pton(AF_INET, node, address) == 1 || inet_pton(AF_INET6, node, address) == 1;
}

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                                                       struct addrinfo **ret) {
        const char *text = getenv("TBAGENT_DNS_SECONDS"), *pass = getenv("TBAGENT_DNS_PASS");
        double seconds = text ? atof(text) : 0, left;
        lookup_fn real = (lookup_fn)dlsym(RTLD_NEXT, "getaddrinfo");

        if (is_number(node) ||
            __atomic_add_fetch(&getaddrinfo_calls, 1, __ATOMIC_SEQ_CST) <= (pass ? strtoul(pass, NULL, 10) : 0) || seconds == 0)
                return real(node, service, hints, ret);
        while (seconds < 0)
                pause();
        if (getaddrinfo_first == 0)
                getaddrinfo_first = now();
        left = getaddrinfo_first + seconds - now();
        if (left <= 0)
                return real(node, service, hints, ret);
        usleep((useconds_t)(left * 1e6));
        return EAI_AGAIN;
}
