/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <systemd/sd-id128.h>

#include "agent/identity.h"
#include "base/file.h"

/* Made for tbagent alone; another program that hashes the same machine id gets other digits. */
#define APP_ID SD_ID128_MAKE(c1, 4b, 7d, 2a, 90, 5e, 4f, 0b, 8e, 33, 6a, 17, 5d, e2, 49, f8)

static bool read_kept(const char *path, char ret[static IDENTITY_DIGITS + 1]) {
        _cleanup_(freep) char *text = NULL;

        if (file_read(path, 64, &text, NULL) < 0 || strspn(text, "0123456789abcdef") < IDENTITY_DIGITS)
                return false;
        memcpy(ret, text, IDENTITY_DIGITS);
        ret[IDENTITY_DIGITS] = '\0';
        return true;
}

void identity_get(const char *state_dir, char ret[static IDENTITY_DIGITS + 1]) {
        _cleanup_(freep) char *path = NULL;
        char text[SD_ID128_STRING_MAX];
        sd_id128_t id;

        if (sd_id128_get_machine_app_specific(APP_ID, &id) == 0) {
                snprintf(ret, IDENTITY_DIGITS + 1, "%s", sd_id128_to_string(id, text));
                return;
        }
        if (asprintf(&path, "%s/id", state_dir) < 0)
                path = NULL;
        if (path && read_kept(path, ret))
                return;
        if (sd_id128_randomize(&id) < 0)
                id = APP_ID;
        snprintf(ret, IDENTITY_DIGITS + 1, "%s", sd_id128_to_string(id, text));
        if (path && file_replace(path, ret, IDENTITY_DIGITS, 0600) < 0)
                return; /* a new one next time; nothing depends on it but the client id */
}

usec_t identity_splay(const char *digits, usec_t range) {
        return range ? strtoull(digits, NULL, 16) % range : 0;
}
