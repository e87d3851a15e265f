/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-concurrent.c - two processes take turns at one volume, a third one only reads. */

/*
 * A file lock stands in for the coordinator lease: whoever takes it writes the next epoch. Both
 * create, rename and delete at random; the reader, who holds nothing, must never see a damaged
 * slot.
 */

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "csv-test.h"

#define TURNS   60
#define CHANGES 4

static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 4, .max_vms = 8, .max_images = 16, .extent_bytes = MIB};

/* The lock file's content is the lease version. */
static uint64_t
take(int fd)
{
    uint64_t lver = 0;

    g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
    if (pread(fd, &lver, sizeof(lver), 0) != sizeof(lver))
        lver = 0;
    lver++;
    g_assert_cmpint(pwrite(fd, &lver, sizeof(lver), 0), ==, sizeof(lver));
    return lver;
}

/* What may be answered when the other one was faster. */
static void
expect(int result, const struct csv_error *failure)
{
    if (result < 0)
        g_error("%s: %s", csv_code_name(result), failure->text);
    g_assert_cmpint(result, !=, CSV_STALE_EPOCH);
}

static void
change(struct csv_volume *volume, const struct csv_epoch *epoch, GRand *rand)
{
    struct csv_error failure;
    char name[16], other[16];
    unsigned number = (unsigned)g_rand_int_range(rand, 0, 10);
    struct csv_vm vm;

    g_snprintf(name, sizeof(name), "n%u", number);
    g_snprintf(other, sizeof(other), "n%d", g_rand_int_range(rand, 0, 10));
    switch (g_rand_int_range(rand, 0, 6)) {
    case 0:
        vm = test_vm(name, number);
        expect(csv_vm_create(volume, epoch, &vm, &failure), &failure);
        break;
    case 1:
        expect(csv_vm_delete(volume, epoch, name, &failure), &failure);
        break;
    case 2:
        expect(csv_image_create(volume, epoch, name, (uint64_t)g_rand_int_range(rand, 1, 6) * MIB,
                                0, NULL, &failure),
               &failure);
        break;
    case 3:
        expect(csv_image_delete(volume, epoch, name, true, &failure), &failure);
        break;
    case 4:
        expect(csv_image_rename(volume, epoch, name, other, &failure), &failure);
        break;
    default:
        expect(csv_image_assign(volume, epoch, name, other, &failure), &failure);
        break;
    }
}

static void
write_in_turns(const char *path, const char *lock_path, uint32_t host_id)
{
    struct csv_volume *volume;
    GRand *rand = g_rand_new_with_seed(host_id);
    int lock = g_open(lock_path, O_RDWR | O_CLOEXEC);

    assert_ok(csv_open(path, 0, &volume, error));
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct csv_epoch epoch = {take(lock), 1, host_id, ""};
        for (unsigned i = 0; i < CHANGES; i++)
            change(volume, &epoch, rand);
        g_assert_cmpuint(check_errors(volume), ==, 0);
        flock(lock, LOCK_UN);
        g_usleep((gulong)g_rand_int_range(rand, 0, 2000));
    }
    csv_close(volume);
    close(lock);
    g_rand_free(rand);
}

static void
test_turns(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    g_autofree char *lock_path = g_build_filename(g_get_tmp_dir(), "csv-lock-XXXXXX", NULL);
    int fd = g_mkstemp(path), lock = g_mkstemp(lock_path);
    struct csv_epoch last = {TURNS * 2 + 1, 1, 1, ""};
    struct csv_volume *volume;
    pid_t children[2];
    unsigned readings = 0, running = 2;

    g_assert_cmpint(ftruncate(fd, 48 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &options, NULL, error));
    for (uint32_t i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            write_in_turns(path, lock_path, i + 1);
            _exit(0);
        }
    }
    assert_ok(csv_open(path, CSV_OPEN_READ_ONLY, &volume, error));
    while (running) {
        struct csv_vm *vms;
        struct csv_image **images;
        size_t count;
        int status;
        assert_ok(csv_vm_list(volume, true, &vms, &count, error));
        csv_vm_list_free(vms, count);
        assert_ok(csv_image_list(volume, &images, &count, error));
        free(images);
        readings++;
        for (unsigned i = 0; i < 2; i++)
            if (children[i] && waitpid(children[i], &status, WNOHANG) == children[i]) {
                g_assert_true(WIFEXITED(status));
                g_assert_cmpint(WEXITSTATUS(status), ==, 0);
                children[i] = 0;
                running--;
            }
    }
    g_test_message("%u readings meanwhile", readings);
    g_assert_cmpuint(check_errors(volume), ==, 0);
    csv_close(volume);
    /* each turn counted: the volume knows the last one and refuses all before it */
    assert_ok(csv_open(path, 0, &volume, error));
    assert_ok(csv_image_create(volume, &last, "last", MIB, 0, NULL, error));
    last.lver--;
    assert_code(csv_image_delete(volume, &last, "last", false, error), CSV_STALE_EPOCH);
    csv_close(volume);
    close(fd);
    close(lock);
    g_unlink(path);
    g_unlink(lock_path);
}

/* One handle, several threads: heartbeats, changes and readings at once. On a file: of memory a
 * reader believes what it sees at once, damage too, since there nobody else writes. */
struct threads {
    struct csv_volume *volume;
    gint stop;
};

static gpointer
beat(gpointer data)
{
    struct threads *threads = data;
    struct csv_node node = {.host_id = 2, .name = "b"};

    while (!g_atomic_int_get(&threads->stop))
        assert_ok(csv_node_write(threads->volume, &node, error));
    return GSIZE_TO_POINTER(node.heartbeat);
}

static gpointer
look(gpointer data)
{
    struct threads *threads = data;
    struct csv_vm vm;

    while (!g_atomic_int_get(&threads->stop)) {
        struct csv_error failure;
        int result = csv_vm_find(threads->volume, "n1", &vm, &failure);
        g_assert_cmpint(result, >=, 0);
        if (result == 0)
            csv_vm_clear(&vm);
    }
    return NULL;
}

static void
test_threads(void)
{
    struct threads threads = {0};
    const struct csv_epoch epoch = {1, 1, 1, ""};
    GThread *beater, *looker;
    GRand *rand = g_rand_new_with_seed(7);
    struct csv_node node;
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    gsize beats;

    g_assert_cmpint(ftruncate(fd, 48 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &options, NULL, error));
    assert_ok(csv_open(path, 0, &threads.volume, error));
    beater = g_thread_new("beat", beat, &threads);
    looker = g_thread_new("look", look, &threads);
    for (unsigned i = 0; i < 200; i++)
        change(threads.volume, &epoch, rand);
    g_atomic_int_set(&threads.stop, 1);
    beats = GPOINTER_TO_SIZE(g_thread_join(beater));
    g_thread_join(looker);
    assert_ok(csv_node_read(threads.volume, 2, &node, error));
    g_assert_cmpuint(node.heartbeat, ==, beats);
    g_assert_cmpuint(check_errors(threads.volume), ==, 0);
    csv_close(threads.volume);
    close(fd);
    g_unlink(path);
    g_rand_free(rand);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/concurrent/turns", test_turns);
    g_test_add_func("/csv/concurrent/threads", test_threads);
    return g_test_run();
}
