/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as chips send them. */
#pragma once

#include <stdint.h>

static inline uint16_t be16(const uint8_t *p) {
        return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint16_t le16(const uint8_t *p) {
        return (uint16_t)(p[1] << 8 | p[0]);
}

static inline int16_t be16s(const uint8_t *p) {
        return (int16_t)be16(p);
}

static inline int16_t le16s(const uint8_t *p) {
        return (int16_t)le16(p);
}

static inline uint32_t be24(const uint8_t *p) {
        return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t le24(const uint8_t *p) {
        return (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}
