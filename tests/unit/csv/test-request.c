/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-request.c - who asked for a change stays in its slot, and a lost lease stops every write. */
#include "csv-test.h"

#define FIRST  "11111111-1111-4111-8111-111111111111"
#define SECOND "22222222-2222-4222-8222-222222222222"

struct fixture {
    struct lun lun;
    struct csv_volume *volume;
    int asked, allowed; /* guard: how often, and how often it says yes */
};

static struct csv_epoch
by(const char *request)
{
    struct csv_epoch epoch = {.lver = 5, .host_generation = 1, .host_id = 1};

    g_strlcpy(epoch.request, request, sizeof(epoch.request));
    return epoch;
}

static void
set_up(struct fixture *fixture, const void *data)
{
    const struct csv_format_options options = {
        .name = "vol1", .max_nodes = 4, .max_vms = 4, .max_images = 8, .extent_bytes = MIB};

    (void)data;
    lun_init(&fixture->lun, 96, 512);
    assert_ok(lun_format(&fixture->lun, &options, error));
    assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    (void)data;
    csv_close(fixture->volume);
    lun_clear(&fixture->lun);
}

static void
assert_found(struct csv_volume *volume, const char *request, bool is_vm, const char *name)
{
    struct csv_request found;

    assert_ok(csv_request_find(volume, request, &found, error));
    g_assert_cmpint(found.is_vm, ==, is_vm);
    g_assert_cmpint(found.is_used, ==, name[0] != 0);
    g_assert_cmpstr(found.name, ==, name);
}

static void
test_stays(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_epoch first = by(FIRST), second = by(SECOND), none = by("");
    struct csv_request found;
    struct csv_image image;

    (void)data;
    assert_code(csv_request_find(volume, FIRST, &found, error), CSV_NOT_FOUND);
    assert_code(csv_request_find(volume, "", &found, error), CSV_BAD_VALUE);
    assert_ok(csv_image_create(volume, &first, "a", MIB, 0, &image, error));
    assert_found(volume, FIRST, false, "a");
    assert_code(csv_request_find(volume, SECOND, &found, error), CSV_NOT_FOUND);
    assert_ok(csv_image_rename(volume, &none, "a", "b", error)); /* a change that nobody retries */
    assert_found(volume, FIRST, false, "b");
    assert_ok(csv_request_find(volume, FIRST, &found, error));
    g_assert_true(found.is_last);
    assert_ok(csv_image_delete(volume, &second, "b", false, error));
    assert_found(volume, FIRST, false, "");
    assert_found(volume, SECOND, false, "");
    assert_ok(csv_request_find(volume, FIRST, &found, error));
    g_assert_false(found.is_last);
    assert_ok(csv_request_find(volume, SECOND, &found, error));
    g_assert_true(found.is_last);
    /* another handle reads it from the LUN, not from memory */
    csv_close(volume);
    assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
    assert_found(fixture->volume, SECOND, false, "");
}

/* Freed slots are used in turn: what they know of lasts for as many changes as can be. */
static void
test_lasts(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_epoch first = by(FIRST);
    struct csv_image image;

    (void)data;
    assert_ok(csv_image_create(volume, &first, "a", MIB, 0, &image, error));
    for (int i = 0; i < 8; i++) {
        g_autofree char *id = g_uuid_string_random();
        struct csv_epoch epoch = by(id);

        assert_ok(csv_image_create(volume, &epoch, "b", MIB, 0, &image, error));
        g_assert_cmpuint(image.slot, !=, 0);
        assert_ok(csv_image_delete(volume, &epoch, "b", false, error));
    }
    assert_found(volume, FIRST, false, "a");
}

static void
test_vms(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_epoch first = by(FIRST), second = by(SECOND);
    struct csv_vm vm = test_vm("web", 1);

    (void)data;
    assert_ok(csv_vm_create(volume, &first, &vm, error));
    vm.wanted = CSV_WANTED_RUNNING;
    assert_ok(csv_vm_update(volume, &second, &vm, error));
    assert_found(volume, FIRST, true, "web");
    assert_ok(csv_vm_delete(volume, &second, "web", error));
    assert_found(volume, SECOND, true, "");
}

/* Another node makes the volume longer, and what was asked for lies behind its old end. */
static void
test_after_growth(struct fixture *fixture, const void *data)
{
    struct csv_epoch first = by(FIRST), second = by(SECOND);
    struct csv_volume *other;
    struct csv_usage usage;
    struct csv_image image;

    (void)data;
    csv_close(fixture->volume); /* memory moves when it grows */
    fixture->lun.data = g_realloc(fixture->lun.data, 128 * MIB);
    memset(fixture->lun.data + 96 * MIB, 0, 32 * MIB);
    assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
    fixture->lun.size = 128 * MIB;
    assert_ok(lun_open(&fixture->lun, 0, &other, error));
    assert_ok(csv_volume_usage(other, &usage, error));
    assert_ok(csv_image_create(other, &second, "full", usage.free_bytes, 0, &image, error));
    assert_ok(csv_volume_grow(other, &first, NULL, error));
    assert_ok(csv_image_create(other, &first, "behind", MIB, 0, &image, error));
    csv_close(other);
    fixture->volume->dev->size_bytes = fixture->lun.size; /* its kernel has seen it */
    assert_found(fixture->volume, FIRST, false, "behind");
}

