/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csvtool.c - looking at, checking and making volumes by hand. */

/*
 * For people and tests; the daemon does without it. It holds no lease, so it never changes a
 * volume that exists, but for format, restore and a repair, where nobody else may be there. stdout
 * is data, stderr is talk; exit codes are those of csvtool(8).
 */

#include "csvtool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FINDINGS 1
#define EXIT_USAGE    2
#define EXPORT_PIECE  (1u << 20)

static const char *const usage_text =
    "usage: csvtool dump DEVICE\n"
    "       csvtool check DEVICE [--repair [--force]]\n"
    "       csvtool format DEVICE --name NAME [--io-timeout S] [--nodes N] [--vms N]\n"
    "                             [--images N] [--extent-mib N] [--force]\n"
    "       csvtool export DEVICE IMAGE FILE\n"
    "       csvtool backup DEVICE FILE\n"
    "       csvtool restore DEVICE FILE [--force]\n";

static int
usage(void)
{
    fputs(usage_text, stderr);
    return EXIT_USAGE;
}

/* Says what failed; the exit code is the class of the error. */
static int
fail(const char *device, int result, const struct csv_error *error)
{
    static const struct {
        int code, status;
    } statuses[] = {
        {CSV_E_NO_VOLUME, 3},
        {CSV_E_FUTURE, 4},
        {CSV_E_SECTOR, 5},
        {CSV_E_TRUNCATED, 6},
        {CSV_E_DAMAGED, 7},
        {CSV_ALREADY_FORMATTED, 8},
        {CSV_BUSY, 12},
        {CSV_TOO_SMALL, 9},
        {CSV_E_IO, 10},
        {CSV_E_SYS, 10},
        {CSV_NOT_FOUND, 11},
        {CSV_E_MOUNT, 13},
        {CSV_BAD_NAME, EXIT_USAGE},
        {CSV_BAD_VALUE, EXIT_USAGE},
    };
    /* most texts begin with the device already */
    bool is_named = strstr(error->text, device) != NULL;

    fprintf(stderr, "csvtool: %s%s%s\n", is_named ? "" : device, is_named ? "" : ": ", error->text);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].code == result)
            return statuses[i].status;
    return EXIT_FINDINGS;
}

static int
cmd_dump(int argc, char **argv)
{
    struct csv_volume *volume;
    struct csv_error error;
    int result;

    if (argc == 3 && strcmp(argv[2], "--json") == 0)
        argc--;
    if (argc != 2)
        return usage();
    result = csv_open(argv[1], CSV_OPEN_READ_ONLY, &volume, &error);
    if (result)
        return fail(argv[1], result, &error);
    result = csvtool_dump(volume, &error);
    csv_close(volume);
    if (!result && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "csvtool: cannot write the dump: %s\n", strerror(errno));
        return 10;
    }
    return result ? fail(argv[1], result, &error) : 0;
}

static void
print_finding(const struct csv_finding *finding, void *data)
{
    size_t *notes = data;

    if (!finding->is_error)
        ++*notes;
    printf("%s %s: %s\n", finding->is_error ? "error" : "note", finding->code, finding->text);
}

static void
print_mended(const struct csv_finding *finding, void *data)
{
    (void)data;
    printf("mended %s: %s\n", finding->code, finding->text);
}

/* Takes a flag out of the arguments; was it there? */
static bool
take_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], flag) == 0) {
            memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
            --*argc;
            return true;
        }
    return false;
}

static int
cmd_check(int argc, char **argv)
{
    struct csv_volume *volume;
    struct csv_error error;
    size_t errors = 0, notes = 0;
    bool repair = take_flag(&argc, argv, "--repair"), force = take_flag(&argc, argv, "--force");
    int result;

    if (argc != 2 || (force && !repair))
        return usage();
    if (repair) {
        result = csv_repair(argv[1], force, print_mended, NULL, NULL, &error);
        if (result)
            return fail(argv[1], result, &error);
    }
    result = csv_open(argv[1], CSV_OPEN_READ_ONLY, &volume, &error);
    if (result)
        return fail(argv[1], result, &error);
    result = csv_check(volume, print_finding, &notes, &errors, &error);
    if (!result)
        printf("%s: %zu errors, %zu notes\n", csv_volume_info(volume)->name, errors, notes);
    csv_close(volume);
    if (result)
        return fail(argv[1], result, &error);
    return errors ? EXIT_FINDINGS : 0;
}

/* A number from low to high; anything else ends in a line that names the option. */
static bool
parse_number(const char *option, const char *text, unsigned long low, unsigned long high,
             unsigned long *number)
{
    char *end;

    errno = 0;
    *number = strtoul(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && !*end && !errno && *number >= low && *number <= high)
        return true;
    fprintf(stderr, "csvtool: --%s %s: give a number from %lu to %lu\n", option, text, low, high);
    return false;
}

