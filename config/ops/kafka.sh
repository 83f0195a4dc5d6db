#!/bin/sh
# Starts the broker of docker-compose.yml: makes its certificate and formats its folder where there are none.
# Passwords go by files: a list of processes shows none.
set -eu
umask 077
keys=/etc/kafka/secrets    # the broker's own
public=/mnt/shared/config  # its certificate, which clients read
data=/var/lib/kafka/data
given=/etc/xinliu
secrets=/run/secrets
bin=/opt/kafka/bin

if [ ! -f "$public/broker.pem" ]; then
    rm -f "$keys/broker.p12" # of a start that was broken off
    head -c 24 /dev/urandom | base64 | tr -d '\n' > "$keys/store.password"
    keytool -genkeypair -alias broker -keystore "$keys/broker.p12" -storetype PKCS12 \
        -storepass:file "$keys/store.password" -keyalg EC -groupname secp256r1 -dname CN=xinliu-broker \
        -validity 3650 -ext bc:critical=ca:true -ext san=dns:kafka,dns:localhost,ip:127.0.0.1
    keytool -exportcert -rfc -alias broker -keystore "$keys/broker.p12" -storetype PKCS12 \
        -storepass:file "$keys/store.password" -file "$public/broker.new"
    chmod 644 "$public/broker.new"
    mv "$public/broker.new" "$public/broker.pem"
fi
store=$(cat "$keys/store.password")
admin=$(cat "$secrets/admin")
{
    cat "$given/secured.properties" "$given/kafka.properties"
    echo "advertised.listeners=SASL_SSL://kafka:9092,HOST://127.0.0.1:$KAFKA_PORT,BROKER://127.0.0.1:9094"
    echo "ssl.keystore.location=$keys/broker.p12"
    echo "ssl.keystore.password=$store"
    echo "ssl.key.password=$store"
    echo "ssl.truststore.location=$public/broker.pem"
} > "$keys/server.properties"
{
    echo security.protocol=SASL_SSL
    echo sasl.mechanism=SCRAM-SHA-512
    echo ssl.truststore.type=PEM
    echo "ssl.truststore.location=$public/broker.pem"
    echo "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required" \
        "username=\"admin\" password=\"$admin\";"
} > "$keys/admin.properties"
if [ ! -f "$data/meta.properties" ]; then
    printf -- '--add-scram\nSCRAM-SHA-512=[name=admin,password=%s]\n' "$admin" > "$keys/format.words"
    "$bin/kafka-storage.sh" format --ignore-formatted "--cluster-id=$KAFKA_CLUSTER_ID" -c "$keys/server.properties" \
        "@$keys/format.words"
    rm "$keys/format.words"
fi
exec "$bin/kafka-server-start.sh" "$keys/server.properties"
