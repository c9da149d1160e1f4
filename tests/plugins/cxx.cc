/* SPDX-License-Identifier: Apache-2.0 */
/* The header in C++: a plugin that is built by a C++ compiler with all warnings, loaded and sampled. */
#include <new>

#include <tbagent/plugin.h>

namespace {

struct State {
        int64_t samples = 0;
};

const tbagent_option options[] = {
        { "text", TBAGENT_STRING, 0, "from C++", 0, 0, nullptr, nullptr, "A text to send.", nullptr },
        {},
};

int cxx_open(tbagent_host *, void **ret_state) {
        *ret_state = new (std::nothrow) State;
        return *ret_state ? 0 : -12;
}

int cxx_sample(tbagent_host *host, void *state) {
        (void)tbagent_emit_int(host, "cxx_samples", ++static_cast<State *>(state)->samples);
        return tbagent_emit_string(host, "cxx_text", tbagent_string(host, tbagent_options(host), "text", 0));
}

void cxx_close(tbagent_host *, void *state) {
        delete static_cast<State *>(state);
}

} // namespace

TBAGENT_PLUGIN(.name = "cxx", .summary = "a plugin in C++", .options = options, .open = cxx_open, .sample = cxx_sample,
               .close = cxx_close);
