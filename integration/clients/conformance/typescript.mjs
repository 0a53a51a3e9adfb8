// What the official conformance suite wants of a client, on the official TypeScript SDK: `typescript.mjs URL`; the scenario is in
// the environment.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_PROTOCOL_VERSION: version, MCP_CONFORMANCE_CONTEXT: context } = process.env;
const SUM = [['add_numbers', { a: 5, b: 3 }]];
const CALLS = {
    tools_call: SUM,
    'request-metadata': SUM,
    'sse-retry': [['test_reconnection', {}]],
    'elicitation-sep1034-client-defaults': [['test_client_elicitation_defaults', {}]],
    'sep-2322-client-request-state': ['test_mrtr_echo_state', 'test_mrtr_unrelated', 'test_mrtr_no_state', 'test_mrtr_no_result_type'].map(name => [name, {}]),
};
const STUBS = { string: 'x', integer: 0, number: 0, boolean: false, object: {}, array: [], null: null };

function calls(tools) {
    const listed = name => tools.find(tool => tool.name === name);
    const required = ({ properties = {}, required = [] }) => Object.fromEntries(required.map(key => [key, STUBS[properties[key]?.type] ?? 'x']));
    switch (scenario) {
        case 'http-custom-headers': return JSON.parse(context).toolCalls.map(it => [it.name, it.arguments ?? {}]).filter(([name]) => listed(name));
        case 'http-standard-headers':
        case 'http-invalid-tool-headers': return tools.map(tool => [tool.name, required(tool.inputSchema)]);
        case 'json-schema-2020-12-preservation': return [['json_schema_echo', { schema: listed('json_schema_2020_12_tool').inputSchema }]];
        default: return CALLS[scenario] ?? [];
    }
}

// The form as it is when nobody touches it.
function untouched({ params }) {
    const filled = Object.entries(params.requestedSchema?.properties ?? {}).filter(([, it]) => 'default' in it);
    const confirmed = scenario.startsWith('sep-2322') ? { confirmed: true } : {};
    return { action: 'accept', content: { ...Object.fromEntries(filled.map(([key, it]) => [key, it.default])), ...confirmed } };
}

// The server of one scenario speaks the older revisions whatever it is asked for.
const modern = version === '2026-07-28' && scenario !== 'json-schema-ref-no-deref';
const client = new Client(
    { name: 'conformance-typescript', version: '1.0.0' },
    { capabilities: { elicitation: {}, sampling: {}, roots: {} }, ...(modern && { versionNegotiation: { mode: 'auto' } }) }
);
client.setRequestHandler('elicitation/create', untouched);
client.setRequestHandler('roots/list', () => ({ roots: [] }));
client.setRequestHandler('sampling/createMessage', () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: '' } }));
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv.at(-1))));
const { tools } = await client.listTools();
for (const [name, given] of calls(tools)) {
    await client.callTool({ name, arguments: given }).catch(error => console.error(`${name}: ${error.message}`));
}
if (scenario === 'http-standard-headers') {
    for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
    for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name });
}
await client.close();
