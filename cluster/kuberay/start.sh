#!/bin/sh
# Makes the RayJob of a night and waits for its end. Run by nightly.yaml; KUBECTL and WAIT_S are for tests.
# The API server may be away for a while: each question is asked again, MISSES times in a row.
set -eu
kubectl=${KUBECTL:-kubectl}
folder=$(dirname "$0")
# Not the name of the job that this runs in: KubeRay makes one that is named like its RayJob.
night=${JOB:-$(date -u +%Y%m%d)}
name="lipwise-night-${night#lipwise-nightly-}"

# Kueue takes a RayJob that names its queue; one whose cluster scales itself has to say that it is elastic. It wants
# shutdownAfterJobFinishes, beside which KubeRay takes no rules of deletion: in a queue a cluster goes with its night.
queued=""
if [ -n "${QUEUE:-}" ]; then
  queued="s|^  labels: {|&kueue.x-k8s.io/queue-name: $QUEUE, |; s|^  annotations: {|&kueue.x-k8s.io/elastic-job: \"true\"|"
  queued="$queued; s|^  deletionStrategy:\$|  shutdownAfterJobFinishes: true|; /^    deletionRules:\$/d; /^      - {policy: Delete/d"
fi

# KubeRay keeps RayJobs for ever; those of nights long gone are removed.
oldest=$(date -u -d "@$(($(date -u +%s) - ${KEEP_DAYS:-14} * 86400))" +%Y%m%d)
for old in $($kubectl get rayjobs -o 'jsonpath={range .items[*]}{.metadata.name}/{.metadata.creationTimestamp} {end}' || true); do
  made=${old##*/}
  case $old in
    lipwise-night-*/????-??-??T*)
      [ "$(echo "${made%%T*}" | tr -d -)" -ge "$oldest" ] || $kubectl delete rayjob "${old%%/*}" --wait=false || true ;;
  esac
done

missed=0

# Waits before a question is asked again, or gives up.
again() {
  missed=$((missed + 1))
  if [ "$missed" -ge "$1" ]; then
    echo "$name: no answer, $missed times" >&2
    exit 1
  fi
  sleep "${WAIT_S:-30}"
}

until answer=$(sed -e "s/^  name: lipwise\$/  name: $name/" -e "$queued" "$folder/rayjob.yaml" | $kubectl create -f - 2>&1); do
  case $answer in
    *AlreadyExists*) echo "$name: was started before; waiting for its end"; break ;;
  esac
  echo "$answer" >&2
  again "${MISSES:-20}"
done
missed=0
asked='{.metadata.name}/{.status.jobDeploymentStatus}/{.status.jobStatus}/{.status.rayClusterName}'
while true; do
  if status=$($kubectl get rayjob "$name" --ignore-not-found -o "jsonpath=$asked"); then
    missed=0
    case $status in
      # A night that was stopped is Complete too, and no rule of deletion knows it: its cluster would stay.
      "$name/Complete/STOPPED/"*)
        $kubectl delete raycluster "${status##*/}" --ignore-not-found --wait=false || true
        echo "$name: stopped"; exit 0 ;;
      "$name/Complete"*) echo "$name: Complete"; exit 0 ;;
      "$name/Failed"* | "$name/ValidationFailed"*) echo "$name: ${status#*/}" >&2; exit 1 ;;
      "") echo "$name: is gone" >&2; exit 1 ;;
    esac
    sleep "${WAIT_S:-30}"
  else
    again "${MISSES:-20}"
  fi
done
