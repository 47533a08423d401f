#!/usr/bin/env bash
# For conda users: an environment with the pinned versions that CI uses. Usage: scripts/make_env.sh [NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
name="${1:-retrain-equivalence}"
conda create --yes --name "$name" python=3.11 pip
conda run --name "$name" pip install -c constraints.txt -e '.[dev]'
echo "conda activate $name && retrain-equivalence run quickstart --offline"
