/* SPDX-License-Identifier: Apache-2.0 */
/* With which plugin and settings an instance holds the descriptors that are kept for it, so that its outputs can be given their
 * on_exit values when its own process is gone and the configuration may say something else by now. A file in the runtime
 * directory for each, which survives the daemon: RUNTIME/kept/INSTANCE. No state. */
#pragma once

#include "base/macro.h"

#define EXIT_RECORD_DIR "kept"

typedef struct ExitRecord {
        char *plugin; /* its name; NULL: there is no record */
        uint8_t *settings; /* setting_encode() */
        size_t settings_size;
        usec_t after; /* on_exit_after */
        usec_t away;  /* BOOTTIME: since then no process of the instance has been well; 0: one is, or the daemon was gone */
} ExitRecord;

/* -ENOMEM: *r is unchanged. */
_must_check_ int exit_record_set(ExitRecord *r, const char *plugin, const uint8_t *settings, size_t size, usec_t after);
void exit_record_done(ExitRecord *r);
bool exit_record_same(const ExitRecord *a, const ExitRecord *b);

/* -ENOENT: there is none; -EBADMSG: it is torn, or of another version. */
_must_check_ int exit_record_load(ExitRecord *ret, const char *runtime_dir, const char *instance);
/* r NULL, or without a plugin: removes the file. */
_must_check_ int exit_record_save(const ExitRecord *r, const char *runtime_dir, const char *instance);
/* Calls fn for each that can be read, in the order of names; a negative return ends it and is returned. */
_must_check_ int exit_record_each(const char *runtime_dir, int (*fn)(void *userdata, const char *instance, const ExitRecord *r),
                                  void *userdata);
