// An authorization server for accounts: oidc-provider, with rotation of refresh tokens and its own sign-in pages.
// It prints its issuer on stdout. `/control/…` is for tests: what the token endpoint was asked, and how it is held up.
//   settings in PROVIDER: {port?, access_ttl, clients, registration, resource, signed: [ALGORITHM], tls: {cert, key, ca}}
// For each of `signed` there is a client `signed-ALGORITHM`, whose private key is printed.
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { Provider } from 'oidc-provider'

const settings = JSON.parse(process.env.PROVIDER ?? '{}')
const control = { asked: [], fail: null, held: [], hold: false, hold_answers: false }

const tls = settings.tls
const server = tls ? createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: false }) : createServer()
await new Promise((done) => server.listen(settings.port ?? 0, '127.0.0.1', done))
const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`

const clients = [...(settings.clients ?? [])]
for (const alg of settings.signed ?? []) {
  const pair = alg.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const kid = `key of ${alg}`
  clients.push({
    client_id: `signed-${alg}`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: alg,
    jwks: { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' }] },
  })
  const pem = pair.privateKey.export({ format: 'pem', type: 'pkcs8' })
  console.log(`key ${alg} ${Buffer.from(pem).toString('base64')}`)
}

const peer = (ctx) => ctx.socket.getPeerCertificate?.()

const provider = new Provider(issuer, {
  clients,
  claims: { openid: ['sub'] },
  scopes: ['openid', 'offline_access', 'mcp'],
  cookies: { keys: ['only for tests'] },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: settings.registration ?? false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    mTLS: {
      enabled: tls !== undefined,
      tlsClientAuth: tls !== undefined,
      getCertificate: (ctx) => (peer(ctx)?.raw ? new X509Certificate(peer(ctx).raw).toString() : undefined),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_dns' && peer(ctx).subjectaltname.split(', ').includes(`DNS:${expected}`),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.resource ?? [],
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource) => ({ scope: 'mcp', audience: resource, accessTokenFormat: 'opaque' }),
    },
  },
  clientAuthMethods: [
    ...['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    ...(tls ? ['tls_client_auth'] : []),
  ],
  enabledJWA: { clientAuthSigningAlgValues: ['PS256', 'RS256', 'ES256'] },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  pkce: { required: () => true },
  ttl: {
    AccessToken: () => settings.access_ttl ?? 3600,
    ClientCredentials: () => settings.access_ttl ?? 3600,
    RefreshToken: 86400,
    AuthorizationCode: 60,
    Grant: 86400,
    Interaction: 600,
    Session: 86400,
    IdToken: 3600,
  },
})

const released = () => new Promise((go) => control.held.push(go))

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/control/')) {
    const { held, ...shown } = control
    Object.assign(control, ctx.request.query.set ? JSON.parse(ctx.request.query.set) : {})
    if (ctx.path === '/control/release') {
      Object.assign(control, { hold: false, hold_answers: false })
      control.held.splice(0).forEach((go) => go())
    }
    ctx.body = { ...shown, waiting: held.length }
    return
  }
  if (ctx.path !== '/token') return next()
  if (control.hold) await released()
  if (control.fail) {
    control.asked.push({ status: control.fail.status })
    ctx.status = control.fail.status
    for (const [name, value] of Object.entries(control.fail.headers ?? {})) ctx.set(name, value)
    ctx.body = control.fail.body ?? ''
    return
  }
  await next()
  control.asked.push({ grant_type: ctx.oidc?.params?.grant_type, status: ctx.status, error: ctx.body?.error })
  if (control.hold_answers) await released()
})

server.on('request', provider.callback())
console.log(`issuer ${issuer}`)
