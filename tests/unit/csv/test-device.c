/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-device.c - image devices over a LUN that is a loop device, with 512 and 4096 byte sectors.
 */

/* Needs root and loop devices; skipped without. Where the kernel has device-mapper these tests go
 * through it, elsewhere through loop. */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csv-test.h"

static const struct csv_epoch epoch = {1, 1, 1, ""};

struct fixture {
    char *file, *device, *name;
    int fd, loop;
    uint32_t sector;
    struct csv_volume *volume;
};

/* Binds a loop device; -1 with errno. */
static int
bind_loop(int backing, uint32_t block, uint64_t offset, char **path)
{
    struct loop_config config = {.fd = (uint32_t)backing, .block_size = block};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int fd = -1;

    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    config.info.lo_offset = offset;
    for (int i = 0; control >= 0 && fd < 0 && i < 32; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        g_autofree char *made = g_strdup_printf("/dev/loop%d", number);
        fd = number < 0 ? -1 : open(made, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
            close(fd);
            fd = -1;
        }
        if (fd >= 0)
            *path = g_steal_pointer(&made);
    }
    if (control >= 0)
        close(control);
    return fd;
}

static void
set_up(struct fixture *fixture, const void *data)
{
    struct csv_format_options options = {.max_vms = 8, .max_images = 16, .extent_bytes = MIB};
    static unsigned number;

    fixture->sector = GPOINTER_TO_UINT(data);
    fixture->file = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    fixture->fd = g_mkstemp(fixture->file);
    fixture->name = g_strdup_printf("test-%d-%u", getpid(), number++);
    options.name = fixture->name;
    g_assert_cmpint(ftruncate(fixture->fd, 128 * (off_t)MIB), ==, 0);
    fixture->loop =
        geteuid() == 0 ? bind_loop(fixture->fd, fixture->sector, 0, &fixture->device) : -1;
    if (fixture->loop < 0) {
        g_test_skip("needs root and loop devices");
        return;
    }
    assert_ok(csv_format(fixture->device, &options, NULL, error));
    assert_ok(csv_open(fixture->device, 0, &fixture->volume, error));
    g_assert_cmpuint(csv_volume_info(fixture->volume)->sector_bytes, ==, fixture->sector);
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    g_autofree char *directory = g_strdup_printf("/dev/csv/%s", fixture->name);

    (void)data;
    if (fixture->volume) {
        assert_ok(csv_device_detach(fixture->volume, error));
        g_assert_false(g_file_test(directory, G_FILE_TEST_EXISTS));
        g_assert_cmpuint(check_errors(fixture->volume), ==, 0);
        csv_close(fixture->volume);
        close(fixture->loop);
    }
    close(fixture->fd);
    g_unlink(fixture->file);
    g_free(fixture->file);
    g_free(fixture->device);
    g_free(fixture->name);
}

static dev_t
device_of(const char *path)
{
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_true(S_ISBLK(st.st_mode));
    return st.st_rdev;
}

static void
make(struct fixture *fixture, const char *name, uint64_t bytes, struct csv_image *image)
{
    assert_ok(
        csv_image_create(fixture->volume, &epoch, name, bytes, CSV_CREATE_ONE_PIECE, image, error));
}

