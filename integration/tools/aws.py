"""Sets up AWS' services, as boto3 does: `aws.py URL REGION WHAT …`."""

import sys

import boto3

url, region, what, *words = sys.argv[1:]


def client(name):
    return boto3.client(
        name,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="the secret access key",
    )


if what == "create-key":
    print(client("kms").create_key()["KeyMetadata"]["Arn"])
elif what == "put-secret":
    secrets, (name, text) = client("secretsmanager"), words
    try:
        secrets.create_secret(Name=name, SecretString=text)
    except secrets.exceptions.ResourceExistsException:
        secrets.put_secret_value(SecretId=name, SecretString=text)
else:
    sys.exit(f"unknown: {what}")
