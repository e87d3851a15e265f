/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-request.c - the parameters of every request and every reply, through the decoder. */

/*
 * An input is the name of a message, a blank, and its JSON; 'NameRequest {"name":"web"}'. Where no
 * message has that name, all are tried. What must hold: nothing crashes; what is taken comes out
 * again as the same text, from the struct, from a copy of it, and from its pretty form.
 */

#include "rpc/api-types.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TYPE(T) &mig_type_##T,
static const MigType *const types[] = {MIG_API_TYPES(TYPE)};

/* The text again, by way of the struct. */
static char *
once_more(const MigType *type, const char *text, gboolean pretty)
{
    gpointer message = mig_message_decode(type, text, strlen(text), NULL);
    char *result;

    g_assert_nonnull(message); /* it was ours */
    result = mig_message_encode(type, message, pretty);
    mig_message_free(type, message);
    return result;
}

static void
one_type(const MigType *type, const char *text, gsize length)
{
    g_autoptr(GError) error = NULL;
    gpointer message = mig_message_decode(type, text, length, &error);
    g_autofree char *first = NULL, *of_copy = NULL, *second = NULL, *pretty = NULL, *third = NULL;
    gpointer copy;

    if (!message) {
        g_assert_nonnull(error);
        g_assert_null(strchr(error->message, '\n')); /* it goes into a log */
        return;
    }
    first = mig_message_encode(type, message, FALSE);
    copy = mig_message_copy(type, message);
    mig_message_free(type, message);
    of_copy = mig_message_encode(type, copy, FALSE);
    mig_message_free(type, copy);
    g_assert_cmpstr(of_copy, ==, first);
    second = once_more(type, first, FALSE);
    g_assert_cmpstr(second, ==, first);
    pretty = once_more(type, first, TRUE);
    third = once_more(type, pretty, FALSE);
    g_assert_cmpstr(third, ==, first);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *blank = size ? memchr(data, ' ', size) : NULL;
    gsize name_length = blank ? (gsize)(blank - data) : 0;
    gboolean is_named = FALSE;

    for (guint i = 0; blank && i < G_N_ELEMENTS(types); i++) {
        if (strlen(types[i]->name) != name_length || memcmp(types[i]->name, data, name_length) != 0)
            continue;
        is_named = TRUE;
        one_type(types[i], (const char *)blank + 1, size - name_length - 1);
    }
    for (guint i = 0; !is_named && i < G_N_ELEMENTS(types); i++)
        one_type(types[i], (const char *)data, size);
    return 0;
}
