/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* output.c - tables, sizes and JSON. */

#include "output.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMN_GAP 2
#define COLUMN_MIN 6 /* a shortened column keeps this much */

struct MigTable {
    guint columns;
    gboolean *right, *flexible;
    GPtrArray *cells; /* row by row, the header first */
};

/* ---- cells ---- */

/* Terminal columns of printable text. */
static guint
text_width(const char *text)
{
    guint width = 0;

    for (; *text; text = g_utf8_next_char(text)) {
        gunichar c = g_utf8_get_char(text);

        if (!g_unichar_iszerowidth(c))
            width += g_unichar_iswide(c) ? 2 : 1;
    }
    return width;
}

/* Cuts to so many columns, the last of which is "~" where something was cut. */
static char *
shorten(const char *text, guint columns)
{
    const char *end = text;
    guint width = 0;

    if (text_width(text) <= columns)
        return g_strdup(text);
    while (*end) {
        guint wide = g_unichar_iswide(g_utf8_get_char(end)) ? 2 : 1;

        if (width + wide > columns - 1)
            break;
        width += wide;
        end = g_utf8_next_char(end);
    }
    return g_strdup_printf("%.*s~", (int)(end - text), text);
}

/* ---- tables ---- */

MigTable *
mig_table_new(const char *const *headers)
{
    MigTable *table = g_new0(MigTable, 1);

    table->columns = g_strv_length((char **)headers);
    table->right = g_new0(gboolean, table->columns);
    table->flexible = g_new0(gboolean, table->columns);
    table->cells = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < table->columns; i++) {
        table->right[i] = headers[i][0] == '>';
        table->flexible[i] = headers[i][0] == '~';
        g_ptr_array_add(table->cells,
                        g_strdup(headers[i] + (table->right[i] || table->flexible[i])));
    }
    return table;
}

void
mig_table_add(MigTable *table, ...)
{
    va_list args;

    va_start(args, table);
    for (guint i = 0; i < table->columns; i++) {
        const char *text = va_arg(args, const char *);

        g_ptr_array_add(table->cells, text && *text ? mig_log_escape(text) : g_strdup("-"));
    }
    va_end(args);
}

void
mig_table_add_row(MigTable *table, const char *const *row)
{
    for (guint i = 0; i < table->columns; i++)
        g_ptr_array_add(table->cells, mig_log_escape(row[i]));
}

/* Takes away from the widest flexible column until the row fits. */
static void
fit(MigTable *table, guint *widths, guint room)
{
    for (;;) {
        guint total = COLUMN_GAP * (table->columns - 1);
        guint widest = G_MAXUINT;

        for (guint i = 0; i < table->columns; i++) {
            total += widths[i];
            if (table->flexible[i] && widths[i] > COLUMN_MIN &&
                (widest == G_MAXUINT || widths[i] > widths[widest]))
                widest = i;
        }
        if (total <= room || widest == G_MAXUINT)
            return;
        widths[widest]--;
    }
}

static void
print_row(MigTable *table, guint row, const guint *widths)
{
    g_autoptr(GString) line = g_string_new(NULL);

    for (guint i = 0; i < table->columns; i++) {
        g_autofree char *text = shorten(table->cells->pdata[row * table->columns + i], widths[i]);
        guint padding = widths[i] - text_width(text);

        if (table->right[i])
            g_string_append_printf(line, "%*s%s", (int)padding, "", text);
        else if (i + 1 < table->columns)
            g_string_append_printf(line, "%s%*s", text, (int)padding, "");
        else
            g_string_append(line, text);
        if (i + 1 < table->columns)
            g_string_append_printf(line, "%*s", COLUMN_GAP, "");
    }
    puts(line->str);
}

void
mig_table_print(MigTable *table, gboolean force_header)
{
    guint rows = table->cells->len / table->columns;
    g_autofree guint *widths = g_new0(guint, table->columns);
    guint room = mig_terminal_columns(STDOUT_FILENO);

    for (guint i = 0; i < table->cells->len; i++) {
        guint width = text_width(table->cells->pdata[i]);

        widths[i % table->columns] = MAX(widths[i % table->columns], width);
    }
    if (room)
        fit(table, widths, room);
    for (guint row = 0; (rows > 1 || force_header) && row < rows; row++)
        print_row(table, row, widths);
    g_ptr_array_unref(table->cells);
    g_free(table->right);
    g_free(table->flexible);
    g_free(table);
}

