/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-image.c - images: VM disks on a volume. */

#include "cli.h"
#include "output.h"
#include "tables.h"

#include <stdio.h>
#include <unistd.h>

static char *option_size, *option_format;
static gboolean option_force;

const GOptionEntry mig_options_image_import[] = {
    {"size", 0, 0, G_OPTION_ARG_STRING, &option_size, "Size of the image, at least the file's",
     "SIZE"},
    {"format", 0, 0, G_OPTION_ARG_STRING, &option_format, "raw, qcow2 ... (found out)", "FORMAT"},
    {NULL},
};

const GOptionEntry mig_options_image_export[] = {
    {"format", 0, 0, G_OPTION_ARG_STRING, &option_format, "Of the file: raw or qcow2 (raw)",
     "FORMAT"},
    {"force", 0, 0, G_OPTION_ARG_NONE, &option_force, "Overwrite an existing file", NULL},
    {NULL},
};

static void
report(MigCli *cli, const MigImageReply *reply, const char *what)
{
    const MigApiImage *image = reply->image;

    if (cli->json)
        mig_print_json(&mig_type_ImageReply, reply, TRUE);
    else if (image)
        mig_talk("image %s/%s %s (%s)", image->volume, image->name, what,
                 mig_show_size(image->size));
}

/* Interim answers of a copy: a counter on a terminal, a line each with --json, else silence. */
static void
on_copied(gconstpointer data, gpointer user_data)
{
    const MigImageReply *reply = data;
    MigCli *cli = user_data;

    if (cli->json)
        mig_print_json(&mig_type_ImageReply, reply, TRUE);
    else if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%3d%%  %s of %s\033[K",
                reply->total > 0 ? (int)(reply->done * 100.0 / (double)reply->total) : 0,
                mig_show_size(reply->done), mig_show_size(reply->total));
}

static MigImageReply *
copy(MigCli *cli, const char *method, const MigType *type, gconstpointer request, GError **error)
{
    MigImageReply *reply;

    cli->client = mig_cli_connect(cli, error);
    if (!cli->client)
        return NULL;
    reply = mig_rpc_client_call_more(cli->client, method, type, request, &mig_type_ImageReply,
                                     on_copied, cli, 0, NULL, error);
    if (!cli->json && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    return reply;
}

gboolean
mig_cmd_image_create(MigCli *cli, char **arguments, GError **error)
{
    MigCreateImageRequest request = {.volume = arguments[0], .name = arguments[1]};
    g_autoptr(MigImageReply) reply = NULL;

    if (!mig_cli_parse_size("size", arguments[2], &request.size, error))
        return FALSE;
    reply = mig_cli_call(cli, "io.migrated.CreateImage", &mig_type_CreateImageRequest, &request,
                         &mig_type_ImageReply, 0, error);
    if (!reply)
        return FALSE;
    report(cli, reply, "created");
    return TRUE;
}

gboolean
mig_cmd_image_import(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(arguments[2], NULL);
    MigImportImageRequest request = {
        .volume = arguments[0], .name = arguments[1], .path = path, .format = option_format};
    g_autoptr(MigImageReply) reply = NULL;

    if (option_size && !mig_cli_parse_size("size", option_size, &request.size, error))
        return FALSE;
    reply = copy(cli, "io.migrated.ImportImage", &mig_type_ImportImageRequest, &request, error);
    if (!reply)
        return FALSE;
    report(cli, reply, "imported");
    return TRUE;
}

gboolean
mig_cmd_image_export(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(arguments[2], NULL);
    MigExportImageRequest request = {.volume = arguments[0],
                                     .name = arguments[1],
                                     .path = path,
                                     .format = option_format,
                                     .force = option_force};
    g_autoptr(MigImageReply) reply =
        copy(cli, "io.migrated.ExportImage", &mig_type_ExportImageRequest, &request, error);

    if (!reply)
        return FALSE;
    report(cli, reply, "exported");
    return TRUE;
}

gboolean
mig_cmd_image_list(MigCli *cli, char **arguments, GError **error)
{
    MigListImagesRequest request = {.volume = arguments[0]};
    g_autoptr(MigListImagesReply) reply =
        mig_cli_call(cli, "io.migrated.ListImages", &mig_type_ListImagesRequest, &request,
                     &mig_type_ListImagesReply, MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_ListImagesReply, reply, FALSE);
    else
        mig_print_images(reply->images);
    return TRUE;
}

gboolean
mig_cmd_image_delete(MigCli *cli, char **arguments, GError **error)
{
    MigImageRequest request = {.volume = arguments[0], .name = arguments[1]};

    return mig_cli_do(cli, "io.migrated.DeleteImage", &mig_type_ImageRequest, &request, error,
                      "image %s/%s deleted", request.volume, request.name);
}

gboolean
mig_cmd_image_rename(MigCli *cli, char **arguments, GError **error)
{
    MigRenameImageRequest request = {
        .volume = arguments[0], .name = arguments[1], .new_name = arguments[2]};

    return mig_cli_do(cli, "io.migrated.RenameImage", &mig_type_RenameImageRequest, &request, error,
                      "image %s/%s is %s now", request.volume, request.name, request.new_name);
}

gboolean
mig_cmd_image_clone(MigCli *cli, char **arguments, GError **error)
{
    MigRenameImageRequest request = {
        .volume = arguments[0], .name = arguments[1], .new_name = arguments[2]};
    g_autoptr(MigImageReply) reply =
        copy(cli, "io.migrated.CloneImage", &mig_type_RenameImageRequest, &request, error);

    if (!reply)
        return FALSE;
    report(cli, reply, "made");
    return TRUE;
}

gboolean
mig_cmd_image_grow(MigCli *cli, char **arguments, GError **error)
{
    MigCreateImageRequest request = {.volume = arguments[0], .name = arguments[1]};
    g_autoptr(MigImageReply) reply = NULL;

    if (!mig_cli_parse_size("size", arguments[2], &request.size, error))
        return FALSE;
    reply = mig_cli_call(cli, "io.migrated.GrowImage", &mig_type_CreateImageRequest, &request,
                         &mig_type_ImageReply, 0, error);
    if (!reply)
        return FALSE;
    report(cli, reply, "has grown");
    return TRUE;
}
