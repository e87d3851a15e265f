/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-setup.c - makes a plain Debian host ready for migrated, and takes that back. */

#include "cli.h"
#include "output.h"
#include "setup-file.h"

#include "base/error.h"
#include "base/io.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * The only command that asks no daemon: it is what one runs before there is one. It touches files
 * that belong to other packages, so it says each line that it sets and why, and can undo exactly
 * that.
 */

#define FILE_MAX_BYTES (1u << 20)
#define QEMU_TLS_DIR   "/etc/pki/qemu/migrated" /* [paths] qemu_tls_dir */
#define STATE_DIR      "/var/lib/migrated"      /* [paths] state_dir */
#define UNITS_FILE     STATE_DIR "/setup-units"

static gboolean option_check, option_undo, option_no_watchdog;
static char *option_root;

const GOptionEntry mig_options_setup[] = {
    {"check", 0, 0, G_OPTION_ARG_NONE, &option_check,
     "Only say what is missing; exit 1 if anything is", NULL},
    {"undo", 0, 0, G_OPTION_ARG_NONE, &option_undo, "Put back what was there before", NULL},
    {"no-watchdog", 0, 0, G_OPTION_ARG_NONE, &option_no_watchdog,
     "No watchdog: a host that hangs may go on writing", NULL},
    {"root", 0, 0, G_OPTION_ARG_FILENAME, &option_root, "Files below DIR; no service is touched",
     "DIR"},
    {NULL},
};

static const MigSetupLine qemu_lines[] = {
    {"lock_manager", "\"sanlock\"", "each QEMU holds the lease of its VM"},
    {"migrate_tls_x509_cert_dir", "\"" QEMU_TLS_DIR "\"", "made and renewed by migrated"},
    {"migrate_tls_x509_verify", "1", "only QEMUs of nodes of the cluster may send memory here"},
};
static const MigSetupLine lease_lines[] = {
    {"auto_disk_leases", "0", "leases are on the volume, one for each VM"},
    {"require_lease_for_disks", "0", "VMs that are not the cluster's run as before"},
};
static const MigSetupLine kernel_lines[] = {
    {"vm.unprivileged_userfaultfd", "1", "QEMU, which is not root, may receive by post-copy"},
};
static const MigSetupLine watchdog_lines[] = {
    {"sanlock_opts", "\"\"", "with watchdog: Debian's default is '-w 0', without"},
};
static const MigSetupLine no_watchdog_lines[] = {
    {"sanlock_opts", "\"-w 0\"", "no watchdog, as asked for: never where VMs matter"},
};

typedef struct {
    const char *path;
    const char *package; /* that it comes with; NULL: it is ours alone, and goes with undo */
    const char *separator;
    const MigSetupLine *lines;
    gsize count;
} SetupFile;

/* Changed first, so that libvirt-guests does not suspend VMs that another node could run. */
static const char *const enabled[] = {"wdmd.service", "sanlock.service", "libvirtd.service",
                                      "migrated.service", NULL};
static const char *const disabled[] = {"libvirt-guests.service", NULL};

/* ---- files ---- */

/* FALSE + error where it is missing and may not be. g_free(). */
static char *
read_setup_file(const SetupFile *file, const char *path, mode_t *mode, GError **error)
{
    struct stat st;

    if (stat(path, &st) == 0) {
        *mode = st.st_mode & 07777;
        return mig_io_read_file(path, FILE_MAX_BYTES, NULL, error);
    }
    *mode = 0644;
    if (!file->package ||
        option_undo) /* its package may be gone again, and what was in it with it */
        return g_strdup("");
    g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "%s is missing; install the package %s first",
                path, file->package);
    return NULL;
}

static gboolean
write_setup_file(const SetupFile *file, const char *path, const char *text, mode_t mode,
                 GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);

    if (file->package)
        return mig_io_write_file(path, text, strlen(text), mode, error);
    if (*text)
        return mig_io_make_dir(folder, 0755, error) &&
               mig_io_write_file(path, text, strlen(text), mode, error);
    if (g_unlink(path) < 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "cannot remove %s: %s", path,
                    g_strerror(errno));
        return FALSE;
    }
    g_rmdir(folder); /* if nobody has anything in there */
    return TRUE;
}

