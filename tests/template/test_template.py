"""template.yaml, expanded for each kind of stack and held against what is written; and mutants of it, which must not pass."""

import copy
import tomllib
import unittest

import checks
from kinds import KINDS, SECRET
from stack import ROOT, Stack, read_template

TEMPLATE = read_template()


def stack_of(kind, template=TEMPLATE, **changes):
    return Stack(template, **{**KINDS[kind], **changes})


class EveryKindOfStack(unittest.TestCase):
    maxDiff = None

    def test_is_what_is_written(self):
        for kind in KINDS:
            with self.subTest(kind):
                self.assertEqual(checks.all_of(kind, stack_of(kind)), [])

    def test_is_allowed_by_the_rules(self):
        for kind in KINDS:
            with self.subTest(kind):
                self.assertEqual(stack_of(kind).refusals(), [])

    def test_between_them_every_condition_holds_and_does_not(self):
        stacks = [stack_of(kind) for kind in KINDS]
        for condition in TEMPLATE["Conditions"]:
            with self.subTest(condition):
                self.assertEqual({stack.holds(condition) for stack in stacks}, {True, False})

    def test_no_default_is_needed_but_the_operator_in_production(self):
        self.assertEqual(len(Stack(TEMPLATE).refusals()), 1)
        self.assertIn("OperatorRoleArn", Stack(TEMPLATE).refusals()[0])


class WhatCannotBe(unittest.TestCase):
    """Parameters that contradict each other are refused before anything is made."""

    def refused(self, saying, kind, **changes):
        found = stack_of(kind, **changes).refusals()
        self.assertTrue(any(saying in refusal for refusal in found), f"{changes}: {found}")

    def test_is_refused(self):
        self.refused("production needs OperatorRoleArn", "production", OperatorRoleArn="")
        self.refused("the policy of KmsKeyArn", "production-given", OperatorRoleArn=KINDS["production"]["OperatorRoleArn"])
        self.refused("VpcSubnetIds needs VpcId", "staging", VpcSubnetIds="subnet-00000001,subnet-00000002")
        self.refused("needs a network of yours", "production-given", VpcId="")
        self.refused("dual-stack needs InterfaceEndpoints", "staging", Egress="dual-stack", InterfaceEndpoints="false")
        self.refused("VpcId needs VpcSubnetIds", "staging", VpcId="vpc-00000001")
        self.refused("DatabaseOwnerSecretArn needs", "staging", DatabaseOwnerSecretArn=SECRET + "owner")
        self.refused("VpcSecurityGroupIds is for", "staging-in-network", VpcSecurityGroupIds="sg-00000001")
        self.refused("needs DatabaseOwnerSecretArn", "production-given", DatabaseOwnerSecretArn="")
        self.refused("needs VpcSecurityGroupIds", "production-given", VpcSecurityGroupIds="")


class SamConfig(unittest.TestCase):
    """samconfig.toml gives parameters that there are, and that may stand together."""

    def stack(self, environment, replacements):
        settings = tomllib.loads((ROOT / "samconfig.toml").read_text())[environment]["deploy"]["parameters"]
        given = dict(entry.split("=", 1) for entry in settings["parameter_overrides"])
        return Stack(TEMPLATE, **{name: replacements.get(name, value) for name, value in given.items()})

    def test_staging_asks_for_nothing(self):
        self.assertEqual(self.stack("staging", {}).refusals(), [])

    def test_production_asks_for_what_is_to_be_replaced_and_no_more(self):
        with self.assertRaisesRegex(AssertionError, "REPLACE"):
            self.stack("production", {})
        replacements = {name: KINDS["production"][name] for name in ("OperatorRoleArn", "AlarmTopicArn")}
        self.assertEqual(self.stack("production", replacements).refusals(), [])


def properties(template, name):
    return template["Resources"][name]["Properties"]


def statement(template, role, sid):
    statements = properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"]
    return next(found for found in statements if found.get("Sid") == sid)


def event(template, function, name):
    return properties(template, function)["Events"][name]["Properties"]


