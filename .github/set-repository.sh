#!/usr/bin/env bash
# Sets the addresses in package.json to those of the repository that the workflow runs in. The registry rejects
# `npm publish --provenance` unless `repository.url` is the repository in the provenance. A fork publishes under its own address.
set -euo pipefail
address="${GITHUB_SERVER_URL:?}/${GITHUB_REPOSITORY:?}"
npm pkg set "repository.type=git" "repository.url=git+$address.git" "homepage=$address#readme" "bugs.url=$address/issues"
