#!/usr/bin/env bash
# Tries the IMAP client against a real Dovecot (2.3 or 2.4 with `dovecot_config_version` left out) on loopback: a private
# configuration in a temporary folder, no system service. Needs root, because Dovecot changes users.
#
#   cargo build -p solmu-imap --example mailbox && tests/peers/dovecot.sh [MAILS]
#
# `make check-mail MAILS=10000` runs it with as many.
#
# Says what it saw, one line a check, and ends with an error at the first that does not hold.
set -euo pipefail

mails=${1:-10000}
root=$(cd "$(dirname "$0")/../.." && pwd)
client=${CARGO_TARGET_DIR:-$root/target}/debug/examples/mailbox
if ! command -v dovecot >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "not run: the IMAP client against Dovecot (needs root and dovecot-imapd)"
  exit 0
fi
[ -x "$client" ] || { echo "build it first: cargo build -p solmu-imap --example mailbox" >&2; exit 1; }

work=$(mktemp -d)
chmod 755 "$work"
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) tls_port=$(free_port)
dovecot_pid='' client_pid=''
finish() {
  [ -z "$client_pid" ] || kill -9 "$client_pid" 2>/dev/null || true
  [ -z "$dovecot_pid" ] || kill "$dovecot_pid" 2>/dev/null || true
  [ -z "$dovecot_pid" ] || wait "$dovecot_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout "$work/other.key" -out "$work/other.pem" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$work/key.pem" -out "$work/request.pem" 2>/dev/null
openssl x509 -req -in "$work/request.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
  -extfile <(echo "subjectAltName=DNS:localhost") -out "$work/cert.pem" 2>/dev/null
uid=$(id -u mail) gid=$(id -g mail)
mkdir -p "$work/home" "$work/run" "$work/state" "$work/out"
chown -R mail:mail "$work/home"
cat >"$work/dovecot.conf" <<CONF
base_dir = $work/run
state_dir = $work/state
log_path = $work/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <$work/cert.pem
ssl_key = <$work/key.pem
auth_mechanisms = plain login
mail_location = maildir:$work/home/Maildir
first_valid_uid = 1
first_valid_gid = 1
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=$uid gid=$gid home=$work/home
}
service imap-login {
  inet_listener imap {
    port = $port
  }
  inet_listener imaps {
    port = $tls_port
    ssl = yes
  }
}
service imap {
  process_limit = 64
}
CONF

patience=300
until_so() { # WHAT COMMAND...: waits for a command that holds
  local what=$1 end=$((SECONDS + patience))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "FAILED: not $what within $patience s" >&2; tail -5 "$work/log" "$work/out/events" >&2; exit 1; }
    sleep 0.05
  done
}
port_is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
serve() {
  dovecot -F -c "$work/dovecot.conf" &
  dovecot_pid=$!
  until_so "listening" port_is_open
}
port_is_closed() { ! port_is_open; }
kill_server() { # Its children end when they see that it is gone.
  kill -9 "$dovecot_pid"
  wait "$dovecot_pid" 2>/dev/null || true
  dovecot_pid=''
  until_so "closed" port_is_closed
}
read_mail() { # [AFTER]
  "$client" "$port" anna secret "$work/out" "${1:-mark}" "$work/ca.pem" &
  client_pid=$!
}
quit() {
  kill -9 "$client_pid" 2>/dev/null || true
  wait "$client_pid" 2>/dev/null || true
  client_pid=''
}
deliver() { # FIRST LAST: through the maildir, as a local delivery agent does
  python3 - "$work/home/Maildir" "$1" "$2" "$uid" "$gid" <<'PY'
import os, sys
folder, first, last, uid, gid = sys.argv[1], *map(int, sys.argv[2:])
for name in ('', '/tmp', '/new', '/cur'):
    os.makedirs(folder + name, exist_ok=True)
    os.chown(folder + name, uid, gid)
for number in range(first, last + 1):
    name = f'{1700000000 + number}.m{number}.peer'
    path = f'{folder}/tmp/{name}'
    body = f'line of mail {number}\n' * (1 + number % 40)
    with open(path, 'w') as file:
        file.write(f'From: a@c.example\nMessage-ID: <m{number}@c.example>\nSubject: m{number}\n\n{body}')
    os.chown(path, uid, gid)
    os.rename(path, f'{folder}/new/{name}')
PY
}
taken() { if [ -f "$work/out/taken" ]; then wc -l <"$work/out/taken"; else echo 0; fi; }
different() { cut -d' ' -f1,2 "$work/out/taken" | sort -u | wc -l; }
has_taken() { [ "$(taken)" -ge "$1" ]; }
until_taken() { # COUNT
  until_so "$1 mails taken" has_taken "$1"
}
has_all() { [ "$(different)" -ge "$1" ]; }
fresh() { rm -rf "$work/out" && mkdir "$work/out"; }
marked() { doveadm -c "$work/dovecot.conf" search -u anna mailbox INBOX KEYWORD '$SolmuImported' 2>/dev/null | wc -l; }

