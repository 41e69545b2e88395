#!/usr/bin/env bash
# What needs a GPU: every test of the backends `cuda` and, where cuDNN is, `cudnn`, the sanitizers over the kernels of the first, and five
# runs of one command.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
  cat <<END
usage: tests/gpu/run.sh [--build DIR] [--log FILE] [--only PATTERN] [--no-sanitizers]
Runs after a build with the CUDA module and the tests; needs one NVIDIA GPU, and compute-sanitizer unless told otherwise.
  --build DIR       where it was built (default: build)
  --log FILE        what is kept (default: results/gpu_tests.txt)
  --only PATTERN    the stages whose names the regular expression finds; their lines are added to the log
Exit codes: 0 all passed, 1 something failed or was skipped, 2 usage.
END
}

build=$root/build log=$root/results/gpu_tests.txt only="" sanitizers=(memcheck racecheck initcheck synccheck)
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$(cd "${2:?--build needs a folder}" && pwd) || exit 2; shift ;;
    --log) log=$(realpath -m "${2:?--log needs a file}"); shift ;;
    --only) only=${2:?--only needs a pattern}; shift ;;
    --no-sanitizers) sanitizers=() ;;
    -h | --help) usage; exit 0 ;;
    *) echo "run.sh: unknown option \`$1\`" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

[[ x =~ $only ]] || [ $? -eq 1 ] || { echo "run.sh: \`$only\` is no regular expression" >&2; exit 2; }
cd "$root" || exit 2  # the tests read models/ and tests/golden/
export FOVEA_REQUIRE_GPU=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# stage NAME COMMAND...: passes if the command does and no test was skipped or missing. Stages run beside each other, started in their order;
# each has a folder of its own for what it writes, $here, and leaves its line in the log when it ends.
most_at_once=6
stages=0
stage() {
  local name=$1 here=$scratch/$stages
  shift
  [[ $name =~ $only ]] || return 0
  stages=$((stages + 1))
  mkdir "$here"
  while [ "$(jobs -rp | wc -l)" -ge "$most_at_once" ]; do wait -n; done
  run_stage "$@" &
}

