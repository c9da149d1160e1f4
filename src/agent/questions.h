/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins ask the server: calls of its rule chain, and attributes. Main thread.
 *
 * An instance may end while a question of its plugin is under way: the answer then finds nobody by that name, or another process,
 * which does not know the token. */
#pragma once

#include "agent/instance.h"
#include "tb/client.h"

typedef struct QuestionsParams {
        Client *(*client)(void *userdata);                       /* NULL: there is no connection */
        Instance *(*instance)(void *userdata, const char *name); /* NULL: there is none */
        void *userdata;
} QuestionsParams;

/* A frame FRAME_CALL or FRAME_ATTRIBUTES_REQUEST; the instance gets one answer. params: borrowed until it has. */
void questions_ask(const QuestionsParams *params, Instance *i, const Frame *f);
