/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* facts.c - the target's answers, and the source's question. */
#include "facts.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "drivers/definition-needs.h"
#include "drivers/definition-xml.h"
#include "incoming.h"
#include "jobs.h"
#include "link.h"
#include "net.h"
#include "turns.h"
#include "vms.h"

#include <string.h>

/* ---- on the target ---- */

char *
mig_facts_missing_image(MigDaemon *daemon, const char *const *images)
{
    for (guint i = 0; images && images[i]; i++) {
        g_auto(GStrv) parts = g_strsplit(images[i], "/", 2);
        g_autoptr(MigAttached) attached =
            g_strv_length(parts) == 2 ? mig_volumes_get(daemon->volumes, parts[0], NULL) : NULL;
        g_autoptr(MigImage) image =
            attached ? mig_csv_image(mig_attached_csv(attached), parts[1], NULL) : NULL;

        if (!image)
            return g_strdup(images[i]);
    }
    return NULL;
}

MigDomainState
mig_facts_domain(MigDaemon *daemon, const char *vm, const char *uuid)
{
    g_autoptr(GError) error = NULL;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    if (!daemon->hv->get_state(daemon->hv->self, vm, uuid, &state, &error) &&
        g_error_matches(error, MIG_ERROR, MIG_ERROR_EXISTS))
        state = MIG_DOMAIN_PAUSED;
    return state;
}

static void
add_missing_interfaces(const MigNeeds *needs, GStrvBuilder *missing)
{
    for (guint i = 0; needs->bridges[i]; i++) {
        g_autofree char *text = g_strdup_printf("bridge %s (up)", needs->bridges[i]);

        if (!mig_net_has_interface(needs->bridges[i], TRUE))
            g_strv_builder_add(missing, text);
    }
    for (guint i = 0; needs->cards[i]; i++) {
        g_autofree char *text = g_strdup_printf("network card %s (up)", needs->cards[i]);

        if (!mig_net_has_interface(needs->cards[i], FALSE))
            g_strv_builder_add(missing, text);
    }
}

static void
gather_plugs(const MigNeeds *needs, const MigFit *fit, MigPeerFactsReply *reply)
{
    g_autoptr(GStrvBuilder) missing = g_strv_builder_new(), media = g_strv_builder_new();

    g_strv_builder_addv(missing, (const char **)fit->missing_networks);
    add_missing_interfaces(needs, missing);
    reply->missing_networks = g_strv_builder_end(missing);
    for (guint i = 0; needs->media[i]; i++) {
        if (!g_file_test(needs->media[i], G_FILE_TEST_EXISTS))
            g_strv_builder_add(media, needs->media[i]);
    }
    reply->missing_media = g_strv_builder_end(media);
}

static void
gather_fit(MigDaemon *daemon, const char *vm, const MigNeeds *needs, const MigFit *fit,
           MigPeerFactsReply *reply)
{
    reply->uuid_owner = g_strdup(fit->uuid_owner);
    reply->emulator = fit->has_emulator;
    reply->machine = fit->has_machine;
    reply->machine_problem = g_strdup(fit->machine_problem);
    reply->cpu = g_strdup(mig_cpu_fit_name(fit->cpu));
    reply->cpu_problem = g_strdup(fit->cpu_problem);
    reply->numa_problem = g_strdup(fit->numa_problem);
    reply->postcopy = !fit->postcopy_problem;
    reply->postcopy_problem = g_strdup(fit->postcopy_problem);
    reply->memory_free = (gint64)(needs->hugepage_bytes ? fit->hugepages_free_bytes
                                                        : mig_volumes_memory_free(daemon->volumes));
    reply->memory_reserved =
        (gint64)mig_incoming_reserved(daemon->incoming, NULL, vm, needs->hugepage_bytes);
    gather_plugs(needs, fit, reply);
}

static void
gather_link(MigDaemon *daemon, const char *probe_from, MigPeerFactsReply *reply)
{
    g_autoptr(MigLinkFacts) facts = mig_link_look(daemon->link);
    MigPeerLink *link = mig_PeerLink_new();

    link->address = g_strdup(facts->address);
    link->interface = g_strdup(facts->interface);
    link->up = facts->is_up;
    link->mtu = facts->mtu;
    link->default_route = facts->has_default_route;
    link->guests = g_steal_pointer(&facts->guests);
    link->clients = g_steal_pointer(&facts->clients);
    reply->link = link;
    reply->migration = g_strdup(facts->address);
    if (probe_from && facts->is_up)
        reply->probe_port = mig_link_await(daemon->link, probe_from, &reply->probe_word);
}

