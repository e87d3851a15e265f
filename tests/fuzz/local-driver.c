/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* local-driver.c - runs a fuzzer as a plain test: the corpus, then seeded mutations of it. */

/*
 * local-driver [-t SECONDS] [-n ROUNDS] [-s SEED] FILE-OR-FOLDER...
 * libFuzzer brings its own main(); this one is for compilers without it, and for the test suite.
 * The seed is printed, and drawn where none is given. The input that kills the program is left in
 * the file fuzz-find.PID; it belongs into the corpus.
 */

#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static GPtrArray *corpus; /* GBytes */
static const guint8 *running;
static gsize running_length;
static char find_path[64];

/* abort() is how assertions and sanitizers end. */
static void
on_crash(int signal_number)
{
    int fd = open(find_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd >= 0 && write(fd, running, running_length) == (ssize_t)running_length &&
        write(STDERR_FILENO, find_path, strlen(find_path)) > 0)
        close(fd);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static int
by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
load(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    g_autoptr(GPtrArray) children = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    char *data = NULL;
    gsize length = 0;

    while (dir && (name = g_dir_read_name(dir)))
        g_ptr_array_add(children, g_build_filename(path, name, NULL));
    g_ptr_array_sort(children, by_name); /* the same order everywhere: the same run for a seed */
    for (guint i = 0; i < children->len; i++)
        load(children->pdata[i]);
    if (!dir && g_file_get_contents(path, &data, &length, NULL))
        g_ptr_array_add(corpus, g_bytes_new_take(data, length));
}

/* A block of its own of exactly this size: the sanitizer sees the first byte read behind it. */
static void
run_one(const guint8 *data, gsize length)
{
    g_autofree guint8 *copy = g_malloc(MAX(length, 1));

    if (length)
        memcpy(copy, data, length);
    running = data;
    running_length = length;
    LLVMFuzzerTestOneInput(copy, length);
}

static void
mutate(GRand *rand, GByteArray *bytes)
{
    static const char *const words[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        "\"",
                                        ":",
                                        ",",
                                        "\\u",
                                        "\\",
                                        "null",
                                        "true",
                                        "-",
                                        "1e99",
                                        "\xff",
                                        "\xc3",
                                        "\"a\":1,",
                                        "{\"",
                                        "]}",
                                        "0",
                                        "\"more\":true",
                                        "9223372036854775807",
                                        "<",
                                        "/>",
                                        "</domain>",
                                        "<source file='/etc/passwd'/>",
                                        "<driver/>",
                                        " type='file'",
                                        " path='/x'",
                                        "<!DOCTYPE d>",
                                        "<!--",
                                        "<![CDATA[",
                                        "&#x41;",
                                        "&x;",
                                        " xmlns:a='b'",
                                        "<a:"};
    guint at = bytes->len ? (guint)g_rand_int_range(rand, 0, (gint32)bytes->len) : 0;
    guint8 byte = (guint8)g_rand_int(rand);
    guint count;

    switch (g_rand_int_range(rand, 0, 6)) {
    case 0: /* flip a bit */
        if (bytes->len)
            bytes->data[at] ^= (guint8)(1u << (byte & 7));
        break;
    case 1: /* set a byte */
        if (bytes->len)
            bytes->data[at] = byte;
        break;
    case 2: /* cut the end off */
        g_byte_array_set_size(bytes, at);
        break;
    case 3: /* take a piece out */
        count = MIN((guint)byte % 16, bytes->len - at);
        if (count)
            g_byte_array_remove_range(bytes, at, count);
        break;
    case 4: /* put a word in */ {
        const char *word = words[byte % G_N_ELEMENTS(words)];
        g_autofree guint8 *tail = g_memdup2(bytes->data + at, bytes->len - at);
        guint tail_length = bytes->len - at;

        g_byte_array_set_size(bytes, at);
        g_byte_array_append(bytes, (const guint8 *)word, (guint)strlen(word));
        g_byte_array_append(bytes, tail, tail_length);
        break;
    }
    default: /* put in a piece of another sample */ {
        GBytes *other = corpus->pdata[g_rand_int_range(rand, 0, (gint32)corpus->len)];
        gsize size;
        const guint8 *data = g_bytes_get_data(other, &size);
        gsize from = size ? (gsize)g_rand_int_range(rand, 0, (gint32)size) : 0;

        g_byte_array_set_size(bytes, at);
        if (size)
            g_byte_array_append(bytes, data + from, (guint)(size - from));
        break;
    }
    }
}

int
main(int argc, char **argv)
{
    guint64 rounds = 20000, done = 0;
    gint64 end_us = G_MAXINT64;
    guint seed = g_random_int();
    g_autoptr(GRand) rand = NULL;

    corpus = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (int i = 1; i < argc; i++) {
        if (g_str_equal(argv[i], "-n") && i + 1 < argc)
            rounds = strtoull(argv[++i], NULL, 10);
        else if (g_str_equal(argv[i], "-t") && i + 1 < argc) {
            end_us = g_get_monotonic_time() + G_USEC_PER_SEC * g_ascii_strtoll(argv[++i], NULL, 10);
            rounds = G_MAXUINT64;
        } else if (g_str_equal(argv[i], "-s") && i + 1 < argc)
            seed = (guint)strtoul(argv[++i], NULL, 10);
        else
            load(argv[i]);
    }
    if (corpus->len == 0) {
        fprintf(stderr, "no samples\n");
        return 2;
    }
    printf("%u samples, seed %u\n", corpus->len, seed);
    fflush(stdout); /* is wanted most when the next line never comes */
    g_snprintf(find_path, sizeof(find_path), "fuzz-find.%d", (int)getpid());
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    for (guint i = 0; i < corpus->len; i++) {
        gsize size;
        const guint8 *data = g_bytes_get_data(corpus->pdata[i], &size);

        run_one(data, size);
    }
    rand = g_rand_new_with_seed(seed);
    for (; done < rounds && g_get_monotonic_time() < end_us; done++) {
        GBytes *sample = corpus->pdata[g_rand_int_range(rand, 0, (gint32)corpus->len)];
        gsize size;
        const guint8 *data = g_bytes_get_data(sample, &size);
        g_autoptr(GByteArray) bytes = g_byte_array_new();

        g_byte_array_append(bytes, data, (guint)MIN(size, 65536));
        for (int n = g_rand_int_range(rand, 1, 6); n > 0; n--)
            mutate(rand, bytes);
        run_one(bytes->data, bytes->len);
    }
    printf("%" G_GUINT64_FORMAT " mutations\n", done);
    g_ptr_array_unref(corpus);
    return 0;
}
