# SPDX-License-Identifier: LGPL-2.1-or-later
# The guest's disk image, built once and kept.
#
# One ext4 filesystem over the whole disk, booted from it by extlinux: the VM needs no file of its
# host. Debian's cloud kernel is fetched and unpacked, never installed. The image is kept under a
# name made of all that went into it.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

GUEST_MIB=256
RING_SLOTS=4096
# In the order they depend on each other. ext4 is built in.
GUEST_MODULES=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk
    failover net_failover virtio_net button evdev)
# pti=on: QEMU 7.2 under TCG can miss dirty pages of a kernel whose address space is rarely switched,
# and the moved guest then dies of old memory. Page table isolation switches at every system call.
GUEST_CMDLINE="console=ttyS0 quiet loglevel=3 mitigations=off pti=on nowatchdog no_timer_check tsc=reliable"
GUEST_CMDLINE+=" random.trust_cpu=on panic=5"

newest_kernel_package() {
    apt-cache depends --important linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}

# Prints the path of the unpacked kernel package. Without a package index the newest one fetched
# before will do.
fetch_kernel() {
    local package version dir work known=$CACHE/kernel.known index
    # apt takes a second for an answer that only an update changes
    index=$(stat -c %Y /var/lib/apt/lists 2>/dev/null || true)
    if read -r version dir 2>/dev/null <"$known" && [[ -n $index && $version == "$index" && -d $dir ]]; then
        echo "$dir"
        return
    fi
    package=$(newest_kernel_package)
    version=$(apt-cache show "$package" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1)
    dir=$CACHE/kernel/${package}_$version
    if [[ -z $package || -z $version ]]; then
        dir=$(find "$CACHE/kernel" -mindepth 1 -maxdepth 1 -name 'linux-image-*' 2>/dev/null |
            sort -V | tail -n 1)
        [[ -n $dir ]] || die "no kernel package is to be had; 'apt-get update' first"
    elif [[ ! -d $dir ]]; then
        say "fetching $package"
        work=$(mktemp -d "$CACHE/fetch.XXXXXX")
        (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2) ||
            die "cannot fetch $package; 'apt-get update' first"
        dpkg-deb -x "$work"/*.deb "$work/tree"
        mkdir -p "$CACHE/kernel"
        mv "$work/tree" "$dir"
        rm -rf "$work"
    fi
    echo "$index $dir" >"$known"
    echo "$dir"
}

guest_key() {
    {
        echo "$1"
        cat "$BUILD/lab/lab-guest" "$lab_dir/lib/guest.sh"
        sha256sum /bin/busybox /usr/lib/EXTLINUX/* 2>/dev/null
    } | sha256sum | cut -c1-16
}

make_initrd() {
    local kernel=$1 work=$2 name path
    mkdir -p "$work/initrd"/{modules,dev,disk}
    cp "$BUILD/lab/lab-guest" "$work/initrd/init"
    strip "$work/initrd/init"
    for name in "${GUEST_MODULES[@]}"; do
        path=$(find "$kernel/lib/modules" -name "$name.ko" | head -n 1)
        [[ -n $path ]] || die "$kernel has no module $name"
        cp "$path" "$work/initrd/modules/"
        echo "$name.ko" >>"$work/initrd/modules/list"
    done
    (cd "$work/initrd" && find . -print0 | "$busybox_cpio" cpio -0 -o -H newc 2>/dev/null) >"$work/boot/initrd"
}

make_root() {
    local kernel=$1 root=$2/root
    mkdir -p "$root"/{bin,sbin,dev,proc,sys,ring,boot,tmp} "$2/boot"
    cp /bin/busybox "$root/bin/busybox"
    ln -s busybox "$root/bin/sh"
    cp "$BUILD/lab/lab-guest" "$root/sbin/init"
    strip "$root/sbin/init"
    cp "$kernel"/boot/vmlinuz-* "$2/boot/vmlinuz"
    "$BUILD/lab/lab-verify" --make "$root/ring/records" "$RING_SLOTS"
    cat >"$2/boot/extlinux.conf" <<END
DEFAULT lab
PROMPT 0
TIMEOUT 0
LABEL lab
 KERNEL /boot/vmlinuz
 INITRD /boot/initrd
 APPEND $GUEST_CMDLINE
END
}

# extlinux wants the filesystem mounted. The kernel is copied in here and not by mke2fs, which
# leaves holes in it where it is zero: the boot loader cannot read a file of that many extents. A
# mount namespace of its own takes the mount along when it ends, come what may.
install_boot_loader() {
    # shellcheck disable=SC2016
    unshare --mount sh -euc '
        mount -o loop "$1" /mnt
        cp --sparse=never "$2"/vmlinuz "$2"/initrd "$2"/extlinux.conf /mnt/boot/
        extlinux --install /mnt/boot >/dev/null 2>&1
        umount /mnt
    ' sh "$1" "$2" || die "extlinux cannot be installed into the guest image"
}

build_guest_image() {
    local kernel=$1 image=$2 work busybox_cpio=/bin/busybox
    work=$(mktemp -d "$CACHE/image.XXXXXX")
    say "building the guest image"
    make_root "$kernel" "$work"
    make_initrd "$kernel" "$work"
    truncate -s "${GUEST_MIB}M" "$work/image"
    # The boot loader reads neither 64 bit nor checksummed ext4.
    mke2fs -q -F -t ext4 -b 4096 -O ^64bit,^metadata_csum -m 0 -L lab-guest \
        -E lazy_itable_init=0,lazy_journal_init=0 -d "$work/root" "$work/image"
    install_boot_loader "$work/image" "$work/boot"
    cp "$work/boot/vmlinuz" "$image.vmlinuz"
    cp "$work/boot/initrd" "$image.initrd"
    mv "$work/image" "$image"
    rm -rf "$work"
}

# Prints the path of the image in the cache, building it where needed. Labs side by side build it
# once.
cached_guest_image() {
    local kernel image lock
    need_tools lab-guest lab-verify
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/lock"
    flock "$lock"
    kernel=$(fetch_kernel)
    image=$CACHE/guest-$(guest_key "$kernel").img
    if [[ ! -f $image ]]; then
        build_guest_image "$kernel" "$image"
        # Older ones have had their time.
        find "$CACHE" -maxdepth 1 -name 'guest-*' ! -name "$(basename "$image")*" -mtime +2 -delete
    fi
    exec {lock}>&-
    echo "$image"
}

cmd_guest_image() {
    need_root
    (($# == 1)) || die "usage: lab guest-image PATH"
    local image
    image=$(cached_guest_image)
    cp --sparse=always "$image" "$1"
}

# What the guest's web server says; status 1 where it is not the answer wanted, or none within 2 s.
cmd_http() {
    (($# == 2)) || die "usage: lab http IP PATH"
    local status=0
    need_lab
    # shellcheck disable=SC2016
    (cmd_on client timeout 2 bash -c '
        exec 3<>"/dev/tcp/$1/80" || exit 1
        printf "GET %s HTTP/1.0\r\n\r\n" "$2" >&3
        read -r -u 3 _ status _
        while read -r -u 3 line && [[ $line != $'"'\\r'"' ]]; do :; done
        cat <&3
        [[ $status == 200 ]]
    ' http "$1" "$2" 2>/dev/null) || status=$?
    case $status in
    0) ;;
    124) say "$1 does not answer" ;;
    *) say "$1 does not serve $2" ;;
    esac
    return "$status"
}

# Takes the ring out of an image or device and has it judged. The ring's blocks are all allocated
# when the image is made, so a journal that was not replayed does not matter.
cmd_verify() {
    (($# == 1 || $# == 3)) || die "usage: lab verify IMAGE [--acked SEQ[:BOOT]]"
    need_tools lab-verify
    local image=$1 work status=0
    shift
    work=$(mktemp -d)
    debugfs -R "dump /ring/records $work/ring" "$image" >"$work/log" 2>&1 || true
    if [[ ! -s $work/ring ]]; then
        cat "$work/log" >&2
        status=2
    else
        "$BUILD/lab/lab-verify" "$work/ring" "$@" || status=$?
    fi
    rm -rf "$work"
    return "$status"
}
