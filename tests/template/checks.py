"""Looks at a stack; each check answers with what is wrong, in sentences."""

import json
import re

import allowed
from stack import ROOT


def all_of(kind, stack):
    return [problem for check in CHECKS for problem in check(kind, stack)]


def many(value):
    return value if isinstance(value, list) else [value]


def frozen(condition):
    return None if condition is None else json.dumps(condition, sort_keys=True)


def permissions(statements, effect):
    """(action, resource, condition) of each statement of this effect."""
    return {
        (action, resource, frozen(statement.get("Condition")))
        for statement in statements
        if statement["Effect"] == effect
        for action in many(statement["Action"])
        for resource in many(statement.get("Resource"))
    }


def differences(what, found, expected):
    extra, missing = found - expected, expected - found
    return [f"{what} may also {entry}" for entry in sorted(map(str, extra))] + [
        f"{what} may not {entry}" for entry in sorted(map(str, missing))
    ]


def statements_of(stack, role):
    """All that a role may do: its own policies, and those of the stack that it names."""
    policies = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
    for reference in role.get("ManagedPolicyArns", []):
        name = reference.removeprefix("${").removesuffix("}")
        # What a policy of AWS's allows is not ours to know.
        unknown = {"Statement": [{"Effect": "Allow", "Action": "whatever a policy allows", "Resource": name}]}
        policies.append(stack.resources[name]["Properties"]["PolicyDocument"] if name in stack.resources else unknown)
    return [statement for policy in policies for statement in policy["Statement"]]


def functions_of(stack):
    return stack.of_type("AWS::Lambda::Function")


def expected_functions(stack):
    production = stack.parameters["AppEnv"] == "production"
    return {name: entry for name, entry in allowed.FUNCTIONS.items() if not (production and name == "seed")}


def each_role_may_do_what_is_written_and_nothing_else(kind, stack):
    roles = stack.of_type("AWS::IAM::Role")
    places, environment = allowed.PLACES[kind], stack.parameters["AppEnv"]
    for name, entry in expected_functions(stack).items():
        role = roles.pop(f"{name}Role", None)
        if role is None:
            yield f"{name} has no role of its own"
            continue
        expected = {(action, resource, frozen(condition)) for action, resource, condition in allowed.EVERY_FUNCTION}
        logs = "${%sLogs.Arn}" % name
        expected |= {(action, logs, None) for action in ("logs:CreateLogStream", "logs:PutLogEvents")}
        expected |= {("secretsmanager:GetSecretValue", places[secret], None) for secret in entry["secrets"] if secret in places}
        expected |= {(action, places["key"], frozen(allowed.within(environment))) for action in entry["key"]}
        if entry["failures"]:
            expected.add(("sqs:SendMessage", "${failures.Arn}", None))
        statements = statements_of(stack, role)
        yield from differences(name, permissions(statements, "Allow"), expected)
        denied = {(action, resource, frozen(allowed.FROM_CODE)) for action, resource in allowed.NOT_FROM_CODE}
        yield from differences(f"not: {name}", permissions(statements, "Deny"), denied)
        yield from trusts(name, role, "lambda.amazonaws.com")
        if "PermissionsBoundary" in role:
            yield f"{name} has a boundary that nobody wrote down"
    for name, (function, _, _, _, to_queue, _) in allowed.SCHEDULES.items():
        role = roles.pop(f"{name}Role", None)
        if role is None:
            yield f"{name} has no role of its own"
            continue
        expected = {("lambda:InvokeFunction", "${%s.Arn}" % function, None)}
        if to_queue:
            expected.add(("sqs:SendMessage", "${undelivered.Arn}", None))
        yield from differences(name, permissions(statements_of(stack, role), "Allow"), expected)
        yield from trusts(name, role, "scheduler.amazonaws.com")
    yield from (f"{name} is a role that nobody wrote down" for name in roles)
    known = {"vpcAccess", "traces"}
    others = [*stack.of_type("AWS::IAM::ManagedPolicy").keys() - known, *stack.of_type("AWS::IAM::Policy"), *stack.of_type("AWS::IAM::RolePolicy")]
    yield from (f"{name} is a policy that nobody wrote down" for name in others)


