#!/bin/sh
# Gives the role that roles.sql made its password, when PostgreSQL's data directory is new. On
# standard input, so that no list of processes shows it.
set -eu
{
    printf '\\set password '
    cat /run/secrets/password
    printf '\nALTER ROLE bezant PASSWORD :'\''password'\'';\n'
} | psql -q -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d bezant
