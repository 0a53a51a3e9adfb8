"""What every sample server does before it answers: it checks the credential, and the gate's statement of who is calling.

Environment:
  PORT, HOST          where it listens (default 127.0.0.1 and the server's own port)
  EXPECTED_BEARER     the only bearer token it takes; or
  EXPECTED_BASIC      the only `user:password` it takes; or
  EXPECTED_HEADER     the only `Name: value` it takes. With none of them it takes any request.
  GATE_JWKS           the gate's /.well-known/jwks.json; without it no statement is asked for
  GATE_ISSUER         the `iss` of the statement (default: whatever the key signed)
  GATE_AUDIENCE       the `aud` of the statement (default: this server's URL)
  GATE_HEADER         the header it comes in (default Txn-Token)
"""

import base64
import hmac
import json
import os

import jwt
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import JSONResponse

# The gate itself asks for these, when it learns what tools there are; no caller stands behind it then.
WITHOUT_CALLER = {
    "initialize", "notifications/initialized", "server/discover", "ping",
    "tools/list", "resources/list", "resources/templates/list", "prompts/list",
}


class Refused(Exception):
    pass


class Credential:
    """The tenant's own credential, as the vendor would check it."""

    def __init__(self, name, value):
        self.name, self.value = name.lower(), value

    @classmethod
    def from_environment(cls):
        if bearer := os.environ.get("EXPECTED_BEARER"):
            return cls("authorization", f"Bearer {bearer}")
        if basic := os.environ.get("EXPECTED_BASIC"):
            return cls("authorization", "Basic " + base64.b64encode(basic.encode()).decode())
        if header := os.environ.get("EXPECTED_HEADER"):
            name, value = header.split(":", 1)
            return cls(name.strip(), value.strip())
        return None

    def check(self, headers):
        if not hmac.compare_digest(headers.get(self.name, "").encode(), self.value.encode()):
            raise Refused("the credential is missing or wrong")


class Statement:
    """The gate's Txn-Token: signed, for this server, not expired, about this very call."""

    def __init__(self, url, audience):
        self.header = os.environ.get("GATE_HEADER", "Txn-Token").lower()
        self.issuer = os.environ.get("GATE_ISSUER")
        self.audience = os.environ.get("GATE_AUDIENCE", audience)
        self.keys = jwt.PyJWKClient(url, cache_keys=True, lifespan=60)

    def check(self, headers, message):
        token = headers.get(self.header)
        if not token:
            raise Refused(f"the {self.header} header is missing: this server is called through the gate only")
        try:
            key = self.keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token, key.key, algorithms=["EdDSA", "ES256"], audience=self.audience, issuer=self.issuer,
                options={"require": ["exp", "iat", "iss", "aud", "txn"]},
            )
        except jwt.PyJWTError as error:
            raise Refused(f"the {self.header} header is not good: {error}") from error
        if jwt.get_unverified_header(token).get("typ") != "txntoken+jwt":
            raise Refused(f"the {self.header} header is a token of another kind")
        self.same_call(claims.get("tctx", {}), message)
        return claims

    @staticmethod
    def same_call(context, message):
        params = message.get("params") or {}
        said = (context.get("method"), context.get("tool"))
        is_tool = message.get("method") == "tools/call"
        asked = (message.get("method"), params.get("name") if is_tool else None)
        if said != asked:
            raise Refused(f"the statement is about {said}, the call about {asked}")


class BehindGate:
    """ASGI: lets through what the gate sent, and nothing else."""

    def __init__(self, app, audience):
        self.app = app
        self.credential = Credential.from_environment()
        jwks = os.environ.get("GATE_JWKS")
        self.statement = Statement(jwks, audience) if jwks else None

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] == "/oauth/token":
            return await self.app(scope, receive, send)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await read(receive)
        try:
            self.check(scope, headers, body)
        except Refused as refused:
            print(f"refused: {refused}", flush=True)
            return await JSONResponse({"error": str(refused)}, status_code=401)(scope, receive, send)
        await self.app(scope, replay(body, receive), send)

    def check(self, scope, headers, body):
        if self.credential:
            self.credential.check(headers)
        if not self.statement or not body:
            return
        try:
            message = json.loads(body)
        except ValueError:
            return  # the server says so better
        if not isinstance(message, dict):
            raise Refused("one message at a time")
        if "method" not in message or message["method"] in WITHOUT_CALLER:
            return
        claims = self.statement.check(headers, message)
        print(f"{message['method']} for {claims.get('tenant')}/{claims.get('sub')} txn {claims['txn']}", flush=True)


async def read(receive):
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if event["type"] != "http.request" or not event.get("more_body"):
            return body


def replay(body, receive):
    given = False

    async def again():
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def serve(server, port, stateless=True):
    """Runs `server` at http://HOST:PORT/mcp, both eras of the protocol."""
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", port))
    app = server.streamable_http_app(
        stateless_http=stateless, json_response=os.environ.get("JSON_RESPONSE") == "1",
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    uvicorn.run(BehindGate(app, f"http://{host}:{port}/mcp"), host=host, port=port, log_level="warning")
