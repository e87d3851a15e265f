#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lint.sh - what the compiler does not see: layout, layers, and pages that lag behind the code.
# usage: lint.sh SOURCE-ROOT [BUILD-ROOT]; see HACKING for the rules
set -u
shopt -s lastpipe # "... | complains" counts in this shell
ROOT=$(realpath "$1")
# shellcheck source=../lib/tap.sh
. "$ROOT/tests/lib/tap.sh"
cd "$ROOT" || bail "no $ROOT"

# Tracked files, and new ones that are not ignored: a file is checked before it is committed. Without
# git, or its tree, all but what .gitignore names.
all_files() {
    if git -c safe.directory="$ROOT" rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory="$ROOT" ls-files --cached --others --exclude-standard
    else
        find . \( -path ./.git -o -path ./build -o -path './build-*' \) -prune -o \
            -type f ! -name '*.swp' -print | sed 's|^\./||'
    fi | while read -r f; do [ -f "$f" ] && echo "$f"; done | sort -u
}
mapfile -t ALL_FILES < <(all_files)

# files [PATTERN]...: those that match one of the patterns, whose * crosses folders
files() {
    local f pattern
    for f in "${ALL_FILES[@]}"; do
        for pattern in "${@:-*}"; do
            # shellcheck disable=SC2053
            if [[ $f == $pattern ]]; then echo "$f" && break; fi
        done
    done
}

# complains TEXT: passes if standard input is empty, else shows it
complains() {
    local text=$1 said
    said=$(cat)
    if [ -z "$said" ]; then
        pass "$text"
    else
        fail "$text"
        note "$said"
    fi
}

mapfile -t C_FILES < <(files '*.c' '*.h')
mapfile -t HEADERS < <(files '*.h')
mapfile -t SCRIPTS < <(
    { files '*.sh'; awk '/^#!.*[^a-z](ba)?sh( |$)/ { print FILENAME } { nextfile }' \
        "${ALL_FILES[@]}" </dev/null; } | sort -u
)

# ---- layout ----
if command -v clang-format >/dev/null; then
    clang-format --dry-run -Werror "${C_FILES[@]}" 2>&1 | sed -n 's/:[0-9]*:[0-9]*: error:.*//p' |
        sort -u | sed 's/$/: run clang-format -i on it/' | complains "clang-format"
else
    fail "clang-format is not installed"
fi

awk 'FNR == 1 && $0 != "/* SPDX-License-Identifier: LGPL-2.1-or-later */" {
        print FILENAME ": line 1 is not the SPDX line"
    }
    FNR == 2 {
        name = FILENAME; sub(/.*\//, "", name)
        if (!index($0, "/* " name " - "))
            print FILENAME ": line 2 is not \"/* " name " - TITLE\""
        nextfile
    }' "${C_FILES[@]}" | complains "SPDX line and title of C files"

for f in "${SCRIPTS[@]}" $(files 'meson.build' '*/meson.build'); do
    [ "$f" = meson.build ] && continue
    head -n 3 "$f" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' ||
        echo "$f: no SPDX line in the first three"
done | complains "SPDX line of scripts and build files"

awk 'FNR == 700 { print FILENAME ": 700 lines or more; split it" }' "${C_FILES[@]}" | complains "no file of 700 lines"

for f in "${HEADERS[@]}"; do
    [ "${f##*/}" = api-table.h ] && continue # included once for each message
    echo "$f"
done | xargs grep -L '^#pragma once' | sed 's/$/: no #pragma once/' | complains "headers are included once"

grep -nE '[[:space:]]+$' "${C_FILES[@]}" "${SCRIPTS[@]}" | complains "no white space at line ends"

# ---- layers (HACKING, "Layers") ----
# includes FILE...: "file<TAB>included", both kinds
includes() {
    grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]+' "$@" /dev/null |
        sed -E 's/:[[:space:]]*#[[:space:]]*include[[:space:]]*["<]/\t/'
}

