#!/bin/sh
# Start Redis with users.acl: its comments and line breaks taken out, since Redis allows neither,
# and each user's password put in, as a hash, from the secret of that name.
set -eu
umask 077
users=/tmp/users.acl
awk '/^[[:space:]]*(#|$)/ { next }
     /^user/ { if (line) print line; line = $0; next }
     { sub(/^[[:space:]]+/, ""); line = line " " $0 }
     END { print line }' /etc/buckstop/users.acl > "$users"
for secret in /run/secrets/redis_*; do
    user=${secret#/run/secrets/redis_}
    hash=$(tr -d '\n' < "$secret" | sha256sum | cut -d ' ' -f 1)
    sed -i "s/^user $user /&#$hash /" "$users"
done
exec redis-server /etc/buckstop/redis.conf --aclfile "$users"
