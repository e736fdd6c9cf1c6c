#!/usr/bin/env bash
# Question: what is the full name of `reg.example:5000/app:1` for npm's docker-parse-image?
# Guess: itself. `library/` is a habit of the public hub alone; a private registry has
#   repositories with one component.
# What happens (docker-parse-image 3.0.1, November 2026): `fullname` is
#   `reg.example:5000/library/app:1`, another repository. And `localhost:5000/a/b/app:1`
#   is the repository `localhost` with the tag `5000/a/b/app:1`.
# Why it matters: a tool that normalises names with it pulls, or tags and pushes, an image
#   that the release never made; the answer is a 404, or a stale image of that name.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
npm install --silent --no-audit --no-fund --prefix . docker-parse-image@3.0.1 >npm.log 2>&1 || { cat npm.log; exit 1; }
cat > probe.mjs <<'M'
import { createRequire } from "node:module";
const parse = createRequire(import.meta.url)("docker-parse-image");
for (const name of ["reg.example:5000/app:1", "reg.example:5000/team/app:1", "localhost:5000/a/b/app:1"]) {
  const p = parse(name);
  console.log(`${name} -> ${p.fullname} (repository ${p.repository}, tag ${p.tag})`);
}
M
seen=$(node probe.mjs)
echo "$seen"
want='reg.example:5000/app:1 -> reg.example:5000/library/app:1 (repository app, tag 1)
reg.example:5000/team/app:1 -> reg.example:5000/team/app:1 (repository app, tag 1)
localhost:5000/a/b/app:1 -> library/localhost:5000/a/b/app:1 (repository localhost, tag 5000/a/b/app:1)'
[ "$seen" = "$want" ] || { echo "changed: docker-parse-image reads these names otherwise"; exit 1; }
