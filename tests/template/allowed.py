"""What is allowed, written out. A permission is (action, resource, condition); whoever widens a policy has to say so here."""

from kinds import SECRET

ACCOUNT = "arn:aws:iam::111122223333:root"


def within(environment):
    """The encryption context that every use of the key is bound to."""
    return {
        "StringEquals": {"kms:EncryptionContext:app": "conversion-relay", "kms:EncryptionContext:environment": environment},
        "Null": {"kms:EncryptionContext:key_version": "false"},
    }


# What AWS lets nobody narrow to a resource.
WITHOUT_RESOURCE = {
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

INTERFACES = "arn:aws:ec2:eu-central-1:111122223333:*/*"

# Lambda attaches functions to the VPC with their roles.
EVERY_FUNCTION = [
    ("ec2:DescribeNetworkInterfaces", "*", None),
    ("ec2:DescribeSubnets", "*", None),
    ("ec2:CreateNetworkInterface", INTERFACES, None),
    ("ec2:DeleteNetworkInterface", INTERFACES, None),
    ("ec2:AssignPrivateIpAddresses", INTERFACES, None),
    ("ec2:UnassignPrivateIpAddresses", INTERFACES, None),
    ("xray:PutTraceSegments", "*", None),
    ("xray:PutTelemetryRecords", "*", None),
]

# And what their code is kept from.
NOT_FROM_CODE = {
    (action, "*")
    for action in (
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    )
}
FROM_CODE = {"ArnLike": {"lambda:SourceFunctionArn": "arn:aws:lambda:eu-central-1:111122223333:function:relay-*"}}

# Beside its own logs and what every function may: which secrets it reads, what it does with the key, what it tells the queue.
FUNCTIONS = {
    "runner": {"secrets": ["service", "cron", "internal"], "key": ["kms:Decrypt"], "failures": True},
    "recover": {"secrets": ["service", "cron", "internal"], "key": [], "failures": True},
    "confirm": {"secrets": ["service", "cron", "internal"], "key": ["kms:Decrypt"], "failures": True},
    "maintain": {"secrets": ["service", "cron", "internal"], "key": ["kms:Decrypt"], "failures": True},
    "ingest": {"secrets": ["service"], "key": ["kms:Decrypt"], "failures": False},
    "health": {"secrets": ["service"], "key": [], "failures": False},
    "seed": {"secrets": ["service", "cron", "internal"], "key": ["kms:Decrypt", "kms:GenerateDataKey"], "failures": False},
    "migrate": {"secrets": ["owner", "set"], "key": [], "failures": False},
}

# Which setting names which secret. `set` is the login whose password migrate sets.
SETTINGS = {
    "service": "DATABASE_SECRET_ID",
    "cron": "CRON_SECRET_ID",
    "internal": "INTERNAL_SECRET_ID",
    "owner": "DATABASE_SECRET_ID",
    "set": "DATABASE_SERVICE_SECRET_ID",
}

MADE = {
    "service": "${serviceLogin}",
    "owner": "${database.MasterUserSecret.SecretArn}",
    "set": "${serviceLogin}",
    "key": "${key.Arn}",
}
WITH_CRON_API = {"cron": "${cronSecret}", "internal": "${internalSecret}"}

# Where the secrets and the key of each kind of stack are; what is not named there is none.
PLACES = {
    "staging": MADE,
    "production": MADE,
    "production-given": {
        "service": SECRET + "service",
        "owner": SECRET + "owner",
        "cron": SECRET + "cron",
        "internal": SECRET + "internal",
        "key": "arn:aws:kms:eu-central-1:111122223333:key/given",
    },
    "staging-dual-stack": {**MADE, **WITH_CRON_API},
    "staging-in-network": MADE,
    "development-without-endpoints": MADE,
}

# Settings that hold no secret: of every function, and of some.
SETTINGS_OF_ALL = {"APP_ENV", "RUST_LOG", "METRICS_NAMESPACE"}
SETTINGS_OF = {
    "maintain": {"CONVERSION_RETENTION_DAYS", "RUN_RETENTION_DAYS", "RECOMPUTE_SCORES_WINDOW_DAYS"},
    "migrate": {"DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME"},
}

# What `sam local invoke` may be told from its shell: outside production these stand there, empty.
SETTINGS_FOR_LOCAL_USE = {"DATABASE_URL", "VAULT_KEY", "CRON_SECRET", "INTERNAL_SECRET"}

# (function, schedule, retries, seconds until a tick is given up on, whether it then goes to the queue, its input beside the time)
SCHEDULES = {
    "runnerCron": ("runner", "rate(10 minutes)", 3, 540, True, {"mode": "cron", "limit": 200}),
    "runnerGoogleAdsWorker": ("runner", "rate(1 minute)", 0, 60, False, {"mode": "worker", "provider_key": "google_ads"}),
    "recoverEvery30Minutes": ("recover", "rate(30 minutes)", 3, 1500, True, {"min_age_minutes": 15}),
    "confirmEvery30Minutes": ("confirm", "rate(30 minutes)", 3, 1500, True, {}),
    "maintainExpiry": ("maintain", "rate(5 minutes)", 2, 240, True, {"tasks": ["expire", "erase"]}),
    "maintainGauges": ("maintain", "rate(1 minute)", 0, 60, True, {"tasks": ["gauges"]}),
    "maintainNightly": (
        "maintain",
        "cron(0 2 * * ? *)",
        3,
        3600,
        True,
        {"tasks": ["keep-partitions", "reseal-credentials", "recompute-scores", "prune", "probe-credentials", "audit"]},
    ),
}

# What becomes of an asynchronous invocation that fails: retries, seconds until it is given up on (None: AWS's six hours), and whether
# it goes to the queue. Events of ingest and seed would carry people's data and credentials there.
FAILURES = {
    "runner": (0, 60, True),
    "recover": (2, 1500, True),
    "confirm": (2, 1500, True),
    "maintain": (2, 3600, True),
    "ingest": (2, 3600, False),
    "health": (0, None, False),
    "seed": (0, 60, False),
    "migrate": (2, 600, False),
}

# Figures for which somebody is called. Each conversion that waits, ends or is stopped is in one of them.
WATCHED = {
    "AtRisk",
    "Backlog",
    "CompletedLastHour",
    "DeadLetters",
    "FailedLastHour",
    "HeldGroups",
    "OldestSubmittedAge",
    "OldestWaitingAge",
    "OpenCircuits",
    "RetriedLastHour",
    "RunDuration",
    "RunsDone",
    "SilentGroups",
    "StaleOutcomesLastHour",
    "UnknownCodes",
    # Of AWS.
    "5xx",
    "ApproximateNumberOfMessagesVisible",
}

# Figures on the dashboard.
DRAWN = {
    "AtRisk",
    "Backlog",
    "Completed",
    "CompletedLastHour",
    "DeadLetters",
    "Failed",
    "FailedLastHour",
    "Held",
    "HeldGroups",
    "OldestSubmittedAge",
    "OldestWaitingAge",
    "OpenCircuits",
    "Retried",
    "RetriedLastHour",
    "RunDuration",
    "SilentGroups",
    "StaleOutcomesLastHour",
    "Submitted",
    "WaitingHeld",
    "WaitingSubmitted",
}

# One for each schedule: the worker's is watched beside cron's, which would hide it; tasks of one schedule have one each.
DEAD_MEN = {
    "upload",
    "worker",
    "recover",
    "confirm",
    "expire",
    "erase",
    "gauges",
    "keepPartitions",
    "resealCredentials",
    "recomputeScores",
    "prune",
    "probeCredentials",
    "audit",
}

ADMINISTERS = {
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
}