/* A slot that nobody can read may be the one. */
static void
test_damaged(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_epoch first = by(FIRST), second = by(SECOND);
    struct csv_request found;
    struct csv_image image;

    (void)data;
    assert_ok(csv_image_create(volume, &first, "a", MIB, 0, &image, error));
    assert_ok(csv_image_create(volume, &second, "b", MIB, 0, &image, error));
    for (int copy = 0; copy < 2; copy++)
        fixture->lun.data[csv_slot_address(&volume->super, CSV_KIND_IMAGE, 0, copy) + 200] ^= 1;
    assert_code(csv_request_find(volume, FIRST, &found, error), CSV_E_DAMAGED);
    assert_found(volume, SECOND, false, "b");
}

static bool
guard(void *data)
{
    struct fixture *fixture = data;

    return fixture->asked++ < fixture->allowed;
}

typedef int (*Change)(struct csv_volume *volume, struct csv_error *error);

static int
create(struct csv_volume *volume, struct csv_error *error)
{
    struct csv_epoch epoch = by(FIRST);
    struct csv_image image;

    return csv_image_create(volume, &epoch, "new", 40 * MIB, 0, &image, error);
}

static int delete (struct csv_volume *volume, struct csv_error *error)
{
    struct csv_epoch epoch = by(FIRST);

    return csv_image_delete(volume, &epoch, "old", true, error);
}

static int
define(struct csv_volume *volume, struct csv_error *error)
{
    struct csv_epoch epoch = by(FIRST);
    struct csv_vm vm = test_vm("web", 1);

    return csv_vm_create(volume, &epoch, &vm, error);
}

/* The lease goes between any two writes of a change: from then on not one byte of the LUN
 * changes. */
static void
test_guard(struct fixture *fixture, const void *data)
{
    static const Change changes[] = {create, delete, define};
    struct csv_volume *volume = fixture->volume;
    struct csv_epoch epoch = by(SECOND);
    struct csv_image image;
    bool is_done = false;

    (void)data;
    assert_ok(csv_image_create(volume, &epoch, "old", MIB, 0, &image, error));
    memset(fixture->lun.data + image.extents[0].offset_bytes, 0xaa, MIB);
    for (guint i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_autofree uint8_t *before = g_memdup2(fixture->lun.data, fixture->lun.size);

        is_done = false;
        for (int allowed = 0; !is_done; allowed++) {
            g_autofree uint8_t *seen = NULL;
            struct csv_error error = {0};
            int result;

            memcpy(fixture->lun.data, before, fixture->lun.size);
            fixture->asked = 0;
            fixture->allowed = allowed;
            csv_volume_set_guard(volume, guard, fixture);
            result = changes[i](volume, &error);
            is_done = fixture->asked <= allowed;
            if (allowed == 0) {
                g_assert_cmpint(result, ==, CSV_STALE_EPOCH);
                g_assert_cmpmem(before, fixture->lun.size, fixture->lun.data, fixture->lun.size);
            }
            /* the same again, all of it forbidden: nothing more is written */
            seen = g_memdup2(fixture->lun.data, fixture->lun.size);
            fixture->allowed = 0;
            (void)changes[i](volume, &error);
            g_assert_cmpmem(seen, fixture->lun.size, fixture->lun.data, fixture->lun.size);
        }
        csv_volume_set_guard(volume, NULL, NULL);
        memcpy(fixture->lun.data, before, fixture->lun.size);
    }
}

/* ---- discards ---- */

static uint64_t discarded, longest, next_at;
static unsigned pieces;

static int
count_discard(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    (void)dev;
    if (pieces)
        g_assert_cmpuint(offset, ==, next_at);
    next_at = offset + bytes;
    discarded += bytes;
    longest = MAX(longest, bytes);
    pieces++;
    return 0;
}

/* A large image goes piece by piece, and stops where the lease is gone: what comes behind that may
 * be another image's. */
static void
test_discard(void)
{
    const struct csv_format_options options = {.name = "vol1", .max_vms = 4, .max_images = 8};
    const uint64_t bytes = 600 * MIB, most = 256 * MIB;
    struct fixture fixture = {0};
    struct csv_epoch epoch = by(FIRST);
    struct csv_dev_ops ops;
    struct csv_image image;
    int asked = 0;

    lun_init(&fixture.lun, 700, 512); /* of which little is ever touched */
    assert_ok(lun_format(&fixture.lun, &options, error));
    assert_ok(lun_open(&fixture.lun, 0, &fixture.volume, error));
    ops = *fixture.volume->dev->ops;
    ops.discard = count_discard;
    fixture.volume->dev->ops = &ops;
    csv_volume_set_guard(fixture.volume, guard, &fixture);
    for (int i = 0; i < 2; i++) {
        fixture.asked = 0;
        fixture.allowed = 100;
        assert_ok(csv_image_create(fixture.volume, &epoch, "old", bytes, CSV_CREATE_NO_ZERO, &image,
                                   error));
        g_assert_cmpuint(image.extent_count, ==, 1);
        discarded = longest = pieces = 0;
        fixture.asked = 0;
        fixture.allowed = i == 0 ? 100 : asked - 2; /* one piece of three */
        assert_ok(csv_image_delete(fixture.volume, &epoch, "old", true, error));
        g_assert_cmpuint(longest, <=, most);
        g_assert_cmpuint(pieces, ==, i == 0 ? (bytes + most - 1) / most : 1);
        g_assert_cmpuint(discarded, ==, i == 0 ? bytes : most);
        asked = fixture.asked;
    }
    csv_close(fixture.volume);
    lun_clear(&fixture.lun);
}

#define ADD(name, function) \
    g_test_add("/csv/request/" name, struct fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("stays", test_stays);
    ADD("lasts", test_lasts);
    ADD("vms", test_vms);
    ADD("after-growth", test_after_growth);
    ADD("damaged", test_damaged);
    ADD("guard", test_guard);
    g_test_add_func("/csv/request/discard", test_discard);
    return g_test_run();
}