static void
test_activate(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    g_autofree char *lun = g_strdup_printf("/dev/csv/%s/.lun", fixture->name);
    uint8_t *buffer = csv_dev_buffer(MIB), *back = csv_dev_buffer(MIB);
    char path[CSV_PATH_MAX], again[CSV_PATH_MAX], **names;
    struct csv_image image, second;
    uint64_t size;
    size_t count;
    int fd, sector;

    (void)data;
    if (!volume)
        goto out;
    assert_ok(csv_device_list(volume, &names, &count, error));
    g_assert_cmpuint(count, ==, 0);
    free(names);
    assert_ok(csv_device_attach(volume, error));
    g_assert_cmpuint(device_of(lun), ==, device_of(fixture->device));
    make(fixture, "first", 2 * MIB, &second);
    make(fixture, "disk", 3 * MIB + 4096, &image);
    assert_ok(csv_device_activate(volume, &image, true, path, error));
    g_assert_true(g_str_has_suffix(path, "/disk"));
    assert_ok(csv_device_activate(volume, &image, true, again, error));
    g_assert_cmpstr(path, ==, again);

    fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ioctl(fd, BLKGETSIZE64, &size), ==, 0);
    g_assert_cmpuint(size, ==, 3 * MIB + 4096);
    g_assert_cmpint(ioctl(fd, BLKSSZGET, &sector), ==, 0);
    g_assert_cmpuint((uint32_t)sector, ==, fixture->sector);
    for (size_t i = 0; i < MIB; i++)
        buffer[i] = (uint8_t)(i >> 8);
    g_assert_cmpint(pwrite(fd, buffer, MIB, (off_t)MIB), ==, MIB);
    /* direct I/O all the way down: what the guest wrote is on the LUN at once */
    assert_ok(csv_image_read(volume, &image, MIB, back, MIB, error));
    g_assert_cmpmem(buffer, MIB, back, MIB);
    g_assert_cmpint(pwrite(fd, buffer, 4096, (off_t)(3 * MIB + 4096)), <=, 0); /* not beyond */
    close(fd);
    assert_ok(csv_image_read(volume, &second, MIB, back, MIB, error));
    g_assert_true(back[0] == 0 && memcmp(back, back + 1, MIB - 1) == 0);

    assert_ok(csv_device_list(volume, &names, &count, error));
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpstr(names[0], ==, "disk");
    g_assert_null(names[1]);
    free(names);
    assert_ok(csv_device_deactivate(volume, "disk", NULL, error));
    g_assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
    assert_code(csv_device_deactivate(volume, "disk", NULL, error), CSV_NOT_FOUND);
out:
    free(buffer);
    free(back);
}

/* It grows while somebody has it open, who sees the new size; so does a daemon that starts again
 * between the growth of the image and that of its device. */
static void
test_grow(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume, *again;
    uint8_t *buffer = csv_dev_buffer(MIB);
    char path[CSV_PATH_MAX], **names;
    struct csv_image image;
    uint64_t size;
    size_t count;
    int qemu;

    (void)data;
    if (!volume)
        goto out;
    make(fixture, "disk", MIB + 4096, &image);
    assert_ok(csv_device_activate(volume, &image, true, path, error));
    qemu = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    g_assert_cmpint(qemu, >=, 0);
    memset(buffer, 'g', MIB);
    g_assert_cmpint(pwrite(qemu, buffer, MIB, 0), ==, MIB);
    assert_ok(csv_image_grow(volume, &epoch, "disk", 3 * MIB, CSV_CREATE_ONE_PIECE, &image, error));
    assert_ok(csv_device_activate(volume, &image, true, path, error));
    g_assert_cmpint(ioctl(qemu, BLKGETSIZE64, &size), ==, 0);
    g_assert_cmpuint(size, ==, 3 * MIB);
    g_assert_cmpint(pread(qemu, buffer, MIB, 0), ==, MIB);
    g_assert_true(buffer[0] == 'g' && buffer[MIB - 1] == 'g');
    g_assert_cmpint(pread(qemu, buffer, MIB, 2 * (off_t)MIB), ==, MIB);
    g_assert_true(buffer[0] == 0 && memcmp(buffer, buffer + 1, MIB - 1) == 0);

    assert_ok(csv_image_grow(volume, &epoch, "disk", 4 * MIB, CSV_CREATE_ONE_PIECE, NULL, error));
    csv_close(volume);
    assert_ok(csv_open(fixture->device, 0, &again, error));
    fixture->volume = again;
    assert_ok(csv_device_attach(again, error)); /* does not sweep it */
    assert_ok(csv_device_list(again, &names, &count, error));
    g_assert_cmpuint(count, ==, 1);
    free(names);
    assert_ok(csv_image_find(again, "disk", &image, error));
    assert_ok(csv_device_activate(again, &image, true, path, error));
    g_assert_cmpint(ioctl(qemu, BLKGETSIZE64, &size), ==, 0);
    g_assert_cmpuint(size, ==, 4 * MIB);
    close(qemu);
out:
    free(buffer);
}