/* FALSE + error; *is_changed tells whether the file is not, or was not, as it should be. */
static gboolean
treat_file(const SetupFile *file, gboolean only_looks, gboolean *is_changed, GError **error)
{
    g_autofree char *path = g_build_filename(option_root ? option_root : "/", file->path, NULL);
    g_autofree char *text = NULL;
    g_autofree char *wanted = NULL;
    mode_t mode;

    text = read_setup_file(file, path, &mode, error);
    if (!text)
        return FALSE;
    wanted = option_undo ? mig_setup_file_undo(text)
                         : mig_setup_file_apply(text, file->lines, file->count, file->separator);
    *is_changed = !g_str_equal(text, wanted);
    if (only_looks || !*is_changed)
        return TRUE;
    return write_setup_file(file, path, wanted, mode, error);
}

/* libvirtd does not start where its configuration names a folder that is missing. */
static gboolean
treat_folder(gboolean *is_changed, GError **error)
{
    g_autofree char *path = g_build_filename(option_root ? option_root : "/", QEMU_TLS_DIR, NULL);
    gboolean is_there = g_file_test(path, G_FILE_TEST_IS_DIR);

    if (option_undo) {
        g_autofree char *above = g_path_get_dirname(path);
        g_autofree char *top = g_path_get_dirname(above);

        /* as far as they are empty */
        if (is_there && g_rmdir(path) == 0 && g_rmdir(above) == 0)
            g_rmdir(top);
        return TRUE;
    }
    *is_changed |= !is_there;
    printf("%-33s %s\n", QEMU_TLS_DIR,
           is_there       ? "is there"
           : option_check ? "to be made"
                          : "made");
    return is_there || option_check || mig_io_make_dir(path, 0755, error);
}

static gboolean
treat_files(gboolean *is_changed, GError **error)
{
    const SetupFile files[] = {
        {"etc/libvirt/qemu.conf", "libvirt-daemon-system", " = ", qemu_lines,
         G_N_ELEMENTS(qemu_lines)},
        {"etc/libvirt/qemu-sanlock.conf", "libvirt-sanlock", " = ", lease_lines,
         G_N_ELEMENTS(lease_lines)},
        {"etc/default/sanlock", "sanlock", "=",
         option_no_watchdog ? no_watchdog_lines : watchdog_lines, 1},
        {"etc/sysctl.d/60-migrated.conf", NULL, " = ", kernel_lines, G_N_ELEMENTS(kernel_lines)},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        gboolean is_other = FALSE;

        if (!treat_file(&files[i], TRUE, &is_other, error))
            return FALSE;
    }
    /* the folder is there for as long as a file names it */
    if (!option_undo && !treat_folder(is_changed, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        gboolean is_other = FALSE;

        if (!treat_file(&files[i], option_check, &is_other, error))
            return FALSE;
        *is_changed |= is_other;
        printf("/%-32s %s\n", files[i].path,
               !is_other      ? "as it should be"
               : option_check ? "to be changed"
               : option_undo  ? "put back"
                              : "changed");
        for (gsize k = 0; is_other && !option_undo && k < files[i].count; k++)
            printf("    %s%s%s    (%s)\n", files[i].lines[k].key, files[i].separator,
                   files[i].lines[k].value, files[i].lines[k].why);
    }
    return !option_undo || treat_folder(is_changed, error);
}

/* ---- services ---- */

static gboolean
systemctl(const char *verb, const char *unit, gboolean *is_yes, GError **error)
{
    const char *argv[] = {"systemctl", "--quiet", verb, unit, NULL};
    int status = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL,
                      G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                      NULL, NULL, NULL, NULL, &status, error)) {
        g_prefix_error(error, "cannot run systemctl: ");
        return FALSE;
    }
    *is_yes = status == 0;
    return TRUE;
}