def trusts(name, role, service):
    for statement in role["AssumeRolePolicyDocument"]["Statement"]:
        if many(statement["Principal"].get("Service")) != [service] or set(statement["Principal"]) != {"Service"}:
            yield f"{name}'s role may be taken by {statement['Principal']}"


def no_policy_names_all_resources_where_aws_knows_narrower(_kind, stack):
    for name, role in stack.of_type("AWS::IAM::Role").items():
        for action, resource, _ in permissions(statements_of(stack, role), "Allow"):
            if "*" in action or (resource == "*" and action not in allowed.WITHOUT_RESOURCE):
                yield f"{name} may {action} on {resource}"


def the_key_is_used_within_its_context_alone(kind, stack):
    keys = stack.of_type("AWS::KMS::Key")
    if set(keys) != ({"key"} if allowed.PLACES[kind]["key"] == "${key.Arn}" else set()):
        yield f"keys: {sorted(keys)}"
    for name, key in keys.items():
        environment, operator = stack.parameters["AppEnv"], stack.parameters["OperatorRoleArn"]
        context = frozen(allowed.within(environment))
        expected = {(allowed.ACCOUNT, action, None) for action in allowed.ADMINISTERS}
        expected.add((allowed.ACCOUNT, "kms:Decrypt", context))
        if environment != "production":
            expected.add((allowed.ACCOUNT, "kms:GenerateDataKey", context))
        if operator:
            expected |= {(operator, "kms:Decrypt", context), (operator, "kms:GenerateDataKey", context)}
        found = {
            (statement["Principal"]["AWS"], action, condition)
            for statement in key["KeyPolicy"]["Statement"]
            for action, _, condition in permissions([statement], "Allow")
        }
        yield from differences(f"the policy of {name}: somebody", found, expected)
        if key.get("EnableKeyRotation") is not True:
            yield f"{name} is never rotated"
        if stack.resources[name].get("DeletionPolicy") != "RetainExceptOnCreate":
            yield f"{name} goes with the stack"


def functions_are_as_all_of_them_are(_kind, stack):
    found = functions_of(stack)
    yield from differences("the stack", set(found), set(expected_functions(stack)))
    logs = stack.of_type("AWS::Logs::LogGroup")
    made = stack.parameters["VpcId"] == ""
    for name, function in found.items():
        if function.get("Architectures") != ["arm64"] or function.get("Runtime") != "provided.al2023":
            yield f"{name} is not arm64 on provided.al2023"
        if function.get("TracingConfig") != {"Mode": "Active"}:
            yield f"{name} is not traced"
        network = function.get("VpcConfig", {})
        subnets = ["${privateSubnetA}", "${privateSubnetB}"] if made else stack.parameters["VpcSubnetIds"].split(",")
        groups = stack.parameters["VpcSecurityGroupIds"].split(",") if stack.parameters["VpcSecurityGroupIds"] else ["${functionsGroup}"]
        if (network.get("SubnetIds"), network.get("SecurityGroupIds")) != (subnets, groups):
            yield f"{name} is elsewhere in the network: {network}"
        if network.get("Ipv6AllowedForDualStack") is not (stack.parameters["Egress"] == "dual-stack"):
            yield f"{name} goes out otherwise than Egress says"
        if function.get("LoggingConfig", {}).get("LogGroup") != "${%sLogs}" % name:
            yield f"{name} has no log group of its own"
        after = many(stack.resources[name].get("DependsOn", []))
        if ("migration" in after) is (name == "migrate"):
            yield f"{name} depends on {after}"
    for name, group in logs.items():
        if "RetentionInDays" not in group:
            yield f"{name} is kept for ever"