static void
test_read_only(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    char path[CSV_PATH_MAX];
    struct csv_image image;
    int fd;

    (void)data;
    if (!volume)
        return;
    make(fixture, "media", MIB, &image);
    assert_ok(csv_device_activate(volume, &image, false, path, error));
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        g_assert_cmpint(pwrite(fd, "x", 1, 0), <, 1);
        close(fd);
    }
    assert_code(csv_device_activate(volume, &image, true, path, error), CSV_BUSY);
    assert_ok(csv_device_deactivate(volume, "media", NULL, error));
    assert_ok(csv_device_activate(volume, &image, true, path, error));
    assert_ok(csv_device_activate(volume, &image, false, path, error));
    assert_ok(csv_device_deactivate(volume, "media", NULL, error));
}

/* A daemon that starts again finds the device that QEMU still has open, link or no link. */
static void
test_adoption(struct fixture *fixture, const void *data)
{
    char path[CSV_PATH_MAX], **names;
    struct csv_volume *again;
    struct csv_image image;
    dev_t device;
    size_t count;
    int qemu;

    (void)data;
    if (!fixture->volume)
        return;
    make(fixture, "disk", MIB, &image);
    assert_ok(csv_device_attach(fixture->volume, error));
    assert_ok(csv_device_activate(fixture->volume, &image, true, path, error));
    device = device_of(path);
    qemu = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(qemu, >=, 0);
    csv_close(fixture->volume); /* killed: the link stays */

    assert_ok(csv_open(fixture->device, 0, &again, error));
    fixture->volume = again;
    assert_ok(csv_device_attach(again, error));
    assert_ok(csv_device_list(again, &names, &count, error));
    g_assert_cmpuint(count, ==, 1);
    free(names);
    assert_ok(csv_device_activate(again, &image, true, path, error));
    g_assert_cmpuint(device_of(path), ==, device);
    csv_close(again);

    assert_ok(csv_open(fixture->device, 0, &again, error));
    fixture->volume = again;
    g_unlink(path); /* and somebody has cleaned up too much */
    assert_ok(csv_device_activate(again, &image, true, path, error));
    g_assert_cmpuint(device_of(path), ==, device);
    assert_code(csv_device_detach(again, error), CSV_BUSY);
    g_assert_cmpuint(device_of(path), ==, device); /* still there for QEMU */
    close(qemu);
}

/* A link whose device is gone, or is somebody else's by now, is not followed. */
static void
test_stale_link(struct fixture *fixture, const void *data)
{
    char path[CSV_PATH_MAX], **names;
    g_autofree char *foreign = NULL, *sibling = NULL;
    struct csv_image image, other;
    struct csv_volume *again;
    dev_t lun;
    size_t count;
    int loop;

    (void)data;
    if (!fixture->volume)
        return;
    make(fixture, "disk", MIB, &image);
    make(fixture, "other", MIB, &other);
    assert_ok(csv_device_attach(fixture->volume, error));
    assert_ok(csv_device_activate(fixture->volume, &image, true, path, error));
    assert_ok(csv_device_deactivate(fixture->volume, "disk", NULL, error));

    /* another device over the same LUN, at another offset: what a loop number may become */
    loop = bind_loop(fixture->loop, fixture->sector, 4096, &foreign);
    g_assert_cmpint(loop, >=, 0);
    lun = device_of(foreign);
    g_assert_cmpint(symlink(foreign, path), ==, 0);
    assert_ok(csv_device_list(fixture->volume, &names, &count, error));
    g_assert_cmpuint(count, ==, 0);
    free(names);
    assert_ok(csv_device_activate(fixture->volume, &image, true, path, error));
    g_assert_cmpuint(device_of(path), !=, lun);
    assert_ok(csv_device_deactivate(fixture->volume, "disk", NULL, error));
    g_assert_cmpint(symlink(foreign, path), ==, 0);
    assert_ok(csv_device_attach(fixture->volume, error)); /* sweeps */
    g_assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
    close(loop);

    /* the image as it may be one day: the same one, elsewhere */
    assert_ok(csv_device_activate(fixture->volume, &image, true, path, error));
    lun = device_of(path);
    assert_ok(csv_open(fixture->device, 0, &again, error));
    image.extents[0].offset_bytes = other.extents[0].offset_bytes + MIB;
    assert_ok(csv_device_activate(again, &image, true, path, error));
    g_assert_cmpuint(device_of(path), !=, lun);
    csv_close(again);
    assert_ok(csv_device_deactivate(fixture->volume, "disk", NULL, error));
    image.extents[0].offset_bytes = other.extents[0].offset_bytes - MIB;

    /* a sound device of this volume, but of another image */
    assert_ok(csv_device_activate(fixture->volume, &other, true, path, error));
    sibling = g_file_read_link(path, NULL);
    g_assert_cmpint(device_of(path), ==, device_of(sibling));
    lun = device_of(sibling);
    g_snprintf(path, sizeof(path), "/dev/csv/%s/disk", fixture->name);
    g_assert_cmpint(symlink(sibling, path), ==, 0);
    assert_ok(csv_device_activate(fixture->volume, &image, true, path, error));
    g_assert_cmpuint(device_of(path), !=, lun);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(symlink("/dev/loop4095", path), ==, 0);
    assert_ok(csv_device_activate(fixture->volume, &image, true, path, error));
    g_assert_cmpuint(device_of(path), !=, lun);
}

