# shellcheck shell=bash
# Installs the other queues that `./dev bench --peers` measures. ./dev sources this file.
# Sidekiq is the version of Debian. The others are the versions in bench/peers/package-lock.json, in their own folder.

debian=() peers=$DEV/bench/peers
command -v node >/dev/null || debian+=(nodejs)
command -v npm >/dev/null || debian+=(npm)
ruby -e "require 'sidekiq'" 2>/dev/null || debian+=(ruby-sidekiq)
if [ ${#debian[@]} -gt 0 ]; then
  say "Installing what other queues need: ${debian[*]}"
  if command -v apt-get >/dev/null; then apt_install "${debian[*]}" "${debian[@]}"
  else die "Please install Node.js with npm, and Ruby with Sidekiq, and run this again."; fi
  hash -r
fi
mkdir -p "$peers"
if ! cmp -s bench/peers/package-lock.json "$peers/installed.json"; then
  say "Installing BullMQ, graphile-worker and pg-boss"
  cp bench/peers/package.json bench/peers/package-lock.json "$peers/"
  # Not `npm ci`: it fails if the registry lacks a package that only another operating system needs.
  npm install --prefix "$peers" --ignore-scripts --no-audit --no-fund
  cp bench/peers/package-lock.json "$peers/installed.json"
fi
cp bench/peers/*.js bench/peers/*.rb "$peers/"
