/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domain-scan.c - one pass over a domain's XML. */
#include "domain-scan.h"

#include <string.h>

#define DEVICES "/dev/csv/"
/* Of elements; libvirt's own are not even ten deep. */
#define DEPTH_MAX 64

/* Where in the document: only the elements that lead to what is wanted have a value of their own.
 */
enum place {
    OTHER,
    DOMAIN,
    UUID,
    DEVICES_LIST,
    DISK,
    SOURCE,
    LEASE,
    LOCKSPACE,
    KEY,
    TARGET,
};

static const struct {
    enum place parent, place;
    const char *name;
} places[] = {
    {DOMAIN, UUID, "uuid"},       {DOMAIN, DEVICES_LIST, "devices"},
    {DEVICES_LIST, DISK, "disk"}, {DEVICES_LIST, LEASE, "lease"},
    {DISK, SOURCE, "source"},     {LEASE, LOCKSPACE, "lockspace"},
    {LEASE, KEY, "key"},          {LEASE, TARGET, "target"},
};

struct text {
    char *to; /* NULL: nobody wants it */
    size_t length;
};

struct scan {
    const char *p, *end;
    struct domain_scan *found;
    struct domain_scan lease; /* the one that is being read */
    bool has_lease;           /* one on a volume was found already */
    enum place stack[DEPTH_MAX];
    unsigned depth;
    bool has_root;
};

/* ---- bytes ---- */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
starts_with(const struct scan *scan, const char *word)
{
    size_t length = strlen(word);

    return (size_t)(scan->end - scan->p) >= length && memcmp(scan->p, word, length) == 0;
}

/* Behind the next word; FALSE: there is none. */
static bool
skip_past(struct scan *scan, const char *word)
{
    const char *found = memmem(scan->p, (size_t)(scan->end - scan->p), word, strlen(word));

    if (!found)
        return false;
    scan->p = found + strlen(word);
    return true;
}

static void
skip_blanks(struct scan *scan)
{
    while (scan->p < scan->end && is_blank(*scan->p))
        scan->p++;
}

/* ---- text ---- */

static bool
add_byte(struct text *text, char c)
{
    if (!text->to)
        return true;
    if (text->length == 0 && is_blank(c))
        return true;
    if (text->length + 1 >= DOMAIN_SCAN_TEXT)
        return false;
    text->to[text->length++] = c;
    text->to[text->length] = '\0';
    return true;
}

static bool
add_character(struct text *text, unsigned long c)
{
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return false;
    if (c < 0x80)
        return add_byte(text, (char)c);
    if (c < 0x800)
        return add_byte(text, (char)(0xc0 | c >> 6)) && add_byte(text, (char)(0x80 | (c & 0x3f)));
    if (c < 0x10000)
        return add_byte(text, (char)(0xe0 | c >> 12)) &&
               add_byte(text, (char)(0x80 | ((c >> 6) & 0x3f))) &&
               add_byte(text, (char)(0x80 | (c & 0x3f)));
    return add_byte(text, (char)(0xf0 | c >> 18)) &&
           add_byte(text, (char)(0x80 | ((c >> 12) & 0x3f))) &&
           add_byte(text, (char)(0x80 | ((c >> 6) & 0x3f))) &&
           add_byte(text, (char)(0x80 | (c & 0x3f)));
}

/* At '&'. */
static bool
add_entity(struct scan *scan, struct text *text)
{
    static const struct {
        const char *name;
        char c;
    } named[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    unsigned long c = 0;
    unsigned base = 10, digits = 0;

    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (starts_with(scan, named[i].name)) {
            scan->p += strlen(named[i].name);
            return add_byte(text, named[i].c);
        }
    }
    if (!starts_with(scan, "&#"))
        return false;
    scan->p += 2;
    if (scan->p < scan->end && *scan->p == 'x') {
        base = 16;
        scan->p++;
    }
    for (; scan->p < scan->end && digits < 8; scan->p++, digits++) {
        char d = *scan->p;
        unsigned value = d >= '0' && d <= '9'   ? (unsigned)(d - '0')
                         : d >= 'a' && d <= 'f' ? (unsigned)(d - 'a' + 10)
                         : d >= 'A' && d <= 'F' ? (unsigned)(d - 'A' + 10)
                                                : 99;

        if (value >= base)
            break;
        c = c * base + value;
    }
    if (digits == 0 || scan->p >= scan->end || *scan->p++ != ';')
        return false;
    return add_character(text, c);
}

static void
trim(struct text *text)
{
    while (text->to && text->length > 0 && is_blank(text->to[text->length - 1]))
        text->to[--text->length] = '\0';
}

/* ---- attributes ---- */

/* name="value", at name; value is kept where the path of a device is wanted. */
static bool
read_attribute(struct scan *scan, bool *is_device, const char *wanted, const char *or_wanted)
{
    const char *name = scan->p;
    char value[DOMAIN_SCAN_TEXT] = "";
    struct text text = {0};
    size_t length;
    char quote;

    while (scan->p < scan->end && !is_blank(*scan->p) && !strchr("=<>/\"'&", *scan->p))
        scan->p++;
    length = (size_t)(scan->p - name);
    skip_blanks(scan);
    if (length == 0 || scan->p >= scan->end || *scan->p++ != '=')
        return false;
    skip_blanks(scan);
    if (scan->p >= scan->end || (*scan->p != '"' && *scan->p != '\''))
        return false;
    quote = *scan->p++;
    bool is_wanted =
        wanted && ((strlen(wanted) == length && memcmp(name, wanted, length) == 0) ||
                   (strlen(or_wanted) == length && memcmp(name, or_wanted, length) == 0));

    while (scan->p < scan->end && *scan->p != quote) {
        /* its beginning says all: the rest of a long one is read for nobody */
        text.to = is_wanted && text.length < sizeof(DEVICES) ? value : NULL;
        if (*scan->p == '<')
            return false;
        if (*scan->p == '&' ? !add_entity(scan, &text) : !add_byte(&text, *scan->p++))
            return false;
    }
    if (scan->p++ >= scan->end)
        return false;
    *is_device |= is_wanted && strncmp(value, DEVICES, strlen(DEVICES)) == 0;
    return true;
}