# layer FOLDER ALLOWED: quoted includes of these files match the regex
layer() {
    local folder=$1 allowed=$2 list
    mapfile -t list < <(files "$folder/*.c" "$folder/*.h" | grep -E "^$folder/[^/]+$")
    [ ${#list[@]} = 0 ] && return
    grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]+' "${list[@]}" /dev/null |
        sed -E 's/:[[:space:]]*#[[:space:]]*include[[:space:]]*"/\t/' |
        awk -F '\t' -v allowed="^($allowed)\$" '$2 !~ allowed { print $1 ": must not include " $2 }'
}
{
    layer common/base 'base/.*'
    layer common/rpc '(base|rpc)/.*|io\.migrated.*\.inc'
    layer libcsv '[^/]*\.h'
    layer migrated/core '(base|core)/.*'
    layer migrated/drivers '(base|rpc|core|drivers)/.*|csv\.h'
    layer migrated '(base|rpc|core|drivers)/.*|[^/]*\.h'
    layer migratectl '(base|rpc)/.*|(cli|output|setup-file|tables)\.h'
    layer hooks '(base|rpc)/.*|[^/]*\.h'
} | complains "includes go downwards only"

includes $(files 'libcsv/*.c' 'libcsv/*.h' | grep -v csvtool) |
    awk -F '\t' '$2 ~ /^(glib|gio|json-c|libvirt)/ { print $1 ": libcsv is plain C, no " $2 }' |
    complains "libcsv knows no GLib"

# Drivers do not include one another; files of one system begin alike: hv-libvirt.c,
# hv-libvirt-event.h. But for definition-xml, -needs, -disks and -adopt, helpers that shape XML and talk to nobody.
includes $(files 'migrated/drivers/*.c' 'migrated/drivers/*.h') | awk -F '\t' '
    $2 ~ /^drivers\// {
        from = $1; sub(/.*\//, "", from); sub(/\.[ch]$/, "", from)
        to = $2; sub(/.*\//, "", to); sub(/\.h$/, "", to)
        split(from, a, "-"); split(to, b, "-")
        if (to !~ /^definition-(xml|needs|disks|adopt)$/ && a[1] != b[1] && a[2] != b[2] && a[1] != b[2] && a[2] != b[1])
            print $1 ": a driver must not include another one: " $2
    }' | complains "drivers do not know one another"

# one home for each foreign library
home() { # REGEX-OF-HEADER REGEX-OF-HOMES
    includes $(files '*.c' '*.h' | grep -v '^tests/\|^lab/') |
        awk -F '\t' -v header="$1" -v homes="$2" \
            '$2 ~ header && $1 !~ homes { print $1 ": " $2 " does not belong here" }'
}
{
    home '^libvirt/' '^migrated/drivers/[^/]*libvirt'
    home '^sanlock' '^(libcsv/lease|migrated/drivers/[^/]*sanlock|libcsv/csvtool)'
    home '^json-c' '^(common/rpc/|migratectl/output\.c|libcsv/csvtool)'
    home '^libdevmapper' '^libcsv/(device|dm)'
    home '^gnutls' '^migrated/drivers/tls-'
    home '^csv\.h$' '^(libcsv/|migrated/drivers/[^/]*csv)'
    home '^libxml' '^migrated/drivers/'
} | complains "foreign libraries have one home each"

# core: no clock, file, socket, environment or random source of its own
mapfile -t CORE < <(files 'migrated/core/*.c' 'migrated/core/*.h')
if [ ${#CORE[@]} -gt 0 ]; then
    includes "${CORE[@]}" |
        awk -F '\t' '$2 ~ /^(time\.h|unistd\.h|fcntl\.h|sys\/|gio\/|stdio\.h|netinet)/ {
            print $1 ": core gets that through a port, not by " $2 }' |
        complains "core includes no system headers"
    grep -nE '\b(g_get_monotonic_time|g_get_real_time|g_date_time_new_now|time|clock_gettime|g_random_int|g_rand_new|getenv|g_getenv|open|fopen|socket|g_file_get_contents|g_timeout_add|g_usleep)[[:space:]]*\(' \
        "${CORE[@]}" | complains "core has no clock, file, socket or random source"
else
    fail "migrated/core has files"
fi

# folder-qualified; a flat component (libcsv, migratectl ...) may name its own header plainly
grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"/]+"' "${C_FILES[@]}" |
    sed -E 's/:[[:space:]]*#[[:space:]]*include[[:space:]]*"/\t/; s/"$//' |
    while IFS=$'\t' read -r f header; do
        [ "$header" = csv.h ] && continue
        case $header in *.inc) continue ;; esac
        [ -f "${f%/*}/$header" ] && [[ $f != common/* && $f != migrated/*/* ]] && continue
        [[ $f == tests/* ]] && continue
        echo "$f: write \"FOLDER/$header\""
    done | complains "includes name their folder"

first_include() {
    grep -m 1 -oE '#[[:space:]]*include[[:space:]]*["<][^">]+' "$1" | sed -E 's/.*["<]//'
}

# own header first
for f in $(files 'common/*.c' 'migrated/*.c' 'migratectl/*.c' 'libcsv/*.c'); do
    own=${f%.c}.h
    [ -f "$own" ] || continue
    first=$(first_include "$f")
    [ "${first##*/}" = "${own##*/}" ] || echo "$f: includes $first before its own header"
done | complains "a file's own header comes first"

# each header compiles alone; those that come first in their own file did so when that was built
flags=$(pkg-config --cflags glib-2.0 gio-2.0 gio-unix-2.0 json-c libxml-2.0 2>/dev/null)
for f in "${HEADERS[@]}"; do
    case $f in lab/*) continue ;; esac
    own=${f%.h}.c
    if [ -f "$own" ]; then
        first=$(first_include "$own")
        [ "${first##*/}" != "${f##*/}" ] || continue
    fi
    # shellcheck disable=SC2086
    said=$(printf '#include "%s"\n' "$ROOT/$f" | ${CC:-cc} -std=gnu11 -fsyntax-only -D_GNU_SOURCE \
        -DMIG_VERSION='"0"' -DG_LOG_DOMAIN='"x"' $flags -Icommon -Ilibcsv -Imigrated -Imigratectl \
        -Itests/unit -Itests/lib -I"${f%/*}" -x c - 2>&1) || echo "$f: $said"
done | complains "each header compiles alone"

# ---- pages ----
for f in $(files 'man/*.pod'); do
    said=$(podchecker -warnings "$f" 2>&1 | grep -E 'WARNING|ERROR')
    [ -z "$said" ] || echo "$said"
done | complains "manual pages are clean POD"

if [ -f man/migratectl.pod ]; then
    sed -n 's/^ *X(MIG_ERROR_[A-Z_]*, "\([A-Za-z]*\)", \([0-9]*\)).*/\2 \1/p' common/base/error.h |
        sort -n >"$TMP/code"
    sed -n '/^=head1 EXIT STATUS/,/^=head1 [^E]/s/^=item B<\([0-9]*\)> \([A-Za-z]*\)$/\1 \2/p' \
        man/migratectl.pod | grep -v '^0 ' | sort -n >"$TMP/man"
    ok "the table of errors was found" test -s "$TMP/code"
    diff "$TMP/code" "$TMP/man" | complains "EXIT STATUS of migratectl(1) is that of error.h"

    # every command and option of the CLI has its place in the manual page
    sed -n 's/^ *{"\([a-z]*\)", \(NULL\|"\([a-z]*\)"\), ".*/\1 \3/p' migratectl/migratectl.c |
        sed 's/ $//' | while read -r command; do
        grep -qE "^=item B<$command>" man/migratectl.pod || echo "command $command is not there"
    done | complains "every command is in migratectl(1)"
    grep -ohE '^ *\{"[a-z-]+", .?.?.?.?, 0, G_OPTION' migratectl/*.c | sed 's/^ *{"//; s/".*//' |
        sort -u | while read -r option; do
        grep -q -- "--$option" man/migratectl.pod || echo "option --$option is not there"
    done | complains "every option is in migratectl(1)"
fi

if [ -f man/migrated-api.pod ]; then
    { sed -n 's/^method \([A-Za-z]*\).*/\1/p' common/rpc/*.varlink
      sed -n 's/^error \([A-Za-z]*\).*/\1/p' common/rpc/*.varlink; } | sort -u |
        while read -r name; do
            grep -qE "B<$name>" man/migrated-api.pod || echo "$name is not there"
        done | complains "every method and error is in migrated-api(7)"
fi

checks_of_a_move() {
    grep -ohE '(add|mig_check_new)\([a-z, >-]*"[a-z-]+"' migrated/core/checks*.c | sed 's/.*"\(.*\)"/\1/' | sort -u
}

checks_of_a_move | while read -r name; do
    grep -qE "^=item .*B<$name>" man/migrated-checks.pod || echo "check $name is not there"
done | complains "every check is in migrated-checks(7)"

# target-answers is no check but what stands for all of them where the target does not answer
checks_of_a_move | grep -vx target-answers | while read -r name; do
    grep -qwE "$name" tests/integration/*.sh || echo "nothing in tests/integration makes check $name fail"
done | complains "every check has a test in the lab"

if [ -f man/migrated.conf.pod ]; then
    sed -n 's/^#\?\([a-z_]*\)=.*/\1/p' conf/migrated.conf | while read -r key; do
        grep -qE "^=item B<$key>" man/migrated.conf.pod || echo "$key is not there"
    done | complains "every key is in migrated.conf(5)"
fi

# every message id has a page in the journal catalog, once there is one
if [ -f conf/migrated.catalog ]; then
    sed -n 's/^#define MIG_ID_[A-Z_]* "\([0-9a-f]*\)"/\1/p' common/base/names.h | while read -r id; do
        grep -q "^-- $id" conf/migrated.catalog || echo "message id $id has no page"
    done | complains "every message id is in the journal catalog"
fi
sed -n 's/^#define MIG_ID_[A-Z_]* "\(.*\)"/\1/p' common/base/names.h |
    { sort | uniq -d; sed -n 's/^#define MIG_ID_[A-Z_]* "\(.*\)"/\1/p' common/base/names.h |
        grep -vE '^[0-9a-f]{32}$'; } | complains "message ids are 128 bits, each used once"

# ---- scripts ----
for f in "${SCRIPTS[@]}"; do
    bash -n "$f" 2>&1
done | complains "scripts parse"
bash -n conf/completion/migratectl 2>&1 | complains "the completion parses"
for f in "${SCRIPTS[@]}"; do
    [[ $f == */lib/*.sh || -x $f ]] || echo "$f: is not executable"
done | complains "scripts are executable"

done_testing
