#!/usr/bin/env bash
# Makes the packages: a tarball that runs anywhere and a Debian package, checked as far as that can be done without a bare system.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<END
usage: tools/package.sh [--architectures LIST] [--no-cuda]
Builds fovea in build-package/ and packs it into build-package/packages/:
  fovea-VERSION-linux-x86_64.tar.gz  unpacked anywhere it runs from there; brings the libraries that a bare system lacks
  fovea_VERSION_amd64.deb            takes them from the system
Built on Debian 12 both run on Debian 12 and on Ubuntu 24.04; tools/fresh_package.sh proves it.
  --architectures LIST  GPUs that the CUDA module has code for, as in CMAKE_CUDA_ARCHITECTURES; default: 75-real;80-real;90, which is
                        every GPU from Turing on (the last one is also kept as PTX)
  --no-cuda             without the CUDA module, which needs nvcc (tools/setup.sh --cuda)
END
}

architectures="75-real;80-real;90" cuda=ON
while [ $# -gt 0 ]; do
  case $1 in
    --architectures) architectures=${2:?--architectures needs a list}; shift ;;
    --no-cuda) cuda=OFF ;;
    -h | --help) usage; exit 0 ;;
    *) echo "package: unknown option \`$1\`" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
for tool in dpkg-shlibdeps objdump; do
  command -v $tool >/dev/null || { echo "package: \`$tool\` is missing; apt-get install dpkg-dev binutils" >&2; exit 2; }
done

tools/setup.sh
cmake --preset release -B build-package -DFOVEA_TESTS=OFF -DFOVEA_CUDA=$cuda "-DFOVEA_CUDA_ARCHITECTURES=$architectures" \
  -DCMAKE_CXX_COMPILER_LAUNCHER="${CMAKE_CXX_COMPILER_LAUNCHER-$(command -v ccache || true)}"
cmake --build build-package --parallel "$(nproc)"
rm -rf build-package/packages
(cd build-package && cpack -B packages)
rm -rf build-package/packages/_CPack_Packages

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
tar -xzf build-package/packages/fovea-*.tar.gz -C "$unpacked"
tools/check_package.py --self-test
tools/check_package.py "$unpacked"
dpkg-deb --field build-package/packages/fovea_*.deb Package Version Depends
ls -l build-package/packages
