/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-stream.c - a long range comes whole, in order and once, however much is under way. */
#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "csv-test.h"

#define FILE_BYTES (24 * MIB)

static char *path;

struct seen {
    uint64_t at; /* of the next piece */
    uint64_t stop;
    unsigned pieces;
};

/* Each word of the file is its own place. */
static void
set_up(void)
{
    g_autofree uint64_t *words = g_malloc(FILE_BYTES);
    int fd;

    path = g_build_filename(g_get_tmp_dir(), "csv-stream-XXXXXX", NULL);
    fd = g_mkstemp(path);
    for (uint64_t i = 0; i < FILE_BYTES / 8; i++)
        words[i] = i * 8;
    g_assert_cmpint(write(fd, words, FILE_BYTES), ==, FILE_BYTES);
    g_assert_cmpint(fsync(fd), ==, 0);
    close(fd);
}

static int
look(void *piece, size_t bytes, void *data)
{
    struct seen *seen = data;
    const uint64_t *words = piece;

    for (size_t i = 0; i < bytes / 8; i++)
        g_assert_cmpuint(words[i], ==, seen->at + i * 8);
    memset(piece, 0xff, bytes); /* it is the visitor's */
    seen->at += bytes;
    seen->pieces++;
    return seen->stop && seen->at >= seen->stop;
}

static void
test_whole(void)
{
    static const struct csv_range ranges[] = {
        {0, FILE_BYTES, MIB},           {8192, FILE_BYTES - 8192, MIB},
        {MIB, 9 * MIB, 256 * 1024},     {4096, 4096, MIB},
        {4096, 8 * MIB + 4096, MIB},    {0, MIB, MIB},
        {12 * MIB, 12 * MIB, 5 * 4096},
    };
    struct csv_dev *dev;

    g_assert_cmpint(csv_dev_open(path, true, 0, &dev), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(ranges); i++) {
        const struct csv_range *range = &ranges[i];
        struct seen seen = {.at = range->offset};

        g_assert_cmpint(csv_dev_stream(dev, range, look, &seen), ==, 0);
        g_assert_cmpuint(seen.at, ==, range->offset + range->bytes);
        g_assert_cmpuint(seen.pieces, ==,
                         (range->bytes + range->piece_bytes - 1) / range->piece_bytes);
    }
    csv_dev_close(dev);
}

static int
look_and_ask(void *piece, size_t bytes, void *data)
{
    const struct csv_range range = {0, FILE_BYTES, MIB};
    struct csv_dev *dev = data;
    struct seen none = {0};

    (void)piece;
    (void)bytes;
    g_assert_cmpint(dev->ops->stream(dev, &range, look, &none), ==, -EAGAIN);
    g_assert_cmpuint(none.pieces, ==, 0);
    return 0;
}

/* A file has several pieces under way; and while one range is read so, another one is told to be
 * read the plain way. */
static void
test_asynchronous(void)
{
    const struct csv_range range = {0, FILE_BYTES, MIB};
    struct seen seen = {0};
    struct csv_dev *dev;

    g_assert_cmpint(csv_dev_open(path, true, 0, &dev), ==, 0);
    g_assert_cmpint(dev->ops->stream(dev, &range, look_and_ask, dev), ==, 0);
    g_assert_cmpint(dev->ops->stream(dev, &range, look, &seen), ==, 0);
    g_assert_cmpuint(seen.at, ==, FILE_BYTES);
    csv_dev_close(dev);
}

/* It ends where the visitor says, with pieces under way; and the device can be used again. */
static void
test_stop(void)
{
    struct csv_dev *dev;

    g_assert_cmpint(csv_dev_open(path, true, 0, &dev), ==, 0);
    for (uint64_t stop = MIB; stop <= 20 * MIB; stop += MIB) {
        const struct csv_range range = {0, FILE_BYTES, MIB};
        struct seen seen = {.stop = stop};

        g_assert_cmpint(csv_dev_stream(dev, &range, look, &seen), ==, 0);
        g_assert_cmpuint(seen.at, ==, stop);
    }
    csv_dev_close(dev);
}

/* A LUN that is shorter than was said: all that is there is seen, and then it is an error. */
static void
test_short(void)
{
    const struct csv_range range = {4 * MIB, FILE_BYTES, MIB};
    struct seen seen = {.at = 4 * MIB};
    struct csv_dev *dev;

    g_assert_cmpint(csv_dev_open(path, true, 0, &dev), ==, 0);
    g_assert_cmpint(csv_dev_stream(dev, &range, look, &seen), ==, -EIO);
    g_assert_cmpuint(seen.at, ==, FILE_BYTES);
    csv_dev_close(dev);
}

static gpointer
stream_often(gpointer data)
{
    const struct csv_range range = {0, FILE_BYTES, MIB};

    for (unsigned i = 0; i < 10; i++) {
        struct seen seen = {0};

        g_assert_cmpint(csv_dev_stream(data, &range, look, &seen), ==, 0);
        g_assert_cmpuint(seen.at, ==, FILE_BYTES);
    }
    return NULL;
}

static void
test_threads(void)
{
    GThread *threads[4];
    struct csv_dev *dev;

    g_assert_cmpint(csv_dev_open(path, true, 0, &dev), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("stream", stream_often, dev);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    csv_dev_close(dev);
}

/* A device without asynchronous I/O, as the tests' are. */
static void
test_memory(void)
{
    const struct csv_range range = {MIB, 5 * MIB, 2 * MIB};
    struct seen seen = {.at = MIB};
    struct lun lun;
    struct csv_dev *dev;

    lun_init(&lun, 6, 512);
    for (uint64_t i = 0; i < lun.size / 8; i++)
        ((uint64_t *)(void *)lun.data)[i] = i * 8;
    dev = lun_dev(&lun);
    g_assert_cmpint(csv_dev_stream(dev, &range, look, &seen), ==, 0);
    g_assert_cmpuint(seen.at, ==, 6 * MIB);
    g_assert_cmpuint(seen.pieces, ==, 3);
    csv_dev_close(dev);
    lun_clear(&lun);
}

int
main(int argc, char **argv)
{
    int result;

    g_test_init(&argc, &argv, NULL);
    set_up();
    g_test_add_func("/csv/stream/whole", test_whole);
    g_test_add_func("/csv/stream/asynchronous", test_asynchronous);
    g_test_add_func("/csv/stream/stop", test_stop);
    g_test_add_func("/csv/stream/short", test_short);
    g_test_add_func("/csv/stream/threads", test_threads);
    g_test_add_func("/csv/stream/memory", test_memory);
    result = g_test_run();
    g_unlink(path);
    g_free(path);
    return result;
}