def migration_follows_the_code_of_migrate(_kind, stack):
    migration = stack.resources["migration"]
    versions = stack.of_type("AWS::Lambda::Version")
    properties = migration["Properties"]
    if [properties.get("Version")] != ["${%s}" % name for name in versions]:
        yield f"migration runs for {properties.get('Version')} and not for {sorted(versions)}"
    # The alias has the settings of the last change of code.
    if properties["ServiceToken"] != "${migrate.Arn}":
        yield f"migration invokes {properties['ServiceToken']}"
    timeout = functions_of(stack)["migrate"]["Timeout"]
    if not timeout < int(properties.get("ServiceTimeout", 3600)) <= timeout + 60:
        yield "migration is waited for longer than migrate may run, or shorter"
    if migration.get("DependsOn") != "migrateInvocations":
        yield "migration may be invoked hours after CloudFormation gave up on it"
    if {migration.get(policy) for policy in ("DeletionPolicy", "UpdateReplacePolicy")} != {"Retain"}:
        yield "migration is asked for its deletion"


def what_is_needed_is_made_before(_kind, stack):
    """CloudFormation makes what a resource names, and what it depends on, before it."""
    needs = {name: needs_of(resource) for name, resource in stack.resources.items()}
    yield from (f"{name} names {other}, which there is not" for name, others in needs.items() for other in others - needs.keys())
    before = {name: closure(name, needs) for name in needs}
    yield from (f"{name} waits for itself" for name in needs if name in before[name])
    # All that migrate meets on its way, and the rights that it is invoked with.
    on_its_way = {
        name
        for name in needs
        if re.fullmatch(r"route\w+|\w+RoutesOf[AB]|\w+Endpoint|databaseTakesFunctions|functionsReachDatabase|serviceLogin|traces", name)
    }
    yield from (f"migration does not wait for {name}" for name in on_its_way - before["migration"])
    for name in functions_of(stack).keys() - {"migrate"}:
        if "migration" not in before[name]:
            yield f"{name} does not wait for migration"
        if name in before["migration"]:
            yield f"migration waits for {name}"
    if "vpcIpv6" in needs and "vpcIpv6" not in before["migrate"]:
        yield "migrate is put into subnets that have no IPv6 yet"


def needs_of(resource):
    named = re.findall(r"\$\{(\w+)", json.dumps(resource.get("Properties", {})))
    return {*named, *many(resource.get("DependsOn", []))}


def closure(name, needs):
    found, left = set(), [name]
    while left:
        for other in needs.get(left.pop(), set()) - found:
            found.add(other)
            left.append(other)
    return found


def settings_name_secrets_and_hold_none(kind, stack):
    text = json.dumps(stack.resources)
    if "{{resolve:" in text:
        yield "a secret's value is put into the stack"
    places = allowed.PLACES[kind]
    for name, entry in expected_functions(stack).items():
        settings = functions_of(stack)[name]["Environment"]["Variables"]
        expected = {allowed.SETTINGS[secret]: places[secret] for secret in entry["secrets"] if secret in places}
        if entry["key"]:
            expected["KMS_KEY_ID"] = places["key"]
        if stack.parameters["AppEnv"] != "production":
            expected |= dict.fromkeys(allowed.SETTINGS_FOR_LOCAL_USE, "")
        plain = allowed.SETTINGS_OF_ALL | allowed.SETTINGS_OF.get(name, set())
        others = {setting: value for setting, value in settings.items() if setting not in plain}
        if others != expected:
            yield f"{name} is told {others} and not {expected}"
        # What only the database that is made needs to be told.
        if not plain - allowed.SETTINGS_OF["migrate"] <= settings.keys():
            yield f"{name} lacks one of {sorted(plain)}"


def schedules_are_as_written(_kind, stack):
    schedules = stack.of_type("AWS::Scheduler::Schedule")
    yield from differences("the stack", set(schedules), set(allowed.SCHEDULES))
    for name in schedules.keys() & allowed.SCHEDULES.keys():
        target = schedules[name]["Target"]
        given = json.loads(target["Input"])
        time = given.pop("scheduled_time", None)
        if time != "<aws.scheduler.scheduled-time>":
            yield f"{name} says as its time {time}"
        retry = target.get("RetryPolicy", {})
        dead = target.get("DeadLetterConfig", {}).get("Arn")
        function = target["Arn"].removeprefix("${").removesuffix(".Arn}")
        found = (
            function,
            schedules[name]["ScheduleExpression"],
            retry.get("MaximumRetryAttempts"),
            retry.get("MaximumEventAgeInSeconds"),
            dead == "${undelivered.Arn}",
            given,
        )
        if found != allowed.SCHEDULES[name]:
            yield f"{name} is {found} and not {allowed.SCHEDULES[name]}"
        disabled = name == "runnerGoogleAdsWorker" and stack.parameters["WorkerProviders"] == ["none"]
        if schedules[name].get("State", "ENABLED") != ("DISABLED" if disabled else "ENABLED"):
            yield f"{name} is {schedules[name].get('State')}"


