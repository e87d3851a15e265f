/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csv.h - the volume: one shared LUN, its slots, its images and its leases. */
#pragma once

/*
 * libcsv is the only code that knows what the bytes on a LUN mean. It is plain C, keeps no
 * thread of its own and no state outside its handles. It does not talk to the sanlock daemon:
 * who may call a writing function is decided by the lease that the *caller* holds, and
 * each such function says which one.
 *
 * Results. 0 is success. A positive value is a documented condition that the caller handles
 * (not found, exists, full ...). A negative value is fatal for the operation (I/O error, damage).
 * Every fallible function fills `struct csv_error` (may be NULL) with one clear line.
 * On any result but 0 the outputs are untouched, and so is the LUN unless said otherwise.
 *
 * Threads. A handle may be used from several threads at once; the library locks inside.
 * All I/O is synchronous and O_DIRECT: never call it from a main loop.
 *
 * Format history
 *   1  first version
 *   1  blocks of VM and image slots: the last three requests, before reserved and zero. An older
 *      writer forgets them, and asks nobody to remember any
 *   1  VM slots: policy and prefer_host_id, before reserved and zero. Zero is the default, so a
 *      volume without them reads as it did; an older writer sets a VM back to the default
 *   1  VM slots: relations, before reserved and zero, with the same rule. No feature bit: who does
 * not know them starts a VM in a worse place or order, and never twice
 *   1  VM slots: move_policy, before reserved and zero, with the same rule. No feature bit: who
 * does not know it moves a VM by the node's policy
 *   1  node slots: notes, before reserved and zero, outside of the payload. No feature bit: for
 * people
 *   1  superblocks: their generation is one higher with each growth of the volume, and the second
 * one is where the first one says, not always at the end of the LUN
 *   1  superblocks: incompatible feature 1, a directory: the volume is a file there, without a data
 * region, and images without extents are files beside it
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_FORMAT_VERSION 1

/* A name (volume, node, VM, image): 1 to 47 bytes of [A-Za-z0-9._-], the first one a letter or a
 * digit. 47 because sanlock's names have 48 bytes. */
#define CSV_NAME_MAX 47

#define CSV_UUID_STR       37 /* bytes of a printed uuid with its NUL */
#define CSV_PATH_MAX       512
#define CSV_MAX_NODES      250  /* sanlock: 1 MiB lease areas with 4096 byte sectors */
#define CSV_MAX_VMS        4096 /* bits in a node slot's running bitmap */
#define CSV_MAX_IMAGES     16384
#define CSV_EXTENT_DEFAULT (4u << 20)
#define CSV_MAX_EXTENTS    200   /* of one image */
#define CSV_DEFINITION_MAX 30000 /* bytes of a VM definition (libvirt XML) */
#define CSV_NODE_NOTES_MAX 3071  /* bytes of a node's notes */
#define CSV_RELATIONS_MAX  1023  /* bytes of a VM's relations to others */
#define CSV_CERT_MAX       4096  /* bytes of a node's certificates (DER, one after the other) */

enum csv_code {
    CSV_OK = 0,
    /* conditions */
    CSV_NOT_FOUND = 1,          /* no such VM, image or node */
    CSV_EXISTS = 2,             /* name (or uuid) taken */
    CSV_FULL = 3,               /* no room for the data */
    CSV_NO_SLOT = 4,            /* room for data, but no free slot */
    CSV_BAD_NAME = 5,           /* not a name, see CSV_NAME_MAX */
    CSV_BAD_VALUE = 6,          /* a value out of its range; text says which */
    CSV_BUSY = 7,               /* device in use (image open, owner elsewhere) */
    CSV_IN_USE = 8,             /* image belongs to another VM */
    CSV_STALE_EPOCH = 9,        /* a newer coordinator has written: you are not it any more */
    CSV_ALREADY_FORMATTED = 10, /* a volume or something else is on the LUN; force overrides */
    CSV_TOO_SMALL = 11,         /* LUN too small for the format asked for */
    CSV_FRAGMENTED = 12,        /* room, but not in one piece, and one piece is needed here */
    /* fatal */
    CSV_E_IO = -1,        /* read or write failed; error.sys has errno */
    CSV_E_SYS = -2,       /* another system call failed; error.sys has errno */
    CSV_E_NO_VOLUME = -3, /* the LUN is not a volume: blank or garbage */
    CSV_E_FUTURE = -4,    /* formatted by a later version or with features unknown here */
    CSV_E_SECTOR = -5,    /* formatted for another sector size than the LUN has now */
    CSV_E_TRUNCATED = -6, /* the LUN is shorter than the volume on it */
    CSV_E_DAMAGED = -7,   /* a block fails its checks in both copies; text says which and how */
    CSV_E_READ_ONLY = -8, /* handle was opened read-only */
    CSV_E_MOUNT = -9,     /* a directory that is mounted so that it cannot be trusted */
};

