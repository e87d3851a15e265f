/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-files.c - a volume in a directory: the catalogue is a file, and so is each image. */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../disk-directory.h"
#include "csv-test.h"
#include "files.h"

static const struct csv_epoch epoch = {1, 1, 1, ""};
static const struct csv_format_options small = {
    .name = "share", .max_nodes = 4, .max_vms = 4, .max_images = 8};

struct fixture {
    char *directory;
    struct csv_volume *volume;
};

static char *
new_directory(void)
{
    return disk_directory_make("csv-files-XXXXXX"); /* /tmp may know no direct I/O */
}

static void
remove_directory(const char *path)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", path);

    g_assert_cmpint(system(command), ==, 0);
}

static void
set_up(struct fixture *fixture, const void *data)
{
    struct csv_info info;

    (void)data;
    fixture->directory = new_directory();
    assert_ok(csv_format(fixture->directory, &small, &info, error));
    g_assert_true(info.is_directory);
    g_assert_cmpstr(info.path, ==, fixture->directory);
    g_assert_cmpuint(info.data_bytes, ==, 0);
    assert_ok(csv_open(fixture->directory, 0, &fixture->volume, error));
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    (void)data;
    csv_close(fixture->volume);
    remove_directory(fixture->directory);
    g_free(fixture->directory);
}

/* The path of an image's file, with another end if wanted. */
static char *
file_of(const struct fixture *fixture, const struct csv_image *image, const char *end)
{
    return g_strdup_printf("%s/%s%s", fixture->directory, image->uuid, end ? end : ".img");
}

static struct csv_image
make(struct fixture *fixture, const char *name, uint64_t bytes)
{
    struct csv_image image = {0};

    assert_ok(csv_image_create(fixture->volume, &epoch, name, bytes, 0, &image, error));
    return image;
}

static struct stat
stat_of(const char *path)
{
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return st;
}

struct findings {
    GString *text;
};

static void
collect(const struct csv_finding *finding, void *data)
{
    struct findings *findings = data;

    /* nobody takes the coordinator's lease here */
    if (!g_str_equal(finding->code, "lease-behind") || !strstr(finding->text, "coordinator"))
        g_string_append_printf(findings->text, "%s%s;", finding->is_error ? "!" : "",
                               finding->code);
}

/* What csv_check() finds: "!" and a code for an error, a code for a note. */
static void
assert_findings(struct csv_volume *volume, const char *wanted)
{
    struct findings findings = {.text = g_string_new(NULL)};
    size_t errors;

    assert_ok(csv_check(volume, collect, &findings, &errors, error));
    g_assert_cmpstr(findings.text->str, ==, wanted);
    g_string_free(findings.text, TRUE);
}

static void
note(struct fixture *fixture, int change, const struct csv_image *image)
{
    fixture->volume->unsure.change = change;
    g_strlcpy(fixture->volume->unsure.name, image->name, sizeof(fixture->volume->unsure.name));
    g_strlcpy(fixture->volume->unsure.uuid, image->uuid, sizeof(fixture->volume->unsure.uuid));
}

/* A change that has landed though it ended in an error is found done once, by the next try; what
 * comes after that is another one. */
