# SPDX-License-Identifier: LGPL-2.1-or-later
# tap.sh - a test in bash that speaks TAP. Source it; then:
#
#   plan N                     first line; or "done_testing" as the last one
#   ok TEXT COMMAND...         passes if the command succeeds
#   not_ok TEXT COMMAND...     passes if it fails (an exit status, not a signal)
#   exits TEXT STATUS COMMAND...  passes if it exits with STATUS; output is left in $OUT and $ERR
#   is TEXT GOT WANTED         passes if both strings are equal
#   like TEXT GOT REGEX        passes if the (extended) regex is found
#   unlike TEXT GOT REGEX      passes if it is not
#   pass TEXT, fail TEXT       passes, fails
#   skip TEXT REASON           counted as failed by tests/run unless README lists it
#   note TEXT                  a line of comment
#   bail TEXT                  gives up: nothing that follows would make sense
#   retry SECONDS COMMAND...   until it succeeds, 5 times a second for 3 s and twice a second then, for asking costs more
#                              than waiting; false when the time is over, which is told by a hang alone: SLOWER nodes,
#                              and MIGRATED_TEST_PATIENCE where several share a machine, have more
#   retry_for SECONDS COMMAND...  the same where the time is what is meant
#   not COMMAND...             succeeds where that fails
#   at_exit COMMAND...         run when the script ends, however it ends; the last one first
#
# $TMP is a directory of this run; it is removed at the end.

TAP_COUNT=0
TAP_FAILED=0
TAP_PLAN=
TAP_AT_EXIT=()
OUT=
ERR=
TMP=$(mktemp -d "${TMPDIR:-/tmp}/mig-test.XXXXXX")

tap_end() {
    local status=$? i
    set +e
    trap - EXIT
    for ((i = ${#TAP_AT_EXIT[@]} - 1; i >= 0; i--)); do
        eval "${TAP_AT_EXIT[i]}" >&2
    done
    rm -rf "$TMP"
    if [ -z "$TAP_PLAN" ]; then
        echo "Bail out! ended early, status $status"
        exit 1
    fi
    if [ "$TAP_COUNT" != "$TAP_PLAN" ]; then
        echo "# planned $TAP_PLAN tests, but ran $TAP_COUNT"
        exit 1
    fi
    [ "$TAP_FAILED" = 0 ] || exit 1
    exit "$status"
}
trap tap_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Debian 12's jq takes 30 ms to start, and scripts ask some times a second.
jq() {
    gojq "$@"
}

not() {
    ! "$@"
}

plan() {
    TAP_PLAN=$1
    echo "1..$1"
}

done_testing() {
    TAP_PLAN=$TAP_COUNT
    echo "1..$TAP_COUNT"
}

note() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

pass() {
    TAP_COUNT=$((TAP_COUNT + 1))
    echo "ok $TAP_COUNT - $1"
}

fail() {
    TAP_COUNT=$((TAP_COUNT + 1))
    TAP_FAILED=$((TAP_FAILED + 1))
    echo "not ok $TAP_COUNT - $1"
    [ -z "${BASH_SOURCE[2]:-}" ] || note "at ${BASH_SOURCE[2]##*/} line ${BASH_LINENO[1]}"
    return 0
}

skip() {
    TAP_COUNT=$((TAP_COUNT + 1))
    echo "ok $TAP_COUNT - $1 # SKIP $2"
}

bail() {
    echo "Bail out! $*"
    TAP_PLAN=$((TAP_COUNT + 1))
    exit 1
}

# The end of what the command said goes into the log as comments, so that it cannot be mistaken for a
# verdict.
note_said() {
    tail -n 40 "$TMP/said" | tr -d '\0' | sed 's/^/# /'
}

# The command runs in this shell: what it assigns stays.
ok() {
    local text=$1 status=0
    shift
    "$@" >"$TMP/said" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        pass "$text"
    else
        fail "$text"
        note "status $status of: $*"
        note_said
    fi
}

not_ok() {
    local text=$1 status=0
    shift
    "$@" >"$TMP/said" 2>&1 || status=$?
    if [ "$status" -gt 0 ] && [ "$status" -lt 126 ]; then
        pass "$text"
    else
        fail "$text"
        note "status $status, wanted a failure, of: $*"
        note_said
    fi
}

exits() {
    local text=$1 wanted=$2 status
    shift 2
    status=0
    "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
    OUT=$(tr -d '\0' <"$TMP/out")
    ERR=$(tr -d '\0' <"$TMP/err")
    if [ "$status" = "$wanted" ]; then
        pass "$text"
    else
        fail "$text"
        note "status $status, wanted $wanted, of: $*"
        note "$OUT"
        note "$ERR"
    fi
}

is() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        fail "$1"
        note "got    $2"
        note "wanted $3"
    fi
}

like() {
    if printf '%s' "$2" | grep -Eq -- "$3"; then
        pass "$1"
    else
        fail "$1"
        note "got    $2"
        note "wanted $3"
    fi
}

unlike() {
    if printf '%s' "$2" | grep -Eq -- "$3"; then
        fail "$1"
        note "got      $2"
        note "unwanted $3"
    else
        pass "$1"
    fi
}

retry() {
    local begun=$SECONDS until=$((SECONDS + $1 * ${SLOWER:-1} * ${MIGRATED_TEST_PATIENCE:-1}))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        if [ $((SECONDS - begun)) -le 3 ]; then sleep 0.2; else sleep 0.5; fi
    done
}

retry_for() {
    MIGRATED_TEST_PATIENCE=1 SLOWER=1 retry "$@"
}

at_exit() {
    TAP_AT_EXIT+=("$(printf '%q ' "$@")")
}
