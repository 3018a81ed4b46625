# shellcheck shell=bash
# meson into $root/build, executables into $root/bin.

# configure DIR [MESON OPTIONS…]: only when needed, or when the options differ.
configure() {
    local dir=$1 log
    shift
    log=$(mktemp)
    if [ -f "$dir/build.ninja" ]; then
        # Other options than those it was set up with are applied; the same ones cost nothing.
        if [ $# -gt 0 ] && [ "$(cat "$dir/.options" 2>/dev/null)" != "$*" ]; then
            meson configure "$dir" "$@" >"$log" 2>&1 || { cat "$log" >&2; die "meson configure failed"; }
        fi
    else
        meson setup "$dir" "$root" "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "meson setup failed"; }
    fi
    printf '%s' "$*" >"$dir/.options"
    rm -f "$log"
}

# compile DIR [TARGETS…]
compile() {
    local dir=$1 log
    shift
    log=$(mktemp)
    if ! ninja -C "$dir" "$@" >"$log" 2>&1; then
        grep -v '^\[[0-9]*/[0-9]*\]' "$log" | tail -n 60 >&2
        rm -f "$log"
        die "the build in $dir failed"
    fi
    rm -f "$log"
}

programs='master/master slave/slave gateway/gateway bench/sample_data bench/pressure_test'

# A running executable can't be written to: put beside, then renamed.
install_programs() { # FROM-BUILD-DIR TO-DIR
    local program name
    mkdir -p "$2"
    for program in $programs; do
        name=$(basename "$program")
        if ! cmp -s "$1/$program" "$2/$name"; then
            cp "$1/$program" "$2/.$name.new"
            mv -f "$2/.$name.new" "$2/$name"
        fi
    done
}

build_programs() {
    step "building into $root/build"
    # shellcheck disable=SC2086 # a list
    { configure "$root/build" && compile "$root/build" $programs; }
    install_programs "$root/build" "$root/bin"
}
