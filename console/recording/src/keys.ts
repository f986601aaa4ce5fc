import { type Bytes, hex, utf8 } from "./bytes.js";
import { aesKey, open, pbkdf2, sha256 } from "./crypto.js";
import { KeyError, LockedError } from "./errors.js";
import { type Kem, kems } from "./hpke.js";

/** A private key that opens recordings. Make one by parsePrivateKey or parseLockedKey, or from a pair of CryptoKeys. */
export interface PrivateKey {
  /** rk_ and 16 hex digits. */
  readonly id: string;
  /** HPKE's number for its kind. */
  readonly kem: number;
  readonly label: string;
  /** Opens what is sealed to this key by HPKE with this info; rejects when it does not open. */
  open(enc: Bytes, info: Bytes, sealed: Bytes): Promise<Uint8Array>;
}

/** A private key under a passphrase. */
export interface LockedKey {
  readonly id: string;
  readonly kem: number;
  readonly label: string;
  /** Takes a part of a second on purpose. @throws LockedError when the passphrase is wrong. */
  unlock(passphrase: string): Promise<PrivateKey>;
}

const maxLine = 4096;
const plainWord = "sekisho-auditor-key-v1";
const lockedWord = "sekisho-locked-key-v1";
const saltSize = 16;
const nonceSize = 12;
const tagSize = 16;
const minIterations = 1_000;
const maxIterations = 10_000_000;

/**
 * Reads the line of a private key; the newline may be missing.
 * @throws LockedError for one under a passphrase, which is for parseLockedKey; KeyError for what is none.
 */
export async function parsePrivateKey(text: string): Promise<PrivateKey> {
  const [word, name, secret, ...rest] = fields(text);
  if (word === lockedWord) throw new LockedError("the private key is under a passphrase");
  if (word !== plainWord) throw new KeyError("this is not a private key");
  const kem = kemNamed(name);
  return privateKey(kem, base64(secret, kem.privateSize), label(rest));
}

/** Reads the line of a private key under a passphrase. @throws KeyError for what is none. */
export function parseLockedKey(text: string): LockedKey {
  const [word, name, id, count, salt, sealed, ...rest] = fields(text);
  if (word !== lockedWord) throw new KeyError("this is not a private key under a passphrase");
  const kem = kemNamed(name);
  if (!id || !/^rk_[0-9a-f]{16}$/.test(id)) throw new KeyError("private key: no key ID");
  if (!count || !/^[1-9][0-9]{0,7}$/.test(count)) throw new KeyError("private key: no number of iterations");
  const iterations = Number(count);
  if (iterations < minIterations || iterations > maxIterations) throw new KeyError(`private key: ${count} iterations`);
  const box = { iterations, salt: base64(salt, saltSize), sealed: base64(sealed, nonceSize + kem.privateSize + tagSize) };
  const named = label(rest);
  const aad = utf8([word, name, id, count, salt, ...rest].join(" "));
  return { id, kem: kem.id, label: named, unlock: (passphrase) => unlock(kem, { ...box, id, aad, label: named }, passphrase) };
}

interface Box {
  id: string;
  label: string;
  iterations: number;
  salt: Bytes;
  sealed: Bytes;
  aad: Bytes;
}

async function unlock(kem: Kem, box: Box, passphrase: string): Promise<PrivateKey> {
  const key = await aesKey(await pbkdf2(utf8(passphrase), box.salt, box.iterations));
  const secret = await open(key, box.sealed.slice(0, nonceSize), box.sealed.slice(nonceSize), box.aad);
  if (!secret) throw new LockedError("the passphrase is wrong, or the key's line was changed");
  const opened = await privateKey(kem, secret, box.label);
  if (opened.id !== box.id) throw new KeyError("private key: it does not have the ID of its line");
  return opened;
}

async function privateKey(kem: Kem, secret: Bytes, named: string): Promise<PrivateKey> {
  try {
    const loaded = await kem.load(secret);
    const id = await keyID(kem.publicOf(secret));
    return { id, kem: kem.id, label: named, open: (enc, info, sealed) => kem.open(loaded, enc, info, sealed) };
  } catch {
    throw new KeyError(`private key: no key of kind ${kem.name}`);
  }
}

/**
 * Makes a key of a P-256 pair for ECDH that WebCrypto holds, whose private half may be one that cannot be taken out.
 * @throws KeyError for other pairs.
 */
export async function fromCryptoKeys(pair: { publicKey: CryptoKey; privateKey: CryptoKey }, named = ""): Promise<PrivateKey> {
  const kem = kemNamed("p256");
  const { algorithm, usages } = pair.privateKey;
  if (algorithm.name !== "ECDH" || (algorithm as EcKeyAlgorithm).namedCurve !== "P-256") throw new KeyError("this is not a P-256 key for ECDH");
  if (!usages.includes("deriveBits")) throw new KeyError("this key may not be used to derive bits");
  const id = await keyID(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
  return { id, kem: kem.id, label: named, open: (enc, info, sealed) => kem.open(pair, enc, info, sealed) };
}

/** The ID of a public key as HPKE serializes it: rk_ and the first 8 bytes of its SHA-256 in hex. */
async function keyID(publicKey: Bytes): Promise<string> {
  return `rk_${hex((await sha256(publicKey)).subarray(0, 8))}`;
}

function fields(text: string): string[] {
  if (text.length > maxLine) throw new KeyError("this is not a private key");
  return text.replace(/\n$/, "").split(" ");
}

function kemNamed(name: string | undefined): Kem {
  const kem = kems.find((known) => known.name === name);
  if (!kem) throw new KeyError("private key: of a kind that this reader does not know");
  return kem;
}

function label(rest: string[]): string {
  const [named = ""] = rest;
  if (rest.length > 1 || (rest.length === 1 && !/^[A-Za-z0-9@._+:/=-]{1,64}$/.test(named))) throw new KeyError("private key: no label");
  return named;
}

function base64(text: string | undefined, size: number): Bytes {
  try {
    const bytes = Uint8Array.from(atob(text ?? ""), (char) => char.charCodeAt(0));
    if (bytes.length === size && btoa(String.fromCharCode(...bytes)) === text) return bytes;
  } catch {
    // said below
  }
  throw new KeyError(`private key: not ${size} bytes in base64`);
}
