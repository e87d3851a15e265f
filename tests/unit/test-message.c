/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-message.c - JSON to structs and back, and everything that must be refused. */

#include "base/error.h"
#include "rpc/api-types.h"
#include "rpc/frame.h"
#include "rpc/json-check.h"

#include <string.h>

/* ---- a type with one field of each kind ---- */

typedef struct {
    char *s;
    gint64 i;
    gboolean b;
    double d;
    char **v;
    gpointer o;
    GPtrArray *a;
    gint64 z;
} All;

static const MigField all_fields[] = {
    {"s", MIG_FIELD_STRING, G_STRUCT_OFFSET(All, s), MIG_FIELD_REQUIRED, NULL},
    {"i", MIG_FIELD_INT, G_STRUCT_OFFSET(All, i), 0, NULL},
    {"b", MIG_FIELD_BOOL, G_STRUCT_OFFSET(All, b), 0, NULL},
    {"d", MIG_FIELD_DOUBLE, G_STRUCT_OFFSET(All, d), 0, NULL},
    {"v", MIG_FIELD_STRV, G_STRUCT_OFFSET(All, v), 0, NULL},
    {"o", MIG_FIELD_OBJECT, G_STRUCT_OFFSET(All, o), 0, &mig_type_ApiPhase},
    {"a", MIG_FIELD_ARRAY, G_STRUCT_OFFSET(All, a), 0, &mig_type_ApiCheck},
    {"z", MIG_FIELD_INT, G_STRUCT_OFFSET(All, z), MIG_FIELD_OMIT_ZERO, NULL},
};
static const MigType all_type = {"All", sizeof(All), all_fields, G_N_ELEMENTS(all_fields)};

static gpointer
decode(const char *json, GError **error)
{
    return mig_message_decode(&all_type, json, strlen(json), error);
}

static void
test_round_trip(void)
{
    static const char json[] =
        "{\"s\":\"x\\u00e4\\n\\\"\",\"i\":-9223372036854775808,\"b\":true,\"d\":1.5,"
        "\"v\":[\"a\",\"\"],\"o\":{\"state\":\"begin\",\"at\":9223372036854775807},"
        "\"a\":[{\"name\":\"n\",\"verdict\":\"pass\",\"text\":\"t\",\"advice\":null}],\"z\":0}";
    g_autoptr(GError) error = NULL;
    All *all = decode(json, &error);
    All *copy;
    const MigApiPhase *phase;
    g_autofree char *text = NULL;
    g_autofree char *again = NULL;

    g_assert_no_error(error);
    g_assert_cmpstr(all->s, ==, "x\xc3\xa4\n\"");
    g_assert_cmpint(all->i, ==, G_MININT64);
    g_assert_true(all->b);
    g_assert_cmpfloat(all->d, ==, 1.5);
    g_assert_cmpint(g_strv_length(all->v), ==, 2);
    phase = all->o;
    g_assert_cmpint(phase->at, ==, G_MAXINT64);
    g_assert_null(((MigApiCheck *)all->a->pdata[0])->advice);

    copy = mig_message_copy(&all_type, all);
    text = mig_message_encode(&all_type, all, FALSE);
    mig_message_free(&all_type, all);
    again = mig_message_encode(&all_type, copy, FALSE);
    mig_message_free(&all_type, copy);
    g_assert_cmpstr(text, ==, again);
    g_assert_null(strstr(text, "\"z\""));
    g_assert_null(strstr(text, "advice"));
    all = decode(text, &error);
    g_assert_no_error(error);
    mig_message_free(&all_type, all);
}

static void
test_null_and_missing(void)
{
    g_autoptr(GError) error = NULL;
    All *all =
        decode("{\"s\":\"\",\"i\":null,\"b\":null,\"v\":null,\"o\":null,\"a\":null}", &error);

    g_assert_no_error(error);
    g_assert_cmpstr(all->s, ==, "");
    g_assert_null(all->v);
    g_assert_null(all->o);
    g_assert_null(all->a);
    mig_message_free(&all_type, all);
    mig_message_free(&all_type, NULL);
    g_assert_null(mig_message_copy(&all_type, NULL));
}

