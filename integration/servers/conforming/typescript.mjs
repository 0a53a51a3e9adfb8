// What the official conformance suite wants of a server, on the official TypeScript SDK, both eras: `typescript.mjs [PORT]`
// prints `ready <port>`. What its tools, resources and prompts give is in fixtures.json.
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import {
    classifyInboundRequest, CLIENT_CAPABILITIES_META_KEY, createMcpHandler, createRequestStateCodec, fromJsonSchema,
    isInitializeRequest, McpServer, ResourceTemplate,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

const fixtures = JSON.parse(readFileSync(new URL('fixtures.json', import.meta.url), 'utf8'));
const states = createRequestStateCodec({ key: randomBytes(32) });
const text = value => ({ content: [{ type: 'text', text: value }] });

const capabilities = {
    tools: { listChanged: true },
    resources: { subscribe: true, listChanged: true },
    prompts: { listChanged: true },
    logging: {},
    completions: {},
};

function conforming() {
    const server = new McpServer({ name: 'conforming-typescript', version: '1.0.0' }, { capabilities, requestState: states });
    tools(server);
    resources(server);
    prompts(server);
    for (const method of ['resources/subscribe', 'resources/unsubscribe', 'logging/setLevel']) {
        server.server.setRequestHandler(method, () => ({}));
    }
    server.server.setRequestHandler('completion/complete', () => ({ completion: { values: [], total: 0, hasMore: false } }));
    return server;
}

function tools(server) {
    const tool = (name, run, inputSchema = z.object({})) => server.registerTool(name, { description: name, inputSchema }, run);
    const all = (of, run) => Object.entries(of).forEach(([name, what]) => tool(name, (_, ctx) => run(what, ctx)));
    all(fixtures.answers, content => ({ content }));
    all(fixtures.elicits, elicit);
    all(fixtures.rounds, inRounds);
    for (const [name, schema] of Object.entries(fixtures.schemas)) {
        tool(name, given => text(JSON.stringify(given)), fromJsonSchema(schema));
    }
    tool('test_error_handling', () => { throw new Error('as the suite wants it'); });
    tool('test_tool_with_progress', progress);
    tool('test_tool_with_logging', (_, ctx) => logging(ctx));
    tool('test_logging_tool', async (_, ctx) => {
        await ctx.mcpReq.log('info', 'only for those who asked for it');
        return text('logged');
    });
    tool('test_reconnection', async (_, ctx) => {
        sessions.get(ctx.sessionId)?.closeSSEStream(ctx.mcpReq.id);
        await sleep(100);
        return text('after the stream was closed');
    });
    tool('test_sampling', async ({ prompt }, ctx) => {
        const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
        const said = await ctx.mcpReq.send({ method: 'sampling/createMessage', params: { messages, maxTokens: 100 } });
        return text(`LLM response: ${said.content.text}`);
    }, z.object({ prompt: z.string() }));
    tool('test_elicitation', ({ message }, ctx) => {
        const requestedSchema = { type: 'object', properties: { response: { type: 'string' } }, required: ['response'] };
        return elicit({ message, requestedSchema }, ctx);
    }, z.object({ message: z.string() }));
    tool('test_trigger_tool_change', () => (modern.notify.toolsChanged(), text('said')));
    tool('test_trigger_prompt_change', () => (modern.notify.promptsChanged(), text('said')));
}

async function elicit(params, ctx) {
    const { action, content } = await ctx.mcpReq.send({ method: 'elicitation/create', params });
    return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`);
}

async function progress(_, ctx) {
    const { progressToken } = ctx.mcpReq._meta ?? {};
    for (const done of progressToken === undefined ? [] : [0, 50, 100]) {
        const params = { progressToken, progress: done, total: 100, message: `${done} of 100` };
        await ctx.mcpReq.notify({ method: 'notifications/progress', params });
        await sleep(20);
    }
    return text(String(progressToken));
}

async function logging(ctx) {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
        await ctx.mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
        await sleep(20);
    }
    return text('logged');
}

// A call in several rounds: which one comes next is in its state, where it has one.
async function inRounds({ rounds, state, declared }, ctx) {
    const responses = ctx.mcpReq.inputResponses;
    const { round = 0, heard = {} } = (state && ctx.mcpReq.requestState()) || {};
    const answered = responses && Object.keys(rounds[round]).every(key => declared || fits(rounds[round][key], responses[key]));
    const next = answered ? round + 1 : round;
    if (next === rounds.length) return text(JSON.stringify({ ...heard, ...responses }));
    const all = Object.entries(rounds[next]);
    const asked = declared ? all.filter(([, { method }]) => ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY]?.[method.split('/')[0]]) : all;
    const requestState = state && (await states.mint({ round: next, heard: { ...heard, ...responses }, nonce: randomUUID() }));
    return { resultType: 'input_required', inputRequests: Object.fromEntries(asked), ...(requestState && { requestState }) };
}

// Whether a response is one to what was asked.
function fits({ method, params }, response) {
    if (method === 'sampling/createMessage') return typeof response?.content?.text === 'string';
    if (method === 'roots/list') return Array.isArray(response?.roots);
    const schema = z.fromJSONSchema(params.requestedSchema);
    return response?.action === 'accept' && schema.safeParse(response.content).success;
}

function resources(server) {
    for (const [uri, contents] of Object.entries(fixtures.resources)) {
        server.registerResource(uri, uri, { mimeType: contents.mimeType }, () => ({ contents: [{ uri, ...contents }] }));
    }
    const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
    server.registerResource('template', template, { mimeType: 'application/json' }, ({ href }, { id }) => ({
        contents: [{ uri: href, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true }) }],
    }));
}

function prompts(server) {
    for (const [name, { arguments: names, messages }] of Object.entries(fixtures.prompts)) {
        const argsSchema = z.object(Object.fromEntries(names.map(key => [key, z.string()])));
        server.registerPrompt(name, { description: name, argsSchema }, given => {
            const filled = names.reduce((said, key) => said.replaceAll(`{${key}}`, given[key]), JSON.stringify(messages));
            return { messages: JSON.parse(filled).map(content => ({ role: 'user', content })) };
        });
    }
    server.registerPrompt('test_input_required_result_prompt', { description: 'Asks first.' }, async ctx => {
        const result = await inRounds(fixtures.rounds_of_prompt, ctx);
        return result.content ? { messages: [{ role: 'user', content: result.content[0] }] } : result;
    });
}

// The events of a session's streams, for whoever comes back for them.
function events() {
    const all = [];
    return {
        async storeEvent(stream, message) {
            all.push({ stream, message });
            return String(all.length - 1);
        },
        async replayEventsAfter(last, { send }) {
            const { stream } = all[Number(last)];
            for (const [id, event] of all.entries()) {
                if (id > Number(last) && event.stream === stream && event.message?.jsonrpc) await send(String(id), event.message);
            }
            return stream;
        },
    };
}

const sessions = new Map();
const modern = createMcpHandler(conforming);
const serveModern = toNodeHandler(modern);

async function legacy(req, res, body) {
    const id = req.headers['mcp-session-id'];
    if (id === undefined && isInitializeRequest(body)) {
        const transport = new NodeStreamableHTTPServerTransport({
            sessionIdGenerator: randomUUID,
            eventStore: events(),
            retryInterval: 500,
            onsessioninitialized: opened => sessions.set(opened, transport),
        });
        transport.onclose = () => sessions.delete(transport.sessionId);
        await conforming().connect(transport);
        return transport.handleRequest(req, res, body);
    }
    const transport = sessions.get(id);
    if (transport) return transport.handleRequest(req, res, body);
    const error = { code: -32001, message: id ? 'Session not found' : 'Session required' };
    res.writeHead(id ? 404 : 400, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id: null, error }));
}

async function serve(req, res) {
    if (!['localhost', '127.0.0.1'].includes(new URL(`http://${req.headers.host}`).hostname)) return res.writeHead(403).end();
    const body = req.method === 'POST' ? await json(req) : undefined;
    const { kind } = classifyInboundRequest({
        httpMethod: req.method,
        protocolVersionHeader: req.headers['mcp-protocol-version'],
        mcpMethodHeader: req.headers['mcp-method'],
        body,
    });
    return kind === 'legacy' ? legacy(req, res, body) : serveModern(req, res, body);
}

// A test that is killed leaves no server behind: its end of our standard input closes.
if (process.env.EXIT_WITH_PARENT) process.stdin.on('end', () => process.exit(0)).resume();

const listener = createServer(serve).listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
    console.log(`ready ${listener.address().port}`);
});