struct csv_error {
    enum csv_code code;
    int sys;        /* errno or 0 */
    char text[256]; /* one line, no newline */
};

/* "CSV_NOT_FOUND"; never NULL */
const char *csv_code_name(int code);

/* Is this a name by the rule at CSV_NAME_MAX? */
bool csv_name_is_valid(const char *name);

struct csv_volume;

/* ---- the volume ------------------------------------------------------------------------- */

struct csv_info {
    char name[CSV_NAME_MAX + 1];
    char uuid[CSV_UUID_STR];
    char path[CSV_PATH_MAX]; /* as given to open */
    uint32_t version;        /* of the format */
    uint32_t sector_bytes;   /* 512 or 4096 */
    uint32_t io_timeout_s;   /* sanlock's, the same for every node of this volume */
    uint32_t max_nodes, max_vms, max_images;
    uint64_t extent_bytes;
    uint64_t size_bytes;   /* of the volume */
    uint64_t device_bytes; /* of the LUN as seen now */
    uint64_t data_offset_bytes, data_bytes;
    uint32_t feature_compat, feature_ro_compat, feature_incompat;
    bool is_directory; /* path is one; images are files in it, and data_bytes is 0 */
    bool is_local;     /* on a file system of this host, which others may not see; not told of a
                          handle opened read-only */
};

struct csv_format_options {
    const char *name;
    uint32_t io_timeout_s; /* 0: 10 */
    uint32_t max_nodes;    /* 0: 64 */
    uint32_t max_vms;      /* 0: 256, fewer on a small LUN */
    uint32_t max_images;   /* 0: 1024, fewer on a small LUN */
    uint64_t extent_bytes; /* 0: CSV_EXTENT_DEFAULT; power of two, 1 MiB to 1 GiB */
    bool force;            /* overwrite what is there */
};

/* A volume is on a LUN, or in a directory that all nodes see (NFS, a cluster file system): what
 * path is decides. In a directory the file CSV_CATALOGUE_FILE takes the LUN's place, and each image
 * is a file UUID.img beside it; whatever else lies there is left alone. Without force only an empty
 * directory is taken; force removes the images of a volume that was there.
 *
 * Writes an empty volume: superblocks, slots, sanlock's lockspace and the two fixed leases. The
 * first superblock is written last, so that a format cut short leaves no volume. Without force
 * it refuses a LUN that carries a volume or anything else that is not all zero in the first MiB.
 * The caller makes sure that no node has it attached (csv_open() tells its uuid). */
int csv_format(const char *path, const struct csv_format_options *options, struct csv_info *info,
               struct csv_error *error);

#define CSV_OPEN_READ_ONLY 1u

/* Opens and checks the superblock. Free with csv_close(). */
int csv_open(const char *path, unsigned flags, struct csv_volume **volume, struct csv_error *error);
void csv_close(struct csv_volume *volume);

/* Valid as long as the handle. */
const struct csv_info *csv_volume_info(const struct csv_volume *volume);

