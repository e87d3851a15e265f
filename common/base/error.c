/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.c - the error table: code, wire name, exit code. */

#include "base/error.h"

typedef struct {
    const char *name;
    int exit_code;
} ErrorEntry;

static const ErrorEntry error_entries[] = {
#define ERROR_ENTRY(enumerator, wire_name, exit_status) [enumerator] = {wire_name, exit_status},
    MIG_ERROR_LIST(ERROR_ENTRY)
#undef ERROR_ENTRY
};

G_DEFINE_QUARK(mig - error - quark, mig_error)

const char *
mig_error_name(int code)
{
    if (code < 0 || (gsize)code >= G_N_ELEMENTS(error_entries))
        return error_entries[MIG_ERROR_FAILED].name;
    return error_entries[code].name;
}

MigErrorCode
mig_error_from_name(const char *name)
{
    for (gsize i = 0; name && i < G_N_ELEMENTS(error_entries); i++) {
        if (g_str_equal(name, error_entries[i].name))
            return (MigErrorCode)i;
    }
    return MIG_ERROR_FAILED;
}

int
mig_error_exit_code(const GError *error)
{
    if (!error || error->domain != MIG_ERROR || error->code < 0 ||
        (gsize)error->code >= G_N_ELEMENTS(error_entries))
        return error_entries[MIG_ERROR_FAILED].exit_code;
    return error_entries[error->code].exit_code;
}
