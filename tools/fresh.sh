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

# shellcheck source=tools/chroot.sh
. "$here/tools/chroot.sh"

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

need_root_and_tools
enter_namespace --suite "$suite" ${mirror:+--mirror "$mirror"} "$log"
folder=fovea

clone() {
  git clone -q --no-hardlinks "$here" "$root/root/fovea"
  chroot "$root" useradd --create-home --shell /bin/bash user
  cp -a "$root/root/fovea" "$root/home/user/fovea"
  chroot "$root" chown -R user:user /home/user/fovea
}

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

run_all "$log"