#define CSV_USAGE_CELLS 64
struct csv_usage {
    uint64_t total_bytes, used_bytes, free_bytes, largest_free_bytes;
    uint64_t device_bytes; /* of the LUN as it is now */
    uint32_t free_runs;    /* pieces that the free space is in */
    uint32_t images, vms;
    /* a picture: percent used of each 64th of the data, in order of the LUN */
    uint8_t cells[CSV_USAGE_CELLS];
};
int csv_volume_usage(struct csv_volume *volume, struct csv_usage *usage, struct csv_error *error);

/* One image that has to go elsewhere so that a run comes free. */
struct csv_space_move {
    char image[CSV_NAME_MAX + 1];
    uint64_t bytes;
    uint64_t from_bytes; /* where on the LUN it begins */
    uint64_t to_bytes;   /* where a new image of that size goes, in one piece */
};
/* What to move for a free run of that many bytes in one piece: few bytes, each image whole, made
 * anew by csv_image_create() in this order and then deleted where it was; not always the fewest,
 * for no puzzle is solved. *count 0: there is such a run already. Changes nothing; free(*moves).
 * CSV_FULL: not so much is free; CSV_FRAGMENTED: it is, but no single round of moves was found. */
int csv_space_plan(struct csv_volume *volume, uint64_t bytes, struct csv_space_move **moves,
                   size_t *count, uint64_t *run_bytes, struct csv_error *error);

/* ---- leases: where they are; taking them is the caller's business --------------------------- */

enum csv_lease_kind {
    CSV_LEASE_COORDINATOR, /* changes of the catalogue (VMs, images) */
    CSV_LEASE_REGISTRY,    /* changes of the node list */
    CSV_LEASE_VM,          /* running one VM; index = its slot */
};

/* Everything that sanlock wants to know. */
struct csv_lease {
    char lockspace[CSV_NAME_MAX + 1]; /* = volume name */
    char resource[CSV_NAME_MAX + 1];  /* VM name, or ".coordinator", ".registry" */
    uint64_t offset_bytes;
    uint32_t sector_bytes, align_bytes;
};

/* Fills *lease; resource is "" for a VM lease: it is the VM's name. */
int csv_lease_locate(const struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                     struct csv_lease *lease, struct csv_error *error);
/* Where sanlock's lockspace (delta leases) is. */
void csv_lockspace_locate(const struct csv_volume *volume, struct csv_lease *lease);

struct csv_lease_owner {
    char resource[CSV_NAME_MAX + 1];
    uint64_t host_id; /* 0: free */
    uint64_t host_generation;
    uint64_t lver;
    uint64_t last_host_id; /* who had it last where it is free; 0: nobody yet */
    const char *doubt; /* csv_lease_check()'s: what its ballots say against this; NULL: nothing */
};
/* Reads sanlock's leader record of a lease from the LUN: who has it as far as the disk knows. */
int csv_lease_read(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                   struct csv_lease_owner *owner, struct csv_error *error);

/* What the delta lease of a host says on the LUN. CSV_NOT_FOUND: that host was never here. */
struct csv_host_lease {
    uint64_t host_generation;
    bool is_free;       /* its last start holds it no more, and with it no lease at all */
    uint64_t renewed_s; /* when it was last renewed, by that host's own monotonic clock */
};
int csv_lockspace_read(struct csv_volume *volume, uint32_t host_id, struct csv_host_lease *lease,
                       struct csv_error *error);
/* Is no host of the volume's lockspace alive, by the LUN? Then *alive is 0, else one of them. A
 * record that is no host's lease counts as none; CSV_E_IO: one could not be read, so nobody knows.
 */
int csv_lockspace_alive(struct csv_volume *volume, uint32_t *alive, struct csv_error *error);
/* Frees the delta lease of a host of which something outside of this cluster has made sure that it
 * is off: from then on its leases can be taken at once. Only that start of the host: CSV_NOT_FOUND
 * where its lease is of another generation (it is back), CSV_E_DAMAGED where the record is not its
 * own, CSV_BUSY where the write could not be seen afterwards. Freeing a free one is success. */
int csv_lockspace_release(struct csv_volume *volume, uint32_t host_id, uint64_t host_generation,
                          struct csv_error *error);

/* ---- nodes: each slot is written by its owner alone, no lock ----------------------------------
 */

