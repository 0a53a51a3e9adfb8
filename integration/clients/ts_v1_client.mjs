// An agent on the official TypeScript SDK, version 1: the legacy era only. The script comes on standard input: see
// python_client.py.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { play } from './script.mjs';

await play(async ({ url, headers = {} }) => {
    const client = new Client({ name: 'agent-ts1', version: '1.0.0' });
    const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
    await client.connect(transport);
    client.callToolOptions = options => [undefined, options];
    return { client, protocol: transport.protocolVersion ?? null };
});
