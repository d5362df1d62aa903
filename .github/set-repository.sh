#!/usr/bin/env bash
# Sets the addresses in package.json to those of the repository that a workflow runs in. `npm publish --provenance` is refused
# unless `repository.url` is the repository that the provenance names; a fork that publishes names itself.
set -euo pipefail
address="${GITHUB_SERVER_URL:?}/${GITHUB_REPOSITORY:?}"
npm pkg set "repository.type=git" "repository.url=git+$address.git" "homepage=$address#readme" "bugs.url=$address/issues"