MigPeerFactsReply *
mig_facts_gather(MigDaemon *daemon, const MigPeerFactsRequest *request, GError **error)
{
    mig_jobs_await_arrived(daemon->jobs, request->vm);
    g_autoptr(MigPeerFactsReply) reply = mig_PeerFactsReply_new();
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->volume, NULL);
    g_autoptr(MigNeeds) needs = mig_definition_needs(request->definition, error);
    g_autoptr(MigFit) fit =
        needs ? daemon->hv->fit(daemon->hv->self, needs, request->vm, request->uuid, error) : NULL;
    g_autoptr(MigHostCpu) cpu = fit ? daemon->hv->get_cpu(daemon->hv->self, error) : NULL;

    if (!cpu)
        return NULL;
    /* not as our slot has it: who is told that a node drains may rely on that at once */
    reply->draining = mig_volumes_is_draining(daemon->volumes);
    reply->attached = attached && !g_str_equal(mig_attached_state(attached), "lost");
    reply->missing_image = mig_facts_missing_image(daemon, (const char *const *)request->images);
    reply->domain =
        g_strdup(mig_domain_state_name(mig_facts_domain(daemon, request->vm, request->uuid)));
    gather_link(daemon, request->probe_from, reply);
    reply->cpu_vendor = g_strdup(cpu->vendor);
    reply->cpu_features = g_strdup(cpu->features);
    reply->microcode = g_strdup(cpu->microcode);
    reply->emulator_version = (gint64)cpu->emulator_version;
    reply->waits_for = mig_turns_peek(daemon->turns, request->job, request->source, daemon->node);
    gather_fit(daemon, request->vm, needs, fit, reply);
    return g_steal_pointer(&reply);
}

/* ---- on the source ---- */

static void
check_target(MigDaemon *daemon, const MigJob *job, const char *cpu_vendor,
             const MigPeerFactsReply *reply, GPtrArray *checks)
{
    const MigTargetFacts facts = {.vm = job->vm,
                                  .node = job->target,
                                  .is_draining = reply->draining,
                                  .volume = job->volume,
                                  .is_volume_attached = reply->attached,
                                  .missing_image = reply->missing_image,
                                  .domain = mig_domain_state_from_name(reply->domain),
                                  .uuid_owner = reply->uuid_owner,
                                  .hugepage_bytes = job->hugepage_bytes,
                                  .memory_needed_bytes = job->memory_bytes,
                                  .memory_free_bytes = (guint64)MAX(reply->memory_free, 0),
                                  .memory_reserved_bytes = (guint64)MAX(reply->memory_reserved, 0),
                                  .cpu_vendor = reply->cpu_vendor,
                                  .source_cpu_vendor = cpu_vendor,
                                  .migration = reply->migration,
                                  .source_migration = mig_link_address(daemon->link)};

    mig_checks_target(&facts, checks);
}

static void
check_link(MigDaemon *daemon, const MigJob *job, const MigLinkFacts *here, guint64 turn,
           const MigPeerFactsReply *reply, GPtrArray *checks)
{
    const MigPeerLink *said = reply->link;
    char *none[] = {NULL};
    g_auto(MigPathFacts) path = {0};
    gboolean can_send;

    if (!said)
        return;
    const MigLinkFacts there = {.address = said->address,
                                .interface = said->interface,
                                .is_up = said->up,
                                .mtu = (guint)CLAMP(said->mtu, 0, G_MAXUINT16),
                                .has_default_route = said->default_route,
                                .guests = said->guests ? said->guests : none,
                                .clients = said->clients ? said->clients : none};

    can_send = mig_link_can_send(here, &there);
    if (can_send)
        mig_link_measure(daemon->link, job->target, turn, here, &there,
                         (guint16)CLAMP(reply->probe_port, 0, G_MAXUINT16), reply->probe_word,
                         &path);
    mig_checks_link(daemon->node, here, job->target, &there, can_send ? &path : NULL, checks);
}

