# shellcheck shell=bash
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

# "URI SUITE" of this machine's own release, its updates and security. apt reads both source
# formats (.list and .sources) for us; entries of third parties name other releases.
own_sources() {
  # shellcheck disable=SC2016 # apt expands these
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v own="$(os_release VERSION_CODENAME)" '
      $3 == "main" && ($2 == own || index($2, own "-") == 1) { print $1, $2 }'
}

# The same mirror, other suites: "URI SUITE" lines.
mirror_of_suites() { # SUITE...
  local uri suite
  uri=$(own_sources | awk -v own="$(os_release VERSION_CODENAME)" '$2 == own && !found++ { print $1 }')
  [[ $uri ]] || return
  for suite; do
    echo "$uri $suite"
  done
}

# Fetches the package lists of the "URI SUITE" lines on standard input; apt's words go to VIEW/log.
open_apt_view() { # VIEW
  local dir=$CACHE_DIR/apt/$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$dir"/{lists,archives}/partial || return
  sed "s|^|deb [signed-by=$keyring] |; s|\$| main|" >"$dir/sources.list" || return
  [[ -s $dir/sources.list ]] || return
  # An unprivileged download user could not enter a cache below /root, hence Sandbox "root".
  cat >"$dir/apt.conf" <<CONF || return
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$dir/lists";
Dir::Cache "$dir";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
  in_apt_view "$1" apt-get -qq update >"$dir/log" 2>&1
}

in_apt_view() { # VIEW COMMAND...
  local dir=$CACHE_DIR/apt/$1
  shift
  APT_CONFIG=$dir/apt.conf "$@"
}
