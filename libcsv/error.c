/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.c - result codes, their names, and the rule for names. */

/*
 * One line for people, one code for programs. The line never has a control character in it, since
 * pieces of it may come from a LUN that somebody else wrote.
 */

#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code;
    const char *name;
} names[] = {
    {CSV_OK, "CSV_OK"},
    {CSV_NOT_FOUND, "CSV_NOT_FOUND"},
    {CSV_EXISTS, "CSV_EXISTS"},
    {CSV_FULL, "CSV_FULL"},
    {CSV_NO_SLOT, "CSV_NO_SLOT"},
    {CSV_BAD_NAME, "CSV_BAD_NAME"},
    {CSV_BAD_VALUE, "CSV_BAD_VALUE"},
    {CSV_BUSY, "CSV_BUSY"},
    {CSV_IN_USE, "CSV_IN_USE"},
    {CSV_STALE_EPOCH, "CSV_STALE_EPOCH"},
    {CSV_ALREADY_FORMATTED, "CSV_ALREADY_FORMATTED"},
    {CSV_TOO_SMALL, "CSV_TOO_SMALL"},
    {CSV_FRAGMENTED, "CSV_FRAGMENTED"},
    {CSV_E_IO, "CSV_E_IO"},
    {CSV_E_SYS, "CSV_E_SYS"},
    {CSV_E_NO_VOLUME, "CSV_E_NO_VOLUME"},
    {CSV_E_FUTURE, "CSV_E_FUTURE"},
    {CSV_E_SECTOR, "CSV_E_SECTOR"},
    {CSV_E_TRUNCATED, "CSV_E_TRUNCATED"},
    {CSV_E_DAMAGED, "CSV_E_DAMAGED"},
    {CSV_E_READ_ONLY, "CSV_E_READ_ONLY"},
    {CSV_E_MOUNT, "CSV_E_MOUNT"},
};

const char *
csv_code_name(int code)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].code == code)
            return names[i].name;
    return "CSV_UNKNOWN";
}

bool
csv_name_is_valid(const char *name)
{
    size_t length;

    if (!name)
        return false;
    for (length = 0; name[length]; length++) {
        char c = name[length];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (length >= CSV_NAME_MAX)
            return false;
        if (!alnum && (length == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return length > 0;
}

int
csv_fail(struct csv_error *error, int code, int sys, const char *format, ...)
{
    va_list args;

    if (!error)
        return code;
    error->code = (enum csv_code)code;
    error->sys = sys;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    if (sys) {
        size_t used = strlen(error->text);
        snprintf(error->text + used, sizeof(error->text) - used, ": %s",
                 strerrordesc_np(sys) ?: "?");
    }
    for (char *c = error->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return code;
}
