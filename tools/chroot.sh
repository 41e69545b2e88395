# shellcheck shell=bash disable=SC2154,SC2016  # suite and folder are set by who sources this; some dollars are for a later shell
# A bare Debian or Ubuntu chroot, for fresh.sh and fresh_package.sh, which source this. It is $root, of $suite, taken from $mirror (may be
# empty); commands run in $folder of the user's home.

fail() { echo "${0##*/}: $1" >&2; exit "${2-1}"; }

need_root_and_tools() {
  [ "$(id -u)" -eq 0 ] || fail "must run as root: it makes a chroot" 2
  local tool
  for tool in debootstrap git unshare; do
    command -v $tool >/dev/null || fail "\`$tool\` is missing; apt-get install debootstrap git util-linux" 2
  done
}

# Mounts made in a namespace of its own are never seen by the rest of the machine and end with the script, which is started again in it.
enter_namespace() { # enter_namespace ARGUMENT...
  [ "${FRESH_NAMESPACE-}" != "$PPID" ] || return 0
  local code=0
  FRESH_NAMESPACE=$$ unshare --mount --propagation private "$0" "$@" || code=$?
  exit $code
}

clean_up() {
  ! mountpoint -q "$root/proc" || umount "$root/proc" || fail "$root/proc is still mounted; $root is left as it is"
  rm -rf --one-file-system "$root"
}

# stage NAME EXPECTED_CODE COMMAND...
stage() {
  local name=$1 expected=$2 code=0 begin=$SECONDS
  shift 2
  echo "== $name"
  "$@" </dev/null || code=$?
  summary+=("$(printf '%-58s exit %d  %4d s' "$name" "$code" $((SECONDS - begin)))")
  [ "$code" -eq "$expected" ] || { summary+=("expected exit code $expected"); return 1; }
}

bootstrap() {
  if [ -z "$mirror" ]; then
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' 'Component: main' |
      sed -n "s/^$suite //p" | head -n 1)
  fi
  local ubuntu=() script=()
  if [[ $mirror == *ubuntu* ]]; then
    ubuntu=("--components=main,universe")
    [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=(gutsy) # what debootstrap uses for every later Ubuntu
  fi
  debootstrap --variant=minbase "${ubuntu[@]}" "$suite" "$root" ${mirror:+"$mirror"} "${script[@]}"
}

# The chroot reaches the network the way this machine does.
copy_settings() {
  local file
  apt-config dump | grep -E '^Acquire::((http|https|ftp|Retries|Check-)[^ ]*) ' >"$root/etc/apt/apt.conf.d/00host" || true
  for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates; do
    if [ -e "$file" ]; then
      mkdir -p "$root${file%/*}"
      cp -rL "$file" "$root${file%/*}/"
    fi
  done
  mount -t proc proc "$root/proc"
}

inside() { # inside USER COMMAND...
  local user=$1 home=/root variable settings=()
  shift
  [ "$user" = root ] || home=/home/$user
  for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!variable-}" ] || settings+=("$variable=${!variable}")
  done
  chroot --userspec="$user:$user" "$root" env -i "HOME=$home" "USER=$user" LANG=C.UTF-8 CI=true \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${settings[@]}" \
    bash -c 'cd ~/"$0" && exec "$@"' "$folder" "$@"
}
inside_without_network() { unshare --net bash -c "$(declare -p root folder); $(declare -f inside); inside \"\$@\"" bash "$@"; }

# Runs `stages` in a new chroot, which is removed afterwards; the log goes to the file too: run_all LOG
run_all() {
  mkdir -p "$(dirname "$1")"
  root=$(mktemp -d "${TMPDIR:-/tmp}/fovea-chroot-XXXXXX")
  chmod 755 "$root"
  run_stages 2>&1 | tee "$1"
}

run_stages() {
  local summary=() code=0
  trap clean_up EXIT
  trap 'exit 1' INT TERM
  stages || code=1
  echo "== summary"
  printf '%s\n' "${summary[@]}"
  [ $code -eq 0 ] && echo "${0##*/}: passed" || echo "${0##*/}: FAILED"
  return $code
}