/* What was changed is kept, "enable UNIT" or "disable UNIT" a line: what undoes it. */
static gboolean
note_unit(const char *unit, gboolean was_enabled, GError **error)
{
    g_autofree char *before = NULL, *text = NULL;

    if (g_file_test(UNITS_FILE, G_FILE_TEST_EXISTS) &&
        !(before = mig_io_read_file(UNITS_FILE, FILE_MAX_BYTES, NULL, error)))
        return FALSE;
    text = g_strdup_printf("%s%s %s\n", before ? before : "", was_enabled ? "enable" : "disable",
                           unit);
    return mig_io_make_dir(STATE_DIR, 0700, error) &&
           mig_io_write_file(UNITS_FILE, text, strlen(text), 0600, error);
}

static gboolean
undo_units(gboolean *is_changed, GError **error)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    gboolean is_all_done = TRUE;

    if (!g_file_test(UNITS_FILE, G_FILE_TEST_EXISTS))
        return TRUE;
    text = mig_io_read_file(UNITS_FILE, FILE_MAX_BYTES, NULL, error);
    if (!text)
        return FALSE;
    lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i]; i++) {
        gboolean enables = g_str_has_prefix(lines[i], "enable "), is_done = TRUE;
        const char *unit = strchr(lines[i], ' ');

        if (!unit)
            continue;
        if (!systemctl(enables ? "enable" : "disable", unit + 1, &is_done, error))
            return FALSE;
        *is_changed = TRUE;
        printf("%-33s %s%s\n", unit + 1, enables ? "starts with the host" : "does not start",
               is_done ? ": as before" : ": systemctl refuses that");
        is_all_done = is_all_done && is_done;
    }
    if (is_all_done)
        return mig_io_remove_file(UNITS_FILE, error);
    g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                "not all services are as before; see 'systemctl status', and try again (" UNITS_FILE
                " has what is to be done)");
    return FALSE;
}

static gboolean
treat_units(const char *const *units, gboolean shall_run, gboolean *is_changed, GError **error)
{
    for (gsize i = 0; units[i]; i++) {
        gboolean is_enabled = FALSE, is_done = TRUE;

        if (!systemctl("is-enabled", units[i], &is_enabled, error))
            return FALSE;
        if (is_enabled != shall_run && !option_check && !note_unit(units[i], is_enabled, error))
            return FALSE;
        if (is_enabled != shall_run && !option_check &&
            !systemctl(shall_run ? "enable" : "disable", units[i], &is_done, error))
            return FALSE;
        if (!is_done) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                        "systemctl %s %s fails; run it by hand to see why",
                        shall_run ? "enable" : "disable", units[i]);
            return FALSE;
        }
        *is_changed |= is_enabled != shall_run;
        printf("%-33s %s%s\n", units[i], shall_run ? "starts with the host" : "does not start",
               is_enabled == shall_run ? ""
               : option_check          ? ": to be changed"
                                       : ": changed");
    }
    return TRUE;
}

static gboolean
treat_services(gboolean *is_changed, GError **error)
{
    if (option_root || !g_file_test("/run/systemd/system", G_FILE_TEST_IS_DIR))
        return TRUE;
    if (option_undo)
        return undo_units(is_changed, error);
    return treat_units(disabled, FALSE, is_changed, error) &&
           treat_units(option_no_watchdog ? enabled + 1 : enabled, TRUE, is_changed, error);
}

gboolean
mig_cmd_setup(MigCli *cli, char **arguments, GError **error)
{
    gboolean is_changed = FALSE;

    if (option_check && option_undo) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE, "--check and --undo exclude one another");
        return FALSE;
    }
    if (!treat_files(&is_changed, error) || !treat_services(&is_changed, error))
        return FALSE;
    if (option_check && is_changed) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "this host is not ready; 'migratectl setup' makes it so");
        return FALSE;
    }
    if (!option_undo && !option_no_watchdog && !option_root && g_access("/dev/watchdog", F_OK) < 0)
        mig_talk("there is no /dev/watchdog: load the driver of this host's watchdog, or at least "
                 "softdog, or a host that hangs is never known as dead");
    if (is_changed && !option_check)
        mig_talk("reboot, or: sysctl --system; systemctl restart wdmd sanlock libvirtd");
    return TRUE;
}