struct csv_node {
    uint32_t host_id; /* 1 to max_nodes, sanlock's; also the slot's number */
    char name[CSV_NAME_MAX + 1];
    char management[64]; /* address of the peer channel, text */
    uint16_t port;
    char migration[64]; /* address, text, with prefix length: 10.0.1.3/24 */
    char cpu_vendor[16];
    uint64_t memory_bytes;      /* of the host */
    uint64_t memory_free_bytes; /* left for VMs as the owner reckons */
    uint32_t cpus;
    uint32_t flags;           /* CSV_NODE_* */
    uint64_t heartbeat;       /* +1 with every write */
    uint64_t host_generation; /* sanlock's, of this start */
    int64_t written_ms;       /* owner's wall clock: for people, never for decisions */
    char version[32];         /* of migrated */
    uint16_t cert_bytes;
    uint8_t cert[CSV_CERT_MAX];
    uint8_t running[CSV_MAX_VMS / 8]; /* bit per VM slot: runs here */
    /* What it has to tell, for when it cannot be asked any more; whatever text, for people. */
    char notes[CSV_NODE_NOTES_MAX + 1];
};
#define CSV_NODE_DRAINING 1u
#define CSV_NODE_WATCHDOG 2u  /* sanlock's watchdog is armed there */
#define CSV_NODE_LEFT     4u  /* stopped in an orderly way */
#define CSV_NODE_ENCRYPTS 8u  /* memory of VMs on the move is encrypted from and to there */
#define CSV_NODE_PASSIVE  16u /* it fences nobody and restarts no VM: others do */

/* Writes node->host_id's slot, whoever's it is now, and counts node->heartbeat up. Caller: that
 * node, when it takes the slot. */
int csv_node_write(struct csv_volume *volume, struct csv_node *node, struct csv_error *error);
/* The same, of a slot that is node->name's already. CSV_NOT_FOUND: it is not, for the node was
 * removed. Should that happen while this writes, what it writes does not count. */
int csv_node_beat(struct csv_volume *volume, struct csv_node *node, struct csv_error *error);
/* CSV_NOT_FOUND: slot never used. */
int csv_node_read(struct csv_volume *volume, uint32_t host_id, struct csv_node *node,
                  struct csv_error *error);
/* All used slots in one sequential read; free(*nodes). A damaged slot is left out and counted. */
int csv_node_list(struct csv_volume *volume, struct csv_node **nodes, size_t *count,
                  size_t *damaged, struct csv_error *error);
/* Empties a slot that is this node's: its last write, and as its heartbeats it does not count where
 * the node is removed meanwhile and the slot is another's. CSV_NOT_FOUND: not its own any more.
 * Caller: that node; no lease. */
int csv_node_leave(struct csv_volume *volume, uint32_t host_id, const char *name,
                   struct csv_error *error);
/* Empties the slot of a node that is dead, for good: both copies, and a write of that node that was
 * stuck does not bring it back when it lands later. Caller holds the registry lease. On an error it
 * may be empty already; try again. */
int csv_node_clear(struct csv_volume *volume, uint32_t host_id, struct csv_error *error);

/* ---- the catalogue: VMs and images. Writers hold the coordinator lease -------------------------
 */

/* Whose writes these are. Every catalogue block carries it; a block of a higher epoch on the LUN
 * makes a writer of a lower one fail with CSV_STALE_EPOCH. So the coordinator lease of a dead host
 * must be released, never re-initialised: that would set lver back to 0, and every writer with it.
 */
struct csv_epoch {
    uint64_t lver;            /* version of the coordinator lease as acquired */
    uint64_t host_generation; /* sanlock's, of the writer */
    uint32_t host_id;
    /* What is being done: a uuid of the asker's own, "" none. It is committed with the change, and
     * stays in the slot for two further ones, whether the slot is freed or used anew meanwhile. */
    char request[CSV_UUID_STR];
};

