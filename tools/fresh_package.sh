#!/usr/bin/env bash
# Proves the packages of tools/package.sh in a bare Debian or Ubuntu chroot: the tarball as it is, then the Debian package, and that both
# can be removed without a trace.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

usage() {
  cat <<END
usage: tools/fresh_package.sh [--suite NAME] [--mirror URL] [LOG]
Makes a bare chroot with debootstrap and runs there, timing each stage:
  1 a user without network: unpacks the tarball, moves it; doctor, two trainings on digits, eval; deletes it
  2 root: installs the Debian package with apt
  3 the user: the same commands; then examples/train_lenet5, built against the package
  4 root: removes the package; no file of it is left
Needs root, debootstrap, and what tools/package.sh left. Apt's settings, proxies, certificates and name lookup are those of this machine.
  --suite NAME   default: bookworm
  --mirror URL   default: the mirror that this machine's apt uses for NAME, else the default of debootstrap; for Ubuntu 24.04:
                 --suite noble --mirror http://archive.ubuntu.com/ubuntu
  LOG            default: runs/fresh-package-NAME.log
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
log=${log:-$here/runs/fresh-package-$suite.log}

need_root_and_tools
enter_namespace --suite "$suite" ${mirror:+--mirror "$mirror"} "$log"
folder=.

copy_packages() {
  chroot "$root" useradd --create-home --shell /bin/bash user
  cp "$here"/build-package/packages/fovea-*.tar.gz "$root/home/user/fovea.tar.gz"
  cp "$here"/build-package/packages/fovea_*.deb "$root/tmp/fovea.deb"
  cp -r "$here/examples" "$root/home/user/examples"
  chroot "$root" chown -R user:user /home/user
}

unpack='mkdir first && tar -xzf fovea.tar.gz --strip-components=1 -C first && mv first elsewhere'
# shellcheck disable=SC2016  # $0 is the program
use='$0 doctor && $0 train lenet5_digits --epochs 1 && $0 train --model softmax --data digits --epochs 1 --backend eigen --out runs/softmax &&
  $0 eval runs/softmax --data digits'
outside='cmake -S examples/train_lenet5 -B outside && cmake --build outside && outside/train_lenet5'
traces='! find / -xdev -iname "*fovea*" -not -path "/home/*" -not -path "/tmp/fovea.deb" | grep .'

stages() {
  stage "debootstrap $suite (minbase)" 0 bootstrap &&
    stage "settings of this machine" 0 copy_settings &&
    stage "packages of $(git -C "$here" rev-parse --short HEAD), user without sudo" 0 copy_packages &&
    stage "tarball: unpack and move" 0 inside_without_network user bash -c "$unpack" &&
    stage "tarball: doctor, train, eval" 0 inside_without_network user bash -c "$use" elsewhere/bin/fovea &&
    stage "tarball: delete" 0 inside user rm -r elsewhere runs &&
    stage "deb: apt-get update" 0 inside root apt-get update -q &&
    stage "deb: install" 0 inside root apt-get install -y -q --no-install-recommends /tmp/fovea.deb &&
    stage "deb: doctor, train, eval" 0 inside_without_network user bash -c "$use" fovea &&
    stage "deb: install a compiler" 0 inside root apt-get install -y -q --no-install-recommends g++ cmake make &&
    stage "deb: an outside program trains LeNet-5" 0 inside_without_network user bash -c "$outside" &&
    stage "deb: remove" 0 inside root apt-get purge -y -q fovea &&
    stage "deb: nothing is left" 0 inside root bash -c "$traces"
}

run_all "$log"
