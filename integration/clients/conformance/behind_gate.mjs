// Runs a client behind a gate of its own: `behind_gate.mjs PORTCULLIS COMMAND… URL` starts that binary before the server at URL,
// and then the command with the gate's URL in its place.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [portcullis, program, ...given] = process.argv.slice(2);
const url = given.pop();

const house = mkdtempSync(join(tmpdir(), 'behind-gate-'));
mkdirSync(join(house, 'policies'));
writeFileSync(join(house, 'policies', 'all.rego'), 'package mcp.authz\n\nallow := true\n');
writeFileSync(join(house, 'portcullis.yaml'), JSON.stringify({
    listen: [{ address: '127.0.0.1:0' }],
    admin: { address: '127.0.0.1:0' },
    public_url: 'http://localhost',
    identity: { anonymous: { tenant: 'a', roles: [] } },
    servers: { suite: { url } },
    accounts: [{ tenant: 'a', server: 'suite', credential: 'none' }],
    policies: { directory: 'policies', timeout: '5s' },
    audit: { directory: 'audit' },
    state: { directory: 'state' },
}));

const gate = spawn(portcullis, ['run', '--config', 'portcullis.yaml'], { cwd: house, stdio: ['ignore', 'pipe', 'pipe'] });
const ended = status => {
    gate.kill('SIGKILL');
    rmSync(house, { recursive: true, force: true });
    process.exit(status);
};
for (const stream of [gate.stdout, gate.stderr]) {
    createInterface({ input: stream }).on('line', line => {
        console.error(line);
        const address = listening(line);
        if (address) client(`http://${address}/mcp`);
    });
}
gate.on('exit', () => ended(1));
process.on('SIGTERM', () => ended(1));

function listening(line) {
    const { fields } = line.startsWith('{') ? JSON.parse(line) : {};
    return fields?.message === 'listening' && fields.address;
}

function client(at) {
    spawn(program, [...given, at], { stdio: 'inherit' }).on('exit', code => ended(code ?? 1));
}
