// What a sample server does besides MCP: it writes down every request and checks who sent it.
// The environment variables are those of recording.py.
import { appendFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { createRemoteJWKSet, jwtVerify } from 'jose';

// The claims of the verified Txn-Token, handed to the tools as one more request header.
export const CLAIMS = 'x-verified-claims';

class Refused extends Error {}

const { RECORD, TXN_JWKS_URL, TXN_AUDIENCE, EXPECTED_CREDENTIAL } = process.env;
const TXN_HEADER = (process.env.TXN_HEADER ?? 'Txn-Token').toLowerCase();
const keys = TXN_JWKS_URL && createRemoteJWKSet(new URL(TXN_JWKS_URL));

/** Wraps a Node handler: record, verify, pass on. */
export function recording(handler) {
    return async (req, res) => {
        const chunks = [];
        for await (const chunk of req) chunks.push(chunk);
        const body = Buffer.concat(chunks);
        const headers = pairs(req.rawHeaders);
        write(req, headers, body);
        try {
            const claims = await verify(headers);
            await handler(replay(req, body, claims), res);
        } catch (error) {
            if (!(error instanceof Refused)) throw error;
            res.writeHead(401, { 'content-type': 'application/json', 'www-authenticate': 'Bearer realm="sample"' });
            res.end(JSON.stringify({ error: error.message }));
        }
    };
}

function pairs(raw) {
    const found = [];
    for (let i = 0; i < raw.length; i += 2) found.push([raw[i].toLowerCase(), raw[i + 1]]);
    return found;
}

function write(req, headers, body) {
    if (!RECORD) return;
    const line = { method: req.method, path: req.url, headers, body: body.toString('base64') };
    appendFileSync(RECORD, JSON.stringify(line) + '\n');
}

async function verify(headers) {
    if (EXPECTED_CREDENTIAL) {
        const at = EXPECTED_CREDENTIAL.indexOf(': ');
        const [name, value] = [EXPECTED_CREDENTIAL.slice(0, at), EXPECTED_CREDENTIAL.slice(at + 2)];
        const found = headers.filter(([k]) => k === name.toLowerCase()).map(([, v]) => v);
        if (found.length !== 1 || found[0] !== value) throw new Refused(`the header ${name} is not the expected credential`);
    }
    return keys ? verifyToken(headers) : null;
}

async function verifyToken(headers) {
    const tokens = headers.filter(([k]) => k === TXN_HEADER).map(([, v]) => v);
    if (tokens.length !== 1) throw new Refused(`${tokens.length} ${TXN_HEADER} headers instead of one`);
    try {
        const { payload } = await jwtVerify(tokens[0], keys, {
            algorithms: ['EdDSA', 'ES256'],
            audience: TXN_AUDIENCE,
            typ: 'txntoken+jwt',
            requiredClaims: ['iss', 'aud', 'iat', 'exp', 'txn'],
        });
        if (payload.exp - payload.iat > 60) throw new Refused('the Txn-Token lives longer than 60 s');
        return payload;
    } catch (error) {
        throw error instanceof Refused ? error : new Refused(`the Txn-Token does not verify: ${error.message}`);
    }
}

/** The same request again, its body not yet read. */
function replay(req, body, claims) {
    const { method, url } = req;
    const headers = { ...req.headers, [CLAIMS]: JSON.stringify(claims) };
    return Object.assign(Readable.from(body.length ? [body] : []), { method, url, headers });
}
