#!/usr/bin/env bash
# Proves ./demo and ./check in a bare Debian or Ubuntu chroot, as root and as a user without sudo, then removes the chroot.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

usage() {
  cat <<END
usage: tools/fresh.sh [--suite NAME] [--mirror URL] [LOG]
Makes a bare chroot with debootstrap, clones the last commit of this checkout into it and runs there, timing each stage:
  1 a user without sudo, packages missing: told what is missing (exit code 2)
  2 root: ./demo, then ./check
  3 the same user, packages present, no network: ./demo, then ./check
Needs root, debootstrap and git. Apt's settings, proxies, certificates and name lookup are those of this machine.
  --suite NAME   default: bookworm
  --mirror URL   default: the mirror that this machine's apt uses for NAME, else the default of debootstrap; for Ubuntu 24.04:
                 --suite noble --mirror http://archive.ubuntu.com/ubuntu
  LOG            default: runs/fresh-NAME.log
The exit code is 0 when every stage ended as it should, else 1.
END
}

fail() { echo "fresh: $1" >&2; exit "${2-1}"; }

suite=bookworm mirror="" log=""
while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=${2:?--suite needs a name}; shift ;;
    --mirror) mirror=${2:?--mirror needs an address}; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; fail "unknown option \`$1\`" 2 ;;
    *) log=$1 ;;
  esac
  shift
done
log=${log:-$here/runs/fresh-$suite.log}

[ "$(id -u)" -eq 0 ] || fail "must run as root: it makes a chroot" 2
for tool in debootstrap git unshare; do
  command -v $tool >/dev/null || fail "\`$tool\` is missing; apt-get install debootstrap git util-linux" 2
done
# Mounts made in a namespace of its own are never seen by the rest of the machine and end with this script.
if [ "${FRESH_NAMESPACE-}" != "$PPID" ]; then
  FRESH_NAMESPACE=$$ unshare --mount --propagation private "$0" --suite "$suite" ${mirror:+--mirror "$mirror"} "$log"
  exit
fi

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
    # shellcheck disable=SC2016  # these dollars are apt's
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

clone() {
  git clone -q --no-hardlinks "$here" "$root/root/fovea"
  chroot "$root" useradd --create-home --shell /bin/bash user
  cp -a "$root/root/fovea" "$root/home/user/fovea"
  chroot "$root" chown -R user:user /home/user/fovea
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
    bash -c 'cd ~/fovea && exec "$@"' bash "$@"
}
inside_without_network() { unshare --net bash -c "$(declare -p root); $(declare -f inside); inside \"\$@\"" bash "$@"; }

stages() {
  stage "debootstrap $suite (minbase)" 0 bootstrap &&
    stage "settings of this machine" 0 copy_settings &&
    stage "clone $(git -C "$here" rev-parse --short HEAD), user without sudo" 0 clone &&
    stage "user, packages missing: ./demo" 2 inside user ./demo &&
    stage "user, packages missing: ./check" 2 inside user ./check &&
    stage "root, from nothing: ./demo" 0 inside root ./demo &&
    stage "root: ./check" 0 inside root ./check &&
    stage "user, packages present, no network: ./demo" 0 inside_without_network user ./demo &&
    stage "user, packages present, no network: ./check" 0 inside_without_network user ./check
}

run_all() {
  local summary=() code=0
  trap clean_up EXIT
  trap 'exit 1' INT TERM
  stages || code=1
  echo "== summary"
  printf '%s\n' "${summary[@]}"
  [ $code -eq 0 ] && echo "fresh: passed" || echo "fresh: FAILED"
  return $code
}

mkdir -p "$(dirname "$log")"
root=$(mktemp -d "${TMPDIR:-/tmp}/fovea-fresh-XXXXXX")
chmod 755 "$root"
run_all 2>&1 | tee "$log"
