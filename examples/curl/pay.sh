#!/bin/sh
# An agent pays through the HTTPS door, with curl and certificates.
#
#     sh pay.sh https://localhost:7402 ids/alice ids/bob ids/mint
#
# Each directory holds svid.pem, svid.key and bundle.pem, as `bezant identity issue` writes them.
set -eu

if [ $# -ne 4 ]; then
    echo "usage: pay.sh URL ALICE-DIR BOB-DIR MINT-DIR" >&2
    exit 2
fi
url=$1 alice=$2 bob=$3 mint=$4

# call DIR METHOD PATH [BODY]: prints the answer; the certificate in DIR says who asks. It tries
# again while no answer comes, which is safe because the body carries the command's id. A refusal
# is an answer as well: its status is not that of success, and it is told apart by its content.
call() {
    identity=$1 method=$2 path=$3 body=${4-}
    set -- --silent --show-error --max-time 10 --retry 5 --retry-connrefused \
        --cacert "$identity/bundle.pem" --cert "$identity/svid.pem" --key "$identity/svid.key" \
        --request "$method"
    if [ -n "$body" ]; then
        set -- "$@" --header 'Content-Type: application/json' --data "$body"
    fi
    curl "$@" "$url$path"
    echo
}

# field NAME: the first text with this name in the JSON on standard input.
field() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

# An id for a command: a UUIDv7, whose first 48 bits are Unix milliseconds.
new_id() {
    time=$(printf '%012x' "$(($(date +%s) * 1000))")
    random=$( (cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen) | tr 'A-F' 'a-f')
    echo "$(echo "$time" | cut -c 1-8)-$(echo "$time" | cut -c 9-12)-7$(echo "$random" | cut -c 16-36)"
}

payer=$(call "$alice" GET /v1/me | field principal)
payee=$(call "$bob" GET /v1/me | field principal)
echo "alice is ${payer:?the frame does not say who we are} and bob ${payee:?}"

call "$alice" POST /v1/accounts "{\"id\":\"$(new_id)\",\"owner\":\"$payer\"}"
call "$bob" POST /v1/accounts "{\"id\":\"$(new_id)\",\"owner\":\"$payee\"}"
call "$mint" POST /v1/issues "{\"id\":\"$(new_id)\",\"credit\":\"$payer\",\"amount\":\"100\"}"

payment="{\"id\":\"$(new_id)\",\"debit\":\"$payer\",\"credit\":\"$payee\",\"amount\":\"12.50\"}"
first=$(call "$alice" POST /v1/transfers "$payment")
again=$(call "$alice" POST /v1/transfers "$payment")
echo "$first"
if [ "$first" != "$again" ]; then
    echo "the second answer must be that of the first: $again" >&2
    exit 1
fi

# A refusal is a problem (RFC 9457) that says what to do.
much="{\"id\":\"$(new_id)\",\"debit\":\"$payer\",\"credit\":\"$payee\",\"amount\":\"10000\"}"
refused=$(call "$alice" POST /v1/transfers "$much")
echo "refused: $(echo "$refused" | field title): $(echo "$refused" | field cure)"

liquid=$(call "$bob" GET "/v1/accounts/$payee/1" | field liquid)
echo "bob has $liquid"
