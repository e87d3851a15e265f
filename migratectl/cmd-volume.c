/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-volume.c - volumes: LUNs formatted for the cluster. */

#include "cli.h"
#include "output.h"
#include "tables.h"

#include "base/error.h"

#include <stdio.h>

static char *option_name, *option_extent;
static gint option_io_timeout, option_max_nodes, option_max_vms, option_max_images;
static gboolean option_force;

const GOptionEntry mig_options_volume_format[] = {
    {"name", 0, 0, G_OPTION_ARG_STRING, &option_name, "The volume's name (required)", "NAME"},
    {"io-timeout", 0, 0, G_OPTION_ARG_INT, &option_io_timeout,
     "sanlock's I/O timeout in seconds, 1 to 60 (10)", "S"},
    {"max-nodes", 0, 0, G_OPTION_ARG_INT, &option_max_nodes, "Node slots, 2 to 250 (64)", "N"},
    {"max-vms", 0, 0, G_OPTION_ARG_INT, &option_max_vms, "VM slots (256)", "N"},
    {"max-images", 0, 0, G_OPTION_ARG_INT, &option_max_images, "Image slots (1024)", "N"},
    {"extent", 0, 0, G_OPTION_ARG_STRING, &option_extent, "Allocation unit, 1M to 1G (4M)", "SIZE"},
    {"force", 0, 0, G_OPTION_ARG_NONE, &option_force, "Overwrite what is on the device", NULL},
    {NULL},
};

const GOptionEntry mig_options_volume_backup[] = {
    {"force", 0, 0, G_OPTION_ARG_NONE, &option_force, "Replace an existing file", NULL},
    {NULL},
};

static const char *
show_percent(gint64 part, gint64 whole)
{
    static char text[8];

    g_snprintf(text, sizeof text, "%d%%",
               whole > 0 ? (int)((double)part * 100 / (double)whole + 0.5) : 0);
    return text;
}

static void
print_volume(const MigApiVolume *v)
{
    mig_print_field("Name", v->name);
    mig_print_field("UUID", v->uuid);
    mig_print_field("Device", v->device);
    if (v->one_host)
        mig_print_field("Shared",
                        "only where others see this very file system, which is one host's");
    mig_print_field("State", v->state);
    mig_print_field("Coordinator", v->coordinator ? v->coordinator : "none, the lease is free");
    mig_print_field("Size", mig_show_size(v->size));
    if (v->spare > 0)
        printf("LUN:             %s larger; \"migratectl volume grow\" takes that over\n",
               mig_show_size(v->spare));
    mig_print_field("Used", mig_show_size(v->used));
    mig_print_field("Free", mig_show_size(v->free));
    mig_print_field("Largest piece", mig_show_size(v->largest_free));
    if (v->map) {
        printf("Free pieces:     %s, %s of it not in the largest\n", mig_show_int(v->free_runs),
               show_percent(v->free - v->largest_free, v->free));
        mig_print_field("Space", v->map);
    }
    mig_print_field("Extent", mig_show_size(v->extent));
    mig_print_field("Sector size", mig_show_int(v->sector_size));
    mig_print_field("I/O timeout", mig_show_ms(v->io_timeout * 1000));
    printf("Images:          %s of %s\n", mig_show_int(v->images), mig_show_int(v->max_images));
    printf("VMs:             %s of %s\n", mig_show_int(v->vms), mig_show_int(v->max_vms));
    mig_print_field("Node slots", mig_show_int(v->max_nodes));
    mig_print_field_list("Attached on", v->nodes);
}

/* The answer of a change: JSON, or a word on stderr. */
static void
report(MigCli *cli, const MigVolumeReply *reply, const char *what)
{
    const MigApiVolume *volume = reply->volume;

    if (cli->json) {
        mig_print_json(&mig_type_VolumeReply, reply, FALSE);
        return;
    }
    mig_talk("volume %s %s (%s, %s free)", volume->name, what, mig_show_size(volume->size),
             mig_show_size(volume->free));
    if (volume->one_host)
        mig_talk("its file system is one host's: it is not shared unless other nodes see this very "
                 "directory");
}

