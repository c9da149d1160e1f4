/* SPDX-License-Identifier: Apache-2.0 */
/* What was said before the end is worth more than how it ended: the first fatal problem, else why the daemon
 * killed it, else what the host said last ("memory"), else exit code or signal.
 *
 * A host ends itself when a call takes too long, by a timer whose signal is SIGKILL. So a SIGKILL that the
 * daemon did not send is told as a hang; the kernel's out-of-memory killer looks the same from here. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "sensor/ending.h"

void ending_copy(char out[static ENDING_TEXT_MAX], const char *text) {
        size_t n = strnlen(text, ENDING_TEXT_MAX);

        if (n == ENDING_TEXT_MAX)
                for (n--; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
                        ;
        memcpy(out, text, n);
        out[n] = 0;
}

void ending_say(Ending *e, const char *words) {
        if (!e->fatal)
                ending_copy(e->words, words);
}

void ending_note(Ending *e, const Frame *f) {
        char text[ENDING_TEXT_MAX + 1]; /* so that ending_copy() sees that it was cut */

        if (f->type == FRAME_DONE && f->f[0].size > 0)
                ending_say(e, f->f[0].data);
        if (f->type != FRAME_PROBLEM || f->f[0].u == 0 || e->fatal)
                return;
        if (f->f[1].size == 0)
                ending_say(e, f->f[3].data);
        else {
                snprintf(text, sizeof(text), "%s:%u: %s", f->f[1].data, (unsigned)f->f[2].u, f->f[3].data);
                ending_say(e, text);
        }
        e->fatal = true;
}

bool ending_is_misconfigured(const Ending *e, int status) {
        return e->fatal || (WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG);
}

static void describe_signal(int signo, char out[static ENDING_TEXT_MAX]) {
        const char *name = sigabbrev_np(signo);

        if (signo == SIGKILL)
                ending_copy(out, "hung in a call, killed (timeout)");
        else if (signo == SIGTERM || signo == SIGINT || signo == SIGHUP)
                snprintf(out, ENDING_TEXT_MAX, "ended from outside (SIG%s)", name);
        else if (name)
                snprintf(out, ENDING_TEXT_MAX, "crashed (SIG%s)", name);
        else
                snprintf(out, ENDING_TEXT_MAX, "crashed (signal %d)", signo);
}

void ending_describe(const Ending *e, int status, bool may_end, char out[static ENDING_TEXT_MAX]) {
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

        if (code == 0 && may_end && !e->fatal)
                ending_copy(out, "");
        else if (e->words[0])
                ending_copy(out, e->words);
        else if (WIFSIGNALED(status))
                describe_signal(WTERMSIG(status), out);
        else if (code == EX_CONFIG)
                ending_copy(out, "its part of the configuration is wrong");
        else if (code == 0)
                ending_copy(out, "ended by itself");
        else
                snprintf(out, ENDING_TEXT_MAX, "ended with exit code %d", code);
}
