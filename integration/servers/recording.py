"""What a sample server does besides MCP: it writes down every request and checks who sent it.

RECORD              a file; one JSON line per request: method, path, headers, body
TXN_JWKS_URL        where the gate publishes the keys of its Txn-Tokens; set: every request must carry a valid one
TXN_AUDIENCE        the `aud` that the token must have
TXN_HEADER          the header that carries it (default Txn-Token)
EXPECTED_CREDENTIAL the header line that every request must carry, for example `Authorization: Bearer abc`
"""

import asyncio
import base64
import json
import os
import urllib.request

import jwt

# The claims of the verified Txn-Token, handed to the tools as one more request header.
CLAIMS = "x-verified-claims"


class Refused(Exception):
    pass


class Recording:
    """ASGI middleware: record, verify, pass on."""

    def __init__(self, app):
        self.app = app
        self.record = os.environ.get("RECORD")
        self.credential = os.environ.get("EXPECTED_CREDENTIAL")
        self.txn = TxnTokens.from_environment()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = [[k.decode("latin-1"), v.decode("latin-1")] for k, v in scope["headers"]]
        body = await read_body(receive)
        self.write(scope, headers, body)
        try:
            claims = await self.verify(headers)
        except Refused as refused:
            return await unauthorized(send, str(refused))
        kept = [(k, v) for k, v in scope["headers"] if k.decode("latin-1") != CLAIMS]
        kept.append((CLAIMS.encode(), json.dumps(claims).encode()))
        await self.app({**scope, "headers": kept}, replay(body, receive), send)

    def write(self, scope, headers, body):
        if not self.record:
            return
        line = {
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "headers": headers,
            "body": base64.b64encode(body).decode(),
        }
        with open(self.record, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    async def verify(self, headers):
        if self.credential:
            name, _, value = self.credential.partition(": ")
            if [v for k, v in headers if k == name.lower()] != [value]:
                raise Refused(f"the header {name} is not the expected credential")
        return await self.txn.verify(headers) if self.txn else None


class TxnTokens:
    """Verifies the gate's signed statement of who is calling."""

    def __init__(self, jwks_url, audience, header):
        self.jwks_url, self.audience, self.header = jwks_url, audience, header.lower()
        self.keys = {}

    @classmethod
    def from_environment(cls):
        url = os.environ.get("TXN_JWKS_URL")
        if not url:
            return None
        return cls(url, os.environ["TXN_AUDIENCE"], os.environ.get("TXN_HEADER", "Txn-Token"))

    async def verify(self, headers):
        tokens = [v for k, v in headers if k == self.header]
        if len(tokens) != 1:
            raise Refused(f"{len(tokens)} {self.header} headers instead of one")
        try:
            head = jwt.get_unverified_header(tokens[0])
            if head.get("typ") != "txntoken+jwt":
                raise Refused(f"typ is {head.get('typ')}")
            key = await self.key(head.get("kid"))
            claims = jwt.decode(
                tokens[0], key, algorithms=["EdDSA", "ES256"], audience=self.audience,
                options={"require": ["iss", "aud", "iat", "exp", "txn"]},
            )
        except jwt.PyJWTError as error:
            raise Refused(f"the Txn-Token does not verify: {error}") from error
        if claims["exp"] - claims["iat"] > 60:
            raise Refused("the Txn-Token lives longer than 60 s")
        return claims

    async def key(self, kid):
        if kid not in self.keys:
            text = await asyncio.to_thread(lambda: urllib.request.urlopen(self.jwks_url, timeout=5).read())
            self.keys = {k["kid"]: jwt.PyJWK(k) for k in json.loads(text)["keys"]}
        if kid not in self.keys:
            raise Refused(f"no key {kid} at {self.jwks_url}")
        return self.keys[kid]


async def read_body(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return body


def replay(body, receive):
    sent = False

    async def again():
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def unauthorized(send, why):
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b'Bearer realm="sample"')]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
