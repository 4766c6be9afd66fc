# shellcheck shell=bash
# The program of the guest tests, and the package that some of them install. Sourced by what runs them.

# Prints the path of the test program, and sees to the programs that the tests start.
build_guest_tests() {
  cargo build --release --locked --bins --examples >&2
  cargo test --release --locked --test guest --no-run --message-format=json-render-diagnostics |
    sed -n '/"name":"guest"/s/.*"executable":"\([^"]*\)".*/\1/p'
}

# Prints the path of a Debian package of what was built.
build_package() {
  local target=${CARGO_TARGET_DIR:-$PWD/target}
  cargo run --quiet --release --locked --example describe_commands -- "$target/release/manuals" >&2
  DEB_COMPRESSION=none packaging/debian/build "$target/debian" | sed -n 's/^deb: //p'
}