# What somebody might do to the template, the kind of stack in which it shows, and what is said of it.
MUTANTS = {
    "reads every secret": ("staging", "runner may also", lambda t: statement(t, "runnerRole", "ReadSecrets").update(Resource="*")),
    "opens with any context": ("staging", "confirm may also", lambda t: statement(t, "confirmRole", "OpenCredentials").pop("Condition")),
    "opens whatever the environment": (
        "staging",
        "ingest may also",
        lambda t: statement(t, "ingestRole", "OpenKeysOfSites")["Condition"]["StringEquals"].pop("kms:EncryptionContext:environment"),
    ),
    "makes data keys": (
        "production",
        "runner may also ('kms:GenerateDataKey'",
        lambda t: statement(t, "runnerRole", "OpenCredentials").update(Action=["kms:Decrypt", "kms:GenerateDataKey"]),
    ),
    "does anything to queues": ("staging", "recover may also ('sqs:*'", lambda t: statement(t, "recoverRole", "ReportFailures").update(Action="sqs:*")),
    "writes anybody's logs": ("staging", "health may also", lambda t: statement(t, "healthRole", "WriteLogs").update(Resource="*")),
    "reads the owner's login": (
        "staging",
        "maintain may also",
        lambda t: statement(t, "maintainRole", "ReadSecrets")["Resource"].append({"Fn::GetAtt": ["database", "MasterUserSecret.SecretArn"]}),
    ),
    "may be anybody's role": (
        "staging",
        "may be taken by",
        lambda t: properties(t, "runnerRole")["AssumeRolePolicyDocument"]["Statement"][0].update(Principal={"AWS": "*"}),
    ),
    "takes a policy of AWS's": (
        "staging",
        "runner may also ('whatever a policy allows', 'arn:aws:iam::aws:policy/AdministratorAccess'",
        lambda t: properties(t, "runnerRole")["ManagedPolicyArns"].append("arn:aws:iam::aws:policy/AdministratorAccess"),
    ),
    "has a role beside those": (
        "staging",
        "is a role that nobody wrote down",
        lambda t: t["Resources"].update(other=copy.deepcopy(t["Resources"]["runnerRole"])),
    ),
    "lets code attach to the network": (
        "staging",
        "not: runner may not",
        lambda t: properties(t, "vpcAccess")["PolicyDocument"]["Statement"].pop(2),
    ),
    "gives the whole account the key": (
        "production",
        "the policy of key",
        lambda t: properties(t, "key")["KeyPolicy"]["Statement"][0].update(Action="kms:*"),
    ),
    "lets the operator use it for anything": (
        "production",
        "the policy of key",
        lambda t: properties(t, "key")["KeyPolicy"]["Statement"][2]["Fn::If"][1].pop("Condition"),
    ),
    "puts a secret into a setting": (
        "staging",
        "value is put into the stack",
        lambda t: properties(t, "runner")["Environment"]["Variables"].update(CRON_SECRET={"Fn::Sub": "{{resolve:secretsmanager:${cronSecret}}}"}),
    ),
    "seals with a key in the environment": (
        "production",
        "VAULT_KEY",
        lambda t: properties(t, "maintain")["Environment"]["Variables"].update(VAULT_KEY="abc"),
    ),
    "runs before the schema": ("staging", "recover depends on []", lambda t: t["Resources"]["recover"].pop("DependsOn")),
    "migrates once for ever": ("staging", "migration runs for 1", lambda t: properties(t, "migration").update(Version="1")),
    "migrates with the settings of yesterday": (
        "staging",
        "migration invokes",
        lambda t: properties(t, "migration").update(ServiceToken={"Ref": "migrate.Alias"}),
    ),
    "migrates for hours": ("staging", "failures are", lambda t: t["Resources"].pop("migrateInvocations")),
    "migrates before the network is there": ("staging", "does not wait for s3Endpoint", lambda t: properties(t, "migration").update(After=[])),
    "puts functions where IPv6 is not yet": (
        "staging-dual-stack",
        "no IPv6 yet",
        lambda t: [properties(t, f"privateSubnet{zone}").pop("Tags") for zone in "AB"],
    ),
    "names what there is not": (
        "staging-dual-stack",
        "names cronSecret, which there is not",
        lambda t: t["Resources"].pop("cronSecret"),
    ),
    "waits for itself": ("staging", "migration waits for itself", lambda t: t["Resources"]["migrate"].update(DependsOn="migration")),
    "piles up throttled minutes": (
        "staging",
        "maintainGauges is",
        lambda t: event(t, "maintain", "Gauges")["RetryPolicy"].update(MaximumEventAgeInSeconds=3600),
    ),
    "forgets ticks": ("staging", "confirmEvery30Minutes", lambda t: event(t, "confirm", "Every30Minutes").pop("DeadLetterConfig")),
    "does not say when": (
        "staging",
        "says as its time None",
        lambda t: event(t, "recover", "Every30Minutes").update(Input='{"min_age_minutes":15}'),
    ),
    "keeps credentials in a queue": (
        "staging",
        "failures are",
        lambda t: properties(t, "seed")["EventInvokeConfig"].update(
            DestinationConfig={"OnFailure": {"Type": "SQS", "Destination": {"Fn::GetAtt": ["failures", "Arn"]}}}
        ),
    ),
    "seeds production over HTTP": (
        "production-given",
        "/api/cron/providers/seed-credentials",
        lambda t: [t["Resources"][name].update(Condition="HasCronApi") for name in ("seedCronIntegration", "seedCredentialsRoute", "seedCronPermission")],
    ),
    "sends a path to another function": (
        "staging-dual-stack",
        "goes to ${runner.Arn}",
        lambda t: properties(t, "recoverCronIntegration").update(IntegrationUri={"Fn::GetAtt": ["runner", "Arn"]}),
    ),
    "serves a path that nobody documented": (
        "staging-dual-stack",
        "is not documented",
        lambda t: properties(t, "maintainNowRoute").update(RouteKey="POST /api/cron/everything"),
    ),
    "can be called by any API": (
        "staging-dual-stack",
        "somebody may also ('runner'",
        lambda t: properties(t, "runnerCronPermission").pop("SourceArn"),
    ),
    "is not throttled": ("staging-dual-stack", "is not throttled", lambda t: properties(t, "cronApiStage").pop("DefaultRouteSettings")),
    "has its database in the open": ("staging", "PubliclyAccessible is True", lambda t: properties(t, "database").update(PubliclyAccessible=True)),
    "lets anybody at the database": (
        "staging",
        "traffic may also",
        lambda t: (properties(t, "databaseTakesFunctions").pop("SourceSecurityGroupId"), properties(t, "databaseTakesFunctions").update(CidrIp="0.0.0.0/0")),
    ),
    "loses the database": ("production", "goes without a snapshot", lambda t: t["Resources"]["database"].update(DeletionPolicy="Delete")),
    "has no way out of a zone": ("production", "nat-per-zone goes", lambda t: t["Resources"].pop("routeOutB")),
    "lets anything through to S3": (
        "staging",
        "s3Endpoint lets",
        lambda t: properties(t, "s3Endpoint")["PolicyDocument"]["Statement"][0].update(Action="s3:*"),
    ),
    "takes silence for health": (
        "staging",
        "gaugesDeadMan takes silence",
        lambda t: properties(t, "gaugesDeadMan").update(TreatMissingData="notBreaching"),
    ),
    "watches no backlog": ("staging", "nobody is called for Backlog", lambda t: t["Resources"].pop("backlogAlarm")),
    "calls nobody": ("production", "doorAlarm calls somebody else", lambda t: properties(t, "doorAlarm").pop("AlarmActions")),
    "is not traced": ("staging", "is not traced", lambda t: t["Globals"]["Function"].pop("Tracing")),
    "runs on another machine": ("staging", "is not arm64", lambda t: properties(t, "health").update(Architectures=["x86_64"])),
    "keeps logs for ever": ("staging", "is kept for ever", lambda t: properties(t, "seedLogs").pop("RetentionInDays")),
}


class Mutants(unittest.TestCase):
    """A check that nothing trips says nothing: each of these changes must be told."""

    def test_are_told(self):
        for name, (kind, saying, change) in MUTANTS.items():
            with self.subTest(name):
                template = copy.deepcopy(TEMPLATE)
                change(template)
                found = checks.all_of(kind, stack_of(kind, template))
                self.assertTrue(any(saying in problem for problem in found), found)


if __name__ == "__main__":
    unittest.main()
