"""Stacks that differ in what is made and what is given: between them every condition of template.yaml holds and does not hold."""

SECRET = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:"

KINDS = {
    # All that an empty account needs.
    "staging": {"AppEnv": "staging"},
    "production": {
        "AppEnv": "production",
        "OperatorRoleArn": "arn:aws:iam::111122223333:role/relay-operator",
        "AlarmTopicArn": "arn:aws:sns:eu-central-1:111122223333:alarms",
        "Egress": "nat-per-zone",
        "DatabaseMultiAz": "true",
    },
    # Everything is there already, and jobs are called from outside.
    "production-given": {
        "AppEnv": "production",
        "KmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/given",
        "CronHttpApi": "true",
        "CronSecretArn": SECRET + "cron",
        "InternalSecretArn": SECRET + "internal",
        "DatabaseSecretArn": SECRET + "service",
        "DatabaseOwnerSecretArn": SECRET + "owner",
        "SetServiceLogin": "false",
        "VpcId": "vpc-00000001",
        "VpcSubnetIds": "subnet-00000001,subnet-00000002",
        "VpcSecurityGroupIds": "sg-00000001",
        "WorkerProviders": "none",
    },
    "staging-dual-stack": {"AppEnv": "staging", "Egress": "dual-stack", "CronHttpApi": "true"},
    # A network that is there, a database that is not.
    "staging-in-network": {
        "AppEnv": "staging",
        "VpcId": "vpc-00000001",
        "VpcSubnetIds": "subnet-00000001,subnet-00000002",
        "Egress": "dual-stack",
    },
    "development-without-endpoints": {"AppEnv": "development", "InterfaceEndpoints": "false"},
}
