#!/bin/sh
# SPDX-License-Identifier: MIT
# certs.sh DIR - the certificates that tests of TLS need, made anew in DIR, all of P-256:
#   ca.pem                an authority; `other_ca.pem` is one that signed nothing here
#   server.pem .key       for 127.0.0.1 and localhost       expired.pem .key    the same, of yesterday
#   elsewhere.pem .key    for another host                  client.pem .key     a client's, and
#   named.pem .key        one with a common name, which etcd takes for a user's
# etcd asks itself over its own port with its server certificate, so none is bound to a purpose.
set -eu
cd "$1"
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj "/CN=Test authority $1" -keyout "$1.key" -out "$1.pem" 2>>openssl.log
}
# certificate NAME SUBJECT SAN DAYS
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
        -keyout "$1.key" -out "$1.csr" 2>>openssl.log
    printf 'subjectAltName=%s\n' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$4" \
        -extfile "$1.ext" -out "$1.pem" 2>>openssl.log
    rm -f "$1.csr" "$1.ext"
}
authority ca
authority other_ca
certificate server /CN=server IP:127.0.0.1,DNS:localhost 30
certificate expired /CN=server IP:127.0.0.1,DNS:localhost -1
certificate elsewhere /CN=elsewhere.example DNS:elsewhere.example 30
certificate client /O=kamaitachi DNS:client 30
certificate named /CN=kamaitachi DNS:client 30