/* The handle has the device of a deleted image still, somebody has it open, and another image has
 * its name by now: that gets a device of its own, and none that is another image's. */
static void
test_name_again(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_image web, old, new;
    char web_path[CSV_PATH_MAX], path[CSV_PATH_MAX];
    dev_t was;
    int user;

    (void)data;
    if (!volume)
        return;
    make(fixture, "web", 2 * MIB, &web);
    make(fixture, "golden", MIB, &old);
    assert_ok(csv_device_activate(volume, &web, true, web_path, error));
    assert_ok(csv_device_activate(volume, &old, true, path, error));
    was = device_of(path);
    user = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(user, >=, 0);
    assert_ok(csv_image_delete(volume, &epoch, "golden", false, error));
    make(fixture, "golden", 2 * MIB, &new);
    assert_ok(csv_device_activate(volume, &new, true, path, error));
    g_assert_cmpuint(device_of(path), !=, device_of(web_path));
    g_assert_cmpuint(device_of(path), !=, was);
    assert_ok(csv_device_activate(volume, &new, true, path, error));
    g_assert_cmpuint(device_of(path), !=, device_of(web_path));

    /* who used the old one ends, and leaves the new one alone */
    close(user);
    assert_ok(csv_device_deactivate(volume, "golden", old.uuid, error));
    g_assert_cmpuint(device_of(path), !=, device_of(web_path));
    assert_ok(csv_device_deactivate(volume, "golden", new.uuid, error));
    g_assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
    assert_ok(csv_device_deactivate(volume, "web", NULL, error));
}

/* Devices over this LUN: what the kernel itself says. */
static unsigned
loops_over(const struct fixture *fixture)
{
    GDir *dir = g_dir_open("/sys/block", 0, NULL);
    const char *name;
    unsigned count = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("/sys/block/%s/loop/backing_file", name);
        g_autofree char *backing = NULL;
        if (g_file_get_contents(path, &backing, NULL, NULL))
            count += g_str_equal(g_strchomp(backing), fixture->device);
    }
    if (dir)
        g_dir_close(dir);
    return count;
}

#define HANDLES 4

struct racer {
    struct csv_volume *volume;
    struct csv_image image;
    pthread_barrier_t *start;
};

static gpointer
race(gpointer data)
{
    struct racer *racer = data;
    char path[CSV_PATH_MAX];

    pthread_barrier_wait(racer->start);
    assert_ok(csv_device_activate(racer->volume, &racer->image, true, path, error));
    return NULL;
}

