/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/questions.h"
#include "model/json.h"

#define TIMEOUT_MAX (600 * USEC_PER_SEC)

typedef struct Question {
        const QuestionsParams *params;
        uint64_t token;
        char instance[];
} Question;

static void on_answer(void *userdata, int error, const char *json, size_t size) {
        _cleanup_(freep) Question *q = userdata;
        _cleanup_(freep) char *text = json ? strndup(json, size) : NULL;
        Instance *i = q->params->instance(q->params->userdata, q->instance);

        if (i) /* its own time-out is the last word */
                (void)!instance_answer(i, q->token, error == 0 && !text ? -ENOMEM : error, text);
}

static int send_question(Client *c, const Frame *f, Question *q) {
        const char *first = f->f[1].data, *second = f->f[2].data;
        usec_t timeout = MIN((usec_t)f->f[3].u, TIMEOUT_MAX);

        if (f->type == FRAME_CALL)
                return client_call(c, first, second, timeout, on_answer, q);
        return client_request_attributes(c, first[0] ? first : NULL, second[0] ? second : NULL, timeout, on_answer, q);
}

static int ask(const QuestionsParams *params, const char *instance, const Frame *f) {
        Client *c = params->client(params->userdata);
        const char *text = f->f[2].data;
        Question *q;
        int r;

        if (f->type == FRAME_CALL && json_validate(text, strlen(text)) < 0) /* a plugin's process may send anything */
                return -EINVAL;
        if (!c)
                return -ENOTCONN;
        q = malloc(sizeof(*q) + strlen(instance) + 1);
        if (!q)
                return -ENOMEM;
        q->params = params;
        q->token = f->f[0].u;
        strcpy(q->instance, instance);
        r = send_question(c, f, q);
        if (r < 0)
                free(q);
        return r;
}

void questions_ask(const QuestionsParams *params, Instance *i, const Frame *f) {
        int r = ask(params, instance_name(i), f);

        if (r < 0)
                (void)!instance_answer(i, f->f[0].u, r, NULL);
}
