"""Prints what requests of the Docker Engine API may hold: parameters and the fields of bodies, one a line.

api-fields.py SWAGGER.yaml >tests/golden/gate/api-1.NN.txt     (moby's api/swagger.yaml; needs PyYAML)
"""
import sys

import yaml

# Swarm mode and plugins: closed as a whole.
OPERATOR = ("swarm", "services", "tasks", "nodes", "secrets", "configs", "plugins")
api = yaml.safe_load(open(sys.argv[1]))


def resolve(schema):
    while "$ref" in schema:
        place = api
        for part in schema["$ref"].lstrip("#/").split("/"):
            place = place[part]
        schema = place
    return schema


def fields(schema, path=(), seen=()):
    name = schema.get("$ref")
    if name in seen:
        return
    seen = seen + ((name,) if name else ())
    schema = resolve(schema)
    for part in schema.get("allOf", []):
        yield from fields(part, path, seen)
    for key, value in (schema.get("properties") or {}).items():
        yield ".".join([*path, key])
        yield from fields(value, [*path, key], seen)
    if "items" in schema:
        yield from fields(schema["items"], [*path, "[]"], seen)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from fields(schema["additionalProperties"], [*path, "*"], seen)


print("# Docker Engine API", api["info"]["version"])
for path, operations in sorted(api["paths"].items()):
    for method, operation in sorted(operations.items()):
        if method not in ("get", "head", "post", "put", "delete"):
            continue
        print(method.upper(), path)
        if path.split("/")[1] in OPERATOR:
            continue
        found = set()
        for parameter in map(resolve, operation.get("parameters", []) + operations.get("parameters", [])):
            if parameter["in"] == "query":
                found.add("  ?" + parameter["name"])
            elif parameter["in"] == "body":
                found.update("  " + field for field in fields(parameter["schema"]))
        for line in sorted(found):
            print(line)
