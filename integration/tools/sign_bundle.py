"""Makes and signs an OPA bundle of a policy directory, by the format's description: `sign_bundle.py POLICIES OUT`."""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

policies, out = Path(sys.argv[1]), Path(sys.argv[2])
files = {path.name: path.read_bytes() for path in policies.iterdir() if path.suffix in (".rego", ".json")}
data = {"tenants": {"a": {"roles": {"reader": [{"servers": ["up"], "tools": ["safe"]}]}}}}
files["data.json"] = json.dumps(data, indent=2, ensure_ascii=True).encode()
about = '{ "roots" : [ "" ],\n "revision" : "2026-11-21.1", "metadata": {"b": 1, "a": "gr\\u00fcn <a&b> ü"} }'
files[".manifest"] = about.encode()


def digest(name: str, content: bytes) -> str:
    if name in ("data.json", ".manifest"):
        said = json.loads(content)
        content = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.sha512(content).hexdigest()


listed = [{"name": name, "hash": digest(name, content), "algorithm": "SHA-512"} for name, content in files.items()]
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
token = jwt.encode({"files": listed, "iat": 1792000000, "iss": "release"}, key, "RS256", {"kid": "release"})
files[".signatures.json"] = json.dumps({"signatures": [token]}).encode()
public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
(out / "public.pem").write_bytes(public)
with tarfile.open(out / "bundle.tar.gz", "w:gz") as bundle:
    for name, content in files.items():
        entry = tarfile.TarInfo(f"/{name}")
        entry.size = len(content)
        bundle.addfile(entry, io.BytesIO(content))
