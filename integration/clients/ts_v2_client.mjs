// An agent on the official TypeScript SDK, version 2. The script comes on standard input: see python_client.py.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { play } from './script.mjs';

const MODES = { auto: 'auto', legacy: 'legacy', modern: { pin: '2026-07-28' } };

await play(async ({ url, headers = {}, mode = 'auto' }) => {
    const client = new Client({ name: 'agent-ts2', version: '1.0.0' }, { versionNegotiation: { mode: MODES[mode] } });
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    client.callToolOptions = options => [options];
    return { client, protocol: client.getNegotiatedProtocolVersion?.() ?? null };
});
