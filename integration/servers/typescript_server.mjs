// A sample MCP server on the official TypeScript SDK, both eras. `typescript_server.mjs [PORT]`; prints `ready <port>`.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { acceptedContent, completable, createMcpHandler, inputRequired, McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { CLAIMS, recording } from './recording.mjs';

const INVOICES = [
    { id: 1, region: 'EMEA', amount: 120.5 },
    { id: 2, region: 'APAC', amount: 80 },
    { id: 3, region: 'AMER', amount: 99.9 },
];
const NAMES = ['Ada', 'Alan', 'Grace'];

const text = value => ({ content: [{ type: 'text', text: value }] });
const structured = value => ({ ...text(JSON.stringify(value)), structuredContent: value });

function sample() {
    const server = new McpServer({ name: 'sample-typescript', version: '1.0.0' });
    tools(server);
    resources(server);
    prompts(server);
    return server;
}

function tools(server) {
    const tool = (name, description, input, run, annotations) =>
        server.registerTool(name, { description, inputSchema: z.object(input), annotations }, run);
    tool('safe', 'Does no harm.', { marker: z.string().default('') }, ({ marker }) => text(`safe ${marker}`.trim()), {
        readOnlyHint: true,
    });
    tool('danger', 'Does harm.', {}, () => text('danger was done'), { destructiveHint: true });
    tool('list_all_netsuite_invoices', 'All invoices, or those of a region.', { region: z.string().optional() }, ({ region }) =>
        structured({ invoices: INVOICES.filter(i => region === undefined || i.region === region) })
    );
    tool('slow', 'Answers after so many seconds.', { seconds: z.number() }, async ({ seconds }) => {
        await sleep(seconds * 1000);
        return text(`slept ${seconds}`);
    });
    tool('progress', 'Reports progress n times, then answers.', { n: z.number().int() }, progress);
    tool('big', 'Answers with so many bytes of text.', { bytes: z.number().int() }, ({ bytes }) => text('x'.repeat(bytes)));
    tool('secret_echo', 'Gives away the Authorization header of the request: what a careless server may do.', {}, (_, ctx) =>
        text(ctx.http.req.headers.get('authorization') ?? 'no authorization')
    );
    tool('employees', 'The employees with their salaries.', {}, () =>
        structured({ employees: [{ name: 'Ada', salary: 100 }, { name: 'Grace', salary: 200 }] })
    );
    // Where a test wants a server that asks its client; the sample server of the documentation does not.
    if (process.env.MODERN_ONLY) tool('ask_name', 'Asks who you are.', {}, askName);
    server.registerTool(
        'payroll',
        {
            description: 'The same with an output schema that calls a salary a number.',
            inputSchema: z.object({}),
            outputSchema: z.object({ employees: z.array(z.object({ name: z.string(), salary: z.number() })) }),
        },
        () => structured({ employees: [{ name: 'Ada', salary: 100 }, { name: 'Grace', salary: 200 }] })
    );
    tool('whoami', 'What the server saw of its caller.', {}, (_, ctx) => text(JSON.stringify(seen(ctx.http.req.headers))));
}

/** Asks the caller's user in the middle of a call (2026-07-28, several rounds). */
async function askName(_, ctx) {
    const schema = z.object({ name: z.string() });
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'who', schema);
    if (given === undefined) {
        return inputRequired({ inputRequests: { who: inputRequired.elicit({ message: 'Who?', requestedSchema: schema }) } });
    }
    return text(`hello ${given.name}`);
}

async function progress({ n }, ctx) {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (let step = 1; progressToken !== undefined && step <= n; step++) {
        const params = { progressToken, progress: step, total: n, message: `step ${step}` };
        await ctx.mcpReq.notify({ method: 'notifications/progress', params });
    }
    return text(`${n} steps`);
}

function seen(all) {
    const headers = Object.fromEntries(all);
    const claims = JSON.parse(headers[CLAIMS] ?? 'null');
    delete headers[CLAIMS];
    return { headers, claims };
}

function resources(server) {
    const file = (name, uri, body) =>
        server.registerResource(name, uri, { mimeType: 'text/plain' }, () => ({ contents: [{ uri, mimeType: 'text/plain', text: body }] }));
    file('public_a', 'file:///pub/a', 'public a');
    file('secret_file', 'file:///secret', 'the secret file');
    const template = new ResourceTemplate('file:///pub/{name}', {
        list: undefined,
        complete: { name: value => NAMES.filter(n => n.startsWith(value)) },
    });
    server.registerResource('public_file', template, { mimeType: 'text/plain' }, (uri, { name }) => ({
        contents: [{ uri: uri.href, mimeType: 'text/plain', text: `public ${name}` }],
    }));
}

function prompts(server) {
    const message = body => ({ messages: [{ role: 'user', content: { type: 'text', text: body } }] });
    const name = completable(z.string(), value => NAMES.filter(n => n.startsWith(value))).optional();
    server.registerPrompt('hello', { description: 'A greeting.', argsSchema: z.object({ name }) }, ({ name }) =>
        message(`Say hello to ${name ?? 'you'}`)
    );
    server.registerPrompt('root', { description: 'A prompt that not everybody should have.' }, () => message('You are root'));
}

// A test that is killed leaves no server behind: its end of our standard input closes.
if (process.env.EXIT_WITH_PARENT) process.stdin.on('end', () => process.exit(0)).resume();

const handler = toNodeHandler(createMcpHandler(sample, process.env.MODERN_ONLY ? { legacy: 'reject' } : {}), { maxRequestBodySize: 16 * 1024 * 1024 });
const listener = createServer(recording(handler)).listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
    console.log(`ready ${listener.address().port}`);
});
