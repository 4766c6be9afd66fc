# Debian packages of another suite, without touching this machine's apt configuration. Sourced.
#
# A *view* is a private apt: its own source list (this machine's mirror, other suites), its own
# package lists and archive, all under the cache. apt still checks signatures and hashes.

readonly CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/scx-gamer

is_debian() {
  command -v apt-get >/dev/null && [[ $(os_release ID) == debian ]]
}

os_release() { # FIELD
  sed -n "s/^$1=//p" /etc/os-release 2>/dev/null | tr -d '"'
}

# The address this machine takes its own release from. apt reads its sources in both
# formats (.list and .sources) for us; third-party entries name other releases.
debian_mirror() {
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$(os_release VERSION_CODENAME)" '
      $1 == release && $2 == "main" && !found { print $3; found = 1 }'
}

# Makes $CACHE_DIR/apt/VIEW know the main component of SUITES. `in_apt_view` then uses it.
open_apt_view() { # VIEW SUITE...
  local view=$CACHE_DIR/apt/$1 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg suite
  shift
  mirror=$(debian_mirror)
  [[ $mirror ]] || { echo "no Debian mirror in this machine's apt sources" >&2; return 1; }
  mkdir -p "$view"/{lists,archives}/partial || return
  for suite; do
    echo "deb [signed-by=$keyring] $mirror $suite main"
  done >"$view/sources.list"
  # An unprivileged download user could not enter a cache below /root, hence Sandbox "root".
  cat >"$view/apt.conf" <<CONF
Dir::Etc::sourcelist "$view/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$view/lists";
Dir::Cache "$view";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
#clear Acquire::IndexTargets::deb::DEP-11;
CONF
  in_apt_view "$(basename "$view")" apt-get -qq update
}

in_apt_view() { # VIEW COMMAND...
  local view=$CACHE_DIR/apt/$1
  shift
  APT_CONFIG=$view/apt.conf "$@"
}
