# SPDX-License-Identifier: LGPL-2.1-or-later
# The disk of a machine before it is one: stock Debian 12, made of its packages once and kept.
#
# Nothing of ours is in it but a first program, which unpacks from a second disk what a machine is (our
# 'meson install', its name, its addresses) before systemd looks. So a change of ours costs no new
# image. Kernel and initrd lie beside it, since QEMU boots them directly.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

MACHINE_MIB=4096
MIRROR=${MIGRATED_MIRROR:-http://deb.debian.org}

# What no machine here has the hardware for, and what nobody reads here: half of the time it takes.
MACHINE_WITHOUT=(
    '/usr/share/man/*' '/usr/share/doc/*' '/usr/share/locale/*' '/usr/share/info/*'
    '/lib/modules/*/kernel/drivers/gpu/*' '/lib/modules/*/kernel/drivers/media/*'
    '/lib/modules/*/kernel/drivers/net/wireless/*' '/lib/modules/*/kernel/drivers/net/ethernet/*'
    '/lib/modules/*/kernel/drivers/infiniband/*' '/lib/modules/*/kernel/drivers/staging/*'
    '/lib/modules/*/kernel/sound/*' '/lib/modules/*/kernel/drivers/iio/*'
)

machine_packages() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$lab_dir/packages.node" | paste -sd,
}

machine_key() {
    {
        machine_packages
        echo "$MACHINE_MIB ${MACHINE_WITHOUT[*]}"
        declare -f prepare_root finish_root
    } | sha256sum | cut -c1-16
}

# Runs outside, before the kernel's package comes: its initrd shall have what this disk needs and no more,
# for unpacking it is slow.
prepare_root() {
    mkdir -p "$1/etc/initramfs-tools/conf.d"
    printf 'MODULES=list\nCOMPRESS=zstd\n' >"$1/etc/initramfs-tools/conf.d/machine"
    printf '%s\n' virtio_pci virtio_blk crc32c_generic ext4 >"$1/etc/initramfs-tools/modules"
}

finish_root() {
    local root=$1
    cat >"$root/sbin/machine-init" <<'END'
#!/bin/sh
# The first program of a machine: becomes the machine that its second disk says, once.
if [ ! -e /etc/machine-is-made ] && tar -xf /dev/vdb -C /; then
    touch /etc/machine-is-made
fi
exec /sbin/init "$@"
END
    chmod 755 "$root/sbin/machine-init"
    mkdir -p "$root/etc/systemd/system/serial-getty@ttyS0.service.d" "$root/etc/ssh/sshd_config.d" \
        "$root/var/log/journal"
    cat >"$root/etc/systemd/system/serial-getty@ttyS0.service.d/login.conf" <<'END'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I $TERM
END
    printf 'UseDNS no\nPermitRootLogin prohibit-password\n' >"$root/etc/ssh/sshd_config.d/machine.conf"
    chroot "$root" systemctl --quiet enable systemd-networkd
    # They would start while somebody measures.
    chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer fstrim.timer \
        e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer
    # Compiling AppArmor's profiles is most of the start of a VM here, several times for each; this makes them larger and
    # that three times as fast.
    echo 'Optimize=no-expr-simplify' >>"$root/etc/apparmor/parser.conf"
    : >"$root/etc/machine-id"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
}

build_machine_image() {
    local target=$1 work pattern
    local -a without=()
    work=$(mktemp -d "$CACHE/machine.XXXXXX")
    for pattern in "${MACHINE_WITHOUT[@]}"; do
        without+=("--dpkgopt=path-exclude=$pattern")
    done
    say "building the machines' disk of Debian's packages; this takes some minutes, once"
    # A script of one's own is what mmdebstrap calls between its steps, with the folder as argument. What it mounts
    # there goes with a mount namespace, however it ends.
    # shellcheck disable=SC2016
    printf '#!/bin/bash\nset -euo pipefail\nlab_dir=%q\n. "$lab_dir/lib/machine-image.sh"\n"${0##*/}" "$1"\n' \
        "$lab_dir" >"$work/prepare_root"
    chmod 755 "$work/prepare_root"
    cp "$work/prepare_root" "$work/finish_root"
    unshare --mount nice -n 5 mmdebstrap --quiet --mode=root --variant=minbase --format=directory \
        --include="$(machine_packages)" "${without[@]}" \
        --essential-hook="$work/prepare_root" --customize-hook="$work/finish_root" \
        bookworm "$work/root" - >"$CACHE/machine.log" 2>&1 <<END ||
deb $MIRROR/debian bookworm main
deb $MIRROR/debian bookworm-updates main
deb $MIRROR/debian-security bookworm-security main
END
        {
            tail -n 20 "$CACHE/machine.log" >&2
            rm -rf "$work"
            die "Debian's packages cannot be made into a machine, see $CACHE/machine.log"
        }
    truncate -s "${MACHINE_MIB}M" "$work/disk"
    nice -n 5 mke2fs -q -F -t ext4 -m 0 -L machine -E lazy_itable_init=1 -d "$work/root" "$work/disk" ||
        die "cannot make the machines' disk"
    mkdir "$work/new"
    mv "$work/disk" "$work/new/"
    cp "$work"/root/boot/vmlinuz-* "$work/new/vmlinuz"
    cp "$work"/root/boot/initrd.img-* "$work/new/initrd"
    mv "$work/new" "$target"
    rm -rf "$work"
}

# Prints the folder with disk, vmlinuz and initrd, made where needed. Labs side by side make it once.
cached_machine_image() {
    local dir lock
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/machine.lock"
    flock "$lock"
    dir=$CACHE/machine-$(machine_key)
    [[ -f $dir/disk ]] || build_machine_image "$dir"
    exec {lock}>&-
    echo "$dir"
}