gboolean
mig_cmd_volume_format(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *device = g_canonicalize_filename(arguments[0], NULL);
    MigFormatVolumeRequest request = {.device = device,
                                      .name = option_name,
                                      .io_timeout = option_io_timeout,
                                      .max_nodes = option_max_nodes,
                                      .max_vms = option_max_vms,
                                      .max_images = option_max_images,
                                      .force = option_force};
    g_autoptr(MigVolumeReply) reply = NULL;

    if (!option_name) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE,
                    "volume format needs --name; see \"migratectl volume format --help\"");
        return FALSE;
    }
    if (!mig_cli_check_range("--io-timeout", option_io_timeout, 0, 60, error) ||
        !mig_cli_check_range("--max-nodes", option_max_nodes, 0, 250, error) ||
        !mig_cli_check_range("--max-vms", option_max_vms, 0, G_MAXINT, error) ||
        !mig_cli_check_range("--max-images", option_max_images, 0, G_MAXINT, error))
        return FALSE;
    if (option_extent && !mig_cli_parse_size("size", option_extent, &request.extent, error))
        return FALSE;
    reply = mig_cli_call(cli, "io.migrated.FormatVolume", &mig_type_FormatVolumeRequest, &request,
                         &mig_type_VolumeReply, 0, error);
    if (!reply)
        return FALSE;
    report(cli, reply, "formatted");
    return TRUE;
}

gboolean
mig_cmd_volume_attach(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *device = g_canonicalize_filename(arguments[0], NULL);
    MigAttachVolumeRequest request = {.device = device};
    g_autoptr(MigVolumeReply) reply =
        mig_cli_call(cli, "io.migrated.AttachVolume", &mig_type_AttachVolumeRequest, &request,
                     &mig_type_VolumeReply, 0, error);

    if (!reply)
        return FALSE;
    report(cli, reply, "attached");
    return TRUE;
}

gboolean
mig_cmd_volume_detach(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};

    return mig_cli_do(cli, "io.migrated.DetachVolume", &mig_type_NameRequest, &request, error,
                      "volume %s detached from this node", request.name);
}

gboolean
mig_cmd_volume_list(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigListVolumesReply) reply =
        mig_cli_call(cli, "io.migrated.ListVolumes", &mig_type_Empty, NULL,
                     &mig_type_ListVolumesReply, MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_ListVolumesReply, reply, FALSE);
    else
        mig_print_volumes(reply->volumes);
    return TRUE;
}

gboolean
mig_cmd_volume_show(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};
    g_autoptr(MigVolumeReply) reply =
        mig_cli_call(cli, "io.migrated.GetVolume", &mig_type_NameRequest, &request,
                     &mig_type_VolumeReply, MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_VolumeReply, reply, FALSE);
    else
        print_volume(reply->volume);
    return TRUE;
}

gboolean
mig_cmd_volume_plan(MigCli *cli, char **arguments, GError **error)
{
    MigPlanSpaceRequest request = {.volume = arguments[0]};
    g_autoptr(MigListImagesReply) reply = NULL;

    if (!mig_cli_parse_size("size", arguments[1], &request.size, error))
        return FALSE;
    reply = mig_cli_call(cli, "io.migrated.PlanSpace", &mig_type_PlanSpaceRequest, &request,
                         &mig_type_ListImagesReply, MIG_CLI_READ_TIMEOUT_MS, error);
    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_ListImagesReply, reply, FALSE);
    else if (reply->images->len == 0)
        mig_talk("volume %s has %s in one piece", request.volume, mig_show_size(request.size));
    else
        mig_print_images(reply->images);
    return TRUE;
}

gboolean
mig_cmd_volume_grow(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};
    g_autoptr(MigVolumeReply) reply =
        mig_cli_call(cli, "io.migrated.GrowVolume", &mig_type_NameRequest, &request,
                     &mig_type_VolumeReply, 0, error);

    if (!reply)
        return FALSE;
    report(cli, reply, "is as large as its LUN");
    return TRUE;
}

gboolean
mig_cmd_volume_backup(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(arguments[1], NULL);
    MigBackupVolumeRequest request = {.volume = arguments[0], .path = path, .force = option_force};

    return mig_cli_do(cli, "io.migrated.BackupVolume", &mig_type_BackupVolumeRequest, &request,
                      error, "metadata of volume %s is in %s", request.volume, path);
}

gboolean
mig_cmd_volume_coordinator(MigCli *cli, char **arguments, GError **error)
{
    MigCoordinatorRequest request = {.name = arguments[0], .node = arguments[1]};
    g_autoptr(MigVolumeReply) reply =
        mig_cli_call(cli, "io.migrated.SetCoordinator", &mig_type_CoordinatorRequest, &request,
                     &mig_type_VolumeReply, 0, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_VolumeReply, reply, FALSE);
    else
        mig_talk("volume %s is coordinated by %s", request.name, request.node);
    return TRUE;
}
