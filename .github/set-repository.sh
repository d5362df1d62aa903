#!/usr/bin/env bash
# Sets the addresses in package.json to those of the repository that the workflow runs in, and makes the links and images of the
# README absolute, so that npm shows them. The registry rejects `npm publish --provenance` unless `repository.url` is the repository
# in the provenance. A fork publishes under its own address.
set -euo pipefail
address="${GITHUB_SERVER_URL:?}/${GITHUB_REPOSITORY:?}"
version=$(npm pkg get version | tr -d '"')
npm pkg set "repository.type=git" "repository.url=git+$address.git" "homepage=$address#readme" "bugs.url=$address/issues"
# A target with a colon is absolute already, and one that begins with # is on the page.
sed -E \
  -e "s|(!\[[^]]*\])\(([^):#][^):]*)\)|\1($address/raw/v$version/\2)|g" \
  -e "s|\]\(([^):#][^):]*)\)|]($address/blob/v$version/\1)|g" README.md >README.absolute.md
mv README.absolute.md README.md
