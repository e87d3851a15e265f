/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-dispatch.c - from a frame to its handler, with all that can be refused on the way. */

#include "rpc/server-private.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>

/* ---- refusing ---- */

static void
refuse(MigRpcConnection *c, gboolean oneway, const char *name, const char *key, const char *text)
{
    MigRpcAnswer answer = {.is_last = TRUE};

    if (!oneway)
        answer.frame = mig_error_frame(name, key, text);
    mig_rpc_connection_push(c, answer);
}

static void
refuse_protocol(MigRpcConnection *c, gboolean oneway, const char *text)
{
    mig_log_debug(NULL, "refused a message (uid %d): %s", (int)c->uid, text);
    refuse(c, oneway, "io.migrated.Protocol", "message", text);
}

/* ---- finding ---- */

/* NULL where the connection may not see it, as if it did not exist. */
static const MigRpcInterface *
find_interface(MigRpcConnection *c, const char *name)
{
    GPtrArray *all = c->server->interfaces;

    if (c->only_interface && !g_str_equal(name, c->only_interface) &&
        !g_str_equal(name, MIG_VARLINK_SERVICE))
        return NULL;
    for (guint i = 0; i < all->len; i++) {
        const MigRpcInterface *interface = all->pdata[i];

        if (g_str_equal(interface->name, name))
            return interface;
    }
    return NULL;
}

static const MigRpcMethod *
find_method(const MigRpcInterface *interface, const char *name)
{
    for (const MigRpcMethod *method = interface->methods; method->name; method++) {
        if (g_str_equal(method->name, name))
            return method;
    }
    return NULL;
}

void
mig_rpc_dispatch(MigRpcConnection *c, const char *json, gsize length)
{
    g_auto(MigRequestEnvelope) e = MIG_REQUEST_ENVELOPE_EMPTY;
    g_autoptr(GError) error = NULL;
    g_autofree char *interface_name = NULL;
    g_autofree char *denied = NULL;
    const MigRpcInterface *interface;
    const MigRpcMethod *method;
    const char *dot;
    gpointer request;
    MigRpcCall *call;

    /* one refusal says it all: nobody without rights stays, and takes a place for nothing */
    if (c->access == MIG_RPC_ACCESS_NONE)
        c->close_when_written = TRUE;
    if (!mig_request_envelope_parse(json, length, &e, &error)) {
        c->close_when_written = TRUE; /* who knows what else would follow */
        refuse_protocol(c, FALSE, error->message);
        return;
    }
    if (e.caller_uid >= 0 && c->origin != MIG_RPC_ORIGIN_PEER) {
        c->close_when_written = TRUE;
        refuse_protocol(c, FALSE, "only nodes say for whom they ask (\"caller_uid\")");
        return;
    }
    dot = strrchr(e.method, '.');
    interface_name = dot ? g_strndup(e.method, (gsize)(dot - e.method)) : g_strdup(e.method);
    interface = find_interface(c, interface_name);
    if (!interface) {
        if (c->origin == MIG_RPC_ORIGIN_PEER)
            mig_rpc_access_log_denied(c, e.method);
        refuse(c, e.oneway, MIG_VARLINK_SERVICE ".InterfaceNotFound", "interface", interface_name);
        return;
    }
    method = find_method(interface, dot + 1);
    if (!method) {
        refuse(c, e.oneway, MIG_VARLINK_SERVICE ".MethodNotFound", "method", e.method);
        return;
    }
    if (!mig_rpc_access_check(c, interface, method, e.method, &denied)) {
        refuse(c, e.oneway, "io.migrated.Denied", "message", denied);
        return;
    }
    if (((method->flags & MIG_RPC_METHOD_UPGRADE) != 0) != (e.upgrade != 0)) {
        refuse_protocol(c, e.oneway,
                        e.upgrade ? "this method knows no \"upgrade\""
                                  : "this method needs \"upgrade\"");
        return;
    }
    request = mig_json_to_message(method->request, e.parameters, &error);
    if (!request) {
        refuse_protocol(c, e.oneway, error->message);
        return;
    }

    c->is_upgrading = e.upgrade;
    call = g_new0(MigRpcCall, 1);
    call->connection = mig_rpc_connection_ref(c);
    call->method = method;
    call->full_method = g_steal_pointer(&e.method);
    call->request = request;
    call->wants_more = e.more && (method->flags & MIG_RPC_METHOD_MORE);
    call->oneway = e.oneway;
    call->caller_uid = e.caller_uid;
    method->handler(call, request, interface->user_data);
}