static void
check_guest(MigDaemon *daemon, const MigJob *job, const MigNeeds *needs, const MigHostCpu *cpu,
            const MigPeerFactsReply *reply, GPtrArray *checks)
{
    MigFit fit = {.has_emulator = reply->emulator,
                  .has_machine = reply->machine,
                  .machine_problem = reply->machine_problem,
                  .cpu = mig_cpu_fit_from_name(reply->cpu),
                  .cpu_problem = reply->cpu_problem,
                  .numa_problem = reply->numa_problem};
    MigHostCpu target = {.vendor = reply->cpu_vendor,
                         .features = reply->cpu_features,
                         .microcode = reply->microcode,
                         .emulator_version = (guint64)reply->emulator_version};
    const MigGuestFacts facts = {.vm = job->vm,
                                 .node = daemon->node,
                                 .target = job->target,
                                 .needs = needs,
                                 .fit = &fit,
                                 .source_cpu = cpu,
                                 .target_cpu = &target,
                                 .missing_networks = (const char *const *)reply->missing_networks,
                                 .missing_media = (const char *const *)reply->missing_media};

    mig_checks_guest(&facts, checks);
}

/* here: this node's end of the link. turn: to measure it, or 0. */
static gboolean
ask_target(MigDaemon *daemon, MigJob *job, const char *cpu_vendor, const MigLinkFacts *here,
           guint64 turn, char ***images, GPtrArray *checks, GError **error)
{
    const char *address = mig_link_address(daemon->link);
    g_autofree char *probe_from =
        address && turn ? g_strndup(address, strcspn(address, "/")) : NULL;
    g_autofree char *xml = daemon->hv->get_definition(daemon->hv->self, job->vm, job->uuid, error);
    g_autoptr(MigNeeds) needs = xml ? mig_definition_needs(xml, error) : NULL;
    g_autoptr(MigDefinition) definition = needs ? mig_definition_parse(xml, error) : NULL;
    g_autoptr(MigHostCpu) cpu = definition ? daemon->hv->get_cpu(daemon->hv->self, error) : NULL;
    g_autofree char *waits_for = mig_turns_peek(daemon->turns, job->id, daemon->node, job->target);
    MigPeerFactsRequest request = {.vm = job->vm,
                                   .uuid = job->uuid,
                                   .volume = job->volume,
                                   .source = (char *)daemon->node,
                                   .job = job->id,
                                   .probe_from = probe_from,
                                   .definition = xml,
                                   .images = definition ? definition->images : NULL};
    g_autoptr(GError) bad = NULL;
    g_autoptr(MigPeerFactsReply) reply = NULL;

    if (!cpu)
        return FALSE;
    job->hugepage_bytes = needs->hugepage_bytes;
    *images = g_strdupv(definition->images);
    reply =
        mig_peer_rpc_call_kept(daemon->peer, job->target, "GetFacts", &mig_type_PeerFactsRequest,
                               &request, &mig_type_PeerFactsReply, MIG_PEER_CALL_MS, &bad);
    if (!reply && g_error_matches(bad, MIG_ERROR, MIG_ERROR_PROTOCOL)) {
        mig_checks_no_answer(job->target, bad->message, checks);
        return TRUE;
    }
    if (!reply) {
        g_propagate_error(error, g_steal_pointer(&bad));
        return FALSE;
    }
    check_target(daemon, job, cpu_vendor, reply, checks);
    check_guest(daemon, job, needs, cpu, reply, checks);
    check_link(daemon, job, here, turn, reply, checks);
    job->can_postcopy = mig_checks_postcopy(
        job->vm, job->target, job->policy,
        reply->postcopy ? NULL
                        : (reply->postcopy_problem ? reply->postcopy_problem : "it does not say"),
        checks);
    mig_checks_pair(waits_for ? waits_for : reply->waits_for, daemon->node, job->target, checks);
    return TRUE;
}

gboolean
mig_facts_check_target(MigDaemon *daemon, MigJob *job, const char *cpu_vendor, char ***images,
                       GPtrArray *checks, GError **error)
{
    g_autoptr(MigLinkFacts) here = mig_link_look(daemon->link);
    guint64 turn = mig_link_address(daemon->link)
                       ? mig_link_begin_probe(daemon->link, job->target, job->wants_forecast)
                       : 0;
    gboolean ok = ask_target(daemon, job, cpu_vendor, here, turn, images, checks, error);

    if (turn)
        mig_link_end_probe(daemon->link, turn); /* it may not have come to it */
    return ok;
}