def failures_go_where_is_written(_kind, stack):
    found = {}
    for name, config in stack.of_type("AWS::Lambda::EventInvokeConfig").items():
        to = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        if to not in (None, "${failures.Arn}") or config["Qualifier"] != "$LATEST":
            yield f"{name} is for {config['Qualifier']} and goes to {to}"
        function = config["FunctionName"].removeprefix("${").removesuffix("}")
        found[function] = (config.get("MaximumRetryAttempts"), config.get("MaximumEventAgeInSeconds"), to is not None)
    expected = {name: allowed.FAILURES[name] for name in expected_functions(stack)}
    if found != expected:
        yield f"failures are {found} and not {expected}"


def doors_of_code():
    """Which function serves which path, as the programs have it."""
    for file in (ROOT / "shared/src/boot/functions").glob("*.rs"):
        for path in re.findall(r'path: "(/[^"]+)"', file.read_text()):
            yield path, file.stem


def doors_are_as_documented(_kind, stack):
    document = json.loads((ROOT / "docs/openapi.json").read_text())
    served_by = dict(doors_of_code())
    if set(document["paths"]) != set(served_by):
        yield f"documented and served: {sorted(set(document['paths']) ^ set(served_by))}"
    jobs = {path for path in document["paths"] if path.startswith("/api/")}
    if stack.parameters["AppEnv"] == "production":
        jobs = {path for path in jobs if served_by[path] != "seed"}
    wanted = jobs if stack.parameters["CronHttpApi"] == "true" else set()
    integrations, found = stack.of_type("AWS::ApiGatewayV2::Integration"), set()
    for name, route in stack.of_type("AWS::ApiGatewayV2::Route").items():
        method, path = route["RouteKey"].split(" ")
        found.add(path)
        integration = integrations[route["Target"].removeprefix("integrations/${").removesuffix("}")]
        if method.lower() not in document["paths"].get(path, {}):
            yield f"{name} is not documented: {route['RouteKey']}"
        if integration["IntegrationUri"] != "${%s.Arn}" % served_by.get(path):
            yield f"{path} goes to {integration['IntegrationUri']}"
        if (integration["TimeoutInMillis"], integration["PayloadFormatVersion"]) != (30000, "2.0"):
            yield f"{path} is waited for or spoken to otherwise"
        if {route["ApiId"], integration["ApiId"]} != {"${cronApi}"}:
            yield f"{path} is not on the API of the jobs"
    yield from differences("the API of the jobs", found, wanted)
    for name, stage in stack.of_type("AWS::ApiGatewayV2::Stage").items():
        limits = stage.get("DefaultRouteSettings", {})
        if not limits.get("ThrottlingRateLimit") or not limits.get("ThrottlingBurstLimit"):
            yield f"{name} is not throttled"
        if "DestinationArn" not in stage.get("AccessLogSettings", {}):
            yield f"{name} logs no access"
    yield from who_else_may_invoke(stack, {served_by[path] for path in wanted})


def who_else_may_invoke(stack, jobs):
    gateway = "arn:aws:execute-api:eu-central-1:111122223333:"
    expected = {
        ("ingest", "apigateway.amazonaws.com", gateway + "${ingestApi}/*/POST/v1/conversions"),
        ("health", "apigateway.amazonaws.com", gateway + "${healthApi}/*/GET/health/live"),
        ("health", "apigateway.amazonaws.com", gateway + "${healthApi}/*/GET/health/ready"),
    }
    expected |= {(name, "apigateway.amazonaws.com", gateway + "${cronApi}/*/POST/api/*") for name in jobs}
    found = {
        (permission["FunctionName"].removeprefix("${").removesuffix("}"), permission["Principal"], permission.get("SourceArn"))
        for permission in stack.of_type("AWS::Lambda::Permission").values()
    }
    yield from differences("somebody", found, expected)
    if stack.of_type("AWS::Lambda::Url"):
        yield "a function has a URL of its own"


