# shellcheck shell=bash
# The program of the guest tests. Sourced by what runs them.

# Prints the path of the test program, and sees to the programs that the tests start.
build_guest_tests() {
  cargo build --release --locked --bins --examples >&2
  cargo test --release --locked --test guest --no-run --message-format=json-render-diagnostics |
    sed -n '/"name":"guest"/s/.*"executable":"\([^"]*\)".*/\1/p'
}
