/* SPDX-License-Identifier: Apache-2.0 */
/* Any answer to a request for a device: what is granted has credentials of its type, and what is no answer leaves all as
 * it was. */
#include <json-c/json.h>
#include <stdlib.h>

#include "tb/provision.h"

static void check_given(const ProvisionCredentials *c) {
        bool basic = c->client_id || c->username || c->password;

        switch (c->type) {
        case PROVISION_TOKEN:
                if (!c->token || !c->token[0] || basic || c->certificate)
                        abort();
                return;
        case PROVISION_BASIC:
                if ((!c->client_id && !c->username) || c->token || c->certificate)
                        abort();
                return;
        case PROVISION_X509:
                if (c->token || basic)
                        abort();
                return;
        case _PROVISION_TYPE_MAX:
                break;
        }
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ProvisionCredentials c = { .token = "before" };
        ProvisionResult result = PROVISION_UNKNOWN;
        const char *message = "before";
        json_object *tree = NULL;
        int r = provision_read((const char *)data, size, &tree, &result, &c, &message);

        if (r < 0) {
                if (tree || result != PROVISION_UNKNOWN || !message || !c.token)
                        abort();
                return 0;
        }
        if (!tree)
                abort();
        if (result == PROVISION_GRANTED)
                check_given(&c);
        else if (result != PROVISION_NOT_FOUND && result != PROVISION_REFUSED)
                abort();
        json_object_put(tree);
        return 0;
}