static void
test_unsure(struct fixture *fixture, const void *data)
{
    struct csv_image image = make(fixture, "disk", MIB), again = {0};
    g_autofree char *path = file_of(fixture, &image, NULL);

    (void)data;
    note(fixture, CSV_UNSURE_IMAGE_CREATE, &image);
    assert_ok(csv_image_create(fixture->volume, &epoch, "disk", MIB, 0, &again, error));
    g_assert_cmpstr(again.uuid, ==, image.uuid);
    assert_code(csv_image_create(fixture->volume, &epoch, "disk", MIB, 0, NULL, error), CSV_EXISTS);

    /* the file that such a delete has not come to goes with it */
    assert_ok(csv_image_delete(fixture->volume, &epoch, "disk", false, error));
    g_assert_true(g_file_set_contents(path, "left", -1, NULL));
    note(fixture, CSV_UNSURE_IMAGE_DELETE, &image);
    assert_ok(csv_image_delete(fixture->volume, &epoch, "disk", false, error));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_code(csv_image_delete(fixture->volume, &epoch, "disk", false, error), CSV_NOT_FOUND);

    /* one that has another name by now keeps its file */
    image = make(fixture, "other", MIB);
    g_free(path);
    path = file_of(fixture, &image, NULL);
    note(fixture, CSV_UNSURE_IMAGE_DELETE, &image);
    assert_ok(csv_image_rename(fixture->volume, &epoch, "other", "kept", error));
    assert_ok(csv_image_delete(fixture->volume, &epoch, "other", false, error));
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* ---- images ---- */

static void
test_life(struct fixture *fixture, const void *data)
{
    struct csv_image image = make(fixture, "disk", 3 * MIB + 1), found = {0};
    g_autofree char *path = file_of(fixture, &image, NULL);
    g_autofree uint8_t *bytes = NULL;
    struct csv_usage usage;
    struct stat st = stat_of(path);

    (void)data;
    g_assert_cmpuint(image.extent_count, ==, 0);
    g_assert_cmpint(st.st_size, ==, 3 * MIB + 4096);
    g_assert_cmpint(st.st_blocks * 512, >=, 3 * MIB + 4096); /* thick */
    g_assert_cmpint(st.st_mode & 0777, ==, 0600);
    assert_code(csv_image_create(fixture->volume, &epoch, "disk", MIB, 0, NULL, error), CSV_EXISTS);
    assert_code(csv_image_create(fixture->volume, &epoch, "../disk", MIB, 0, NULL, error),
                CSV_BAD_NAME);
    assert_code(csv_image_create(fixture->volume, &epoch, "vast", 1ull << 60, 0, NULL, error),
                CSV_FULL);
    assert_ok(csv_image_rename(fixture->volume, &epoch, "disk", "system", error));
    assert_ok(csv_image_find(fixture->volume, "system", &found, error));
    g_assert_cmpstr(found.uuid, ==, image.uuid);

    bytes = csv_dev_buffer(MIB);
    memset(bytes, 0x5a, MIB);
    assert_ok(csv_image_write(fixture->volume, &found, MIB, bytes, MIB, error));
    assert_code(csv_image_write(fixture->volume, &found, 3 * MIB, bytes, MIB, error),
                CSV_BAD_VALUE);
    assert_ok(csv_image_read(fixture->volume, &found, 0, bytes, MIB, error));
    g_assert_cmpuint(bytes[0], ==, 0);
    assert_ok(csv_image_read(fixture->volume, &found, MIB, bytes, MIB, error));
    g_assert_cmpuint(bytes[4095], ==, 0x5a);

    assert_ok(csv_image_grow(fixture->volume, &epoch, "system", 8 * MIB, 0, &found, error));
    assert_ok(csv_image_grow(fixture->volume, &epoch, "system", 8 * MIB, 0, &found, error));
    g_assert_cmpuint(found.size_bytes, ==, 8 * MIB);
    st = stat_of(path);
    g_assert_cmpint(st.st_size, ==, 8 * MIB);
    g_assert_cmpint(st.st_blocks * 512, >=, 8 * MIB);
    assert_code(csv_image_grow(fixture->volume, &epoch, "system", MIB, 0, NULL, error),
                CSV_BAD_VALUE);
    assert_ok(csv_image_read(fixture->volume, &found, MIB, bytes, MIB, error));
    g_assert_cmpuint(bytes[4095], ==, 0x5a);

    assert_ok(csv_volume_usage(fixture->volume, &usage, error));
    g_assert_cmpuint(usage.used_bytes, ==, 8 * MIB);
    g_assert_cmpuint(usage.free_bytes, >, 0);
    assert_ok(csv_volume_grow(fixture->volume, &epoch, NULL, error));
    assert_findings(fixture->volume, "");

    assert_ok(csv_image_delete(fixture->volume, &epoch, "system", true, error));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_findings(fixture->volume, "");
}

/* What a dead coordinator left, and what is none of ours. */
static void
test_left(struct fixture *fixture, const void *data)
{
    struct csv_image image = make(fixture, "disk", MIB), gone = image;
    g_autofree char *unfinished = NULL, *left = NULL, *long_one = file_of(fixture, &image, NULL);
    g_autofree char *foreign = g_build_filename(fixture->directory, "debian.iso", NULL);

    (void)data;
    gone.uuid[0] = gone.uuid[0] == '0' ? '1' : '0';
    unfinished = file_of(fixture, &gone, ".new");
    left = file_of(fixture, &gone, NULL);
    g_assert_true(g_file_set_contents(unfinished, "x", 1, NULL));
    g_assert_true(g_file_set_contents(foreign, "x", 1, NULL));
    assert_findings(fixture->volume, "file-unfinished;");
    make(fixture, "second", MIB);
    assert_findings(fixture->volume, "");
    g_assert_false(g_file_test(unfinished, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_set_contents(left, "x", 1, NULL));
    assert_findings(fixture->volume, "file-left;");
    g_assert_cmpint(unlink(left), ==, 0);
    /* a growth cut short behind its file: the same growth again mends it */
    g_assert_cmpint(truncate(long_one, 2 * MIB), ==, 0);
    assert_findings(fixture->volume, "file-longer;");
    assert_ok(csv_image_grow(fixture->volume, &epoch, "disk", 2 * MIB, 0, NULL, error));
    assert_findings(fixture->volume, "");
    g_assert_true(g_file_test(foreign, G_FILE_TEST_EXISTS));
}

static void
assert_refused(struct fixture *fixture, const struct csv_image *image, const char *text)
{
    struct csv_error refusal = {0};
    int fd;

    g_assert_cmpint(csv_files_open(fixture->volume, image, true, &fd, &refusal), ==, CSV_E_DAMAGED);
    g_test_message("%s", refusal.text);
    g_assert_nonnull(strstr(refusal.text, text));
    assert_code(csv_image_grow(fixture->volume, &epoch, image->name, 9 * MIB, 0, NULL, error),
                CSV_E_DAMAGED);
    assert_findings(fixture->volume, "!image-file;");
}

static void
test_hostile_files(struct fixture *fixture, const void *data)
{
    struct csv_image image = make(fixture, "disk", MIB);
    g_autofree char *path = file_of(fixture, &image, NULL);
    g_autofree char *other = g_build_filename(fixture->directory, "other", NULL);

    (void)data;
    g_assert_cmpint(truncate(path, MIB - 4096), ==, 0);
    assert_refused(fixture, &image, "shorter");
    g_assert_cmpint(truncate(path, MIB), ==, 0);
    g_assert_cmpint(chmod(path, 0666), ==, 0);
    assert_refused(fixture, &image, "everybody");
    g_assert_cmpint(chmod(path, 0600), ==, 0);
    g_assert_cmpint(link(path, other), ==, 0);
    assert_refused(fixture, &image, "another name");
    g_assert_cmpint(unlink(path), ==, 0);
    assert_refused(fixture, &image, "missing");
    g_assert_cmpint(symlink("other", path), ==, 0);
    assert_refused(fixture, &image, "link");
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    assert_refused(fixture, &image, "regular");
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(rename(other, path), ==, 0);
    assert_findings(fixture->volume, "");
    /* an image can go though its file has gone before */
    g_assert_cmpint(unlink(path), ==, 0);
    assert_ok(csv_image_delete(fixture->volume, &epoch, "disk", true, error));
    assert_findings(fixture->volume, "");
}

/* ---- the directory ---- */

static void
test_hostile_directory(struct fixture *fixture, const void *data)
{
    g_autofree char *catalogue = g_build_filename(fixture->directory, "catalogue", NULL);
    g_autofree char *moved = g_build_filename(fixture->directory, "moved", NULL);
    struct csv_volume *volume;

    (void)data;
    assert_code(csv_open(catalogue, 0, &volume, error),
                CSV_E_NO_VOLUME); /* without its directory */
    g_assert_cmpint(chmod(fixture->directory, 0777), ==, 0);
    assert_code(csv_open(fixture->directory, 0, &volume, error), CSV_E_DAMAGED);
    g_assert_cmpint(chmod(fixture->directory, 0755), ==, 0);
    g_assert_cmpint(chmod(catalogue, 0666), ==, 0);
    assert_code(csv_open(fixture->directory, 0, &volume, error), CSV_E_DAMAGED);
    g_assert_cmpint(chmod(catalogue, 0660), ==, 0);
    if (geteuid() == 0) {
        g_assert_cmpint(chown(fixture->directory, 65534, 65534), ==, 0);
        assert_code(csv_open(fixture->directory, 0, &volume, error), CSV_E_DAMAGED);
        g_assert_cmpint(chown(fixture->directory, 0, 0), ==, 0);
    }
    g_assert_cmpint(rename(catalogue, moved), ==, 0);
    assert_code(csv_open(fixture->directory, 0, &volume, error), CSV_E_NO_VOLUME);
    g_assert_cmpint(symlink("moved", catalogue), ==, 0);
    assert_code(csv_open(fixture->directory, 0, &volume, error), CSV_E_DAMAGED);
    g_assert_cmpint(unlink(catalogue), ==, 0);
    g_assert_true(g_file_set_contents(catalogue, "x", 1, NULL));
    g_assert_cmpint(chmod(catalogue, 0600), ==, 0);
    assert_code(csv_open(fixture->directory, 0, &volume, error), CSV_E_NO_VOLUME);
    g_assert_cmpint(rename(moved, catalogue), ==, 0);
    g_assert_cmpint(truncate(catalogue, 5 * MIB), ==, 0);
    assert_code(csv_open(fixture->directory, 0, &volume, error), CSV_E_TRUNCATED);
}

static void
test_format(void)
{
    g_autofree char *directory = new_directory();
    g_autofree char *catalogue = g_build_filename(directory, "catalogue", NULL);
    g_autofree char *foreign = g_build_filename(directory, "debian.iso", NULL);
    struct csv_format_options options = small;
    struct csv_volume *volume;
    struct csv_image image;
    g_autofree char *file = NULL;

    g_assert_true(g_file_set_contents(foreign, "x", 1, NULL));
    assert_code(csv_format(directory, &options, NULL, error), CSV_ALREADY_FORMATTED);
    g_assert_false(g_file_test(catalogue, G_FILE_TEST_EXISTS)); /* nothing is left of the try */
    options.force = true;
    assert_ok(csv_format(directory, &options, NULL, error));
    assert_ok(csv_open(directory, 0, &volume, error));
    assert_ok(csv_image_create(volume, &epoch, "disk", MIB, 0, &image, error));
    csv_close(volume);
    file = g_strdup_printf("%s/%s.img", directory, image.uuid);
    options.force = false;
    assert_code(csv_format(directory, &options, NULL, error), CSV_ALREADY_FORMATTED);
    g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    options.force = true;
    options.max_vms = 2; /* a shorter catalogue */
    assert_ok(csv_format(directory, &options, NULL, error));
    g_assert_false(g_file_test(file, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(foreign, G_FILE_TEST_EXISTS));
    assert_ok(csv_open(directory, 0, &volume, error));
    assert_findings(volume, "");
    csv_close(volume);
    remove_directory(directory);
}

/* QEMU's user gets it once, and no other one takes it. */
static void
test_give(struct fixture *fixture, const void *data)
{
    struct csv_image image = make(fixture, "disk", MIB);
    g_autofree char *path = file_of(fixture, &image, NULL);

    (void)data;
    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    assert_ok(csv_image_give(fixture->volume, &image, 0, 0, error));
    g_assert_cmpuint(stat_of(path).st_uid, ==, 0);
    assert_ok(csv_image_give(fixture->volume, &image, 64055, 108, error));
    g_assert_cmpuint(stat_of(path).st_uid, ==, 64055);
    g_assert_cmpuint(stat_of(path).st_gid, ==, 108);
    g_assert_cmpuint(stat_of(path).st_mode & 0777, ==, 0600);
    assert_ok(
        csv_image_give(fixture->volume, &image, 64055, 109, error)); /* its group may change */
    g_assert_cmpuint(stat_of(path).st_gid, ==, 109);
    assert_code(csv_image_give(fixture->volume, &image, 107, 107, error), CSV_IN_USE);
    assert_ok(csv_image_give(fixture->volume, &image, 0, 0, error)); /* root gets at it anyway */
    g_assert_cmpuint(stat_of(path).st_uid, ==, 64055);
    assert_findings(fixture->volume, "");
    /* a link is followed for nobody */
    g_unlink(path);
    g_assert_cmpint(symlink("/dev/null", path), ==, 0);
    assert_code(csv_image_give(fixture->volume, &image, 64055, 108, error), CSV_E_DAMAGED);
    g_assert_cmpuint(stat_of("/dev/null").st_uid, ==, 0);
}

static void
test_backup(struct fixture *fixture, const void *data)
{
    struct csv_image image = make(fixture, "disk", MIB), found;
    g_autofree char *file = g_strconcat(fixture->directory, ".backup", NULL);
    g_autofree char *catalogue = g_build_filename(fixture->directory, "catalogue", NULL);
    g_autofree char *lun = g_strconcat(fixture->directory, ".lun", NULL);
    mode_t rights = 0600;
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, rights), lun_fd;

    (void)data;
    assert_ok(csv_backup(fixture->volume, fd, error));
    make(fixture, "later", MIB);
    csv_close(fixture->volume);
    fixture->volume = NULL;
    g_assert_cmpint(unlink(catalogue), ==, 0);
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    assert_ok(csv_restore(fixture->directory, fd, false, error));
    assert_ok(csv_open(fixture->directory, 0, &fixture->volume, error));
    assert_ok(csv_image_find(fixture->volume, "disk", &found, error));
    g_assert_cmpstr(found.uuid, ==, image.uuid);
    assert_findings(fixture->volume, "file-left;"); /* of the one that the backup does not know */
    /* one kind of volume does not become the other */
    lun_fd = open(lun, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, rights);
    g_assert_cmpint(ftruncate(lun_fd, 64 * MIB), ==, 0);
    close(lun_fd);
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    assert_code(csv_restore(lun, fd, true, error), CSV_BAD_VALUE);
    close(fd);
    g_unlink(file);
    g_unlink(lun);
}

static void
test_repair(struct fixture *fixture, const void *data)
{
    g_autofree char *catalogue = g_build_filename(fixture->directory, "catalogue", NULL);
    size_t count = 0;
    int fd;

    (void)data;
    make(fixture, "disk", MIB);
    csv_close(fixture->volume);
    /* the coordinator's lease, which nobody takes here */
    assert_ok(csv_repair(fixture->directory, false, NULL, NULL, &count, error));
    fd = open(catalogue, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(pwrite(fd, "spoiled", 7, 200), ==, 7);
    close(fd);
    assert_ok(csv_repair(fixture->directory, false, NULL, NULL, &count, error));
    g_assert_cmpuint(count, ==, 1);
    assert_ok(csv_open(fixture->directory, 0, &fixture->volume, error));
    assert_findings(fixture->volume, "");
}

/* ---- the catalogue's writes fail: each of each change, in each way ---- */

struct faulty {
    uint8_t *data, *before;
    uint64_t size;
    struct csv_fault fault;
    int directory_fd;
};

static int
open_faulty(struct faulty *faulty, struct csv_volume **volume, struct csv_error *error)
{
    struct csv_dev *dev;

    g_assert_cmpint(csv_dev_memory(faulty->data, faulty->size, 512, &faulty->fault, &dev), ==, 0);
    dev->is_directory = true;
    dev->directory = "memory";
    dev->directory_fd = faulty->directory_fd;
    return csv_open_dev(dev, 0, volume, error);
}

static int
change(struct csv_volume *volume, int what, const struct csv_epoch *as)
{
    switch (what) {
    case 0:
        return csv_image_create(volume, as, "new", MIB, 0, NULL, NULL);
    case 1:
        return csv_image_delete(volume, as, "disk", true, NULL);
    case 2:
        return csv_image_grow(volume, as, "disk", 2 * MIB, 0, NULL, NULL);
    default:
        return csv_image_rename(volume, as, "disk", "renamed", NULL);
    }
}

static void
ignore(const struct csv_finding *finding, void *data)
{
    size_t *errors = data;

    if (finding->is_error) {
        g_test_message("%s: %s", finding->code, finding->text);
        ++*errors;
    }
}

static bool
has_struck(struct faulty *faulty, int what, enum csv_fault_kind kind, unsigned at)
{
    static const struct csv_epoch next = {2, 1, 2, ""};
    struct csv_volume *volume;
    size_t errors = 0;
    bool struck;
    int result;

    faulty->fault = (struct csv_fault){0};
    assert_ok(open_faulty(faulty, &volume, error));
    faulty->fault =
        (struct csv_fault){.kind = kind, .at = at, .torn_bytes = 512, .then_dead = true};
    (void)change(volume, what, &epoch);
    struck = faulty->fault.count >= at;
    csv_close(volume);
    faulty->fault = (struct csv_fault){0};
    assert_ok(open_faulty(faulty, &volume, error));
    assert_ok(csv_check(volume, ignore, &errors, NULL, error));
    g_assert_cmpuint(errors, ==, 0); /* no image is without its file, whatever was cut short */
    result = change(volume, what, &next);
    g_assert_true(result == 0 || result == CSV_NOT_FOUND || result == CSV_EXISTS);
    assert_ok(csv_check(volume, ignore, &errors, NULL, error));
    g_assert_cmpuint(errors, ==, 0);
    csv_close(volume);
    return struck;
}

static void
test_faults(void)
{
    static const enum csv_fault_kind kinds[] = {CSV_FAULT_ERROR, CSV_FAULT_LANDED_ERROR,
                                                CSV_FAULT_TORN_ERROR};
    unsigned struck = 0;

    for (int what = 0; what < 4; what++)
        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
            for (unsigned at = 1; at < 20; at++) {
                g_autofree char *directory = new_directory();
                struct faulty faulty = {.size = 16 * MIB};
                struct csv_format_options options = small;
                struct csv_volume *volume;
                struct csv_dev *dev;
                bool more;

                faulty.data = g_malloc0(faulty.size);
                faulty.directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                g_assert_cmpint(csv_dev_memory(faulty.data, faulty.size, 512, &faulty.fault, &dev),
                                ==, 0);
                dev->is_directory = true;
                dev->directory = "memory";
                dev->directory_fd = faulty.directory_fd;
                assert_ok(csv_format_dev(dev, &options, NULL, error));
                assert_ok(open_faulty(&faulty, &volume, error));
                assert_ok(csv_image_create(volume, &epoch, "disk", MIB, 0, NULL, error));
                csv_close(volume);
                more = has_struck(&faulty, what, kinds[i], at);
                struck += more;
                close(faulty.directory_fd);
                g_free(faulty.data);
                remove_directory(directory);
                if (!more)
                    break;
            }
    g_assert_cmpuint(struck, >=, 12);
}

/* ---- image devices ---- */

static void
test_device(struct fixture *fixture, const void *data)
{
    struct csv_image image, other;
    g_autofree char *file = NULL, *lun = NULL, *target = NULL;
    char path[CSV_PATH_MAX];
    char **names;
    size_t count;
    GPid pid;

    (void)data;
    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    image = make(fixture, "disk", MIB);
    file = file_of(fixture, &image, NULL);
    assert_ok(csv_device_attach(fixture->volume, error));
    lun = g_file_read_link("/dev/csv/share/.lun", NULL);
    g_assert_true(g_str_has_suffix(lun, "/catalogue"));
    assert_ok(csv_device_attach(fixture->volume, error));
    assert_ok(csv_device_activate(fixture->volume, &image, true, path, error));
    g_assert_cmpstr(path, ==, "/dev/csv/share/disk");
    target = g_file_read_link(path, NULL);
    g_assert_cmpstr(target, ==, file);
    assert_ok(csv_image_grow(fixture->volume, &epoch, "disk", 2 * MIB, 0, &other, error));
    assert_ok(csv_device_activate(fixture->volume, &other, true, path, error));
    assert_ok(csv_device_list(fixture->volume, &names, &count, error));
    g_assert_cmpuint(count, ==, 1);
    free(names);
    assert_ok(csv_device_deactivate(fixture->volume, "disk", NULL, error));
    assert_ok(csv_device_list(fixture->volume, &names, &count, error));
    g_assert_cmpuint(count, ==, 0);
    free(names);

    /* in use by another process: neither swept nor detached */
    assert_ok(csv_device_activate(fixture->volume, &other, true, path, error));
    {
        g_autofree char *script = g_strdup_printf("exec sleep 60 <%s", file);
        char *argv[] = {(char *)"sh", (char *)"-c", script, NULL};
        g_assert_true(g_spawn_async(NULL, argv, NULL,
                                    G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                    &pid, NULL));
    }
    g_usleep(300000);
    assert_code(csv_device_detach(fixture->volume, error), CSV_BUSY);
    csv_close(fixture->volume);
    assert_ok(csv_open(fixture->directory, 0, &fixture->volume, error));
    assert_ok(csv_device_attach(fixture->volume, error));
    g_assert_true(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_ok(csv_device_attach(fixture->volume, error));
    g_assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));

    /* a link to elsewhere is no image's */
    g_assert_cmpint(symlink("/etc/passwd", path), ==, 0);
    assert_ok(csv_device_activate(fixture->volume, &other, true, path, error));
    g_free(target);
    target = g_file_read_link(path, NULL);
    g_assert_cmpstr(target, ==, file);
    assert_ok(csv_device_detach(fixture->volume, error));
    g_assert_false(g_file_test("/dev/csv/share", G_FILE_TEST_EXISTS));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/files/life", struct fixture, NULL, set_up, test_life, tear_down);
    g_test_add("/files/unsure", struct fixture, NULL, set_up, test_unsure, tear_down);
    g_test_add("/files/left", struct fixture, NULL, set_up, test_left, tear_down);
    g_test_add("/files/hostile", struct fixture, NULL, set_up, test_hostile_files, tear_down);
    g_test_add("/files/directory", struct fixture, NULL, set_up, test_hostile_directory, tear_down);
    g_test_add_func("/files/format", test_format);
    g_test_add("/files/give", struct fixture, NULL, set_up, test_give, tear_down);
    g_test_add("/files/backup", struct fixture, NULL, set_up, test_backup, tear_down);
    g_test_add("/files/repair", struct fixture, NULL, set_up, test_repair, tear_down);
    g_test_add_func("/files/faults", test_faults);
    g_test_add("/files/device", struct fixture, NULL, set_up, test_device, tear_down);
    return g_test_run();
}