def the_network_lets_through_what_is_written(_kind, stack):
    groups = stack.of_type("AWS::EC2::SecurityGroup")
    made, database = stack.parameters["VpcId"] == "", stack.parameters["DatabaseSecretArn"] == ""
    endpoints = made and stack.parameters["InterfaceEndpoints"] == "true"
    flows = set()
    for name, group in groups.items():
        flows |= {("into", name, *flow(rule)) for rule in group.get("SecurityGroupIngress", [])}
        flows |= {("out of", name, *flow(rule)) for rule in group.get("SecurityGroupEgress", [])}
        if not group.get("SecurityGroupEgress"):
            yield f"{name} names no way out, which opens all"
    for way, kind in (("into", "Ingress"), ("out of", "Egress")):
        for rule in stack.of_type(f"AWS::EC2::SecurityGroup{kind}").values():
            flows.add((way, rule["GroupId"].removeprefix("${").removesuffix("}"), *flow(rule)))
    nowhere = ("127.0.0.1/32", "icmp", -1, -1)
    expected = set()
    if made or database:
        expected |= {("out of", "functionsGroup", to, "tcp", 443, 443) for to in ("0.0.0.0/0", "::/0")}
    if database:
        expected |= {
            ("out of", "functionsGroup", "${databaseGroup}", "tcp", 5432, 5432),
            ("into", "databaseGroup", "${functionsGroup}", "tcp", 5432, 5432),
            ("out of", "databaseGroup", *nowhere),
        }
    if endpoints:
        expected |= {("into", "endpointsGroup", "${functionsGroup}", "tcp", 443, 443), ("out of", "endpointsGroup", *nowhere)}
    yield from differences("traffic", flows, expected)


def flow(rule):
    ends = ("CidrIp", "CidrIpv6", "SourceSecurityGroupId", "DestinationSecurityGroupId")
    end, = [rule[key] for key in ends if key in rule]
    return end, rule["IpProtocol"], rule["FromPort"], rule["ToPort"]