deliver 1 "$mails"
serve

begin=$(date +%s.%N)
read_mail
until_taken "$mails"
echo "read: $mails mails over STARTTLS in $(python3 -c "print(round($(date +%s.%N) - $begin, 1))") s"
[ "$(different)" = "$mails" ]
cut -d' ' -f2 "$work/out/taken" | sort -nc && echo "order: by uid"
are_marked() { [ "$(marked)" = "$1" ]; }
until_so "all marked" are_marked "$mails"
echo "marked: all"
seen=$(doveadm -c "$work/dovecot.conf" search -u anna mailbox INBOX SEEN 2>/dev/null | wc -l)
[ "$seen" = 0 ] && echo "seen: none"

next=$((mails + 1))
begin=$(date +%s.%N)
deliver $next $next
until_taken $next
echo "idle: a new mail was read $(python3 -c "print(round($(date +%s.%N) - $begin, 2))") s after its delivery"

kill_server
next=$((next + 1))
deliver $next $next
serve
until_taken $next
[ "$(different)" = "$next" ] && echo "reconnect: after the server was killed"
quit

fresh
kills=0
# What was read again counts once: the last ones may still be missing when there are enough lines.
while ! has_all "$next" && [ $kills -lt 200 ]; do
  read_mail nothing
  sleep 0.$((RANDOM % 3))$((RANDOM % 10))
  [ $kills -ge 12 ] && until_so "$next different mails taken" has_all "$next"
  quit
  kills=$((kills + 1))
done
[ "$(different)" = "$next" ] || { echo "taken: $(different) different mails, not $next"; exit 1; }
echo "kill -9 of the reader, $kills times: $next mails, none missing, $(($(taken) - next)) read again"

fresh
read_mail nothing
until_taken "$next"
doveadm -c "$work/dovecot.conf" mailbox update --uid-validity 99 -u anna INBOX 2>/dev/null
# The open session keeps the old number until it ends.
doveadm -c "$work/dovecot.conf" kick anna >/dev/null 2>&1 || true
until_taken $((2 * next))
until_so "told" grep -qs Resync "$work/out/events"
echo "uidvalidity: changed, everything was handed over again"
quit

fresh
read_mail "move=Done & \"filed\" Gelöscht"
until_taken "$next"
count() { doveadm -c "$work/dovecot.conf" search -u anna mailbox "$1" ALL 2>/dev/null | wc -l; }
is_moved() { [ "$(count INBOX)" = 0 ] && [ "$(count 'Done & "filed" Gelöscht')" = "$next" ]; }
until_so "all moved" is_moved
echo "moved: all, into a folder that had to be made"
quit

fresh
deliver 1 3
"$client" "$tls_port" anna secret "$work/out" nothing "$work/ca.pem" implicit &
client_pid=$!
until_taken 3
echo "implicit tls: read"
quit
fresh
"$client" "$tls_port" anna secret "$work/out" nothing "$work/other.pem" implicit &
client_pid=$!
until_so "told" grep -qs 'Down("tls")' "$work/out/events"
echo "implicit tls: an unknown authority is not trusted"
quit
fresh
"$client" "$port" anna wrong "$work/out" nothing "$work/ca.pem" &
client_pid=$!
until_so "told" grep -qs 'Down("login")' "$work/out/events"
echo "login: a wrong password is told as such"
quit
echo "the IMAP client against Dovecot: all held"
