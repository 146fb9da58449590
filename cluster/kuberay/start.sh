#!/bin/sh
# Makes tonight's RayJob and waits for its end. Run by nightly.yaml; KUBECTL and WAIT_S are for trials.
set -eu
kubectl=${KUBECTL:-kubectl}
folder=$(dirname "$0")
name="lipwise-nightly-$(date -u +%Y%m%d)"
if ! answer=$(sed "s/^  name: lipwise\$/  name: $name/" "$folder/rayjob.yaml" | $kubectl create -f - 2>&1); then
  case $answer in
    *AlreadyExists*) echo "$name: was started before; waiting for its end" ;;
    *) echo "$answer" >&2; exit 1 ;;
  esac
fi
while true; do
  status=$($kubectl get rayjob "$name" -o 'jsonpath={.status.jobDeploymentStatus}')
  case $status in
    Complete) echo "$name: $status"; exit 0 ;;
    Failed | ValidationFailed) echo "$name: $status" >&2; exit 1 ;;
  esac
  sleep "${WAIT_S:-30}"
done
