import { type Bytes, Cursor, hex, join, utf8 } from "./bytes.js";
import { sha256, signedBy } from "./crypto.js";
import { ChangedError, CutError, MalformedError, type RecordingError, VersionError } from "./errors.js";
import { kemOf } from "./hpke.js";
import { type Pull } from "./source.js";

/** The most bytes that a header takes. */
export const maxHeader = 327_680;
const prefixSize = 16;
const signatureSize = 64;
const maxRecipients = 256;
const sealedSize = 48;
const version = 2;
const featureRandom = 1;
const featuresAt = 10;

/** One recipient's place in a header. */
export interface Slot {
  /** The key's ID: rk_ and 16 hex digits. */
  id: string;
  /** HPKE's number for the kind of key. */
  kem: number;
  enc: Bytes;
  sealed: Bytes;
}

/** What stands in the clear before a recording. Its signature is right; whether the signer is a gateway, parseHeader cannot know. */
export interface Header {
  session: string;
  /** Nanoseconds since 1970-01-01 UTC. */
  started: bigint;
  /** Ed25519 public key of the gateway. */
  signer: Bytes;
  commitment: Bytes;
  slots: Slot[];
  /** Each frame has a nonce of its own before its ciphertext. */
  randomNonces: boolean;
  /** SHA-256 of the header, where the chain begins. */
  hash: Bytes;
  /** Bytes that it takes. */
  size: number;
}

/**
 * Reads a header, which the bytes must begin with, and checks its form and its signature.
 * @throws MalformedError, VersionError, ChangedError, CutError
 */
export async function parseHeader(bytes: Uint8Array): Promise<Header> {
  const size = sizeOf(bytes.subarray(0, prefixSize));
  if (bytes.length < size) throw new CutError("the header ends early", 0);
  return parseWhole(new Uint8Array(bytes.subarray(0, size)));
}

/** Takes the header off the front of a recording. */
export async function readHeader(pull: Pull): Promise<Header> {
  const prefix = await pull.take(prefixSize);
  const size = sizeOf(prefix);
  const rest = await pull.take(size - prefixSize);
  if (rest.length < size - prefixSize) throw new CutError("the header ends early", 0);
  return parseWhole(join(prefix, rest));
}

/** How many bytes the header with these first 16 takes. */
function sizeOf(prefix: Uint8Array): number {
  const magic = utf8("sekisho\0");
  if (!prefix.every((byte, i) => i >= magic.length || byte === magic[i])) throw new MalformedError("this is not a recording");
  if (prefix.length < prefixSize) throw new CutError("the header ends early", 0);
  const fields = new Cursor(prefix.subarray(magic.length));
  const made = fields.u16("version");
  if (made < version) throw new VersionError("an older version made this recording");
  if (made > version) throw new VersionError("a newer version made this recording");
  if (fields.u16("flags") > featureRandom) throw new VersionError("this recording uses features that this reader does not know");
  const size = fields.u32("size");
  if (size > maxHeader - prefixSize - signatureSize) throw new ChangedError("header: too large");
  return prefixSize + size + signatureSize;
}

async function parseWhole(bytes: Bytes): Promise<Header> {
  const signed = bytes.subarray(0, bytes.length - signatureSize);
  const header = parseBody(new Cursor(signed.subarray(prefixSize), refuse));
  const message = join(utf8("sekisho-recording-header-v2\0"), signed);
  if (!(await signedBy(header.signer, bytes.slice(bytes.length - signatureSize), message))) {
    throw new ChangedError("header: the signature is not the signer's");
  }
  const features = ((bytes[featuresAt] ?? 0) << 8) | (bytes[featuresAt + 1] ?? 0);
  return { ...header, randomNonces: (features & featureRandom) !== 0, hash: await sha256(bytes), size: bytes.length };
}

function refuse(why: string): RecordingError {
  return new ChangedError(`header: ${why}`);
}

function parseBody(body: Cursor): Omit<Header, "randomNonces" | "hash" | "size"> {
  const session = String.fromCharCode(...body.take(body.u8("session"), "session"));
  if (!/^[a-z0-9_]{1,64}$/.test(session)) throw refuse("the session's ID is none");
  const started = body.u64("start");
  if (started >= 1n << 63n) throw refuse("a start that is none");
  const signer = body.take(32, "signer");
  const commitment = body.take(32, "commitment");
  const slots = parseSlots(body);
  body.end("recipients");
  return { session, started, signer, commitment, slots };
}

function parseSlots(body: Cursor): Slot[] {
  const count = body.u16("recipients");
  if (count < 1 || count > maxRecipients) throw refuse(`${count} recipients`);
  const slots: Slot[] = [];
  const known = new Set<string>();
  for (let i = 0; i < count; i++) {
    const number = body.u16("recipient");
    const kem = kemOf(number);
    if (!kem) throw new VersionError(`this recording is sealed to a kind of key that this reader does not know (0x${number.toString(16)})`);
    const id = `rk_${hex(body.take(8, "key ID"))}`;
    if (known.has(id)) throw refuse("one recipient twice");
    known.add(id);
    slots.push({ id, kem: number, enc: body.take(kem.encSize, "recipient"), sealed: body.take(sealedSize, "recipient") });
  }
  return slots;
}