/* What a request has left on the LUN. */
struct csv_request {
    bool is_vm; /* else an image */
    bool is_used;
    bool is_last;                /* no other request has changed that slot since */
    char name[CSV_NAME_MAX + 1]; /* of what is in that slot now, "" nothing */
};
/* Has this request changed something? Whoever is asked a second time, and was not there the first
 * time, looks here before doing it. VMs come first. CSV_NOT_FOUND: nothing that is still known;
 * CSV_E_DAMAGED: nothing, but a slot is damaged that may have it; CSV_BUSY: its slot never stands
 * still. What does not count, since it came late, has not been done.
 * Reads all slots. */
int csv_request_find(struct csv_volume *volume, const char *request, struct csv_request *found,
                     struct csv_error *error);

/* Asked right before each write that a holder of the coordinator lease may do (slots, leases of
 * VMs, zeroing and discarding space): may it still? false ends the change with CSV_STALE_EPOCH.
 * guard NULL: none. Any thread that changes something calls it; set before the first. */
typedef bool (*csv_guard)(void *data);
void csv_volume_set_guard(struct csv_volume *volume, csv_guard guard, void *data);

/* Writes anew what lacks its second write, for its writer died in between: so does each change, for
 * all of the catalogue, but the next one may be months away. Caller: the coordinator. */
int csv_settle(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error);

/* Takes over what the LUN has grown by since the volume was formatted, while it is in use: other
 * handles notice by themselves, once their node's LUN has grown, too. Caller: the coordinator. A
 * LUN that has not grown is success. *info (may be NULL) is what csv_volume_info() says then. */
int csv_volume_grow(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_info *info,
                    struct csv_error *error);

enum csv_wanted { CSV_WANTED_STOPPED = 0, CSV_WANTED_RUNNING = 1 };

/* When a wanted VM is started again by itself. */
enum csv_restart {
    CSV_RESTART_ON_NODE_DEATH = 0,
    CSV_RESTART_ALWAYS = 1,
    CSV_RESTART_NEVER = 2,
};

struct csv_vm {
    uint32_t slot;
    char name[CSV_NAME_MAX + 1];
    char uuid[CSV_UUID_STR];
    enum csv_wanted wanted;
    uint32_t priority;     /* 0 to 1000 */
    uint64_t memory_bytes; /* what a node must have free to run it */
    uint32_t vcpus;
    uint64_t generation;   /* of the slot; read-only */
    uint32_t last_host_id; /* who has last marked it as wanted, or not; 0 nobody (wanted.h) */
    enum csv_restart restart;
    bool restarts_on_isolation; /* its node is cut off: it ends there and starts elsewhere */
    uint32_t prefer_host_id;    /* where it starts if it can, 0 anywhere */
    uint32_t move_policy;       /* its user's, who may meet one that it does not know; 0: none */
    /* Other VMs by name, one space between, each behind a sign: '+' on their node if possible, '-'
     * never on their node, '>' after they run. "": none. */
    char relations[CSV_RELATIONS_MAX + 1];
    char *definition; /* libvirt XML without the lease, or NULL in listings without it */
};
void csv_vm_clear(struct csv_vm *vm); /* frees definition, zeroes */

/* Ready-made array; free with csv_vm_list_free(). One sequential read. A damaged slot is left out
 * here and from csv_image_list(); csv_check() names it, and nothing new is created meanwhile.
 * Without definitions it is for who looks every few seconds: slots behind those ever used are read
 * by the first call on a handle and every 16th after it. */
int csv_vm_list(struct csv_volume *volume, bool with_definition, struct csv_vm **vms, size_t *count,
                struct csv_error *error);
void csv_vm_list_free(struct csv_vm *vms, size_t count);
int csv_vm_find(struct csv_volume *volume, const char *name, struct csv_vm *vm,
                struct csv_error *error);

/* New VM: picks a slot, initialises that slot's sanlock lease under the VM's name, then
 * commits the slot. vm->slot is set. Idempotent for its own retry (same name, uuid, definition). */
int csv_vm_create(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_vm *vm,
                  struct csv_error *error);
/* Replaces slot vm->slot; name and uuid must be those on the LUN; definition NULL keeps the old. */
int csv_vm_update(struct csv_volume *volume, const struct csv_epoch *epoch, const struct csv_vm *vm,
                  struct csv_error *error);
