#!/usr/bin/env bash
# Question: .gitattributes marks `secret-notes export-ignore` and `VERSION export-subst`.
#   What is in the archive that dulwich's porcelain.archive makes?
# Guess: what `git archive` puts there; these two attributes exist for archives alone, and
#   they are in the commit that is archived.
# What happens (dulwich 1.2.21; git 2.39 of Debian 12, November 2026): the marked file is
#   in it, and VERSION still holds `$Format:%H$` where git writes the commit. Folders have
#   no entry of their own, and no error or warning comes.
# Why it matters: a release tarball made without a git binary ships test data and internal
#   files that everybody believes are left out, and a version nobody can read.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py dulwich==1.2.21 2>pip.log || { cat pip.log; exit 1; }
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git init -q -b main r
printf 'secret-notes export-ignore\nVERSION export-subst\n' > r/.gitattributes
echo x > r/secret-notes; echo '$Format:%H$' > r/VERSION; mkdir r/src; echo y > r/src/app
git -C r add -A; git -C r commit -q -m one
git -C r archive HEAD > git.tar
PYTHONPATH=py python3 -c '
from dulwich import porcelain
with open("dulwich.tar", "wb") as out:
    porcelain.archive("r", "HEAD", outstream=out)'
for t in git dulwich; do
  echo "$t: $(tar -tf $t.tar | LC_ALL=C sort | xargs)"
  echo "$t VERSION: $(tar -xOf $t.tar VERSION | sed -E 's/^[0-9a-f]{40}$/the commit/')"
done > seen
cat seen
diff - seen <<'M' || { echo "changed: what an archive leaves out"; exit 1; }
git: .gitattributes VERSION src/ src/app
git VERSION: the commit
dulwich: .gitattributes VERSION secret-notes src/app
dulwich VERSION: $Format:%H$
M