def functions_find_their_way_out(_kind, stack):
    if stack.parameters["VpcId"] != "":
        if stack.of_type("AWS::EC2::Subnet"):
            yield "a network is made beside the one that is given"
        return
    egress = stack.parameters["Egress"]
    routes = {
        (route["RouteTableId"], route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")): route.get("NatGatewayId")
        or route.get("EgressOnlyInternetGatewayId")
        or route.get("GatewayId")
        for route in stack.of_type("AWS::EC2::Route").values()
    }
    expected = {
        "nat": {("${privateRoutesA}", "0.0.0.0/0"): "${natA}", ("${privateRoutesB}", "0.0.0.0/0"): "${natA}"},
        "nat-per-zone": {("${privateRoutesA}", "0.0.0.0/0"): "${natA}", ("${privateRoutesB}", "0.0.0.0/0"): "${natB}"},
        "dual-stack": {(f"${{privateRoutes{zone}}}", "::/0"): "${egressOnlyGateway}" for zone in "AB"},
    }[egress]
    if egress != "dual-stack":
        expected[("${publicRoutes}", "0.0.0.0/0")] = "${internetGateway}"
    if routes != expected:
        yield f"{egress} goes {routes}"
    gateways = {"nat": 1, "nat-per-zone": 2, "dual-stack": 0}[egress]
    if len(stack.of_type("AWS::EC2::NatGateway")) != gateways:
        yield f"{egress} has {len(stack.of_type('AWS::EC2::NatGateway'))} gateways"
    for name, subnet in stack.of_type("AWS::EC2::Subnet").items():
        if name.startswith("privateSubnet") and ("Ipv6CidrBlock" in subnet) is not (egress == "dual-stack"):
            yield f"{name} speaks IPv6 otherwise than {egress} says"
        if subnet.get("MapPublicIpOnLaunch"):
            yield f"{name} gives away public addresses"
    names = {endpoint["ServiceName"].rsplit(".", 1)[1] for endpoint in stack.of_type("AWS::EC2::VPCEndpoint").values()}
    if names != {"s3"} | ({"kms", "secretsmanager"} if stack.parameters["InterfaceEndpoints"] == "true" else set()):
        yield f"endpoints: {sorted(names)}"
    for name, endpoint in stack.of_type("AWS::EC2::VPCEndpoint").items():
        for action, resource, _ in permissions(endpoint["PolicyDocument"]["Statement"], "Allow"):
            if "*" in action or resource == "*":
                yield f"{name} lets {action} on {resource} through"


def the_database_keeps_what_it_has(_kind, stack):
    databases = stack.of_type("AWS::RDS::DBInstance")
    if bool(databases) is not (stack.parameters["DatabaseSecretArn"] == ""):
        yield f"databases: {sorted(databases)}"
    for name, database in databases.items():
        wanted = {
            "StorageEncrypted": True,
            "PubliclyAccessible": False,
            "ManageMasterUserPassword": True,
            "DeletionProtection": stack.parameters["AppEnv"] == "production",
        }
        for key, value in wanted.items():
            if database.get(key) is not value:
                yield f"{name}: {key} is {database.get(key)}"
        if "MasterUserPassword" in database:
            yield f"{name} is given its password"
        if {stack.resources[name].get(policy) for policy in ("DeletionPolicy", "UpdateReplacePolicy")} != {"Snapshot"}:
            yield f"{name} goes without a snapshot"
        if int(database["BackupRetentionPeriod"]) < 1:
            yield f"{name} has no backups"
        if stack.resources["databaseParameters"]["Properties"]["Parameters"].get("rds.force_ssl") != "1":
            yield f"{name} takes connections without TLS"


def figures_are_watched_and_drawn(_kind, stack):
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    watched = {alarm.get("MetricName") for alarm in alarms.values()}
    watched |= {
        query["MetricStat"]["Metric"]["MetricName"] for alarm in alarms.values() for query in alarm.get("Metrics", []) if "MetricStat" in query
    }
    boards = [json.loads(board["DashboardBody"]) for board in stack.of_type("AWS::CloudWatch::Dashboard").values()]
    drawn = {metric[1] for board in boards for widget in board["widgets"] for metric in widget["properties"]["metrics"]}
    yield from (f"nobody is called for {figure}" for figure in sorted(allowed.WATCHED - watched))
    yield from (f"{figure} is not drawn" for figure in sorted(allowed.DRAWN - drawn))
    for name, alarm in alarms.items():
        if name.endswith("DeadMan") and (alarm["TreatMissingData"], alarm["ComparisonOperator"]) != ("breaching", "LessThanThreshold"):
            yield f"{name} takes silence for health"
        if bool(alarm.get("AlarmActions")) is not bool(stack.parameters["AlarmTopicArn"]):
            yield f"{name} calls somebody else"
    worker = stack.parameters["WorkerProviders"] != ["none"]
    wanted = {f"{name}DeadMan" for name in allowed.DEAD_MEN if worker or name != "worker"}
    yield from differences("dead men", {name for name in alarms if name.endswith("DeadMan")}, wanted)


CHECKS = [
    each_role_may_do_what_is_written_and_nothing_else,
    no_policy_names_all_resources_where_aws_knows_narrower,
    the_key_is_used_within_its_context_alone,
    functions_are_as_all_of_them_are,
    migration_follows_the_code_of_migrate,
    what_is_needed_is_made_before,
    settings_name_secrets_and_hold_none,
    schedules_are_as_written,
    failures_go_where_is_written,
    doors_are_as_documented,
    the_network_lets_through_what_is_written,
    functions_find_their_way_out,
    the_database_keeps_what_it_has,
    figures_are_watched_and_drawn,
]
