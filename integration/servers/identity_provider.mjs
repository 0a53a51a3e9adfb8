// An identity provider for callers: oidc-provider, which issues access tokens as JWTs or opaque, bound to keys or not.
// It prints its issuer on stdout. `/control/…` is for tests: what was asked for, and what the next tokens are like.
//   settings in PROVIDER: {port?, path?, tls?: {cert, key, ca}, hides?: path of a metadata document, audience}
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { Provider } from 'oidc-provider'

const settings = JSON.parse(process.env.PROVIDER ?? '{}')
const control = { asked: {}, claims: {}, format: 'jwt', ttl: 3600, skew: 0, nbf: false, signed_in_ago: 0 }

// A provider whose clock is wrong.
const now = Date.now
Date.now = () => now() + control.skew * 1000

const { path: base = '', tls } = settings
const server = tls ? createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: false }) : createServer()
await new Promise((done) => server.listen(settings.port ?? 0, '127.0.0.1', done))
const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}${base}`

let made = 0
const key = () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { ...pair.privateKey.export({ format: 'jwk' }), kid: `key ${++made} of ${process.pid}`, alg: 'ES256', use: 'sig' }
}

const secret = (client_id, client_secret, more) => ({
  client_id,
  client_secret,
  redirect_uris: ['https://agent.test/back'],
  grant_types: ['authorization_code', 'client_credentials'],
  response_types: ['code'],
  id_token_signed_response_alg: 'ES256',
  ...more,
})

const peer = (ctx) => ctx.socket.getPeerCertificate?.()

const provider = (keys) => {
  const made = new Provider(issuer, {
    jwks: { keys },
    clients: [
      secret('agent', 'secret of the agent'),
      secret('gate', 'a+b%20c:d&e=f'),
      ...(tls ? [secret('certified', 'secret', { tls_client_certificate_bound_access_tokens: true })] : []),
    ],
    scopes: ['openid', 'mcp'],
    acrValues: ['pwd', 'mfa'],
    cookies: { keys: ['only for tests'] },
    clientAuthMethods: ['client_secret_basic'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      mTLS: {
        enabled: tls !== undefined,
        certificateBoundAccessTokens: tls !== undefined,
        getCertificate: (ctx) => (peer(ctx)?.raw ? new X509Certificate(peer(ctx).raw).toString() : undefined),
      },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, audience) => ({
          scope: 'mcp',
          audience,
          accessTokenFormat: control.format,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    // What RFC 9470 section 6 wants in an access token, and what the operator of the provider put there.
    extraTokenClaims: (ctx) => {
      const { acr, amr, authTime: auth_time, sid } = ctx.oidc.entities.AuthorizationCode ?? {}
      return JSON.parse(JSON.stringify({ acr, amr, auth_time, sid, ...control.claims }))
    },
    formats: {
      customizers: {
        jwt: (_ctx, _token, jwt) => {
          if (control.nbf) jwt.payload.nbf = jwt.payload.iat
        },
      },
    },
    interactions: { url: (_ctx, interaction) => `${base}/interaction/${interaction.uid}` },
    loadExistingGrant: async (ctx) => {
      const grant = new made.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId })
      grant.addOIDCScope('openid mcp')
      grant.addResourceScope(settings.audience, 'mcp')
      await grant.save()
      return grant
    },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => false },
    ttl: { AccessToken: () => control.ttl, ClientCredentials: () => control.ttl },
  })
  made.use(async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next()
    // Whoever is asked for a better or a fresher sign-in gives it; otherwise they did it some time ago.
    const { params } = await made.interactionDetails(ctx.req, ctx.res)
    const acr = params.acr_values?.split(' ')[0] ?? 'pwd'
    const ago = params.max_age === undefined ? control.signed_in_ago : 0
    const login = { accountId: params.login_hint ?? 'alice', acr, amr: acr === 'mfa' ? ['pwd', 'otp'] : ['pwd'] }
    login.ts = Math.floor(Date.now() / 1000) - ago
    ctx.respond = false
    await made.interactionFinished(ctx.req, ctx.res, { login })
  })
  return made.callback()
}

let keys = [key()]
let answer = provider(keys)

const changes = {
  state: (set) => Object.assign(control, set),
  // The newest key signs. `keep`: what the older ones have signed still counts.
  rotate: ({ keep }) => {
    keys = [key(), ...(keep ? keys : [])]
    answer = provider(keys)
  },
}

server.on('request', (request, reply) => {
  const url = new URL(request.url, issuer)
  if (url.pathname.startsWith('/control/')) {
    changes[url.pathname.slice('/control/'.length)]?.(JSON.parse(url.searchParams.get('set') ?? '{}'))
    reply.setHeader('content-type', 'application/json')
    return reply.end(JSON.stringify(control))
  }
  control.asked[url.pathname] = (control.asked[url.pathname] ?? 0) + 1
  const wellKnown = `/.well-known/oauth-authorization-server${base}`
  if (url.pathname === settings.hides || (base && url.pathname !== wellKnown && !url.pathname.startsWith(`${base}/`))) {
    reply.statusCode = 404
    return reply.end()
  }
  // As a server under a path mounts it; RFC 8414 section 3.1 puts the well-known part before the path.
  const own = url.pathname === wellKnown ? '/.well-known/oauth-authorization-server' : url.pathname.slice(base.length)
  request.originalUrl = `${base}${own}${url.search}`
  request.url = `${own}${url.search}`
  return answer(request, reply)
})
console.log(`issuer ${issuer}`)
