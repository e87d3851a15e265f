/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-late-change.c - a coordinator's change that was stuck lands when another one changes. */

/*
 * Host 1 coordinates, and the one write that commits its change gets stuck. Host 2 takes over, and
 * gives the same space, or the same name, to something else, in another slot: nothing is written
 * over the stuck write's. It lands before the first step of all that, then, on a fresh volume,
 * before the second, and so on; and behind the last. Whenever that is, nothing is there twice, what
 * host 2 was told to be done is done, all handles see the same, also of what a backup brings back,
 * and a third coordinator can change everything.
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "late-dev.h"

#define STEPS 2000 /* more than there are */

static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 2, .max_vms = 2, .max_images = 4, .extent_bytes = MIB};
static const struct csv_epoch first = {.lver = 1, .host_generation = 1, .host_id = 1};
static const struct csv_epoch second = {.lver = 2, .host_generation = 1, .host_id = 2};
static const struct csv_epoch third = {.lver = 3, .host_generation = 1, .host_id = 1};

static struct csv_volume *dead, *other, *seer; /* seer has seen it before, and looks on */

/* Of host 2, which tries again as its daemon does. What it finds done by host 1 is no error. */
static bool
insist(int (*change)(void))
{
    int result = change();

    for (int i = 0; i < 2 && (result == CSV_E_IO || result == CSV_STALE_EPOCH); i++)
        result = change();
    if (result != CSV_EXISTS && result != CSV_NOT_FOUND)
        g_assert_cmpint(result, ==, CSV_OK);
    return result == CSV_OK;
}

/* ---- what host 1 does, and host 2 behind it ---- */

static int
grow_z(const struct csv_epoch *epoch, struct csv_volume *volume)
{
    return csv_image_grow(volume, epoch, "z", 2 * MIB, 0, NULL, NULL);
}

static int
create_x(const struct csv_epoch *epoch, struct csv_volume *volume)
{
    return csv_image_create(volume, epoch, "x", MIB, 0, NULL, NULL);
}

static int
rename_z(const struct csv_epoch *epoch, struct csv_volume *volume)
{
    return csv_image_rename(volume, epoch, "z", "x", NULL);
}

static int
delete_z(const struct csv_epoch *epoch, struct csv_volume *volume)
{
    return csv_image_delete(volume, epoch, "z", false, NULL);
}

static int
create_v(const struct csv_epoch *epoch, struct csv_volume *volume)
{
    struct csv_vm vm = test_vm("v", epoch->host_id);

    return csv_vm_create(volume, epoch, &vm, NULL);
}

static int
grow_spare(void)
{
    return csv_image_grow(other, &second, "spare", 3 * MIB, 0, NULL, NULL);
}

static int
rename_spare(void)
{
    return csv_image_rename(other, &second, "spare", "x", NULL);
}

static int
delete_q(void)
{
    return csv_vm_delete(other, &second, "q", NULL);
}

static int
create_other_v(void)
{
    return create_v(&second, other);
}

static int
give_spare(void)
{
    return csv_image_assign(other, &second, "spare", "q", NULL);
}

static const struct story {
    const char *name;
    int (*stuck)(const struct csv_epoch *epoch, struct csv_volume *volume);
    int (*changes[2])(void);
    const char *image, *vm; /* that the last of these changes has made */
    uint64_t size_bytes;    /* of the image */
    bool can_be_beside;     /* what is stuck, and these changes */
} stories[] = {
    {"grow-space", grow_z, {grow_spare}, "spare", NULL, 3 * MIB, false},
    {"create-space", create_x, {grow_spare}, "spare", NULL, 3 * MIB, false},
    {"create-name", create_x, {rename_spare}, "x", NULL, MIB, false},
    {"rename-name", rename_z, {rename_spare}, "x", NULL, MIB, false},
    {"rename-space", rename_z, {grow_spare}, "spare", NULL, 3 * MIB, true},
    {"grow-both", grow_z, {grow_spare, rename_spare}, "x", NULL, 3 * MIB, false},
    {"delete", delete_z, {grow_spare}, "spare", NULL, 3 * MIB, true},
    {"give", grow_z, {grow_spare, give_spare}, "spare", NULL, 3 * MIB, false},
    {"vm-name", create_v, {delete_q, create_other_v}, NULL, "v", 0, false},
};

/* What host 1 was asked for: to make "z", which is done, and then what gets stuck. */
#define DONE  "11111111-1111-4111-8111-111111111111"
#define STUCK "22222222-2222-4222-8222-222222222222"

static struct csv_epoch
first_for(const char *request)
{
    struct csv_epoch epoch = first;

    g_strlcpy(epoch.request, request, sizeof(epoch.request));
    return epoch;
}

