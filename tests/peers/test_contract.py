"""The contract that machines read (docs/schema/), as other implementations of JSON Schema and AsyncAPI take it."""
import json

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from peers import CONTRACT, ROOT, schema, validator

ASYNCAPI = ROOT / "tests/peers/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"


def document():
    return json.loads((CONTRACT / "asyncapi.json").read_text())


def payload(message):
    """The schema of a message's payload, its reference followed."""
    file, name = message["payload"]["schema"]["$ref"].split("#/$defs/")
    return validator(file, name)


@pytest.mark.parametrize("file", ["event.json", "action.json"])
def test_the_schemas_are_schemas_and_their_examples_fit(file):
    Draft202012Validator.check_schema(schema(file))
    names = [name for name, definition in schema(file)["$defs"].items() if "examples" in definition]
    assert len(names) == 3
    for name in names:
        for example in schema(file)["$defs"][name]["examples"]:
            validator(file, name).validate(example)
            validator(file, name if name == "base64" else None).validate(example)


def test_the_asyncapi_document_is_one():
    specification = json.loads(ASYNCAPI.read_text())
    errors = Draft7Validator(specification).iter_errors(document())
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
    broken = document()
    broken["operations"]["hear"]["action"] = "listen"
    assert not Draft7Validator(specification).is_valid(broken), "it would find a mistake"


def test_what_the_asyncapi_document_refers_to_is_there():
    whole = document()

    def follow(reference):
        found = whole
        for word in reference.removeprefix("#/").split("/"):
            found = found[word]
        return follow(found["$ref"]) if "$ref" in found else found

    channel = whole["channels"]["link"]
    told = [follow(reference["$ref"]) for operation in whole["operations"].values() for reference in operation["messages"]]
    assert told == [follow(reference["$ref"]) for reference in channel["messages"].values()]
    assert all(follow(operation["channel"]["$ref"]) is channel for operation in whole["operations"].values())
    for message in told:
        for example in message["examples"]:
            payload(message).validate(example["payload"])
            assert not payload(message).is_valid({**example["payload"], "user": "ann"})