/* Several handles activate one image at once: all get the same device. */
static void
test_concurrent_handles(struct fixture *fixture, const void *data)
{
    struct racer racers[HANDLES];
    GThread *threads[HANDLES];
    pthread_barrier_t start;
    struct csv_image image;

    (void)data;
    if (!fixture->volume)
        return;
    make(fixture, "disk", MIB, &image);
    pthread_barrier_init(&start, NULL, HANDLES);
    for (unsigned i = 0; i < HANDLES; i++) {
        racers[i] = (struct racer){.image = image, .start = &start};
        assert_ok(csv_open(fixture->device, 0, &racers[i].volume, error));
    }
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < HANDLES; i++)
            threads[i] = g_thread_new("race", race, &racers[i]);
        for (unsigned i = 0; i < HANDLES; i++)
            g_thread_join(threads[i]);
        if (!csv_device_can_scatter())
            g_assert_cmpuint(loops_over(fixture), ==, 1);
        if (round == 0)
            assert_code(csv_device_detach(fixture->volume, error), CSV_BUSY); /* theirs */
        for (unsigned i = 0; i < HANDLES; i++) /* the link is gone with the first one */
            csv_device_deactivate(racers[i].volume, "disk", NULL, NULL);
    }
    for (unsigned i = 0; i < HANDLES; i++)
        csv_close(racers[i].volume);
    pthread_barrier_destroy(&start);
}

static void
test_refusals(struct fixture *fixture, const void *data)
{
    struct csv_image first, second, scattered;
    struct csv_usage usage;
    char path[CSV_PATH_MAX];

    (void)data;
    if (!fixture->volume)
        return;
    assert_code(csv_device_deactivate(fixture->volume, "nothing", NULL, error), CSV_NOT_FOUND);
    assert_code(csv_device_deactivate(fixture->volume, "../x", NULL, error), CSV_NOT_FOUND);
    make(fixture, "first", MIB, &first);
    make(fixture, "second", MIB, &second);
    assert_ok(csv_image_delete(fixture->volume, &epoch, "first", false, error));
    assert_ok(csv_volume_usage(fixture->volume, &usage, error));
    assert_ok(csv_image_create(fixture->volume, &epoch, "big", usage.free_bytes, CSV_CREATE_NO_ZERO,
                               &scattered, error));
    g_assert_cmpuint(scattered.extent_count, ==, 2);
    if (csv_device_can_scatter())
        assert_ok(csv_device_activate(fixture->volume, &scattered, true, path, error));
    else
        assert_code(csv_device_activate(fixture->volume, &scattered, true, path, error),
                    CSV_FRAGMENTED);
    second.extents[0].offset_bytes = 0;
    assert_code(csv_device_activate(fixture->volume, &second, true, path, error), CSV_BAD_VALUE);
}

/* Two LUNs with volumes of one name: the second is not attached over the first. */
static void
test_same_name(struct fixture *fixture, const void *data)
{
    g_autofree char *file = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    struct csv_format_options options = {.name = fixture->name, .extent_bytes = MIB};
    struct csv_volume *other;
    int fd;

    (void)data;
    if (!fixture->volume)
        return;
    fd = g_mkstemp(file);
    g_assert_cmpint(ftruncate(fd, 64 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(file, &options, NULL, error));
    assert_ok(csv_open(file, 0, &other, error));
    assert_ok(csv_device_attach(fixture->volume, error));
    assert_code(csv_device_attach(other, error), CSV_EXISTS);
    assert_ok(csv_device_attach(fixture->volume, error));
    csv_close(other);
    close(fd);
    g_unlink(file);
}

#define ADD(name, function)                                                                        \
    g_test_add("/csv/device/512/" name, struct fixture, GUINT_TO_POINTER(512), set_up, function,   \
               tear_down);                                                                         \
    g_test_add("/csv/device/4096/" name, struct fixture, GUINT_TO_POINTER(4096), set_up, function, \
               tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("activate", test_activate);
    ADD("grow", test_grow);
    ADD("read-only", test_read_only);
    ADD("adoption", test_adoption);
    ADD("stale-link", test_stale_link);
    ADD("name-again", test_name_again);
    ADD("concurrent-handles", test_concurrent_handles);
    ADD("refusals", test_refusals);
    ADD("same-name", test_same_name);
    return g_test_run();
}