/* VM slot 0 has a longer history than slot 1, so that host 2 gives that one to its "v". */
static struct late_dev *
begin(const struct story *story)
{
    const struct csv_epoch for_done = first_for(DONE), for_stuck = first_for(STUCK);
    struct csv_vm q = test_vm("q", 7), t = test_vm("t", 8);
    struct late_dev *dead_dev, *dev;
    struct csv_image **images;
    struct csv_vm *vms;
    size_t count;

    late_init();
    assert_ok(lun_format(&late_lun, &options, error));
    dead_dev = late_open(&dead);
    assert_ok(csv_image_create(dead, &for_done, "z", MIB, 0, NULL, error));
    assert_ok(csv_image_create(dead, &first, "spare", MIB, 0, NULL, error));
    for (int i = 0; i < 2; i++) {
        assert_ok(csv_vm_create(dead, &first, &t, error));
        if (i == 0)
            assert_ok(csv_vm_create(dead, &first, &q, error));
        assert_ok(csv_vm_delete(dead, &first, "t", error));
    }
    late_open(&seer);
    assert_ok(csv_image_list(seer, &images, &count, error));
    free(images);
    assert_ok(csv_vm_list(seer, false, &vms, &count, error));
    csv_vm_list_free(vms, count);
    dead_dev->is_stuck = true;
    g_assert_cmpint(story->stuck(&for_stuck, dead), ==, CSV_E_IO);
    g_assert_cmpuint(late_stuck.size, >, 0);
    dev = late_open(&other);
    return dev;
}

static void
end(void)
{
    csv_close(dead);
    csv_close(other);
    csv_close(seer);
    lun_clear(&late_lun);
}

/* ---- what must be ---- */

/* Whoever asks by name sees what a list shows, also who remembers where it was. */
static void
assert_names(struct csv_volume *fresh)
{
    static const char *const images[] = {"z", "x", "spare"}, *const vms[] = {"q", "v", "t"};

    for (unsigned i = 0; i < G_N_ELEMENTS(images); i++) {
        struct csv_image one = {0}, two = {0};
        int result = csv_image_find(fresh, images[i], &one, NULL);

        g_assert_cmpint(csv_image_find(seer, images[i], &two, NULL), ==, result);
        g_assert_cmpstr(one.uuid, ==, two.uuid);
        g_assert_cmpuint(one.size_bytes, ==, two.size_bytes);
        g_assert_cmpuint(one.extent_count, ==, two.extent_count);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(vms); i++) {
        struct csv_vm one = {0}, two = {0};
        int result = csv_vm_find(fresh, vms[i], &one, NULL);

        g_assert_cmpint(csv_vm_find(seer, vms[i], &two, NULL), ==, result);
        g_assert_cmpstr(one.uuid, ==, two.uuid);
        if (!result) {
            csv_vm_clear(&one);
            csv_vm_clear(&two);
        }
    }
}

static void
assert_sound(const struct story *story, bool is_done)
{
    struct csv_volume *fresh;

    assert_ok(lun_open(&late_lun, CSV_OPEN_READ_ONLY, &fresh, error));
    g_assert_cmpuint(check_errors(fresh), ==, 0);
    for (int i = 0; i < 2; i++) /* seer knows where it is the second time */
        assert_names(fresh);
    if (is_done && story->image) {
        struct csv_image image;

        assert_ok(csv_image_find(fresh, story->image, &image, error));
        g_assert_cmpuint(image.size_bytes, ==, story->size_bytes);
    }
    if (is_done && story->vm) {
        struct csv_vm vm, wanted = test_vm(story->vm, second.host_id);

        assert_ok(csv_vm_find(fresh, story->vm, &vm, error));
        g_assert_cmpstr(vm.uuid, ==, wanted.uuid);
        csv_vm_clear(&vm);
    }
    csv_close(fresh);
}

/* Nobody is there any more, and csvtool mends what there is: it may not choose the other one. */
static void
assert_repaired(const struct story *story, bool is_done)
{
    uint8_t *before = g_memdup2(late_lun.data, late_lun.size);

    assert_ok(csv_repair_dev(lun_dev(&late_lun), true, print_finding, NULL, NULL, error));
    assert_sound(story, is_done);
    memcpy(late_lun.data, before, late_lun.size);
    g_free(before);
}

/* Asked again, the next coordinator does not take for done what does not count; nor has what was
 * done before in that slot not been done. */
static void
assert_requests(const struct story *story)
{
    struct csv_volume *next;
    struct csv_request found;

    late_open(&next);
    assert_ok(csv_request_find(next, DONE, &found, error));
    if (story->can_be_beside)
        assert_ok(csv_request_find(next, STUCK, &found, error));
    else
        assert_code(csv_request_find(next, STUCK, &found, error), CSV_NOT_FOUND);
    csv_close(next);
}