run_stage() {
  local start=$SECONDS verdict=passed counted
  "$@" >"$here/out" 2>&1 || verdict=FAILED
  grep -qE '\[  SKIPPED \]|^\[==========\] (0 tests|Running 0 tests)' "$here/out" && verdict="FAILED (skipped or no tests)"
  counted=$(grep -oE '\[   counts \] .*|\[  PASSED  \] [0-9]+ tests?|ERROR SUMMARY: .*|RACECHECK SUMMARY: .*' "$here/out" | sed -E 's/^\[ *counts *\] //; s/^\[ *PASSED *\] //' |
    awk '/^[0-9]+ cases$/ {cases += $1; next} /^[0-9]+ tests?$/ {tests += $1; next} !seen[$0]++ {line = line "; " $0}
         END {print (cases > 0 ? cases " cases; " : "") (tests > 0 ? tests (tests == 1 ? " test" : " tests") : "") line}')
  printf '%-44s %-8s %4d s  %s\n' "$name" "$verdict" $((SECONDS - start)) "$counted" | tee -a "$log"
  if [ "$verdict" = passed ]; then
    touch "$here/passed"
  else
    printf '%s\n' "==== $name: $verdict
$(grep -nE -A 12 ': Failure|[Ee]rror' "$here/out" | head -n 80)
$(grep -E '\[  FAILED  \]' "$here/out")
$(tail -n 20 "$here/out")
==== end of $name"
  fi
}

# same_bits BACKEND PRECISION: what the first run chose by measuring holds for the others.
same_bits() {
  local backend=$1 tuning=() && shift
  for i in 1 2 3 4 5; do
    "$build/fovea" train --quiet --backend "$backend" --precision "$1" --data synthetic:28x28x1:10:4096:256 --model lenet5 \
      --out "$here/run$i" "${tuning[@]}" || return 1
    [ ! -e "$here/run1/tuning.json" ] || tuning=(--tuning "$here/run1/tuning.json")
    find "$here/run$i" -name '*.safetensors' -exec sha256sum {} + | cut -d' ' -f1 | sort >"$here/bits$i"
    [ -s "$here/bits$i" ] || { echo "run $i left no weights"; return 1; }
    cmp "$here/bits1" "$here/bits$i" || return 1
  done
}

# in_shards COUNT PROGRAM FILTER [COMMAND...]: a test program in several processes, behind a command that takes it; the first failure is the result.
in_shards() {
  local count=$1 program=$2 filter=$3 failed=0 pids=()
  shift 3
  for ((i = 0; i < count; ++i)); do
    GTEST_TOTAL_SHARDS=$count GTEST_SHARD_INDEX=$i "$@" "$build/$program" --gtest_filter="$filter" >"$here/shard$i" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  cat "$here"/shard*
  return $failed
}

# one_step NETWORK:HEIGHTxWIDTHxCHANNELS:CLASSES COMMAND...: two images through training and evaluation, in bf16.
one_step() {
  local model=${1%%:*} data=synthetic:${1#*:}:2:2
  shift
  "$@" "$build/fovea" train --quiet --backend cuda --precision bf16 --model "$model" --data "$data" --batch 2 --epochs 1 --no-replay --save-every never --out "$here/run"
}

# The table for every operator; those without random shapes also on random data.
reduced='*ExactnessTest*/cuda_*:*NonFiniteTest*/cuda:*RecordingTest*/cuda'
for operator in softmax binary score update gradient_norm dropout activation batch_norm add concat shortcut bias; do
  reduced+=":*OperatorTest*/cuda_$operator*:*OperatorTest*/cuda_bf16_$operator*:*OperatorTest*/cuda_fp16_$operator*"
done
reduced+=':*LossScaleTest*/cuda'

[ -x "$build/backend_tests" ] || { echo "run.sh: there is no backend_tests in $build; build first" >&2; exit 2; }
mkdir -p "$(dirname "$log")"
[ -n "$only" ] || : >"$log"
{
  echo "tests/gpu/run.sh${only:+ --only $only}, $(date -u +%F), $("$build/fovea" doctor | head -n 1)"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
} | tee -a "$log"
stage "doctor" "$build/fovea" doctor
backends=(cuda)
if "$build/fovea" doctor --backends | grep -qx cudnn; then backends+=(cudnn); else echo "the backend cudnn is absent here: nothing of it was tested" | tee -a "$log"; fi
for tool in "${sanitizers[@]}"; do
  checked=(compute-sanitizer --tool "$tool" --error-exitcode 1)
  stage "compute-sanitizer $tool: table" in_shards 2 backend_tests "$reduced" "${checked[@]}"
  if [ "$tool" != racecheck ]; then  # which takes minutes for the batches of these tests
    stage "compute-sanitizer $tool: claims" in_shards 2 plan_tests '*NormClaims.GiveTheResultsOfTheirParts/*:*NormClaims.*FromTheFirst*/bf16:*NormClaims.*FromWide*/bf16:*RecomputeIn16Bits*/cuda*' "${checked[@]}"
  else
    stage "compute-sanitizer $tool: claims" in_shards 1 plan_tests '*NormClaims.GiveTheSameBitsAgainFromWideEndsOn/bf16' "${checked[@]}"
  fi
  for network in resnet18:224x224x3:10 cats_dogs:256x256x3:2; do
    stage "compute-sanitizer $tool: a step of ${network%%:*}" one_step "$network" "${checked[@]}"
  done
  stage "compute-sanitizer $tool: small networks" in_shards 1 train_tests '*SmallNet.GivesTheSameBitsAgain/0:*SmallNet.GivesTheSameBitsAgain/2:*SmallNet.GivesTheSameBitsAgain/6' \
    "${checked[@]}"
done
stage "backend: table and random shapes" in_shards 6 backend_tests '*cuda*:CudaBackend*:OpCases*'
stage "study: claims, part by part" in_shards 1 study_tests 'Diff.Finds*'
stage "plan: nothing falls back to the reference" in_shards 1 plan_tests 'Compile.NoStepOfAShippedNetwork*'
stage "plan: claims and their parts" in_shards 2 plan_tests '*NormClaims*:*Conv2dClaims*'
stage "plan: what is computed again" in_shards 2 plan_tests '*Recompute*cuda*'
stage "train: golden losses, spread, claims" in_shards 2 train_tests '*WholeStep*cuda*:Backends.*:*SmallNet*'
stage "train: NaN and infinity" in_shards 2 train_tests '*NonFiniteValues*cuda*'
stage "train: precisions" in_shards 2 train_tests '*PrecisionTest*cuda*'
stage "train: several steps at once" in_shards 2 train_tests '*StepsAtOnce*cuda*:*TrainingInGroups*cuda'
for backend in "${backends[@]}"; do
  if [ "$backend" = cudnn ]; then
    stage "cudnn: choices, table and random shapes" in_shards 6 backend_tests '*cudnn*:*CudnnBackend*'
    stage "cudnn: where its libraries are" in_shards 1 backend_tests '*CudnnModule*:*OnlyWhoAsksForCudnn*'
    stage "cudnn: what is computed again" in_shards 2 plan_tests '*Recompute*cudnn*'
    stage "cudnn: golden losses, spread, claims" in_shards 8 train_tests '*WholeStep*cudnn*:*NonFiniteValues*cudnn*:*PrecisionTest*cudnn*:*StepsAtOnce*cudnn*:*TrainingInGroups*cudnn'
  fi
  for precision in fp32 tf32 bf16 fp16; do
    stage "$backend: five runs in $precision, the same bits" same_bits "$backend" "$precision"
    for model in lenet5 resnet20; do
      stage "$backend: $model in $precision beside the reference" "$build/fovea" diff "$model" reference "$backend" --precision "$precision" --batch 2
    done
  done
done
wait
failed=$((stages - $(find "$scratch" -name passed | wc -l)))  # a stage that was killed has passed as little
echo "$failed of $stages failed" | tee -a "$log"
[ "$stages" -gt 0 ] || { echo "run.sh: no stage has a name like \`$only\`" >&2; exit 2; }
[ "$failed" -eq 0 ]
