/**
 * Certificates for tests: an authority of our own and server certificates
 * with any name, any dates, or self-signed. Written as DER (RFC 5280) with
 * node:crypto alone, so that no program is needed. Never for production.
 */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { isIP } from 'node:net';

/** PEM texts. */
export interface CertificatePair {
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateRequest {
  /** DNS names and IP addresses of the subject; default localhost, 127.0.0.1 and ::1. */
  readonly names?: readonly string[];
  /** Valid until yesterday. */
  readonly expired?: boolean;
  /** Signed by itself, not by the authority. */
  readonly selfSigned?: boolean;
}

/** An authority and what it can issue. */
export interface Authority extends CertificatePair {
  issue(request?: CertificateRequest): CertificatePair;
}

const OID = {
  ecdsaWithSha256: '06082a8648ce3d040302',
  commonName: '0603550403',
  subjectKeyId: '0603551d0e',
  keyUsage: '0603551d0f',
  subjectAltName: '0603551d11',
  basicConstraints: '0603551d13',
  authorityKeyId: '0603551d23',
  extendedKeyUsage: '0603551d25',
  serverAuth: '06082b06010505070301',
} as const;

const oid = (name: keyof typeof OID): Buffer => Buffer.from(OID[name], 'hex');

function tlv(tag: number, ...content: Buffer[]): Buffer {
  const value = Buffer.concat(content);
  if (value.length < 0x80) return Buffer.concat([Buffer.from([tag, value.length]), value]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(value.length);
  return Buffer.concat([Buffer.from([tag, 0x82]), length, value]);
}

const sequence = (...content: Buffer[]): Buffer => tlv(0x30, ...content);
const octets = (...content: Buffer[]): Buffer => tlv(0x04, ...content);
const bits = (value: Buffer, unused = 0): Buffer => tlv(0x03, Buffer.from([unused]), value);
const yes = tlv(0x01, Buffer.from([0xff]));
const critical = yes;
const distinguishedName = (name: string): Buffer =>
  sequence(tlv(0x31, sequence(oid('commonName'), tlv(0x0c, Buffer.from(name)))));
const generalizedTime = (at: Date): Buffer =>
  tlv(0x18, Buffer.from(at.toISOString().replace(/[-:T]|\.\d+/g, '')));
const subjectPublicKey = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ type: 'spki', format: 'der' });
const keyId = (key: KeyObject): Buffer => createHash('sha1').update(subjectPublicKey(key)).digest();
const pem = (label: string, der: Buffer): string =>
  `-----BEGIN ${label}-----\n${(der.toString('base64').match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`;

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16));
  const front = groups(head);
  const back = groups(tail);
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Buffer.from(all.flatMap(group => [group >> 8, group & 0xff]));
}

const alternativeName = (name: string): Buffer =>
  isIP(name) === 0 ? tlv(0x82, Buffer.from(name)) : tlv(0x87, addressBytes(name));

interface Plan {
  readonly subject: string;
  readonly subjectKey: KeyObject;
  readonly issuer: string;
  readonly issuerKey: KeyObject;
  readonly notAfter: Date;
  readonly extensions: readonly Buffer[];
}

function certify(plan: Plan): string {
  const algorithm = sequence(oid('ecdsaWithSha256'));
  const serial = Buffer.concat([Buffer.from([0x01]), randomBytes(15)]);
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, serial),
    algorithm,
    distinguishedName(plan.issuer),
    sequence(generalizedTime(new Date(Date.now() - 30 * 86_400_000)), generalizedTime(plan.notAfter)),
    distinguishedName(plan.subject),
    subjectPublicKey(plan.subjectKey),
    tlv(0xa3, sequence(...plan.extensions)),
  );
  return pem('CERTIFICATE', sequence(body, algorithm, bits(sign('sha256', body, plan.issuerKey))));
}

const extension = (name: keyof typeof OID, ...value: Buffer[]): Buffer => sequence(oid(name), ...value);
const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const keyPem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;
const inDays = (days: number): Date => new Date(Date.now() + days * 86_400_000);

/** Makes an authority with a fresh key. */
export function createAuthority(name = 'Test authority'): Authority {
  const key = newKey();
  const certificate = certify({
    subject: name,
    subjectKey: key,
    issuer: name,
    issuerKey: key,
    notAfter: inDays(30),
    extensions: [
      extension('basicConstraints', critical, octets(sequence(yes))),
      extension('keyUsage', critical, octets(bits(Buffer.from([0x06]), 1))),
      extension('subjectKeyId', octets(octets(keyId(key)))),
    ],
  });
  return { certificate, key: keyPem(key), issue: request => issue(name, key, request ?? {}) };
}

function issue(authorityName: string, authorityKey: KeyObject, request: CertificateRequest): CertificatePair {
  const names = request.names ?? ['localhost', '127.0.0.1', '::1'];
  const key = newKey();
  const subject = names[0] ?? 'nameless';
  const issuerKey = request.selfSigned === true ? key : authorityKey;
  const certificate = certify({
    subject,
    subjectKey: key,
    issuer: request.selfSigned === true ? subject : authorityName,
    issuerKey,
    notAfter: inDays(request.expired === true ? -1 : 30),
    extensions: [
      extension('basicConstraints', critical, octets(sequence())),
      extension('keyUsage', critical, octets(bits(Buffer.from([0x80]), 7))),
      extension('extendedKeyUsage', octets(sequence(oid('serverAuth')))),
      extension('subjectAltName', octets(sequence(...names.map(alternativeName)))),
      extension('subjectKeyId', octets(octets(keyId(key)))),
      extension('authorityKeyId', octets(sequence(tlv(0x80, keyId(issuerKey))))),
    ],
  });
  return { certificate, key: keyPem(key) };
}

let shared: Authority | undefined;
let usual: CertificatePair | undefined;

/** The authority of this process. */
export function authority(): Authority {
  shared ??= createAuthority();
  return shared;
}

/** The usual server certificate of this process: localhost, 127.0.0.1, ::1, signed by authority(). */
export function serverCertificate(): CertificatePair {
  usual ??= authority().issue();
  return usual;
}
