#!/bin/sh
# Make the passwords that a deployment gives out, one file each; what is there is kept.
#
#   sh deploy/make-secrets.sh [DIRECTORY]      deploy/secrets, which git ignores
#
# The directory is closed to others. The files in it are not: a container's user, who has a number
# of his own, reads them through the mount.
set -eu
directory=${1:-$(dirname "$0")/secrets}
mkdir -p "$directory"
chmod 700 "$directory"
cd "$directory"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

token() {
    id=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
    printf 'bk_%s_%s' "$id" "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')"
}

keep() { # NAME TEXT
    [ -s "$1" ] && return
    printf '%s\n' "$2" > "$1.new"
    chmod 444 "$1.new"
    mv "$1.new" "$1"
    echo "made $directory/$1"
}

for user in admin orchestrator worker front flower keda submitter; do
    keep "redis_$user" "$(random)"
done
keep flower_login "buckstop:$(random)"
keep grafana_password "$(random)"
# The bearer token by which Prometheus reads /metrics; `buckstop token new --from-file` makes it known.
keep prometheus_token "$(token)"
