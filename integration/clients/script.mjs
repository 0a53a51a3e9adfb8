// What the two TypeScript agents share: the script on standard input (see python_client.py), and how its steps are played.
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const say = (step, what) => console.log(JSON.stringify({ step, ...what }));

function failure(error) {
    const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
    const { code = null, data = null } = error;
    return { kind: error.constructor.name, code, message: `${error.message}${cause}`, data };
}

/** Connects with `connect(script) -> { client, protocol }` and plays the script. */
export async function play(connect) {
    const script = JSON.parse(await text(process.stdin));
    try {
        const { client, protocol } = await connect(script);
        say(0, { ok: { protocol } });
        for (const [index, step] of script.steps.entries()) {
            try {
                say(index + 1, { ok: await take(client, step) });
            } catch (error) {
                say(index + 1, { error: failure(error) });
            }
        }
        await client.close();
    } catch (error) {
        say(0, { error: failure(error) });
    }
    process.exit(0);
}

async function take(client, step) {
    switch (step.do) {
        case 'list_tools': return client.listTools(step.cursor ? { cursor: step.cursor } : undefined);
        case 'call_tool': return call(client, step);
        case 'list_resources': return client.listResources();
        case 'list_resource_templates': return client.listResourceTemplates();
        case 'read_resource': return client.readResource({ uri: step.uri });
        case 'list_prompts': return client.listPrompts();
        case 'get_prompt': return client.getPrompt({ name: step.name, arguments: step.arguments ?? {} });
        case 'complete': return client.complete({ ref: reference(step), argument: step.argument });
        case 'ping': return client.ping();
        case 'sleep': await sleep(step.seconds * 1000); return {};
        default: throw new Error(`unknown step ${step.do}`);
    }
}

async function call(client, step) {
    const progress = [];
    const params = { name: step.name, arguments: step.arguments ?? {}, ...(step.meta && { _meta: step.meta }) };
    const result = await client.callTool(params, ...client.callToolOptions({ onprogress: event => progress.push(event) }));
    return { ...result, progress };
}

function reference(step) {
    return 'prompt' in step ? { type: 'ref/prompt', name: step.prompt } : { type: 'ref/resource', uri: step.resource };
}