/* Grammatical, but not this message; the text names the key's path. */
static const struct {
    const char *json, *fragment;
} refused[] = {
    {"{}", "\"s\" is missing"},
    {"{\"s\":null}", "\"s\" is missing"},
    {"{\"s\":1}", "\"s\" must be a string"},
    {"{\"s\":[]}", "\"s\" must be a string"},
    {"{\"s\":\"x\",\"S\":1}", "\"S\" is not a key of All"},
    {"{\"s\":\"x\",\"\":1}", "\"\" is not a key"},
    {"{\"s\":\"x\",\"nope\":null}", "\"nope\""},
    {"{\"s\":\"x\",\"i\":\"1\"}", "\"i\" must be an integer"},
    {"{\"s\":\"x\",\"i\":1.0}", "\"i\" must be an integer"},
    {"{\"s\":\"x\",\"i\":1e2}", "\"i\" must be an integer"},
    {"{\"s\":\"x\",\"i\":true}", "\"i\" must be an integer"},
    {"{\"s\":\"x\",\"b\":1}", "\"b\" must be true or false"},
    {"{\"s\":\"x\",\"b\":\"true\"}", "\"b\" must be true or false"},
    {"{\"s\":\"x\",\"d\":\"1\"}", "\"d\" must be a number"},
    {"{\"s\":\"x\",\"d\":1e999}", "\"d\" is out of range"},
    {"{\"s\":\"x\",\"v\":\"a\"}", "\"v\" must be an array"},
    {"{\"s\":\"x\",\"v\":[1]}", "\"v\" must be an array"},
    {"{\"s\":\"x\",\"v\":[\"a\",null]}", "\"v\" must be an array"},
    {"{\"s\":\"x\",\"v\":{}}", "\"v\" must be an array"},
    {"{\"s\":\"x\",\"o\":[]}", "\"o\" must be an object"},
    {"{\"s\":\"x\",\"o\":{}}", "\"o.state\" is missing"},
    {"{\"s\":\"x\",\"o\":{\"state\":\"b\",\"at\":1,\"x\":1}}", "\"o.x\" is not a key of ApiPhase"},
    {"{\"s\":\"x\",\"a\":{}}", "\"a\" must be an array"},
    {"{\"s\":\"x\",\"a\":[1]}", "\"a[0]\" must be an object"},
    {"{\"s\":\"x\",\"a\":[null]}", "\"a[0]\" must be an object"},
    {"{\"s\":\"x\",\"a\":[{\"name\":\"n\",\"verdict\":\"p\",\"text\":\"t\"},{\"name\":\"n\"}]}",
     "\"a[1].verdict\" is missing"},
};

static void
test_refused(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GError) error = NULL;

        g_test_message("%s", refused[i].json);
        g_assert_null(decode(refused[i].json, &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL);
        g_assert_nonnull(strstr(error->message, refused[i].fragment));
    }
}

/* What a newer version says more is passed over in what it answers or has written, however deep;
 * all that is known is checked as ever. */
static void
test_newer(void)
{
    static const char json[] =
        "{\"s\":\"x\",\"new\":[{\"a\":1}],"
        "\"o\":{\"state\":\"b\",\"at\":1,\"new\":1},"
        "\"a\":[{\"name\":\"n\",\"verdict\":\"p\",\"text\":\"t\",\"new\":{}}]}";
    static const char bad[] = "{\"s\":\"x\",\"new\":1,\"o\":{\"state\":1,\"new\":1}}";
    g_autoptr(GError) error = NULL, refused_error = NULL, bad_error = NULL;
    All *all = mig_message_decode_record(&all_type, json, strlen(json), &error);

    g_assert_no_error(error);
    g_assert_cmpint(((MigApiPhase *)all->o)->at, ==, 1);
    g_assert_cmpuint(all->a->len, ==, 1);
    mig_message_free(&all_type, all);
    g_assert_null(decode(json, &refused_error));
    g_assert_error(refused_error, MIG_ERROR, MIG_ERROR_PROTOCOL);
    g_assert_null(mig_message_decode_record(&all_type, bad, strlen(bad), &bad_error));
    g_assert_error(bad_error, MIG_ERROR, MIG_ERROR_PROTOCOL);
    g_assert_nonnull(strstr(bad_error->message, "\"o.state\" must be a string"));
}

/* What is not UTF-8 on our side (a path, a foreign message) must not make bad JSON. */
static void
test_encode_foreign_bytes(void)
{
    g_autoptr(MigNameRequest) request = mig_NameRequest_new();
    g_autofree char *text = NULL;
    g_autoptr(MigNameRequest) back = NULL;
    g_autoptr(GError) error = NULL;

    request->name = g_strdup("a\xff\x01/");
    text = mig_message_encode(&mig_type_NameRequest, request, FALSE);
    back = mig_message_decode(&mig_type_NameRequest, text, strlen(text), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(back->name, ==, "a\xef\xbf\xbd\x01/");
}

/* A required string that was forgotten is sent empty, and arrays of required kind as []. */
static void
test_encode_required(void)
{
    g_autoptr(MigStatusReply) status = mig_StatusReply_new();
    g_autofree char *text = mig_message_encode(&mig_type_StatusReply, status, FALSE);
    g_autofree char *none = mig_message_encode(&mig_type_StatusReply, NULL, FALSE);

    g_assert_cmpstr(text, ==,
                    "{\"node\":\"\",\"version\":\"\",\"nodes\":[],\"volumes\":[],"
                    "\"vms\":[],\"jobs\":[]}");
    g_assert_cmpstr(none, ==, "{}");
}

static void
test_size_limit(void)
{
    for (int over = 0; over < 2; over++) {
        gsize length = MIG_MESSAGE_MAX_BYTES + (gsize)over;
        g_autofree char *json = g_strnfill(length, ' ');
        g_autoptr(GError) error = NULL;
        g_autoptr(MigEmpty) empty = NULL;

        memcpy(json, "{}", 2);
        empty = mig_message_decode(&mig_type_Empty, json, length, &error);
        g_assert_true(over ? !empty : empty != NULL);
    }
}

/* ---- the corpora ---- */

static void
for_each_file(const char *folder, void (*check)(const char *name, const char *data, gsize length),
              guint at_least)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, folder, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    const char *name;
    guint count = 0;

    g_assert_no_error(error);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_autofree char *data = NULL;
        gsize length = 0;

        g_assert_true(g_file_get_contents(file, &data, &length, NULL));
        g_test_message("%s", name);
        check(name, data, length);
        count++;
    }
    g_assert_cmpint(count, >=, at_least);
}