static int
backup(void)
{
    int fd = memfd_create("backup", MFD_CLOEXEC);
    struct csv_volume *volume;

    assert_ok(lun_open(&late_lun, CSV_OPEN_READ_ONLY, &volume, error));
    assert_ok(csv_backup(volume, fd, error));
    csv_close(volume);
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    return fd;
}

/* Restored, there is no epoch any more that tells what is late. */
static void
assert_backed_up(const struct story *story, bool is_done)
{
    uint8_t *before = g_memdup2(late_lun.data, late_lun.size);
    int fd = backup();

    assert_ok(csv_restore_dev(lun_dev(&late_lun), fd, true, error));
    assert_sound(story, is_done);
    memcpy(late_lun.data, before, late_lun.size);
    g_free(before);
    close(fd);
}

/* A third coordinator takes all of it away, and uses all of the space. */
static void
assert_changeable(void)
{
    struct csv_volume *next;
    struct csv_image **images;
    struct csv_vm *vms;
    size_t count;

    late_open(&next);
    assert_ok(csv_image_list(next, &images, &count, error));
    for (size_t i = 0; i < count; i++) {
        assert_ok(csv_image_assign(next, &third, images[i]->name, "", error));
        assert_ok(csv_image_grow(next, &third, images[i]->name, images[i]->size_bytes + MIB, 0,
                                 NULL, error));
        g_assert_cmpuint(check_errors(next), ==, 0);
        assert_ok(csv_image_delete(next, &third, images[i]->name, false, error));
    }
    free(images);
    assert_ok(csv_vm_list(next, true, &vms, &count, error));
    for (size_t i = 0; i < count; i++) {
        vms[i].priority++;
        assert_ok(csv_vm_update(next, &third, &vms[i], error));
        assert_ok(csv_vm_delete(next, &third, vms[i].name, error));
    }
    csv_vm_list_free(vms, count);
    for (int i = 0; i < 4; i++) {
        g_autofree char *name = g_strdup_printf("new%d", i);

        assert_ok(csv_image_create(next, &third, name, MIB, 0, NULL, error));
    }
    g_assert_cmpuint(check_errors(next), ==, 0);
    csv_close(next);
}

/* The whole story, landing before step at; false: it is over before that. */
static bool
tell(const struct story *story, unsigned at)
{
    struct late_dev *dev = begin(story);
    bool has_landed, is_done = true;

    dev->at = at;
    dev->happen = late_land;
    for (unsigned i = 0; i < G_N_ELEMENTS(story->changes) && story->changes[i]; i++)
        is_done = insist(story->changes[i]);
    assert_sound(story, is_done);
    has_landed = late_stuck.size == 0;
    if (!has_landed) {
        g_assert_true(is_done);
        late_land();
        assert_sound(story, is_done);
        assert_requests(story);
    }
    assert_backed_up(story, is_done);
    assert_repaired(story, is_done);
    assert_changeable();
    end();
    return has_landed;
}

static void
test_story(const void *data)
{
    unsigned at = 1;

    while (tell(data, at))
        g_assert_cmpuint(++at, <, STEPS);
    g_assert_cmpuint(at, >, 5);
    g_test_message("%u moments", at);
}

/* A volume, and so its backup, that contradicts itself: the stuck write has an epoch by which it
 * counts. Two images or VMs in one place are not brought back, and nothing is touched. */
static void
test_contradiction(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stories); i++) {
        const struct story *story = &stories[i];
        enum csv_kind kind = story->vm ? CSV_KIND_VM : CSV_KIND_IMAGE;
        g_autofree uint8_t *before = NULL;
        struct csv_head head;
        int fd;

        begin(story);
        for (unsigned j = 0; j < G_N_ELEMENTS(story->changes) && story->changes[j]; j++)
            insist(story->changes[j]);
        g_assert_cmpint(
            csv_block_check(late_stuck.bytes, kind, dead->super.uuid, late_stuck.offset, &head), ==,
            CSV_BLOCK_OK);
        head.epoch = third;
        csv_block_seal(late_stuck.bytes, kind, dead->super.uuid, late_stuck.offset, &head);
        late_land();
        fd = backup();
        before = g_memdup2(late_lun.data, late_lun.size);
        if (story->can_be_beside) {
            assert_ok(csv_restore_dev(lun_dev(&late_lun), fd, true, error));
        } else {
            assert_code(csv_restore_dev(lun_dev(&late_lun), fd, true, error), CSV_E_DAMAGED);
            g_assert_cmpmem(before, late_lun.size, late_lun.data, late_lun.size);
        }
        close(fd);
        end();
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strdup_printf("/csv/late-change/%s", stories[i].name);

        g_test_add_data_func(path, &stories[i], test_story);
    }
    g_test_add_func("/csv/late-change/contradiction", test_contradiction);
    return g_test_run();
}