/* ---- lines ---- */

void
mig_print_field(const char *name, const char *value)
{
    g_autofree char *safe = NULL;
    g_autofree char *label = g_strconcat(name, ":", NULL);

    if (!value || !*value)
        return;
    safe = mig_log_escape(value);
    printf("%-16s %s\n", label, safe);
}

void
mig_print_field_list(const char *name, char **values)
{
    g_autofree char *joined = values ? g_strjoinv(", ", values) : NULL;

    mig_print_field(name, joined);
}

static void
safe_line(FILE *out, const char *prefix, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);
    g_autofree char *safe = mig_log_escape(text);

    fprintf(out, "%s%s\n", prefix, safe);
}

void
mig_print_line(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    safe_line(stdout, "", format, args);
    va_end(args);
}

void
mig_talk(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    safe_line(stderr, "", format, args);
    va_end(args);
}

guint
mig_terminal_columns(int fd)
{
    struct winsize size;

    if (!isatty(fd))
        return 0;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 80;
    return MAX(size.ws_col, 40);
}

/* ---- values ---- */

static const char *show(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Eight in turn are enough for any one line here. */
static const char *
show(const char *format, ...)
{
    static char buffers[8][64];
    static guint next;
    char *buffer = buffers[next++ % G_N_ELEMENTS(buffers)];
    va_list args;

    va_start(args, format);
    g_vsnprintf(buffer, sizeof(buffers[0]), format, args);
    va_end(args);
    return buffer;
}

/* Splits into a number below 1024 and the unit's index. */
static double
scale(gint64 bytes, guint *unit)
{
    double value = (double)bytes;

    /* 1023.95 would print as 1024.0 */
    for (*unit = 0; value >= 1023.95 && *unit < 6; ++*unit)
        value /= 1024;
    return value;
}

const char *
mig_show_size(gint64 bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    guint unit;
    double value = scale(bytes, &unit);

    return show(unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

const char *
mig_show_short(gint64 bytes)
{
    guint unit;
    double value = scale(bytes, &unit);

    return show(unit == 0 || value >= 9.95 ? "%.0f%c" : "%.1f%c", value, "BKMGTPE"[unit]);
}

const char *
mig_show_int(gint64 number)
{
    return show("%" G_GINT64_FORMAT, number);
}

const char *
mig_show_ms(gint64 milliseconds)
{
    if (milliseconds < 0) /* was not measured */
        return show("unknown");
    if (milliseconds < 1000)
        return show("%" G_GINT64_FORMAT " ms", milliseconds);
    if (milliseconds < 60000)
        return show("%.2f s", (double)milliseconds / 1000);
    return show("%" G_GINT64_FORMAT " min %02d s", milliseconds / 60000,
                (int)(milliseconds / 1000 % 60));
}

const char *
mig_show_time(gint64 unix_ms)
{
    g_autoptr(GDateTime) time = unix_ms ? g_date_time_new_from_unix_local(unix_ms / 1000) : NULL;
    g_autofree char *text = time ? g_date_time_format(time, "%F %T") : NULL;

    return show("%s", text ? text : "-");
}

const char *
mig_show_yes(gboolean value)
{
    return value ? "yes" : "no";
}

/* ---- JSON ---- */

/* json-c leaves DEL, the C1 controls and bidi marks as they are, and a terminal obeys them. */
static char *
escape_json(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);

    for (; *text; text = g_utf8_next_char(text)) {
        gunichar c = g_utf8_get_char(text);

        if (c >= 0x7f && c <= 0xffff &&
            (g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT))
            g_string_append_printf(out, "\\u%04x", c);
        else
            g_string_append_unichar(out, c);
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

void
mig_print_json(const MigType *type, gconstpointer message, gboolean compact)
{
    g_autofree char *text = mig_message_encode(type, message, !compact);
    g_autofree char *safe = escape_json(text);

    puts(safe);
    if (compact)
        fflush(stdout);
}
