"""Verifies what the gate signed, as the other side does: oauthlib (OAuth 1.0a), botocore (AWS SigV4), standardwebhooks.
Takes JSON on stdin and exits with 0 where the signature is good."""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256, RequestValidator, ResourceEndpoint
from standardwebhooks.webhooks import Webhook


class Netsuite(RequestValidator):
    enforce_ssl = False
    dummy_client = "dummy"
    dummy_access_token = "dummy"
    allowed_signature_methods = (SIGNATURE_HMAC_SHA256,)
    client_key_length = access_token_length = nonce_length = (8, 64)
    timestamp_lifetime = 60

    def __init__(self, account):
        super().__init__()
        self.account = account

    def validate_timestamp_and_nonce(self, client_key, timestamp, nonce, request, **tokens):
        return nonce not in self.account["nonces_seen"]

    def validate_client_key(self, client_key, request):
        return client_key == self.account["consumer_key"]

    def validate_access_token(self, client_key, token, request):
        return token == self.account["token_id"]

    def get_client_secret(self, client_key, request):
        return self.account["consumer_secret"]

    def get_access_token_secret(self, client_key, token, request):
        return self.account["token_secret"]

    def validate_realms(self, client_key, token, request, uri=None, realms=None):
        return f'realm="{self.account["realm"]}"' in request.headers["Authorization"]


def oauth1(given):
    endpoint = ResourceEndpoint(Netsuite(given["account"]))
    headers = {"Authorization": given["headers"]["authorization"], "Content-Type": "application/json"}
    valid, request = endpoint.validate_protected_resource_request(given["url"], given["method"], given["body"], headers)
    print(request.nonce)
    return valid


def sigv4(given):
    account, headers = given["account"], given["headers"]
    claimed = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(", "))
    signed = {name: headers[name] for name in claimed["SignedHeaders"].split(";")}
    assert {"host", "x-amz-date", "x-amz-content-sha256", "content-type"} <= signed.keys(), signed
    request = AWSRequest(given["method"], given["url"], headers=signed, data=given["body"].encode())
    request.context["timestamp"] = headers["x-amz-date"]
    keys = Credentials(account["access_key_id"], account["secret_access_key"], account.get("session_token"))
    auth = SigV4Auth(keys, account["service"], account["region"])
    # The payload's hash is recomputed, not believed.
    hashed = auth.payload(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return hashed == headers["x-amz-content-sha256"] and auth.signature(text, request) == claimed["Signature"]


def webhook(given):
    Webhook(given["secret"]).verify(given["body"], given["headers"])
    return True


given = json.load(sys.stdin)
sys.exit(0 if {"oauth1": oauth1, "sigv4": sigv4, "webhook": webhook}[given["kind"]](given) else 1)