/* Frees the slot and its images' ownership, and gives its lease a name that no VM can have. The
 * lease is free, and the caller knows that nobody can take it. */
int csv_vm_delete(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                  struct csv_error *error);
/* The same for who holds the VM's lease, and gives it another name as he gives it back: it is left
 * as it is. Killed in between, a lease is left that nobody asks for. */
int csv_vm_delete_held(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                       struct csv_error *error);

struct csv_extent {
    uint64_t offset_bytes; /* on the LUN */
    uint64_t bytes;
};

struct csv_image {
    uint32_t slot;
    char name[CSV_NAME_MAX + 1];
    char uuid[CSV_UUID_STR];
    uint64_t size_bytes; /* what the guest sees; multiple of 1 MiB is not required, 4096 is */
    char owner[CSV_NAME_MAX + 1]; /* VM name, "" = none */
    uint32_t flags;               /* CSV_IMAGE_* */
    uint64_t generation;
    uint32_t extent_count;
    struct csv_extent extents[CSV_MAX_EXTENTS];
};
#define CSV_IMAGE_SHARED 1u /* may belong to several VMs */

/* One free(*images) gives all of it back. Each image ends with its last extent, so that thousands
 * of them take little memory: never copy one as a whole. */
int csv_image_list(struct csv_volume *volume, struct csv_image ***images, size_t *count,
                   struct csv_error *error);
/* CSV_E_DAMAGED also where the slot of the VM that it was given to is damaged: that may run with
 * it. *image is filled all the same then, without an owner. */
int csv_image_find(struct csv_volume *volume, const char *name, struct csv_image *image,
                   struct csv_error *error);

#define CSV_CREATE_ONE_PIECE 1u /* loop devices can map one extent only */
#define CSV_CREATE_NO_ZERO   2u /* the caller overwrites every byte (import) */
#define CSV_CREATE_SHARED    4u /* the image gets CSV_IMAGE_SHARED */

/* Allocates, zeroes the space (an image never shows another one's old bytes), commits.
 * size is rounded up to 4096. */
int csv_image_create(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                     uint64_t size_bytes, unsigned flags, struct csv_image *image,
                     struct csv_error *error);
/* The caller has made sure that it is active nowhere (owner's lease taken). */
int csv_image_delete(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                     bool discard, struct csv_error *error);
int csv_image_rename(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                     const char *new_name, struct csv_error *error);
/* Makes an image longer, to size_bytes (rounded up to 4096); what is new is zero. Works while a VM
 * uses it: csv_device_activate() on its node makes the device longer afterwards. An image that has
 * the size already is success; one that is longer is CSV_BAD_VALUE. flags: CSV_CREATE_ONE_PIECE. */
int csv_image_grow(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                   uint64_t size_bytes, unsigned flags, struct csv_image *image,
                   struct csv_error *error);
/* owner "" sets free. CSV_IN_USE where another VM has it and it is not shared. */
int csv_image_assign(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                     const char *owner, struct csv_error *error);

/* Data, without a device: import, export, tests. offset and bytes are multiples of 4096, buffer
 * is aligned to 4096. */
int csv_image_read(struct csv_volume *volume, const struct csv_image *image, uint64_t offset,
                   void *buffer, size_t bytes, struct csv_error *error);
int csv_image_write(struct csv_volume *volume, const struct csv_image *image, uint64_t offset,
                    const void *buffer, size_t bytes, struct csv_error *error);

/* ---- image devices on this node ------------------------------------------------------------- */

/* /dev/csv/<volume>/<image> and /dev/csv/<volume>/.lun are symbolic links that mean the same on
 * every node. Behind an image's link is a device-mapper linear table where the kernel has
 * device-mapper, else a loop device with offset over the LUN (one extent, direct I/O, autoclear: it
 * goes away with its last user). Of a directory it is the image's file, and .lun the catalogue. */