static int
cmd_format(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"name", required_argument, NULL, 'n'},   {"io-timeout", required_argument, NULL, 't'},
        {"nodes", required_argument, NULL, 'o'},  {"vms", required_argument, NULL, 'v'},
        {"images", required_argument, NULL, 'i'}, {"extent-mib", required_argument, NULL, 'e'},
        {"force", no_argument, NULL, 'f'},        {NULL, 0, NULL, 0},
    };
    struct csv_format_options options = {0};
    struct csv_info info;
    struct csv_error error;
    unsigned long number = 0;
    bool is_good = true;
    int c, result;

    while (is_good && (c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (c) {
        case 'n':
            options.name = optarg;
            break;
        case 't':
            is_good = parse_number("io-timeout", optarg, 1, 600, &number);
            options.io_timeout_s = (uint32_t)number;
            break;
        case 'o':
            is_good = parse_number("nodes", optarg, 1, CSV_MAX_NODES, &number);
            options.max_nodes = (uint32_t)number;
            break;
        case 'v':
            is_good = parse_number("vms", optarg, 1, CSV_MAX_VMS, &number);
            options.max_vms = (uint32_t)number;
            break;
        case 'i':
            is_good = parse_number("images", optarg, 1, CSV_MAX_IMAGES, &number);
            options.max_images = (uint32_t)number;
            break;
        case 'e':
            is_good = parse_number("extent-mib", optarg, 1, 1024, &number);
            options.extent_bytes = (uint64_t)number << 20;
            break;
        case 'f':
            options.force = true;
            break;
        default:
            return usage();
        }
    }
    if (!is_good)
        return EXIT_USAGE;
    if (argc - optind != 1 || !options.name)
        return usage();
    result = csv_format(argv[optind], &options, &info, &error);
    if (result)
        return fail(argv[optind], result, &error);
    printf("%s %s: %llu MiB of data, %u nodes, %u VMs, %u images\n", info.name, info.uuid,
           (unsigned long long)(info.data_bytes >> 20), info.max_nodes, info.max_vms,
           info.max_images);
    return 0;
}

/* Copies the image's bytes; holes stay holes where a whole piece is zero. */
static int
copy_out(struct csv_volume *volume, const struct csv_image *image, int fd, struct csv_error *error)
{
    void *piece = NULL;
    int result = 0;

    if (posix_memalign(&piece, 4096, EXPORT_PIECE)) {
        snprintf(error->text, sizeof(error->text), "no memory");
        return CSV_E_SYS;
    }
    for (uint64_t at = 0; at < image->size_bytes && !result; at += EXPORT_PIECE) {
        uint64_t left = image->size_bytes - at;
        size_t bytes = left < EXPORT_PIECE ? (size_t)left : EXPORT_PIECE;
        const char *from = piece;
        result = csv_image_read(volume, image, at, piece, bytes, error);
        if (result || (from[0] == 0 && memcmp(from, from + 1, bytes - 1) == 0))
            continue;
        for (size_t done = 0; done < bytes && !result;) {
            ssize_t put = pwrite(fd, from + done, bytes - done, (off_t)(at + done));
            if (put <= 0) {
                snprintf(error->text, sizeof(error->text), "cannot write the file: %s",
                         strerror(errno));
                result = CSV_E_SYS;
            } else {
                done += (size_t)put;
            }
        }
    }
    free(piece);
    if (!result && (ftruncate(fd, (off_t)image->size_bytes) < 0 || fsync(fd) < 0)) {
        snprintf(error->text, sizeof(error->text), "cannot write the file: %s", strerror(errno));
        result = CSV_E_SYS;
    }
    return result;
}

static int
cmd_export(int argc, char **argv)
{
    struct csv_volume *volume;
    struct csv_image image = {0};
    struct csv_error error;
    int result, fd;

    if (argc != 4)
        return usage();
    result = csv_open(argv[1], CSV_OPEN_READ_ONLY, &volume, &error);
    if (result)
        return fail(argv[1], result, &error);
    result = csv_image_find(volume, argv[2], &image, &error);
    if (result == CSV_E_DAMAGED && image.name[0]) { /* what is left of it can be saved */
        fprintf(stderr, "csvtool: %s\n", error.text);
        result = 0;
    }
    if (!result) {
        fd = open(argv[3], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            fprintf(stderr, "csvtool: cannot make %s: %s\n", argv[3], strerror(errno));
            csv_close(volume);
            return 10;
        }
        result = copy_out(volume, &image, fd, &error);
        close(fd);
        if (result)
            unlink(argv[3]);
    }
    csv_close(volume);
    return result ? fail(argv[1], result, &error) : 0;
}

static int
cmd_backup(int argc, char **argv)
{
    struct csv_volume *volume;
    struct csv_error error;
    int result, fd;

    if (argc != 3)
        return usage();
    result = csv_open(argv[1], CSV_OPEN_READ_ONLY, &volume, &error);
    if (result)
        return fail(argv[1], result, &error);
    fd = open(argv[2], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "csvtool: cannot make %s: %s\n", argv[2], strerror(errno));
        csv_close(volume);
        return 10;
    }
    result = csv_backup(volume, fd, &error);
    close(fd);
    csv_close(volume);
    if (result)
        unlink(argv[2]);
    return result ? fail(argv[1], result, &error) : 0;
}

static int
cmd_restore(int argc, char **argv)
{
    struct csv_error error;
    bool force = take_flag(&argc, argv, "--force");
    int result, fd;

    if (argc != 3)
        return usage();
    fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "csvtool: cannot open %s: %s\n", argv[2], strerror(errno));
        return 10;
    }
    result = csv_restore(argv[1], fd, force, &error);
    close(fd);
    return result ? fail(argv[1], result, &error) : 0;
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"dump", cmd_dump},     {"check", cmd_check},   {"format", cmd_format},
        {"export", cmd_export}, {"backup", cmd_backup}, {"restore", cmd_restore},
    };

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage_text, stdout);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return usage();
}