/* ---- org.varlink.service ---- */

typedef struct {
    char *vendor, *product, *version, *url;
    char **interfaces;
} Info;

typedef struct {
    char *text;
} Text;

#define SERVICE_FIELD(type, name, kind)                                    \
    {                                                                      \
#name, kind, G_STRUCT_OFFSET(type, name), MIG_FIELD_REQUIRED, NULL \
    }
static const MigField info_fields[] = {
    SERVICE_FIELD(Info, vendor, MIG_FIELD_STRING),   SERVICE_FIELD(Info, product, MIG_FIELD_STRING),
    SERVICE_FIELD(Info, version, MIG_FIELD_STRING),  SERVICE_FIELD(Info, url, MIG_FIELD_STRING),
    SERVICE_FIELD(Info, interfaces, MIG_FIELD_STRV),
};
static const MigField interface_fields[] = {
    {"interface", MIG_FIELD_STRING, G_STRUCT_OFFSET(Text, text), MIG_FIELD_REQUIRED, NULL},
};
static const MigField description_fields[] = {
    {"description", MIG_FIELD_STRING, G_STRUCT_OFFSET(Text, text), MIG_FIELD_REQUIRED, NULL},
};
static const MigType empty_type = {"()", 1, NULL, 0};
static const MigType info_type = {"GetInfo", sizeof(Info), info_fields, 5};
static const MigType interface_type = {"GetInterfaceDescription", sizeof(Text), interface_fields,
                                       1};
static const MigType description_type = {"GetInterfaceDescription", sizeof(Text),
                                         description_fields, 1};

static const char service_description[] =
    "# The Varlink service interface, see https://varlink.org/Service\n"
    "interface org.varlink.service\n\n"
    "method GetInfo() -> (vendor: string, product: string, version: string, url: string,\n"
    "  interfaces: []string)\n"
    "method GetInterfaceDescription(interface: string) -> (description: string)\n\n"
    "error InterfaceNotFound (interface: string)\n"
    "error MethodNotFound (method: string)\n"
    "error MethodNotImplemented (method: string)\n"
    "error InvalidParameter (parameter: string)\n";

static void
get_info(MigRpcCall *call, gconstpointer request, gpointer user_data)
{
    MigRpcServer *server = user_data;
    MigRpcConnection *c = call->connection;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    Info info = {server->vendor, server->product, server->version, (char *)"", NULL};

    for (guint i = 0; i < server->interfaces->len; i++) {
        MigRpcInterface *interface = server->interfaces->pdata[i];

        if (find_interface(c, interface->name))
            g_ptr_array_add(names, interface->name);
    }
    g_ptr_array_add(names, NULL);
    info.interfaces = (char **)names->pdata;
    mig_rpc_call_reply(call, &info);
}

static void
get_interface_description(MigRpcCall *call, gconstpointer request, gpointer user_data)
{
    const Text *wanted = request;
    const MigRpcInterface *interface = find_interface(call->connection, wanted->text);
    Text description = {NULL};

    if (!interface) {
        MigRpcAnswer answer = {.is_last = TRUE};

        if (!call->oneway)
            answer.frame = mig_error_frame(MIG_VARLINK_SERVICE ".InterfaceNotFound", "interface",
                                           wanted->text);
        mig_rpc_call_finish(call, answer);
        return;
    }
    description.text = (char *)interface->description;
    mig_rpc_call_reply(call, &description);
}

static const MigRpcMethod service_methods[] = {
    {"GetInfo", &empty_type, &info_type, MIG_RPC_METHOD_READ, get_info},
    {"GetInterfaceDescription", &interface_type, &description_type, MIG_RPC_METHOD_READ,
     get_interface_description},
    {NULL},
};

void
mig_rpc_add_service_interface(MigRpcServer *server)
{
    mig_rpc_server_add_interface(server, MIG_VARLINK_SERVICE, service_description, service_methods,
                                 server);
}