/* Makes the .lun link and sweeps links and devices of this volume that nobody has open. */
int csv_device_attach(struct csv_volume *volume, struct csv_error *error);
/* Removes what csv_device_attach() and activations made; CSV_BUSY if an image is open. */
int csv_device_detach(struct csv_volume *volume, struct csv_error *error);
/* Does this node's kernel map images of several extents (device-mapper)? */
bool csv_device_can_scatter(void);

/* Idempotent. path (may be NULL) gets the link. A device that is there already and shorter than the
 * image, since that has grown, is made as long, under whoever has it open. The handle keeps the
 * device open until csv_device_deactivate(), so that it cannot vanish before QEMU has opened it. */
int csv_device_activate(struct csv_volume *volume, const struct csv_image *image, bool writable,
                        char path[CSV_PATH_MAX], struct csv_error *error);
/* In a directory: makes an image's file the user's that QEMU runs as, for good. libvirt would do it
 * for the time that a VM runs, and take it back on the host that a VM has left, where NFS then
 * refuses what its QEMU writes elsewhere. uid 0 may use it as it is. Does nothing on a LUN.
 * CSV_IN_USE: it is another user's, of another node perhaps, whose QEMU may have it open. */
int csv_image_give(struct csv_volume *volume, const struct csv_image *image, uint32_t uid,
                   uint32_t gid, struct csv_error *error);
/* Removes the link and lets go of the device; a loop device still open in QEMU lives on until
 * that closes it. uuid: that image's only, where another one may have the name by now; NULL:
 * whichever has it. CSV_NOT_FOUND: was not active. */
int csv_device_deactivate(struct csv_volume *volume, const char *image_name, const char *uuid,
                          struct csv_error *error);
/* Has a process of this node a device of the image open, with a link or without? What is deleted
 * then is written to by that process when it is another image's. In a directory it is never so:
 * there the file stays that of who has it. */
bool csv_device_is_open(struct csv_volume *volume, const struct csv_image *image);
/* Names of active images, NULL-terminated, one malloc block: free(*names). */
int
csv_device_list(struct csv_volume *volume, char ***names, size_t *count, struct csv_error *error);

/* ---- backup of the metadata -------------------------------------------------------------------
 */

/* Writes superblock, nodes, VMs and images to a file: a few KiB each, no data and no leases. Needs
 * no lease. CSV_E_DAMAGED where something could not be in it; CSV_BUSY where the catalogue never
 * stands still. */
int csv_backup(struct csv_volume *volume, int fd, struct csv_error *error);
/* Makes the LUN the volume of the backup, with new, free leases; data is not touched, so what was
 * changed since the backup is lost or shows another image's bytes. Nothing is written before the
 * whole backup is found sound, and free of contradictions (CSV_E_DAMAGED); cut short, the LUN is no
 * volume, and it can be done again. Over a volume that opens it is refused without force, and with
 * it too while a host's lease there is not free (CSV_BUSY). Where none opens, the caller makes sure
 * that no node has it attached. */
int csv_restore(const char *path, int fd, bool force, struct csv_error *error);

/* ---- check ------------------------------------------------------------------------------ */

struct csv_finding {
    const char *code; /* stable, e.g. "image-overlap" */
    bool is_error;    /* false: worth knowing, no harm (one torn copy, e.g.) */
    char text[256];
};
/* Mends what one sound copy allows to mend, and calls report for each thing mended; *count (may be
 * NULL) is how many. csv_check() tells afterwards what is left. Nobody else may write meanwhile:
 * CSV_BUSY where a host's lease is not free, unless force. */
int csv_repair(const char *path, bool force,
               void (*report)(const struct csv_finding *finding, void *data), void *data,
               size_t *count, struct csv_error *error);

/* Reads everything and calls report for each finding; *errors counts those with is_error. Where a
 * host has the volume attached, what is found is looked for again some moments later, up to five
 * times, and told only if two looks running have found it: a change on its way is no damage. Where
 * the last one still finds something new, that is told as "volume-changes", an error if it is one.
 */
int
csv_check(struct csv_volume *volume, void (*report)(const struct csv_finding *finding, void *data),
          void *data, size_t *errors, struct csv_error *error);
