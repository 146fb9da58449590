#!/bin/sh
# Makes tonight's RayJob and waits for its end. Run by nightly.yaml; KUBECTL and WAIT_S are for trials.
# The API server may be away for a while: each question is asked again, MISSES times in a row.
set -eu
kubectl=${KUBECTL:-kubectl}
folder=$(dirname "$0")
name="lipwise-nightly-$(date -u +%Y%m%d)"
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

until answer=$(sed "s/^  name: lipwise\$/  name: $name/" "$folder/rayjob.yaml" | $kubectl create -f - 2>&1); do
  case $answer in
    *AlreadyExists*) echo "$name: was started before; waiting for its end"; break ;;
  esac
  echo "$answer" >&2
  again 5
done
missed=0
while true; do
  if status=$($kubectl get rayjob "$name" --ignore-not-found -o 'jsonpath={.metadata.name}/{.status.jobDeploymentStatus}'); then
    missed=0
    case $status in
      "$name/Complete") echo "$name: Complete"; exit 0 ;;
      "$name/Failed" | "$name/ValidationFailed") echo "$name: ${status#*/}" >&2; exit 1 ;;
      "") echo "$name: is gone" >&2; exit 1 ;;
    esac
    sleep "${WAIT_S:-30}"
  else
    again "${MISSES:-20}"
  fi
done
