// An OpenID provider for tests: npm's `oidc-provider`, whose accounts are jobs. A job signs in by its name alone.
//
// OPENID_PROVIDER  the module
// LISTEN           the address, such as 127.0.0.1:8080
// ISSUER           the issuer's name, which need not be where it listens
// KEYS             the file of its keys, which is made where there is none
// KID              the id of a key that is made
// AUDIENCES        a JSON object: the algorithm of tokens for each audience by its name
// JOBS             a JSON object: the claims of each job by its name
// CLOCK            how many seconds its clock is ahead
// CERTIFICATE, KEY files for TLS; without them it speaks plain HTTP
// BEARER           a token that requests for its keys need
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createPlainServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';

const { LISTEN, ISSUER, KEYS, KID, AUDIENCES, JOBS, CLOCK, CERTIFICATE, KEY, BEARER } = process.env;
const { Provider } = await import(process.env.OPENID_PROVIDER);

const now = Date.now;
Date.now = () => now() + Number(CLOCK ?? 0) * 1000;

if (!existsSync(KEYS)) {
  const key = (type, options, alg) => ({
    ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
    kid: `${KID}-${alg}`,
    alg,
    use: 'sig',
  });
  const made = [
    key('rsa', { modulusLength: 2048 }, 'RS256'),
    key('ec', { namedCurve: 'P-256' }, 'ES256'),
    key('ed25519', {}, 'EdDSA'),
  ];
  writeFileSync(KEYS, JSON.stringify({ keys: made }));
}

const jobs = JSON.parse(JOBS);
// The audience of an ID token is the client.
const clients = Object.entries(JSON.parse(AUDIENCES)).map(([audience, algorithm]) => ({
  client_id: audience,
  redirect_uris: ['https://client.example/callback'],
  response_types: ['id_token'],
  grant_types: ['implicit'],
  token_endpoint_auth_method: 'none',
  id_token_signed_response_alg: algorithm,
}));

const { keys } = JSON.parse(readFileSync(KEYS, 'utf8'));
const provider = new Provider(ISSUER, {
  jwks: { keys },
  clients,
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
  responseTypes: ['id_token'],
  claims: { openid: ['sub', ...new Set(Object.values(jobs).flatMap(Object.keys))] },
  cookies: { keys: ['of the tests'] },
  ttl: { IdToken: 300, Interaction: 60, Session: 60, Grant: 60 },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, name) => jobs[name] && { accountId: name, claims: () => ({ sub: name, ...jobs[name] }) },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  // A job agrees to all that it has requested.
  async loadExistingGrant(ctx) {
    const grant = new provider.Grant({
      accountId: ctx.oidc.session.accountId,
      clientId: ctx.oidc.client.clientId,
    });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
});
provider.on('server_error', (_, error) => console.error(error));

const handle = provider.callback();
async function answer(request, response) {
  const path = request.url.split('?')[0];
  if (BEARER && (path === '/jwks' || path.startsWith('/.well-known/'))
    && request.headers.authorization !== `Bearer ${BEARER}`) {
    response.writeHead(401).end();
  } else if (path === '/pem') {
    const key = createPublicKey({ key: keys[0], format: 'jwk' });
    response.end(key.export({ type: 'spki', format: 'pem' }));
  } else if (path.startsWith('/interaction/')) {
    const { params } = await provider.interactionDetails(request, response);
    await provider.interactionFinished(request, response, { login: { accountId: params.login_hint } });
  } else {
    handle(request, response);
  }
}
const served = (request, response) => answer(request, response).catch((error) => {
  console.error(error);
  response.writeHead(500).end();
});
const server = CERTIFICATE
  ? createSecureServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) }, served)
  : createPlainServer(served);
const [host, port] = LISTEN.split(':');
server.listen(Number(port), host, () => console.log(`listening at ${LISTEN}`));
