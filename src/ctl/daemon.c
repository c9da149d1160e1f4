/* SPDX-License-Identifier: Apache-2.0 */
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/unit.h"
#include "ctl/daemon.h"

#define ERROR "org.tbagent1.Error."

Status problem_set(Problem *p, Status status, const char *code, const char *format, ...) {
        va_list ap;
        int n;

        p->status = status;
        snprintf(p->code, sizeof(p->code), "%s", code);
        va_start(ap, format);
        n = vsnprintf(p->text, sizeof(p->text), format, ap);
        va_end(ap);
        if (n >= (int)sizeof(p->text)) { /* no half character at the end */
                n = sizeof(p->text) - 1;
                while (n > 0 && ((unsigned char)p->text[n - 1] & 0xc0) == 0x80)
                        n--;
                p->text[MAX(n - 1, 0)] = '\0';
        }
        return status;
}

static const char *user_name(void) {
        const struct passwd *pw = getpwuid(getuid());

        return pw ? pw->pw_name : "USER";
}

static bool has_name(const sd_bus_error *e, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (sd_bus_error_has_name(e, names[i]))
                        return true;
        return false;
}

/* What sd-bus itself has to say is made of an errno. */
static Status answered(Problem *p, const sd_bus_error *e, usec_t wait) {
        static const char *const absent[] = { SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER };
        static const char *const no_bus[] = { SD_BUS_ERROR_DISCONNECTED, SD_BUS_ERROR_NO_SERVER, "System.Error.ECONNRESET",
                                              "System.Error.ENOTCONN", "System.Error.EPIPE", "System.Error.ECONNREFUSED" };
        static const char *const late[] = { SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT, "System.Error.ETIMEDOUT" };
        const char *dot = strrchr(e->name, '.'), *message = e->message ? e->message : e->name;
        Status other = sd_bus_error_has_name(e, ERROR "Timeout") ? STATUS_TIMEOUT : STATUS_ERROR;
        char text[64];

        if (has_name(e, absent, ELEMENTS(absent)))
                return problem_set(p, STATUS_NOT_RUNNING, "NotRunning",
                                   "tbagent does not run: systemctl start tbagent (systemctl status tbagent says why it ended)");
        if (has_name(e, no_bus, ELEMENTS(no_bus)))
                return problem_set(p, STATUS_NOT_RUNNING, "NoBus", "the system bus has gone (%s): systemctl start dbus tbagent",
                                   message);
        if (sd_bus_error_has_name(e, SD_BUS_ERROR_ACCESS_DENIED))
                return problem_set(p, STATUS_NOT_ALLOWED, "AccessDenied",
                                   "only root and members of the group tbagent may do that: use sudo, or once: "
                                   "sudo adduser %s tbagent, and log in again", user_name());
        if (has_name(e, late, ELEMENTS(late)))
                return problem_set(p, STATUS_TIMEOUT, "Timeout", "tbagent has not answered within %s: systemctl status tbagent",
                                   duration_text(wait, text, sizeof(text)));
        return problem_set(p, other, dot ? dot + 1 : e->name, "%s", message);
}

Status daemon_method(sd_bus_message **ret, const char *member, Problem *p) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL; /* the message keeps it */
        int r = sd_bus_open_system(&bus);

        if (r < 0)
                return problem_set(p, STATUS_NOT_RUNNING, "NoBus",
                                   "there is no system bus to reach tbagent by (%s): apt install dbus, systemctl start "
                                   "dbus.socket, then: systemctl start tbagent", strerror(-r));
        r = sd_bus_message_new_method_call(bus, ret, "org.tbagent1", "/org/tbagent1", "org.tbagent1.Manager", member);
        return r < 0 ? problem_set(p, STATUS_ERROR, "NoMemory", "%s", strerror(-r)) : STATUS_OK;
}

Status daemon_call(sd_bus_message *m, usec_t wait, char **ret_answer, Problem *p) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *text;
        int r = sd_bus_call(sd_bus_message_get_bus(m), m, wait, &e, &reply);

        if (r < 0)
                return answered(p, &e, wait);
        if (!ret_answer)
                return STATUS_OK;
        r = sd_bus_message_read(reply, "s", &text);
        if (r < 0)
                return problem_set(p, STATUS_ERROR, "InvalidArgs",
                                   "tbagent's answer is not understood: is it of another version?");
        *ret_answer = strdup(text);
        return *ret_answer ? STATUS_OK : problem_set(p, STATUS_ERROR, "NoMemory", "out of memory");
}