/* ---- elements ---- */

static enum place
place_of(const struct scan *scan, const char *name, size_t length)
{
    if (scan->depth == 0)
        return length == 6 && memcmp(name, "domain", 6) == 0 ? DOMAIN : OTHER;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i].parent == scan->stack[scan->depth - 1] && strlen(places[i].name) == length &&
            memcmp(name, places[i].name, length) == 0)
            return places[i].place;
    }
    return OTHER;
}

/* A lease that is not on a volume is somebody else's. */
static void
end_lease(struct scan *scan)
{
    if (!scan->lease.is_ours || scan->has_lease)
        return;
    scan->has_lease = true;
    memcpy(scan->found->lockspace, scan->lease.lockspace, DOMAIN_SCAN_TEXT);
    memcpy(scan->found->lease, scan->lease.lease, DOMAIN_SCAN_TEXT);
}

static void
end_element(struct scan *scan)
{
    if (scan->stack[--scan->depth] == LEASE)
        end_lease(scan);
}

/* "<name ...>" or "<name .../>", at name. */
static const char *
begin_element(struct scan *scan)
{
    const char *name = scan->p;
    bool is_device = false;
    enum place place;

    while (scan->p < scan->end && !is_blank(*scan->p) && !strchr("=<>/\"'&", *scan->p))
        scan->p++;
    if (scan->p == name)
        return "an element has no name";
    if (scan->depth == DEPTH_MAX)
        return "it is nested too deeply";
    place = place_of(scan, name, (size_t)(scan->p - name));
    if (scan->depth == 0 && (place != DOMAIN || scan->has_root))
        return "it is not one <domain>";
    scan->has_root = true;
    scan->stack[scan->depth++] = place;
    if (place == LEASE)
        memset(&scan->lease, 0, sizeof(scan->lease));
    for (;;) {
        skip_blanks(scan);
        if (starts_with(scan, ">") || starts_with(scan, "/>"))
            break;
        if (!read_attribute(scan, &is_device,
                            place == SOURCE   ? "dev"
                            : place == TARGET ? "path"
                                              : NULL,
                            place == SOURCE ? "file" : "path"))
            return "an attribute cannot be read";
    }
    scan->found->is_ours |= is_device;
    if (place == TARGET)
        scan->lease.is_ours |= is_device;
    if (*scan->p == '/') {
        scan->p++;
        end_element(scan);
    }
    scan->p++;
    return NULL;
}

static char *
wanted_text(struct scan *scan)
{
    switch (scan->depth ? scan->stack[scan->depth - 1] : OTHER) {
    case UUID:
        return scan->found->uuid;
    case LOCKSPACE:
        return scan->lease.lockspace;
    case KEY:
        return scan->lease.lease;
    case OTHER:
    case DOMAIN:
    case DEVICES_LIST:
    case DISK:
    case SOURCE:
    case LEASE:
    case TARGET:
    default:
        return NULL;
    }
}

/* Up to the next '<'. */
static const char *
read_text(struct scan *scan)
{
    struct text text = {.to = wanted_text(scan)};

    if (text.to) /* in two pieces, with a comment between them: the second one counts */
        text.to[0] = '\0';
    while (scan->p < scan->end && *scan->p != '<') {
        if (scan->depth == 0 && !is_blank(*scan->p))
            return "there is text outside of <domain>";
        if (*scan->p == '&' ? !add_entity(scan, &text) : !add_byte(&text, *scan->p++))
            return "a text is too long, or has a character that it may not have";
    }
    trim(&text);
    return NULL;
}

/* At '<'. */
static const char *
read_markup(struct scan *scan)
{
    if (starts_with(scan, "<!--"))
        return skip_past(scan, "-->") ? NULL : "a comment has no end";
    if (starts_with(scan, "<?"))
        return skip_past(scan, "?>") ? NULL : "an instruction has no end";
    if (starts_with(scan, "<![CDATA["))
        return skip_past(scan, "]]>") ? NULL : "CDATA has no end";
    if (starts_with(scan, "<!"))
        return "it has a DOCTYPE";
    if (!starts_with(scan, "</")) {
        scan->p++;
        return begin_element(scan);
    }
    if (scan->depth == 0)
        return "an element ends that has not begun";
    end_element(scan);
    return skip_past(scan, ">") ? NULL : "it ends in the middle of an element";
}

const char *
domain_scan(const char *xml, size_t length, struct domain_scan *to)
{
    struct scan scan = {.p = xml, .end = xml + length, .found = to};
    const char *problem = NULL;

    memset(to, 0, sizeof(*to));
    if (length > DOMAIN_SCAN_MAX_BYTES)
        return "it is too long";
    if (memchr(xml, '\0', length))
        return "it has a NUL in it";
    while (!problem && scan.p < scan.end)
        problem = *scan.p == '<' ? read_markup(&scan) : read_text(&scan);
    if (!problem && (scan.depth != 0 || !scan.has_root))
        problem = "it is not whole";
    return problem;
}