static void
check_bad(const char *name, const char *data, gsize length)
{
    g_autoptr(GError) error = NULL;
    /* exactly as long as the text, so that a read behind it is seen by the sanitizer */
    g_autofree char *exact = g_memdup2(data, MAX(length, 1));

    g_assert_null(mig_message_decode(&mig_type_Empty, exact, length, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL);
    g_assert_true(g_str_has_prefix(error->message, "bad JSON: "));
}

static void
check_good(const char *name, const char *data, gsize length)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *exact = g_memdup2(data, length);
    gpointer message;

    g_assert_true(mig_json_check(exact, length, MIG_MESSAGE_MAX_DEPTH, NULL, &error));
    g_assert_no_error(error);
    /* json-c agrees; what is left to complain about are the keys */
    message = mig_message_decode(&mig_type_Empty, exact, length, &error);
    if (!message)
        g_assert_null(strstr(error->message, "bad JSON"));
    mig_message_free(&mig_type_Empty, message);
}

static void
test_corpus_bad(void)
{
    for_each_file("data/json-bad", check_bad, 100);
}

static void
test_corpus_good(void)
{
    for_each_file("data/json-good", check_good, 15);
}

/* ---- frames ---- */

static void
test_frames(void)
{
    MigFrameBuffer buffer;
    char *frame = NULL;
    gsize length = 0;

    mig_frame_buffer_init(&buffer);
    g_assert_cmpint(mig_frame_buffer_take(&buffer, &frame, &length), ==, MIG_FRAME_NONE);
    /* byte by byte, and two at once, and an empty one */
    mig_frame_buffer_append(&buffer, "{", 1);
    g_assert_cmpint(mig_frame_buffer_take(&buffer, &frame, &length), ==, MIG_FRAME_NONE);
    mig_frame_buffer_append(&buffer, "}\0a\0\0b", 6);
    for (gsize i = 0; i < 3; i++) {
        g_assert_cmpint(mig_frame_buffer_take(&buffer, &frame, &length), ==, MIG_FRAME_READY);
        g_assert_cmpstr(frame, ==, ((const char *const[]){"{}", "a", ""})[i]);
        g_assert_cmpint(length, ==, strlen(frame));
        g_free(frame);
    }
    g_assert_cmpint(mig_frame_buffer_take(&buffer, &frame, &length), ==, MIG_FRAME_NONE);
    g_assert_cmpint(mig_frame_buffer_length(&buffer), ==, 1);
    mig_frame_buffer_clear(&buffer);
}

static void
test_frame_limit(void)
{
    g_autofree char *data = g_strnfill(MIG_MESSAGE_MAX_BYTES + 1, 'x');

    for (int over = 0; over < 2; over++) {
        MigFrameBuffer buffer;
        char *frame = NULL;
        gsize length = 0;

        mig_frame_buffer_init(&buffer);
        mig_frame_buffer_append(&buffer, data, MIG_MESSAGE_MAX_BYTES + (gsize)over);
        g_assert_cmpint(mig_frame_buffer_take(&buffer, &frame, &length), ==,
                        over ? MIG_FRAME_TOO_BIG : MIG_FRAME_NONE);
        mig_frame_buffer_append(&buffer, "", 1);
        g_assert_cmpint(mig_frame_buffer_take(&buffer, &frame, &length), ==,
                        over ? MIG_FRAME_TOO_BIG : MIG_FRAME_READY);
        g_free(frame);
        mig_frame_buffer_clear(&buffer);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/message/round-trip", test_round_trip);
    g_test_add_func("/message/null-and-missing", test_null_and_missing);
    g_test_add_func("/message/refused", test_refused);
    g_test_add_func("/message/newer", test_newer);
    g_test_add_func("/message/encode-foreign-bytes", test_encode_foreign_bytes);
    g_test_add_func("/message/encode-required", test_encode_required);
    g_test_add_func("/message/size-limit", test_size_limit);
    g_test_add_func("/message/corpus-bad", test_corpus_bad);
    g_test_add_func("/message/corpus-good", test_corpus_good);
    g_test_add_func("/frame/cutting", test_frames);
    g_test_add_func("/frame/limit", test_frame_limit);
    return g_test_run();
}
