/* SPDX-License-Identifier: Apache-2.0 */
/* STATE/shared.conf: the shared attributes for other programs, and for a start without a network. Written by the store's
 * thread, at most once a second, and only when it changes. Main thread. */
#pragma once

#include "spool/store.h"
#include "tb/attributes.h"

#define MIRROR_FILE "shared.conf"

typedef struct MirrorFile MirrorFile;

/* store NULL: nothing is written. All is borrowed for life. */
_must_check_ int mirror_file_new(MirrorFile **ret, Loop *loop, Store *store, const Attributes *attributes);
MirrorFile *mirror_file_free(MirrorFile *m);
DEFINE_CLEANUP(MirrorFile *, mirror_file_free)

/* Something has changed, or (anew) the file may have been lost: it is compared on the disk. */
void mirror_file_changed(MirrorFile *m, bool anew);

void mirror_file_flush(MirrorFile *m); /* what waits goes to the store now */

/* What the file said when it was written last; a file that is not there is empty. < 0: it cannot be used, *ret_text says
 * why. */
_must_check_ int mirror_file_load(const char *state_dir, Attributes *a, char **ret_text);
