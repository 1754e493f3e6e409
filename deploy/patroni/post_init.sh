#!/bin/sh
# Patroni runs this once, on the first primary, with the address of the database `postgres`.
set -eu
psql "$1" -X -v ON_ERROR_STOP=1 -c 'create database millrace'
psql "$1 dbname=millrace" -X -v ON_ERROR_STOP=1 -f /etc/patroni/roles.sql
