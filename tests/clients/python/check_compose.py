"""Checks a compose file against the schema of the compose specification: check_compose.py SCHEMA FILE"""

import json
import sys

import jsonschema
import yaml

with open(sys.argv[1], encoding="utf-8") as schema, open(sys.argv[2], encoding="utf-8") as file:
    errors = list(jsonschema.Draft201909Validator(json.load(schema)).iter_errors(yaml.safe_load(file)))
for error in errors:
    print(f"{error.json_path}: {error.message}")
sys.exit(bool(errors))
