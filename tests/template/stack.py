"""What CloudFormation would make of template.yaml with some parameters: SAM's expansion, then conditions and intrinsic functions."""

import copy
import ipaddress
import json
import logging
import os
import re
from pathlib import Path

# SAM asks boto for a region, and calls none.
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

# It counts what it does, and warns that nobody collects it.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

ROOT = Path(__file__).resolve().parents[2]

PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "relay",
    "AWS::URLSuffix": "amazonaws.com",
}

# What `!Ref AWS::NoValue` leaves: no property, no entry.
NOTHING = object()


def read_template():
    """template.yaml as `sam package` leaves it: code is in a bucket."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://bucket/{resource['Properties']['CodeUri']}"
    return template


class NoManagedPolicies:
    """The template names none of SAM's policy templates."""

    def load(self):
        return {}


class Stack:
    """The resources that there would be, by name. What only AWS knows stands as `${name}` and `${name.Attribute}`."""

    def __init__(self, template, **parameters):
        self.parameters = {name: read_parameter(name, declared, parameters) for name, declared in template["Parameters"].items()}
        unknown = parameters.keys() - self.parameters.keys()
        assert not unknown, f"no such parameters: {unknown}"
        self.conditions = template["Conditions"]
        self.rules = template["Rules"]
        expanded = transform(copy.deepcopy(template), dict(parameters), NoManagedPolicies())
        self.resources = {
            name: self.resolve({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in expanded["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }

    def of_type(self, kind):
        """Resources of a type: name and properties."""
        return {name: resource.get("Properties", {}) for name, resource in self.resources.items() if resource["Type"] == kind}

    def refusals(self):
        """What the template's rules say against these parameters."""
        return [
            assertion["AssertDescription"]
            for rule in self.rules.values()
            if self.resolve(rule.get("RuleCondition", True))
            for assertion in rule["Assertions"]
            if not self.resolve(assertion["Assert"])
        ]

    def holds(self, condition):
        return self.resolve(self.conditions[condition])

    def resolve(self, value):
        if isinstance(value, list):
            return [entry for entry in map(self.resolve, value) if entry is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), = value.items()
            if function in FUNCTIONS:
                return FUNCTIONS[function](self, argument)
        resolved = {key: self.resolve(entry) for key, entry in value.items()}
        return {key: entry for key, entry in resolved.items() if entry is not NOTHING}

    def ref(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        return self.parameters.get(name, "${%s}" % name)

    def choose(self, argument):
        condition, then, otherwise = argument
        return self.resolve(then if self.holds(condition) else otherwise)

    def substitute(self, argument):
        text, named = (argument, {}) if isinstance(argument, str) else argument
        named = self.resolve(named)
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(named.get(found.group(1)) or self.ref(found.group(1))), text)


def read_parameter(name, declared, given):
    value = given.get(name, declared.get("Default"))
    assert value is not None, f"{name} has no default"
    if declared["Type"] == "CommaDelimitedList":
        return value.split(",")
    allowed, pattern = declared.get("AllowedValues"), declared.get("AllowedPattern")
    assert allowed is None or str(value) in map(str, allowed), f"{name}: {value!r} is not among {allowed}"
    if declared["Type"] == "Number":
        least, most = declared.get("MinValue", value), declared.get("MaxValue", value)
        assert float(least) <= float(value) <= float(most), f"{name}: {value} is not from {least} to {most}"
    assert pattern is None or re.fullmatch(pattern, value), f"{name}: {value!r} does not match {pattern}"
    return value


def subnets(block, count, bits):
    """`Fn::Cidr`. An IPv6 block is AWS's to know."""
    if block.startswith("${"):
        return [f"{block}/{number}" for number in range(count)]
    found = list(ipaddress.ip_network(block).subnets(new_prefix=32 - bits))
    assert len(found) >= count, f"{block} has no {count} subnets of {bits} bits"
    return [str(subnet) for subnet in found[:count]]


def select(stack, argument):
    number, entries = argument
    entries = stack.resolve(entries)
    return f"{entries}[{number}]" if isinstance(entries, str) else entries[int(number)]


def get_attribute(_stack, argument):
    return "${%s}" % (argument if isinstance(argument, str) else ".".join(argument))


FUNCTIONS = {
    "Ref": Stack.ref,
    "Condition": Stack.holds,
    "Fn::If": Stack.choose,
    "Fn::Sub": Stack.substitute,
    "Fn::GetAtt": get_attribute,
    "Fn::Select": select,
    "Fn::GetAZs": lambda _stack, _argument: ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
    "Fn::Cidr": lambda stack, argument: subnets(*stack.resolve(argument)),
    "Fn::Join": lambda stack, argument: str(argument[0]).join(map(str, stack.resolve(argument[1]))),
    "Fn::Split": lambda stack, argument: stack.resolve(argument[1]).split(argument[0]),
    "Fn::Equals": lambda stack, argument: stack.resolve(argument[0]) == stack.resolve(argument[1]),
    "Fn::Not": lambda stack, argument: not stack.resolve(argument[0]),
    "Fn::And": lambda stack, argument: all(stack.resolve(argument)),
    "Fn::Or": lambda stack, argument: any(stack.resolve(argument)),
}


def main():
    """Writes a stack of each kind that the tests look at, as plain CloudFormation, for tools that read that."""
    import sys

    from kinds import KINDS

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, parameters in KINDS.items():
        stack = Stack(read_template(), **parameters)
        text = json.dumps({"Resources": stack.resources}, indent=1)
        (folder / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
