"""moto's S3 on loopback, in a process of its own (``.peers/s3``): signatures are checked, and one user may do all in S3.

Prints a line of JSON: ``{"port", "access_key", "secret_key", "blind": {"access_key", "secret_key"}}``, where the second user may only put.
Then reads lines from standard input, ``bucket NAME [versioned|locked]``, and answers each with ``{}``; ends with its input.
"""

import json
import logging
import os
import sys

os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}

import boto3
from moto import settings
from moto.server import ThreadedMotoServer

ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
PUTS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "*"}]}


def user(iam, name, policy):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}


def main():
    logging.disable(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    at = {"endpoint_url": f"http://127.0.0.1:{port}"}
    iam = boto3.client("iam", **at)
    told = user(iam, "vcond", ALL) | {"port": port, "blind": user(iam, "blind", PUTS)}
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0  # from here on each request is judged
    print(json.dumps(told), flush=True)
    s3 = boto3.client("s3", aws_access_key_id=told["access_key"], aws_secret_access_key=told["secret_key"], **at)
    for line in sys.stdin:
        _, name, *more = line.split()
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket="locked" in more)
        if "versioned" in more:
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        print("{}", flush=True)


main()
